// Package weirroute lowers MeshRoutes to the internal model.
package weirroute

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/source/weir"
	"github.com/weir-mesh/weir/schemas/v1alpha1"
)

// Lower makes routes of MeshRoutes. What is in error is left out of a route or, where that would send requests
// elsewhere, takes its rule with it: such requests fall to the rules that remain.
func Lower(routes []weir.Route) ([]ir.Route, diag.List) {
	var out []ir.Route
	var diags diag.List
	for i := range routes {
		l := lowering{src: &routes[i], diags: &diags}
		out = append(out, l.route())
	}
	return out, diags
}

// lowering is one route in the making.
type lowering struct {
	src   *weir.Route
	diags *diag.List
	// failed says that the rule in the making can't be kept.
	failed bool
}

// at is the place of a field, with the object named in full.
func (l *lowering) at(path string) diag.Position {
	p := l.src.Object.Pos(path)
	p.Object, p.Path = fmt.Sprintf("MeshRoute %s/%s", l.src.Object.Namespace, l.src.Object.Name), path
	return p
}

// fail reports an error of a rule.
func (l *lowering) fail(code diag.Code, path, message, hint string) {
	l.failed = true
	l.diags.Add(diag.Diagnostic{Code: code, Severity: diag.Error, Pos: l.at(path), Message: message, Hint: hint})
}

func (l *lowering) route() ir.Route {
	spec := &l.src.Spec
	out := ir.Route{Kind: "MeshRoute", Namespace: l.src.Object.Namespace, Name: l.src.Object.Name, Pos: l.at("spec.service"),
		Service: spec.Service, Port: uint16(value(spec.Port))}
	if t := l.src.Metadata.CreationTimestamp; t != nil {
		created, err := time.Parse(time.RFC3339, *t)
		if err != nil {
			l.fail(weir.CodeValue, "metadata.creationTimestamp", fmt.Sprintf("%q is no time", *t), "a time is written as in 2027-01-31T00:00:00Z")
		}
		out.Created = created.UTC()
	}
	for _, h := range spec.Hosts {
		out.Hosts = append(out.Hosts, strings.ToLower(h))
	}
	if c := spec.Connections; c != nil {
		out.Connections = ir.ConnectionLimits{Max: uint32(value(c.Max)), Pending: uint32(value(c.Pending)),
			Requests: uint32(value(c.Requests))}
	}
	for i := range spec.Rules {
		l.failed = false
		if rule := l.rule(i, &spec.Rules[i]); !l.failed {
			out.Rules = append(out.Rules, rule)
		}
	}
	return out
}

func (l *lowering) rule(i int, r *v1alpha1.RouteRule) ir.RouteRule {
	path := fmt.Sprintf("spec.rules[%d]", i)
	out := ir.RouteRule{Index: i, Name: value(r.Name), Pos: l.at(path)}
	for j := range r.Matches {
		out.Matches = append(out.Matches, l.match(fmt.Sprintf("%s.matches[%d]", path, j), &r.Matches[j]))
	}
	if len(r.Matches) == 0 && r.Matches != nil {
		l.fail(weir.CodeRule, path+".matches", "matches is empty", "leave the field out for any")
	}
	for j := range r.Backends {
		b := &r.Backends[j]
		weight := uint32(1)
		if b.Weight != nil {
			weight = uint32(*b.Weight)
		}
		out.Backends = append(out.Backends, l.backend(fmt.Sprintf("%s.backends[%d]", path, j), b.Service, b.Namespace, b.Port, weight))
	}
	for j := range r.Mirrors {
		m := &r.Mirrors[j]
		percent := uint32(100)
		if m.Percent != nil {
			percent = uint32(*m.Percent)
		}
		at := fmt.Sprintf("%s.mirrors[%d].backend", path, j)
		out.Mirrors = append(out.Mirrors, ir.Mirror{Percent: percent,
			Backend: l.backend(at, m.Backend.Service, m.Backend.Namespace, m.Backend.Port, 1)})
	}
	if d := r.Redirect; d != nil {
		out.Redirect = &ir.Redirect{Scheme: string(value(d.Scheme)), Host: value(d.Host), Port: uint16(value(d.Port)),
			Path: l.pathChange(path+".redirect.path", d.Path, out.Matches), Status: int(value(d.Status))}
	}
	if w := r.Rewrite; w != nil {
		out.Rewrite = &ir.Rewrite{Host: value(w.Host), Path: l.pathChange(path+".rewrite.path", w.Path, out.Matches)}
	}
	out.RequestHeaders, out.ResponseHeaders = headerChanges(r.RequestHeaders), headerChanges(r.ResponseHeaders)
	out.Timeouts = l.timeouts(path+".timeouts", r.Timeouts)
	out.Retries = l.retries(path+".retries", r.Retries)
	if q := r.RateLimit; q != nil {
		spans := map[v1alpha1.RateSpan]time.Duration{v1alpha1.RateSpanSecond: time.Second, v1alpha1.RateSpanMinute: time.Minute,
			v1alpha1.RateSpanHour: time.Hour}
		out.RateLimit = &ir.RateLimit{Requests: uint32(q.Requests), Burst: uint32(value(q.Burst)), Per: spans[q.Per]}
	}
	if n := r.MaxBodyBytes; n != nil {
		limit := uint32(*n)
		out.MaxBodyBytes = &limit
	}
	out.Fault = l.fault(path+".fault", r.Fault)
	return out
}

func (l *lowering) match(path string, m *v1alpha1.RouteMatch) ir.HTTPMatch {
	var out ir.HTTPMatch
	if m.Method != nil {
		out.Methods = []string{*m.Method}
	}
	if m.Path != nil {
		s := l.comparison(path+".path", m.Path.Exact, m.Path.Prefix, m.Path.Regex, nil)
		out.Path = &s
	}
	for i := range m.Headers {
		k := &m.Headers[i]
		out.Headers = append(out.Headers, ir.KeyMatch{Key: strings.ToLower(k.Name),
			StringMatch: l.comparison(fmt.Sprintf("%s.headers[%d]", path, i), k.Exact, k.Prefix, k.Regex, k.Present)})
	}
	for i := range m.Query {
		k := &m.Query[i]
		out.Query = append(out.Query, ir.KeyMatch{Key: k.Name,
			StringMatch: l.comparison(fmt.Sprintf("%s.query[%d]", path, i), k.Exact, k.Prefix, k.Regex, k.Present)})
	}
	if m.GRPC != nil {
		out.GRPC = &ir.GRPCMatch{Service: m.GRPC.Service, Method: value(m.GRPC.Method)}
	}
	return out
}

// comparison is the one that is set.
func (l *lowering) comparison(path string, exact, prefix, regex *string, present *bool) ir.StringMatch {
	switch {
	case exact != nil:
		return ir.StringMatch{Kind: ir.Exact, Value: *exact}
	case prefix != nil:
		return ir.StringMatch{Kind: ir.Prefix, Value: *prefix}
	case regex != nil:
		if _, err := regexp.Compile(*regex); err != nil {
			l.fail(weir.CodeValue, path+".regex", "not a regular expression: "+strings.TrimPrefix(err.Error(),
				"error parsing regexp: "), "the syntax is RE2's, without backreferences and look-around")
		}
		return ir.StringMatch{Kind: ir.Regex, Value: *regex}
	case present == nil || !*present:
		l.fail(weir.CodeRule, path, "a match has one of exact, prefix, regex and present", "")
	}
	return ir.StringMatch{Kind: ir.Present}
}

func (l *lowering) backend(path, service string, namespace *string, port int32, weight uint32) ir.RouteBackend {
	b := ir.RouteBackend{Namespace: l.src.Object.Namespace, Service: service, Port: uint16(port), Weight: weight, Pos: l.at(path)}
	if namespace != nil {
		b.Namespace = *namespace
	}
	return b
}

// pathChange keeps a prefix's replacement only where every match has a prefix to replace.
func (l *lowering) pathChange(path string, c *v1alpha1.PathChange, matches []ir.HTTPMatch) *ir.PathChange {
	if c == nil {
		return nil
	}
	if c.Prefix != nil {
		prefixed := len(matches) > 0
		for i := range matches {
			prefixed = prefixed && matches[i].Path != nil && matches[i].Path.Kind == ir.Prefix
		}
		if !prefixed {
			l.fail(weir.CodeRule, path+".prefix", "a prefix can be replaced only where every match has path: {prefix: ...}", "")
		}
	}
	return &ir.PathChange{Full: c.Full, Prefix: c.Prefix}
}

func headerChanges(c *v1alpha1.HeaderChanges) ir.HeaderChanges {
	if c == nil {
		return ir.HeaderChanges{}
	}
	convert := func(values []v1alpha1.HeaderValue) []ir.HeaderValue {
		var out []ir.HeaderValue
		for _, v := range values {
			out = append(out, ir.HeaderValue{Name: strings.ToLower(v.Name), Value: v.Value})
		}
		return out
	}
	return ir.HeaderChanges{Set: convert(c.Set), Add: convert(c.Add), Remove: c.Remove}
}

// timeouts keeps what the Gateway API's text says: 0s is none, and a try may not take longer than the request (S26).
func (l *lowering) timeouts(path string, t *v1alpha1.Timeouts) ir.Timeouts {
	if t == nil {
		return ir.Timeouts{}
	}
	out := ir.Timeouts{Request: l.duration(path+".request", t.Request), BackendRequest: l.duration(path+".backendRequest", t.BackendRequest)}
	if out.Request != nil && out.BackendRequest != nil && *out.Request > 0 && *out.BackendRequest > *out.Request {
		l.fail(weir.CodeRule, path+".backendRequest", "backendRequest is above request", "a try is a part of the request")
	}
	return out
}

func (l *lowering) retries(path string, r *v1alpha1.Retries) *ir.Retries {
	if r == nil {
		return nil
	}
	out := &ir.Retries{Attempts: uint32(r.Attempts), BudgetPercent: uint32(r.Budget.Percent), MinConcurrent: 3}
	if n := r.Budget.MinConcurrent; n != nil {
		out.MinConcurrent = uint32(*n)
	}
	for _, c := range r.Codes {
		out.Codes = append(out.Codes, uint32(c))
	}
	for i, on := range r.On {
		known := false
		for f := ir.RetryConnectFailure; f <= ir.RetryUnavailable; f++ {
			if f.String() == string(on) {
				out.On, known = append(out.On, f), true
			}
		}
		if !known {
			l.fail(weir.CodeValue, fmt.Sprintf("%s.on[%d]", path, i), fmt.Sprintf("%q is no failure that can be tried again", on), "")
		}
	}
	if d := l.duration(path+".backoff", r.Backoff); d != nil {
		out.Backoff = *d
	}
	return out
}

func (l *lowering) fault(path string, f *v1alpha1.Fault) *ir.Fault {
	if f == nil {
		return nil
	}
	out := &ir.Fault{}
	end, err := ir.ParseEnd(f.Expires)
	if err != nil {
		l.fail(weir.CodeValue, path+".expires", fmt.Sprintf("%q is no end", f.Expires),
			"an end is a date such as 2027-01-31 or a time such as 2027-01-31T18:00:00Z (UTC)")
	}
	out.Expires = end
	if d := f.Delay; d != nil {
		out.Delay = &ir.FaultDelay{Percent: uint32(d.Percent)}
		if t := l.duration(path+".delay.duration", &d.Duration); t != nil {
			out.Delay.Duration = *t
		}
	}
	if a := f.Abort; a != nil {
		out.Abort = &ir.FaultAbort{Status: uint32(value(a.Status)), GRPCStatus: uint32(value(a.GRPCStatus)), Percent: uint32(a.Percent)}
	}
	return out
}

// duration reads a duration of the Gateway API (GEP-2257), a part of Go's.
func (l *lowering) duration(path string, s *string) *time.Duration {
	if s == nil {
		return nil
	}
	d, err := time.ParseDuration(*s)
	if err != nil || d < 0 {
		l.fail(weir.CodeValue, path, fmt.Sprintf("%q is no duration", *s), "a duration is such as 30s, 1m30s or 250ms")
		return nil
	}
	return &d
}

// value is what p points to, or zero.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
