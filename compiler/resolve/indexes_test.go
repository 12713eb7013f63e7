package resolve

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/test/workload"
)

// TestChangesKeepTheIndexes makes changes and compares what finds the parts that the next change touches with the same
// built anew.
func TestChangesKeepTheIndexes(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 7))
	g := workload.New(5, 100)
	n := NewIncremental(Input{Policies: g.Policies(30), Inventory: g.Inventory(), Config: workload.Config(), Workers: 1})
	n.ready()
	for s := range n.by.tables { // one that is gone stands in every list, as after many changes
		if len(n.by.tables[s]) > 0 {
			n.by.tables[s] = append(n.by.tables[s], &sideRef{subject: 1 << 30, dead: true})
			n.by.dead[s]++
		}
	}
	cleared := false
	for step := range 40 {
		var quick bool
		if r.IntN(2) == 0 {
			p := inventory.Pod{Namespace: fmt.Sprint("ns-", r.IntN(4)), Name: fmt.Sprint("added-", step), ServiceAccount: []string{"default", "other"}[r.IntN(2)],
				Labels: map[string]string{"app": fmt.Sprint("app-", r.IntN(3)), "tier": []string{"tier-1", "x"}[r.IntN(2)]}, Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 200, 0, byte(step)})}}
			known := len(n.c.plan.Peers)
			quick = n.AddPod(p)
			if fresh := int32(known); quick && known < len(n.c.plan.Peers) && n.by.spanning(fresh) != "" {
				if _, ok := n.by.alike[n.by.spanning(fresh)]; !ok {
					t.Errorf("step %d: nobody is remembered as like the new identity", step)
				}
			}
		} else {
			quick = n.AddPolicy(g.Policy())
		}
		n.ready()
		if err := n.indexed(); err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		cleared = cleared || quick && slices.Contains(n.by.dead, 0)
	}
	if !cleared {
		t.Error("no list was cleared of what is gone")
	}
}

// indexed compares the indexes with new ones.
func (n *Incremental) indexed() error {
	c, got, want := n.c, n.by, newTouched(n.c)
	for name, x := range map[string][2]any{
		"members of sets": {got.memberOf, want.memberOf}, "identities by namespace": {got.namespace, want.namespace},
		"sets by namespace": {got.setsByNamespace, want.setsByNamespace}, "sets by label": {got.setsByLabel, want.setsByLabel},
		"sets that are always asked": {got.setsAlways, want.setsAlways}, "parts of sets": {got.children, want.children}, "inverted sets": {got.inverted, want.inverted},
		"sets of namespaces": {got.local, want.local}, "policies by namespace": {got.policies, want.policies},
		"policies of all": {got.anywhere, want.anywhere}, "objects": {got.objects, want.objects}, "backends": {got.backends, want.backends},
		"identities": {*c.index, *newPeerIndex(c.plan.Peers)},
	} {
		if !reflect.DeepEqual(whole(x[0]), whole(x[1])) {
			return fmt.Errorf("%s: %v, built anew %v", name, x[0], x[1])
		}
	}
	for at := range c.plan.Subjects {
		if !slices.Equal(slices.Sorted(slices.Values(got.members[at])), want.members[at]) {
			return fmt.Errorf("subject %d: members %v, built anew %v", at, got.members[at], want.members[at])
		}
		if c.subjects.byKey[c.subjects.list[at].key] != int32(at) {
			return fmt.Errorf("subject %d is not found by its key", at)
		}
	}
	for s := range want.tables {
		var live, all []sideRef
		dead := 0
		for _, side := range got.tables[s] {
			if side.dead {
				dead++
				continue
			}
			live = append(live, *side)
			if got.sides[side.subject][side.direction] != side {
				return fmt.Errorf("set %d: a side of subject %d that is another's", s, side.subject)
			}
		}
		for _, side := range want.tables[s] {
			all = append(all, *side)
		}
		slices.SortFunc(live, compareSides)
		slices.SortFunc(all, compareSides)
		if !slices.Equal(live, all) || dead != got.dead[s] || 2*dead > len(got.tables[s]) {
			return fmt.Errorf("set %d: asked by %v and %d that are gone (%d counted), built anew by %v", s, live, dead, got.dead[s], all)
		}
		if in := c.part(c.plan.PeerSets[s].Bits); in.inverted == c.sets.parts[s].inverted && !slices.Equal(in.peers, c.sets.parts[s].peers) {
			return fmt.Errorf("set %d: part %v, built anew %v", s, c.sets.parts[s].peers, in.peers)
		}
	}
	size := make([]int32, len(c.sets.broad.size))
	for i := 1; i < len(c.plan.Peers); i++ {
		size[c.sets.broad.of[i]]++
	}
	if !slices.Equal(size, c.sets.broad.size) || len(c.sets.broad.of) != len(c.plan.Peers) {
		return fmt.Errorf("broad classes of %v, counted %v", c.sets.broad.size, size)
	}
	return nil
}

func compareSides(a, b sideRef) int {
	return int(a.subject-b.subject)*2 + int(a.direction) - int(b.direction)
}

// whole takes the empty words from the ends of an index's sets, whose lengths say nothing.
func whole(x any) any {
	p, ok := x.(peerIndex)
	if !ok {
		return x
	}
	var out []string
	add := func(name string, b bitset) {
		if list := b.list(); list != nil {
			out = append(out, fmt.Sprint(name, " ", list))
		}
	}
	add("all", p.all)
	add("enrolled", p.enrolled)
	add("api", p.api)
	for k, b := range p.kinds {
		add(plan.PeerKind(k).String(), b)
	}
	for k, b := range p.ns {
		add("ns "+k, b)
	}
	for k, b := range p.account {
		add("account "+k.String(), b)
	}
	for k, b := range p.block {
		add("block "+k.String(), b)
	}
	for which, labels := range []map[string]map[string]bitset{p.nsLabel, p.podLabel} {
		for k, values := range labels {
			for v, b := range values {
				add(fmt.Sprint(which, k, "=", v), b)
			}
		}
	}
	slices.Sort(out)
	return out
}
