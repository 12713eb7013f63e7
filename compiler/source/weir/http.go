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
	var out []ir.HTTPMatch
	for i := range ms {
		out = append(out, l.request(o, fmt.Sprintf("%s[%d]", path, i), &ms[i]))
	}
	return out
}

func (l *lowering) request(o *NamedObject, path string, m *v1alpha1.HTTPMatch) ir.HTTPMatch {
	out := ir.HTTPMatch{Methods: m.Methods}
	if m.Path != nil {
		match := l.match(o, path+".path", m.Path.Exact, m.Path.Prefix, m.Path.Regex)
		out.Path = &match
	}
	for _, h := range m.Hosts {
		out.Hosts = append(out.Hosts, strings.ToLower(h))
	}
	for i, k := range m.Headers {
		out.Headers = append(out.Headers, ir.KeyMatch{Key: strings.ToLower(k.Name), StringMatch: l.match(o, fmt.Sprintf("%s.headers[%d]", path, i), k.Exact, k.Prefix, k.Regex)})
	}
	for i, k := range m.Query {
		out.Query = append(out.Query, ir.KeyMatch{Key: k.Name, StringMatch: l.match(o, fmt.Sprintf("%s.query[%d]", path, i), k.Exact, k.Prefix, k.Regex)})
	}
	if m.GRPC != nil {
		out.GRPC = &ir.GRPCMatch{Service: m.GRPC.Service, Method: value(m.GRPC.Method)}
	}
	for i, c := range m.Claims {
		at := fmt.Sprintf("%s.claims[%d]", path, i)
		if !l.providers[c.Provider] {
			l.errorAt(CodeProvider, o.at(at+".provider"), fmt.Sprintf("MeshConfig has no JWT provider %q", c.Provider), "add it to spec.jwtProviders: without it no claim is verified")
		}
		out.Claims = append(out.Claims, ir.KeyMatch{Key: c.Name, Provider: c.Provider, StringMatch: l.match(o, at, c.Exact, c.Prefix, c.Regex)})
	}
	return out
}

// match is the one comparison that is set; none is that the key is there.
func (l *lowering) match(o *NamedObject, path string, exact, prefix, regex *string) ir.StringMatch {
	switch {
	case exact != nil:
		return ir.StringMatch{Kind: ir.Exact, Value: *exact}
	case prefix != nil:
		return ir.StringMatch{Kind: ir.Prefix, Value: *prefix}
	case regex != nil:
		if _, err := regexp.Compile(*regex); err != nil {
			l.errorAt(CodeValue, o.at(path+".regex"), "not a regular expression: "+strings.TrimPrefix(err.Error(), "error parsing regexp: "),
				"the syntax is RE2's, without backreferences and look-around")
		}
		return ir.StringMatch{Kind: ir.Regex, Value: *regex}
	}
	return ir.StringMatch{Kind: ir.Present}
}
