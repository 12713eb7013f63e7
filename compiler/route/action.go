package route

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routes "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	ratelimit "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	envoytype "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/weir-mesh/weir/compiler/ir"
)

// routeMatch is what Envoy's router compares for an alternative. Paths are those that requestState keeps.
func (a *alternative) routeMatch() *routes.RouteMatch {
	out := &routes.RouteMatch{PathSpecifier: &routes.RouteMatch_Prefix{Prefix: "/"}}
	if a.host != "" {
		out.Headers = append(out.Headers, headerMatch(":authority", stringRegex(hostsPattern([]string{a.host}))))
	}
	m := a.match
	if m == nil {
		return out
	}
	if m.Path != nil {
		switch prefix := strings.TrimRight(m.Path.Value, "/"); {
		case m.Path.Kind == ir.Exact:
			out.PathSpecifier = &routes.RouteMatch_Path{Path: m.Path.Value}
		case m.Path.Kind == ir.Regex:
			out.PathSpecifier = &routes.RouteMatch_SafeRegex{SafeRegex: envoyRegex(m.Path.Value)}
		case prefix != "":
			out.PathSpecifier = &routes.RouteMatch_PathSeparatedPrefix{PathSeparatedPrefix: prefix}
		}
	}
	if m.GRPC != nil {
		out.PathSpecifier = &routes.RouteMatch_SafeRegex{SafeRegex: envoyRegex(grpcPath(m.GRPC))}
		out.Headers = append(out.Headers, headerMatch(":method", envoyString(&ir.StringMatch{Value: "POST"})))
	}
	if m.Methods != nil {
		var quoted []string
		for _, method := range m.Methods {
			quoted = append(quoted, regexp.QuoteMeta(method))
		}
		out.Headers = append(out.Headers, headerMatch(":method", stringRegex(strings.Join(quoted, "|"))))
	}
	for i := range m.Headers {
		name := m.Headers[i].Key
		if name == "host" {
			name = ":authority"
		}
		out.Headers = append(out.Headers, headerMatch(name, envoyString(&m.Headers[i].StringMatch)))
	}
	for i := range m.Query {
		out.QueryParameters = append(out.QueryParameters, &routes.QueryParameterMatcher{Name: m.Query[i].Key,
			QueryParameterMatchSpecifier: &routes.QueryParameterMatcher_StringMatch{
				StringMatch: rawParam(&m.Query[i].StringMatch)}})
	}
	return out
}

// rawParam compares a parameter's value as it was sent: Envoy's router undoes no escapes. Exact values and prefixes
// match however they are escaped; a regular expression sees the escapes.
func rawParam(m *ir.StringMatch) *matcher.StringMatcher {
	switch m.Kind {
	case ir.Exact:
		return stringRegex(escaped(m.Value))
	case ir.Prefix:
		return stringRegex(escaped(m.Value) + anyBytes)
	}
	return envoyString(m)
}

func headerMatch(name string, m *matcher.StringMatcher) *routes.HeaderMatcher {
	return &routes.HeaderMatcher{Name: name,
		HeaderMatchSpecifier: &routes.HeaderMatcher_StringMatch{StringMatch: m}}
}

func stringRegex(pattern string) *matcher.StringMatcher {
	return &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_SafeRegex{SafeRegex: envoyRegex(pattern)}}
}

// matchedPrefix is the prefix that a path change replaces.
func (a *alternative) matchedPrefix() string {
	if a.match != nil && a.match.Path != nil && a.match.Path.Kind == ir.Prefix {
		return strings.TrimRight(a.match.Path.Value, "/")
	}
	return ""
}

// pathRewrite replaces a path by segments, as the Gateway API's table says: /v1/x with the prefix /v1 replaced by /
// becomes /x, not //x. The query stays.
func (a *alternative) pathRewrite(c *ir.PathChange) *matcher.RegexMatchAndSubstitute {
	out := func(pattern, substitution string) *matcher.RegexMatchAndSubstitute {
		return &matcher.RegexMatchAndSubstitute{Pattern: envoyRegex(pattern), Substitution: substitution}
	}
	if c.Full != nil {
		return out(`^.*$`, *c.Full)
	}
	prefix, with := regexp.QuoteMeta(a.matchedPrefix()), strings.TrimRight(*c.Prefix, "/")
	if with == "" {
		return out(`^`+prefix+`/?(.*)$`, `/\1`)
	}
	return out(`^`+prefix+`(/.*)?$`, with+`\1`)
}

func (a *alternative) redirect() *routes.Route_Redirect {
	r := a.rule.Redirect
	out := &routes.RedirectAction{HostRedirect: r.Host, PortRedirect: uint32(r.Port), ResponseCode: redirectCode(r.Status)}
	if r.Scheme != "" {
		out.SchemeRewriteSpecifier = &routes.RedirectAction_SchemeRedirect{SchemeRedirect: r.Scheme}
	}
	switch {
	case r.Path != nil && r.Path.Full != nil:
		out.PathRewriteSpecifier = &routes.RedirectAction_PathRedirect{PathRedirect: *r.Path.Full}
	case r.Path != nil:
		out.PathRewriteSpecifier = &routes.RedirectAction_RegexRewrite{RegexRewrite: a.pathRewrite(r.Path)}
	}
	return &routes.Route_Redirect{Redirect: out}
}

func redirectCode(status int) routes.RedirectAction_RedirectResponseCode {
	switch status {
	case 301:
		return routes.RedirectAction_MOVED_PERMANENTLY
	case 303:
		return routes.RedirectAction_SEE_OTHER
	case 307:
		return routes.RedirectAction_TEMPORARY_REDIRECT
	case 308:
		return routes.RedirectAction_PERMANENT_REDIRECT
	}
	return routes.RedirectAction_FOUND
}

// forward is the action of a rule with backends: everything but where requests go.
func (a *alternative) forward() *routes.RouteAction {
	out := &routes.RouteAction{
		Timeout: durationpb.New(0), // none: also where nothing is said, so that streams live
		// A backend that is not there is answered with 500 (Gateway API, HTTPBackendRef).
		ClusterNotFoundResponseCode: routes.RouteAction_INTERNAL_SERVER_ERROR,
	}
	if t := a.rule.Timeouts.Request; t != nil {
		out.Timeout = durationpb.New(*t)
	}
	if t := a.rule.Timeouts.BackendRequest; t != nil && *t > 0 {
		out.RetryPolicy = &routes.RetryPolicy{NumRetries: wrapperspb.UInt32(0), PerTryTimeout: durationpb.New(*t)}
	}
	if a.rule.Retries != nil {
		out.RetryPolicy = retryPolicy(a.rule.Retries, out.RetryPolicy)
	}
	if w := a.rule.Rewrite; w != nil {
		if w.Host != "" {
			out.HostRewriteSpecifier = &routes.RouteAction_HostRewriteLiteral{HostRewriteLiteral: w.Host}
		}
		if w.Path != nil {
			out.RegexRewrite = a.pathRewrite(w.Path)
		}
	}
	return out
}

// retryPolicy adds a rule's retries to a policy that may hold the timeout of a try.
func retryPolicy(r *ir.Retries, p *routes.RetryPolicy) *routes.RetryPolicy {
	if p == nil {
		p = &routes.RetryPolicy{}
	}
	codes := r.Codes
	var on []string
	for _, c := range r.On {
		on = append(on, c.String())
	}
	if codes == nil && on == nil {
		on, codes = []string{ir.RetryConnectFailure.String(), ir.RetryReset.String()}, []uint32{503}
	}
	if codes != nil {
		on = append(on, "retriable-status-codes")
		p.RetriableStatusCodes = codes
	}
	p.RetryOn = strings.Join(on, ",")
	p.NumRetries = wrapperspb.UInt32(r.Attempts)
	if r.Backoff > 0 {
		p.RetryBackOff = &routes.RetryPolicy_RetryBackOff{BaseInterval: durationpb.New(r.Backoff),
			MaxInterval: durationpb.New(r.Backoff * 10)}
	}
	return p
}

// changeHeaders writes a rule's header changes into a route.
func (a *alternative) changeHeaders(r *routes.Route) {
	r.RequestHeadersToAdd, r.RequestHeadersToRemove = headerOptions(&a.rule.RequestHeaders), a.rule.RequestHeaders.Remove
	r.ResponseHeadersToAdd, r.ResponseHeadersToRemove = headerOptions(&a.rule.ResponseHeaders), a.rule.ResponseHeaders.Remove
}

func headerOptions(c *ir.HeaderChanges) []*core.HeaderValueOption {
	var out []*core.HeaderValueOption
	add := func(values []ir.HeaderValue, action core.HeaderValueOption_HeaderAppendAction) {
		for _, v := range values {
			out = append(out, &core.HeaderValueOption{AppendAction: action, KeepEmptyValue: true,
				// A value is taken as it is: "%" begins one of Envoy's own placeholders.
				Header: &core.HeaderValue{Key: v.Name, Value: strings.ReplaceAll(v.Value, "%", "%%")}})
		}
	}
	add(c.Set, core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD)
	add(c.Add, core.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD)
	return out
}

// rateLimit is a bucket of the route's own. Without the two fractions Envoy limits nothing.
func rateLimit(r *ir.RateLimit) *ratelimit.LocalRateLimit {
	burst := r.Burst
	if burst == 0 {
		burst = r.Requests
	}
	all := &core.RuntimeFractionalPercent{DefaultValue: percent(100)}
	return &ratelimit.LocalRateLimit{
		StatPrefix: filterRateLimit,
		TokenBucket: &envoytype.TokenBucket{MaxTokens: burst, TokensPerFill: wrapperspb.UInt32(r.Requests),
			FillInterval: durationpb.New(max(r.Per, 50*time.Millisecond))},
		FilterEnabled: all, FilterEnforced: all,
	}
}

func percent(n uint32) *envoytype.FractionalPercent {
	return &envoytype.FractionalPercent{Numerator: n, Denominator: envoytype.FractionalPercent_HUNDRED}
}

func itoa[N ~uint16 | ~uint32](n N) string { return strconv.FormatUint(uint64(n), 10) }
