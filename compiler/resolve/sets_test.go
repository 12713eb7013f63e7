package resolve

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// TestPart lists the smaller part of a set, so that a table visits at most half of the identities. The unknown peer, 0,
// is in neither.
func TestPart(t *testing.T) {
	for _, c := range []struct {
		in, want []int
		inverted bool
	}{
		{nil, nil, false},
		{[]int{1, 2}, []int{1, 2}, false},
		{[]int{1, 2, 5}, []int{1, 2, 5}, false}, // half
		{[]int{1, 2, 3, 5}, []int{4}, true},
		{[]int{1, 2, 3, 4, 5}, nil, true},
	} {
		peers := make([]plan.Peer, 6)
		for i := range peers[1:] {
			peers[i+1].Kind = plan.PodPeer
		}
		comp := &compiler{plan: &plan.Plan{Peers: peers}, index: newPeerIndex(peers)}
		got := comp.part(members(6, c.in...))
		if !slices.EqualFunc(got.peers, c.want, func(a int32, b int) bool { return int(a) == b }) || got.inverted != c.inverted {
			t.Errorf("%v: %v, the others %t; want %v, %t", c.in, got.peers, got.inverted, c.want, c.inverted)
		}
		if cap(got.peers) > len(got.peers) {
			t.Errorf("%v: room for %d", c.in, cap(got.peers))
		}
	}
}

func TestIntervals(t *testing.T) {
	for _, c := range []struct{ in, want []interval }{
		{nil, nil},
		{[]interval{{5, 6}}, []interval{{5, 6}}},
		{[]interval{{7, 9}, {1, 2}}, []interval{{1, 2}, {7, 9}}},
		{[]interval{{1, 2}, {3, 4}}, []interval{{1, 4}}}, // they touch
		{[]interval{{1, 2}, {4, 4}}, []interval{{1, 2}, {4, 4}}},
		{[]interval{{1, 9}, {2, 3}, {9, 12}}, []interval{{1, 12}}},
		{[]interval{{3, 3}, {3, 3}}, []interval{{3, 3}}},
		{[]interval{{1 << 31, 1<<31 + 1}, {0, 0}}, []interval{{0, 0}, {1 << 31, 1<<31 + 1}}},
	} {
		was := slices.Clone(c.in)
		if got := merge(c.in); !slices.Equal(got, c.want) || !slices.Equal(c.in, was) {
			t.Errorf("%v: %v, want %v", was, got, c.want)
		}
	}
	by := interval{10, 20}
	for in, want := range map[interval][]interval{{0, 9}: nil, {0, 10}: {{10, 10}}, {5, 30}: {{10, 20}}, {12, 15}: {{12, 15}}, {20, 25}: {{20, 20}}, {21, 25}: nil} {
		if got := intersect([]interval{in}, by); !slices.Equal(got, want) {
			t.Errorf("%v within %v: %v, want %v", in, by, got, want)
		}
	}
}

// TestPeersKey is the same for the same peers in another order, or twice, and for no others.
func TestPeersKey(t *testing.T) {
	a, b, c := ir.Peer{Entity: ir.World}, ir.Peer{Entity: ir.Host}, ir.Peer{DNS: "a.org"}
	keys := map[string]bool{}
	for _, peers := range [][]ir.Peer{{a}, {b}, {a, b}, {a, c}, {a, b, c}} {
		keys[peersKey(peers)] = true
	}
	if len(keys) != 5 {
		t.Errorf("five unions have %d keys", len(keys))
	}
	if peersKey([]ir.Peer{a, b}) != peersKey([]ir.Peer{b, a}) || peersKey([]ir.Peer{a, b, a}) != peersKey([]ir.Peer{a, b}) ||
		peersKey([]ir.Peer{a, a}) != peersKey([]ir.Peer{a}) {
		t.Error("order or repeats make another key")
	}
}

func TestAtoms(t *testing.T) {
	prefixes := func(s ...string) (out []netip.Prefix) {
		for _, p := range s {
			out = append(out, netip.MustParsePrefix(p))
		}
		return out
	}
	a := newAtoms(prefixes("10.1.0.0/24", "10.0.0.0/8", "10.1.0.0/16", "10.1.0.0/24", "10.2.0.0/16", "fd00::/8", "10.1.0.7/32"))
	for p, want := range map[string][]netip.Prefix{
		"10.1.0.7/32": prefixes("10.1.0.7/32", "10.1.0.0/24", "10.1.0.0/16", "10.0.0.0/8"), "10.1.0.8/32": prefixes("10.1.0.0/24", "10.1.0.0/16", "10.0.0.0/8"),
		"10.1.0.0/24": prefixes("10.1.0.0/24", "10.1.0.0/16", "10.0.0.0/8"), "10.1.0.0/23": prefixes("10.1.0.0/16", "10.0.0.0/8"), "10.0.0.0/7": nil,
		"11.0.0.1/32": nil, "fd00::1/128": prefixes("fd00::/8"), "::/0": nil,
	} {
		if got := a.around(netip.MustParsePrefix(p)); !slices.Equal(got, want) {
			t.Errorf("around %s: %v, want %v", p, got, want)
		}
	}
	for p, want := range map[string][]netip.Prefix{
		"0.0.0.0/0": prefixes("10.0.0.0/8", "10.1.0.0/16", "10.1.0.0/24", "10.1.0.7/32", "10.2.0.0/16"), "10.1.0.0/16": prefixes("10.1.0.0/24", "10.1.0.7/32"),
		"10.1.0.7/32": nil, "::/0": prefixes("fd00::/8"), "11.0.0.0/8": nil,
	} {
		if got := a.within(netip.MustParsePrefix(p)); !slices.Equal(got, want) {
			t.Errorf("within %s: %v, want %v", p, got, want)
		}
	}
	for p, want := range map[string]bool{"10.0.0.0/8": true, "10.3.0.0/16": true, "10.0.0.0/7": false, "11.0.0.0/8": false, "fd00::/8": false, "::a00:0/104": false} {
		if got := inAny(prefixes("10.0.0.0/8"), netip.MustParsePrefix(p)); got != want {
			t.Errorf("%s in 10.0.0.0/8: %t", p, got)
		}
	}
}
