package resolve

import (
	"reflect"
	"slices"
	"testing"

	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/test/workload"
)

// grown is a compile with rules of each kind of peer, alone and in unions that overlap.
func grown() *compiler {
	g := workload.New(3, 200)
	in := Input{Policies: g.Policies(60), Inventory: g.Inventory(), Config: workload.Config(), Workers: 1}
	in.Config.Waypoint = inventory.WaypointNone // those that nothing needs are taken back after the sets are made
	app := ir.Peer{Pods: &ir.Selector{Pods: ir.LabelSelector{{Key: "app", Op: ir.In, Values: []string{"app-0", "app-1"}}}}}
	tier := ir.Peer{Pods: &ir.Selector{Pods: ir.LabelSelector{{Key: "tier", Op: ir.In, Values: []string{"tier-1"}}}}}
	here := ir.Peer{Pods: &ir.Selector{Namespace: "ns-0"}}
	not := ir.Peer{Pods: &ir.Selector{Namespaces: ir.LabelSelector{{Key: "team", Op: ir.DoesNotExist}}}}
	both := ir.Peer{Pods: &ir.Selector{Namespace: "ns-3", Pods: app.Pods.Pods}}
	for i, peers := range [][]ir.Peer{{app, tier}, {here}, {not}, {both, here}, {{Entity: ir.Cluster}}, {tier, not, here}, {{Entity: ir.World}, both}} {
		p := ir.Policy{Kind: "Policy", Name: string(rune('a' + i)), Layer: ir.Mesh, Tier: ir.Namespace}
		for _, plain := range []bool{false, true} {
			p.Rules = append(p.Rules, ir.Rule{Direction: ir.Ingress, Action: ir.Allow, Plaintext: plain, Peers: peers})
		}
		in.Policies = append(in.Policies, p)
	}
	return compileCold(in)
}

// TestSetsOfAnIdentity finds by an identity's labels and namespace, once each and in order, the sets that hold it.
func TestSetsOfAnIdentity(t *testing.T) {
	c := grown()
	b := newTouched(c)
	held := 0
	for i := range c.plan.Peers {
		if c.plan.Peers[i].Kind != plan.PodPeer {
			continue
		}
		got := b.setsOf(c, i)
		if !slices.Equal(got, b.memberOf[i]) {
			t.Errorf("identity %d: sets %v, want %v", i, got, b.memberOf[i])
		}
		held += len(got)
		if got := b.selecting(c, i); !slices.Equal(got, c.selecting[i]) {
			t.Errorf("identity %d: policies %v, want %v", i, got, c.selecting[i])
		}
		if _, ok := b.alike[b.spanning(int32(i))]; !ok && b.spanning(int32(i)) != "" {
			t.Errorf("identity %d: nobody is remembered as like it", i)
		}
		diff := b.leastDifference(c, i)
		if len(diff) > 0 { // it is itself among those that it may be like
			t.Errorf("identity %d differs from itself in %v", i, diff)
		}
	}
	if held == 0 {
		t.Error("no set holds anybody")
	}
}

// TestLeastDifference compares a new identity with those that are most like it, so that few tables are asked.
func TestLeastDifference(t *testing.T) {
	n := &Incremental{c: grown()}
	n.ready()
	pods := n.c.in.Inventory.Pods
	sameAs := func(i int, change func(*inventory.Pod)) []int32 {
		p := pods[i]
		p.Name, p.Labels = "new", map[string]string{}
		for k, v := range pods[i].Labels {
			p.Labels[k] = v
		}
		change(&p)
		peer := int(n.c.peers.pod(&p, nil))
		n.c.index.grow(n.c.plan.Peers)
		n.by.memberOf = append(n.by.memberOf, n.by.setsOf(n.c, peer))
		return n.by.leastDifference(n.c, peer)
	}
	if got := sameAs(0, func(p *inventory.Pod) { p.ServiceAccount = "another" }); len(got) != 0 {
		t.Errorf("another service account, which no rule names: asks %v", got)
	}
	all := 0
	for s := range n.by.tables {
		all += len(n.by.tables[s])
	}
	asked := 0
	for _, s := range sameAs(1, func(p *inventory.Pod) { p.Labels["app"] = "app-none" }) {
		asked += len(n.by.tables[s])
	}
	if asked == 0 || asked > all/4 {
		t.Errorf("another app: asks %d of %d tables", asked, all)
	}
	n.c.peers.nsLabels["fresh"] = n.c.peers.nsLabels[pods[2].Namespace]
	asked = 0
	for _, s := range sameAs(2, func(p *inventory.Pod) { p.Namespace = "fresh" }) {
		asked += len(n.by.tables[s])
	}
	if asked > all/4 {
		t.Errorf("the first of its namespace: asks %d of %d tables", asked, all)
	}
}

// TestWhereSetsAreLookedUp enters each kind of peer under what an identity must have to be matched by it, so that a new identity
// asks few sets. Blocks of the world are entered nowhere: a part of the world asks the sets of the part around it.
func TestWhereSetsAreLookedUp(t *testing.T) {
	in := func(key string, values ...string) ir.LabelSelector {
		return ir.LabelSelector{{Key: "x", Op: ir.Exists}, {Key: key, Op: ir.In, Values: values}}
	}
	one := []int32{1}
	for _, c := range []struct {
		what       string
		peer       ir.Peer
		always     bool
		namespaces []string
		labels     []label
	}{
		{"a block of the world", ir.Peer{CIDR: &ir.CIDR{}}, false, nil, nil},
		{"a block of pods", ir.Peer{CIDR: &ir.CIDR{MatchPods: true}}, true, nil, nil},
		{"an entity", ir.Peer{Entity: ir.Cluster}, true, nil, nil},
		{"any pod", ir.Peer{Pods: &ir.Selector{}}, true, nil, nil},
		{"a namespace", ir.Peer{Pods: &ir.Selector{Namespace: "ns", Pods: in("app", "a")}}, false, []string{"ns"}, nil},
		{"labels", ir.Peer{Pods: &ir.Selector{Pods: in("app", "a", "b"), Namespaces: in("team", "c")}}, false, nil, []label{{false, "app", "a"}, {false, "app", "b"}}},
		{"labels of a namespace", ir.Peer{Pods: &ir.Selector{Namespaces: in("team", "c")}}, false, nil, []label{{true, "team", "c"}}},
		{"what is not", ir.Peer{Pods: &ir.Selector{Pods: ir.LabelSelector{{Key: "app", Op: ir.NotIn, Values: []string{"a"}}}}}, true, nil, nil},
	} {
		b := &touched{setsByNamespace: map[string][]int32{}, setsByLabel: map[label][]int32{}}
		b.addPeer(&c.peer, 1)
		want := &touched{setsByNamespace: map[string][]int32{}, setsByLabel: map[label][]int32{}}
		if c.always {
			want.setsAlways = one
		}
		for _, ns := range c.namespaces {
			want.setsByNamespace[ns] = one
		}
		for _, l := range c.labels {
			want.setsByLabel[l] = one
		}
		if !reflect.DeepEqual(b, want) {
			t.Errorf("%s: always %v, by namespace %v, by label %v", c.what, b.setsAlways, b.setsByNamespace, b.setsByLabel)
		}
	}
}

// TestAsking: a new identity has to be looked up once in each table that asks for a set in which it differs.
func TestAsking(t *testing.T) {
	a, b, gone := &sideRef{subject: 1}, &sideRef{subject: 2}, &sideRef{subject: 3, dead: true}
	by := &touched{tables: [][]*sideRef{{a}, {gone, b, a}, {b}, {gone}, nil}}
	for _, c := range []struct {
		sets []int32
		want []*sideRef
	}{
		{nil, nil}, {[]int32{3, 4}, nil}, {[]int32{1}, []*sideRef{b, a}}, {[]int32{0, 1, 2}, []*sideRef{a, b}}, {[]int32{2, 0, 1, 3}, []*sideRef{b, a}},
	} {
		if got := by.asking(c.sets); !slices.Equal(got, c.want) {
			t.Errorf("sets %v: %d sides ask, want %d", c.sets, len(got), len(c.want))
		}
	}
}

// TestLocalSets: sets that hold pods of named namespaces only are no reason to think a pod of another one different.
func TestLocalSets(t *testing.T) {
	c := grown()
	b := newTouched(c)
	want := map[string]bool{"Policy a": false, "Policy b": true, "Policy c": false, "Policy d": true, "Policy e": false, "Policy f": false, "Policy g": false}
	for i := range c.plan.Rules {
		local, asked := want[c.plan.Policies[c.plan.Rules[i].Policy].Object]
		if !asked {
			continue
		}
		for _, m := range c.sets.matches[i] { // of an allow that asks for proof, the enrolled part
			for _, s := range []int32{c.plan.Rules[i].PeerSet, m.set} {
				if b.local[s] != local {
					t.Errorf("%s: set %d is confined to namespaces: %t", c.plan.Policies[c.plan.Rules[i].Policy].Object, s, b.local[s])
				}
			}
		}
	}
}

func TestDifference(t *testing.T) {
	for _, c := range []struct{ a, b, want []int32 }{
		{nil, nil, nil},
		{[]int32{1, 2}, nil, []int32{1, 2}},
		{nil, []int32{3}, []int32{3}},
		{[]int32{1, 2, 5}, []int32{1, 2, 5}, nil},
		{[]int32{1, 3, 5, 8}, []int32{0, 3, 4, 9, 10}, []int32{0, 1, 4, 5, 8, 9, 10}},
	} {
		if got := difference(c.a, c.b); !slices.Equal(got, c.want) {
			t.Errorf("%v and %v: %v, want %v", c.a, c.b, got, c.want)
		}
	}
}
