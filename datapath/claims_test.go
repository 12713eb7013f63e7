//go:build linux

package datapath

import (
	"slices"
	"strings"
	"testing"
)

// TestSettle: what is said of each endpoint, and which interface follows from all that.
func TestSettle(t *testing.T) {
	exists := map[int]string{1: "v1", 2: "v2", 3: "v3"}
	is := func(x ...int) []int { return x }
	none := Unfound{Why: Nowhere, Text: "nothing"}
	for _, c := range []struct {
		name   string
		claims []claim
		want   []int
		text   string // in what is said of the first that has none
	}{
		{"by route", []claim{{name: "a", routed: is(1)}, {name: "b", routed: is(2)}}, is(1, 2), ""},
		{"by the pod's own address", []claim{{name: "a", inside: is(2)}, {name: "b", inside: is(1)}}, is(2, 1), ""},
		{"by both", []claim{{name: "a", routed: is(2), inside: is(1, 2)}}, is(2), ""},
		{"neither", []claim{{name: "a", none: none}}, is(0), "nothing"},
		{"route and pod disagree", []claim{{name: "a", routed: is(1), inside: is(2)}}, is(0), "routed to v1, and the pod behind v2 has it"},
		{"two pods have the address", []claim{{name: "a", inside: is(1, 2)}}, is(0), "more than one interface: v1, v2"},
		{"two pods, and one is another's", []claim{{name: "a", inside: is(1, 2)}, {name: "b", inside: is(2)}}, is(1, 2), ""},
		{"two pods, and none is another's", []claim{{name: "a", inside: is(1, 2)}, {name: "b", inside: is(1, 2)}}, is(0, 0), "more than one interface: v1, v2"},
		{"one veth of two, by route", []claim{{name: "a", routed: is(1)}, {name: "b", routed: is(1)}}, is(0, 0), "it and b are behind the same interface, v1"},
		{"one veth of two, and one is inside", []claim{{name: "a", routed: is(1)}, {name: "b", routed: is(1), inside: is(1)}}, is(0, 1), "it and b are behind"},
		{"one veth of two, inside both", []claim{{name: "a", inside: is(1)}, {name: "b", inside: is(1)}, {name: "c", inside: is(3)}}, is(0, 0, 3), "it and b are behind"},
		{"held, and another took the address", []claim{{name: "a", inside: is(1, 2), held: 1}}, is(1), ""},
		{"held, and it gave up its address", []claim{{name: "a", held: 1}}, is(1), ""},
		{"held, and only another has the address now", []claim{{name: "a", inside: is(2), held: 1}}, is(1), ""},
		{"held, and it took another's address", []claim{{name: "a", held: 1}, {name: "b", inside: is(1)}}, is(1, 0), "it and a are behind"},
		{"held, and it has another's address too", []claim{{name: "a", inside: is(1), held: 1}, {name: "b", inside: is(1)}}, is(1, 0), "it and a are behind"},
		{"held, and its route leads elsewhere", []claim{{name: "a", routed: is(2), held: 1}}, is(2), ""},
		{"held, and the interface is gone", []claim{{name: "a", inside: is(2), held: 9}}, is(2), ""},
		{"held, and all is gone", []claim{{name: "a", held: 9, none: none}}, is(0), "nothing"},
	} {
		at, closed, missing := settle(c.claims, exists)
		if want := strings.HasPrefix(c.name, "one veth of two, ") && at[0]+at[1] == 0; want != slices.Equal(closed, is(1)) || !want && len(closed) > 0 {
			t.Errorf("%s: closes %v", c.name, closed)
		}
		if !slices.Equal(at, c.want) {
			t.Errorf("%s: %v, want %v", c.name, at, c.want)
		}
		n := 0
		for i, x := range at {
			if x != 0 {
				continue
			}
			if n >= len(missing) || missing[n].Name != c.claims[i].name || missing[n].Text == "" {
				t.Fatalf("%s: missing %+v", c.name, missing)
			}
			n++
		}
		if len(missing) != n || n > 0 && !strings.Contains(missing[0].Text, c.text) {
			t.Errorf("%s: missing %+v, want %q", c.name, missing, c.text)
		}
	}
}
