package weir

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/schemas/v1alpha1"
)

// http lowers the requests of a rule (S22 to S24).
func (l *lowering) http(o *NamedObject, path string, ms []v1alpha1.HTTPMatch) []ir.HTTPMatch {
	l.notEmpty(o, path, ms == nil, len(ms))
	var out []ir.HTTPMatch
	for i := range ms {
		out = append(out, l.request(o, fmt.Sprintf("%s[%d]", path, i), &ms[i]))
	}
	return out
}

func (l *lowering) request(o *NamedObject, path string, m *v1alpha1.HTTPMatch) ir.HTTPMatch {
	out := ir.HTTPMatch{Methods: m.Methods}
	l.notEmpty(o, path+".methods", m.Methods == nil, len(m.Methods))
	l.notEmpty(o, path+".hosts", m.Hosts == nil, len(m.Hosts))
	l.notEmpty(o, path+".headers", m.Headers == nil, len(m.Headers))
	l.notEmpty(o, path+".query", m.Query == nil, len(m.Query))
	l.notEmpty(o, path+".claims", m.Claims == nil, len(m.Claims))
	if m.Path != nil {
		out.Path = new(ir.StringMatch)
		*out.Path = l.match(o, path+".path", m.Path.Exact, m.Path.Prefix, m.Path.Regex, nil)
	}
	for _, h := range m.Hosts {
		out.Hosts = append(out.Hosts, strings.ToLower(h))
	}
	for i := range m.Headers {
		k := &m.Headers[i]
		out.Headers = append(out.Headers, ir.KeyMatch{Key: strings.ToLower(k.Name),
			StringMatch: l.match(o, fmt.Sprintf("%s.headers[%d]", path, i), k.Exact, k.Prefix, k.Regex, k.Present)})
	}
	for i := range m.Query {
		k := &m.Query[i]
		out.Query = append(out.Query, ir.KeyMatch{Key: k.Name,
			StringMatch: l.match(o, fmt.Sprintf("%s.query[%d]", path, i), k.Exact, k.Prefix, k.Regex, k.Present)})
	}
	if m.GRPC != nil {
		out.GRPC = &ir.GRPCMatch{Service: m.GRPC.Service, Method: value(m.GRPC.Method)}
		if m.Path != nil || m.Methods != nil {
			l.errorAt(CodeRule, o.at(path+".grpc"), "grpc names the path and the method (POST) itself", "leave path and methods out")
		}
	}
	for i := range m.Claims {
		out.Claims = append(out.Claims, l.claim(o, fmt.Sprintf("%s.claims[%d]", path, i), &m.Claims[i]))
	}
	if m.Methods == nil && m.Path == nil && m.Hosts == nil && m.Headers == nil && m.Query == nil && m.GRPC == nil && m.Claims == nil {
		l.errorAt(CodeRule, o.at(path), "a request matches nothing in particular", "for any request write path: {prefix: \"/\"}")
	}
	return out
}

func (l *lowering) claim(o *NamedObject, path string, c *v1alpha1.ClaimMatch) ir.KeyMatch {
	if !l.providers[c.Provider] {
		l.errorAt(CodeProvider, o.at(path+".provider"), fmt.Sprintf("MeshConfig has no JWT provider %q", c.Provider), "add it to spec.jwtProviders: without it no claim is verified")
	}
	return ir.KeyMatch{Key: c.Name, Provider: c.Provider, StringMatch: l.match(o, path, c.Exact, c.Prefix, c.Regex, c.Present)}
}

// match is the one comparison that is set.
func (l *lowering) match(o *NamedObject, path string, exact, prefix, regex *string, present *bool) ir.StringMatch {
	var out ir.StringMatch
	n := 0
	for kind, s := range map[ir.MatchKind]*string{ir.Exact: exact, ir.Prefix: prefix, ir.Regex: regex} {
		if s != nil {
			n++
			out = ir.StringMatch{Kind: kind, Value: *s}
		}
	}
	if present != nil {
		n++
		out = ir.StringMatch{Kind: ir.Present}
		if !*present {
			l.errorAt(CodeRule, o.at(path+".present"), "present is true, or left out", "")
		}
	}
	if n != 1 {
		l.errorAt(CodeRule, o.at(path), "a match has one of exact, prefix, regex and present", "")
		return ir.StringMatch{}
	}
	if regex != nil {
		if _, err := regexp.Compile(*regex); err != nil {
			l.errorAt(CodeValue, o.at(path+".regex"), "not a regular expression: "+strings.TrimPrefix(err.Error(), "error parsing regexp: "), "the syntax is RE2's, without backreferences and look-around")
		}
	}
	return out
}
