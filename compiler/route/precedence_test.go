package route

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-mesh/weir/compiler/ir"
)

// TestPrecedence lists matches from the first to be tried to the last, as the Gateway API orders them (S26), and holds
// every pair, given in either order.
func TestPrecedence(t *testing.T) {
	path := func(k ir.MatchKind, v string) *ir.StringMatch { return &ir.StringMatch{Kind: k, Value: v} }
	key := ir.KeyMatch{Key: "x", StringMatch: ir.StringMatch{Kind: ir.Present}}
	route := func(name, host string, year int, matches ...ir.HTTPMatch) *ir.Route {
		r := &ir.Route{Namespace: "n", Name: name, Rules: []ir.RouteRule{{Matches: matches}}}
		if host != "" {
			r.Hosts = []string{host}
		}
		if year > 0 {
			r.Created = time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
		}
		return r
	}
	ordered := []*ir.Route{
		route("host-longer", "aa.example.org", 2026),
		route("host", "a.example.org", 2026),
		route("wildcard-longer", "*.a.example.org", 2020, ir.HTTPMatch{Path: path(ir.Exact, "/a")}),
		route("wildcard", "*.example.org", 2020, ir.HTTPMatch{Path: path(ir.Exact, "/a")}),
		route("grpc-method", "", 2026, ir.HTTPMatch{GRPC: &ir.GRPCMatch{Service: "s.S", Method: "Method"}}),
		route("exact", "", 2026, ir.HTTPMatch{Path: path(ir.Exact, "/a")}),
		route("regex", "", 2026, ir.HTTPMatch{Path: path(ir.Regex, "/a.*")}),
		route("prefix-longer", "", 2026, ir.HTTPMatch{Path: path(ir.Prefix, "/a/b/c/d")}),
		route("grpc-service", "", 2026, ir.HTTPMatch{GRPC: &ir.GRPCMatch{Service: "s.S"}}),
		route("prefix", "", 2026, ir.HTTPMatch{Path: path(ir.Prefix, "/a")}),
		route("method-headers", "", 2026, ir.HTTPMatch{Methods: []string{"GET"}, Headers: []ir.KeyMatch{key}}),
		route("method", "", 2026, ir.HTTPMatch{Methods: []string{"GET"}}),
		route("two-headers", "", 2026, ir.HTTPMatch{Headers: []ir.KeyMatch{key, key}}),
		route("header-query", "", 2026, ir.HTTPMatch{Headers: []ir.KeyMatch{key}, Query: []ir.KeyMatch{key}}),
		route("header", "", 2026, ir.HTTPMatch{Headers: []ir.KeyMatch{key}}),
		route("query", "", 2026, ir.HTTPMatch{Query: []ir.KeyMatch{key}}),
		route("old", "", 2020),
		route("a-young", "", 2021),
		route("b-young", "", 2021),
		route("a-ageless", "", 0),
		route("b-ageless", "", 0),
	}
	for i := range ordered {
		for j := range ordered[:i] {
			for _, pair := range [][]*ir.Route{{ordered[i], ordered[j]}, {ordered[j], ordered[i]}} {
				if got := alternatives(pair); got[0].route != ordered[j] {
					t.Errorf("%s is tried before %s", ordered[i].Name, ordered[j].Name)
				}
			}
		}
	}
	t.Run("inside a route the order of rules and matches decides", func(t *testing.T) {
		r := &ir.Route{Rules: []ir.RouteRule{{Index: 0, Matches: []ir.HTTPMatch{{Path: path(ir.Prefix, "/a")}, {Path: path(ir.Prefix, "/b")}}},
			{Index: 1, Matches: []ir.HTTPMatch{{Path: path(ir.Prefix, "/c")}}}}}
		var got []string
		for _, a := range alternatives([]*ir.Route{r}) {
			got = append(got, fmt.Sprint(a.rule.Index, a.match.Path.Value))
		}
		if want := []string{"0/a", "0/b", "1/c"}; !slices.Equal(got, want) {
			t.Errorf("%s, want %s", strings.Join(got, " "), strings.Join(want, " "))
		}
	})
}
