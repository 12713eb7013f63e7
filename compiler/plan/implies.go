package plan

import (
	"regexp"
	"slices"
	"strings"

	"github.com/weir-mesh/weir/compiler/ir"
)

// Implies reports whether what an entry of a list of requests matches, another matches, too. Where it can't tell it says
// no.
func Implies(e, f *Entry) bool {
	for _, want := range f.Conds {
		if !slices.ContainsFunc(e.Conds, func(have []ir.HTTPMatch) bool { return anyImplies(have, want) }) {
			return false
		}
	}
	return true
}

// anyImplies compares alternatives: each of the first must imply one of the second.
func anyImplies(have, want []ir.HTTPMatch) bool {
	for i := range have {
		if !slices.ContainsFunc(want, func(w ir.HTTPMatch) bool { return matchImplies(&have[i], &w) }) {
			return false
		}
	}
	return true
}

func matchImplies(d, c *ir.HTTPMatch) bool {
	return methodsImply(d, c) && pathImplies(d, c) && grpcImplies(d.GRPC, c.GRPC) && hostsImply(d.Hosts, c.Hosts) &&
		keysImply(d.Headers, c.Headers) && keysImply(d.Query, c.Query) && keysImply(d.Claims, c.Claims)
}

func methodsImply(d, c *ir.HTTPMatch) bool {
	have := d.Methods
	if have == nil && d.GRPC != nil {
		have = []string{"POST"}
	}
	return c.Methods == nil || have != nil && !slices.ContainsFunc(have, func(m string) bool { return !slices.Contains(c.Methods, m) })
}

// pathImplies compares paths; a gRPC match is one of the path.
func pathImplies(d, c *ir.HTTPMatch) bool {
	if c.Path == nil || c.Path.Kind == ir.Prefix && strings.Trim(c.Path.Value, "/") == "" {
		return true
	}
	for _, have := range []*ir.StringMatch{d.Path, grpcPath(d.GRPC)} {
		switch {
		case have == nil:
		case *have == *c.Path, have.Kind == ir.Exact && pathMatches(c.Path, have.Value),
			have.Kind == ir.Prefix && c.Path.Kind == ir.Prefix && PathHasPrefix(strings.TrimRight(have.Value, "/"), c.Path.Value):
			return true
		}
	}
	return false
}

func grpcPath(g *ir.GRPCMatch) *ir.StringMatch {
	switch {
	case g == nil:
		return nil
	case g.Method == "":
		return &ir.StringMatch{Kind: ir.Prefix, Value: "/" + g.Service}
	}
	return &ir.StringMatch{Kind: ir.Exact, Value: "/" + g.Service + "/" + g.Method}
}

func pathMatches(m *ir.StringMatch, path string) bool {
	if m.Kind == ir.Prefix {
		return PathHasPrefix(path, m.Value)
	}
	return stringMatches(m, path)
}

func grpcImplies(d, c *ir.GRPCMatch) bool {
	return c == nil || d != nil && d.Service == c.Service && (c.Method == "" || c.Method == d.Method)
}

// hostsImply compares hosts: "*.a.b" lies in "*.b", as does "x.b".
func hostsImply(d, c []string) bool {
	if c == nil {
		return true
	}
	return d != nil && !slices.ContainsFunc(d, func(have string) bool {
		return !slices.ContainsFunc(c, func(want string) bool {
			suffix, wild := strings.CutPrefix(want, "*")
			return have == want || wild && strings.HasSuffix(have, suffix) && len(have) > len(suffix) && !strings.ContainsAny(have, ":@/")
		})
	})
}

func keysImply(d, c []ir.KeyMatch) bool {
	for i := range c {
		if !slices.ContainsFunc(d, func(have ir.KeyMatch) bool {
			return have.Key == c[i].Key && have.Provider == c[i].Provider && valueImplies(&have.StringMatch, &c[i].StringMatch)
		}) {
			return false
		}
	}
	return true
}

func valueImplies(have, want *ir.StringMatch) bool {
	switch {
	case *have == *want, want.Kind == ir.Present:
		return true
	case have.Kind == ir.Exact:
		return stringMatches(want, have.Value)
	case have.Kind == ir.Prefix && want.Kind == ir.Prefix:
		return strings.HasPrefix(have.Value, want.Value)
	}
	return false
}

// stringMatches is about a value that is written in a rule.
func stringMatches(m *ir.StringMatch, value string) bool {
	switch m.Kind {
	case ir.Exact:
		return m.Value == value
	case ir.Prefix:
		return strings.HasPrefix(value, m.Value)
	case ir.Regex:
		re, err := regexp.Compile(`^(?:` + m.Value + `)$`)
		return err == nil && re.MatchString(value)
	}
	return true
}
