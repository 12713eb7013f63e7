package route

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/weir-mesh/weir/compiler/ir"
)

// alternative is one way for a request to come under a rule: one of its matches, for one of the route's hosts.
type alternative struct {
	route *ir.Route
	rule  *ir.RouteRule
	// match is nil for every request; number is its place in the rule.
	match  *ir.HTTPMatch
	number int
	// host is empty for any.
	host string
}

// alternatives lists the ways of all routes of a service in the order in which they are tried (S26).
func alternatives(routes []*ir.Route) []alternative {
	var out []alternative
	for _, r := range routes {
		hosts := r.Hosts
		if hosts == nil {
			hosts = []string{""}
		}
		for i := range r.Rules {
			rule := &r.Rules[i]
			for _, host := range hosts {
				if rule.Matches == nil {
					out = append(out, alternative{route: r, rule: rule, host: host})
				}
				for j := range rule.Matches {
					out = append(out, alternative{route: r, rule: rule, match: &rule.Matches[j], number: j, host: host})
				}
			}
		}
	}
	slices.SortStableFunc(out, precedence)
	return out
}

// precedence is the Gateway API's: HTTPRoute, spec.hostnames ("precedence must be given to rules from the HTTPRoute
// with the largest number of: characters in a matching non-wildcard hostname; characters in a matching hostname"),
// then spec.rules.matches: an exact path, the longest prefix, a method, the most headers, the most query parameters;
// then the oldest route, then names, then the order of rules and matches. Where the API leaves it open: a regular
// expression comes after exact paths and before prefixes, longest first, and routes without an age come last.
func precedence(x, y alternative) int {
	return cmp.Or(
		-cmp.Compare(exactHost(x.host), exactHost(y.host)),
		-cmp.Compare(len(x.host), len(y.host)),
		-cmp.Compare(pathRank(x.match), pathRank(y.match)),
		-cmp.Compare(pathLength(x.match), pathLength(y.match)),
		-cmp.Compare(methods(x.match), methods(y.match)),
		-cmp.Compare(headers(x.match), headers(y.match)),
		-cmp.Compare(params(x.match), params(y.match)),
		compareAge(x.route.Created, y.route.Created),
		cmp.Compare(x.route.Namespace, y.route.Namespace),
		cmp.Compare(x.route.Name, y.route.Name),
		cmp.Compare(x.rule.Index, y.rule.Index),
		cmp.Compare(x.number, y.number),
	)
}

func exactHost(h string) int {
	if strings.HasPrefix(h, "*") {
		return 0
	}
	return len(h)
}

func pathRank(m *ir.HTTPMatch) int {
	switch {
	case m == nil:
		return 0
	case m.GRPC != nil && m.GRPC.Method != "", m.Path != nil && m.Path.Kind == ir.Exact:
		return 2
	case m.Path != nil && m.Path.Kind == ir.Regex:
		return 1
	}
	return 0
}

// pathLength counts characters; no path is the prefix "/", the API's default.
func pathLength(m *ir.HTTPMatch) int {
	switch {
	case m == nil:
		return 1
	case m.GRPC != nil:
		return len("/") + len(m.GRPC.Service) + len("/") + len(m.GRPC.Method)
	case m.Path != nil:
		return len(m.Path.Value)
	}
	return 1
}

func methods(m *ir.HTTPMatch) int {
	if m != nil && (m.Methods != nil || m.GRPC != nil) {
		return 1
	}
	return 0
}

func headers(m *ir.HTTPMatch) int {
	if m == nil {
		return 0
	}
	return len(m.Headers)
}

func params(m *ir.HTTPMatch) int {
	if m == nil {
		return 0
	}
	return len(m.Query)
}

func compareAge(x, y time.Time) int {
	switch {
	case x.IsZero() && y.IsZero():
		return 0
	case x.IsZero():
		return 1
	case y.IsZero():
		return -1
	}
	return x.Compare(y)
}
