package resolve_test

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/project"
	"github.com/weir-mesh/weir/compiler/resolve"
	"github.com/weir-mesh/weir/test/workload"
)

// TestIncrementalEqualsCold adds pods and policies one by one and compares the plan, byte for byte as it is written
// to files, with a cold compile of the same input.
func TestIncrementalEqualsCold(t *testing.T) {
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 7))
		g := workload.New(seed, 200)
		in := resolve.Input{Policies: g.Policies(60), Inventory: g.Inventory(), Config: workload.Config(), Now: now, Workers: 1}
		inc := resolve.NewIncremental(in)
		quick := 0
		for step := range 60 {
			var fast bool
			if r.IntN(2) == 0 {
				p := g.Policy()
				in.Policies = append(in.Policies, p)
				fast = inc.AddPolicy(p)
			} else {
				p := newPod(r, step)
				in.Inventory.Pods = append(in.Inventory.Pods, p)
				fast = inc.AddPod(p)
			}
			if fast {
				quick++
			}
			if step%6 == 5 {
				cold, _ := resolve.Compile(in)
				compare(t, seed, step, inc.Plan(), cold)
			}
		}
		if quick < 40 {
			t.Errorf("seed %d: only %d of 60 changes took the quick path", seed, quick)
		}
	}
}

func newPod(r *rand.Rand, step int) inventory.Pod {
	ns := []string{"ns-0", "ns-3", "ns-7"}[r.IntN(3)]
	app := []string{"app-0", "app-1", "app-new", "app-other"}[r.IntN(4)]
	return inventory.Pod{Namespace: ns, Name: "added-" + string(rune('a'+step/26)) + string(rune('a'+step%26)), Labels: map[string]string{"app": app, "tier": []string{"tier-1", "tier-2", "x"}[r.IntN(3)]},
		Workload: inventory.Workload{Kind: "Deployment", Namespace: ns, Name: app}, ServiceAccount: []string{"default", "other"}[r.IntN(2)],
		Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 200, byte(step), byte(r.IntN(250))})}}
}

func compare(t *testing.T, seed uint64, step int, got, want *plan.Plan) {
	t.Helper()
	if got.PolicyDigest != want.PolicyDigest || got.NodeDigest != want.NodeDigest || got.DecisionDigest != want.DecisionDigest {
		t.Errorf("seed %d step %d: digests differ: policy %t, decision %t, node state %t", seed, step, got.PolicyDigest != want.PolicyDigest,
			got.DecisionDigest != want.DecisionDigest, got.NodeDigest != want.NodeDigest)
	}
	if step%60 != 59 && step != 0 {
		return // the files hold what the digests hash: writing them is slow
	}
	for name, write := range map[string]func(*plan.Plan) ([]byte, error){"decision.json": project.Decisions, "policy.json": project.Policies} {
		a, err := write(got)
		if err != nil {
			t.Fatal(err)
		}
		b, err := write(want)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Fatalf("seed %d step %d: %s differs from a cold compile's", seed, step, name)
		}
	}
}

// TestIncrementalLeavesItsInputAlone: a change is no change of what the caller holds.
func TestIncrementalLeavesItsInputAlone(t *testing.T) {
	w := newWorld(mesh("a", in(ir.Allow, nil, nil)))
	w.policies, w.inv.Pods = slices.Grow(w.policies, 4), slices.Grow(w.inv.Pods, 4)
	inc := resolve.NewIncremental(resolve.Input{Policies: w.policies, Inventory: &w.inv, Config: w.cfg, Now: now})
	inc.AddPolicy(mesh("b", in(ir.Allow, nil, nil)))
	inc.AddPod(newPod(rand.New(rand.NewPCG(1, 1)), 0))
	if p := w.policies[:2][1]; p.Name != "" {
		t.Errorf("policy %s stands behind the input's last", p.Name)
	}
	if p := w.inv.Pods[:4][3]; p.Name != "" {
		t.Errorf("pod %s stands behind the input's last", p.Name)
	}
}

// TestIncrementalFallsBack gives changes that touch every identity: a label that no selector mentioned, and layer 7.
func TestIncrementalFallsBack(t *testing.T) {
	w := newWorld(mesh("a", in(ir.Allow, from(app("shop", "web")), tcp(80))))
	inc := resolve.NewIncremental(resolve.Input{Policies: w.policies, Inventory: &w.inv, Config: w.cfg, Now: now})
	fresh := mesh("b", in(ir.Allow, from(ir.Selector{Pods: labels("pod-template-hash", "10.0.0.1")}), tcp(81)))
	requests := mesh("c", in(ir.Allow, nil, tcp(82)))
	requests.Rules[0].HTTP = []ir.HTTPMatch{{Methods: []string{"GET"}}}
	for _, p := range []ir.Policy{fresh, requests} {
		w.policies = append(w.policies, p)
		if inc.AddPolicy(p) {
			t.Errorf("%s: took the quick path", p.Object())
		}
		cold, _ := w.compile(t)
		compare(t, 0, 0, inc.Plan(), cold)
	}
}

// TestIncrementalLeavesTablesAlone: a table that has the new identity's row already is not compiled again, though the identity
// is like nobody of its namespace.
func TestIncrementalLeavesTablesAlone(t *testing.T) {
	open := func(name string, keys ...string) ir.Policy {
		p := mesh(name)
		for _, k := range keys {
			r := in(ir.Allow, from(ir.Selector{Pods: labels(k, "y")}), nil)
			r.Plaintext = true
			p.Rules = append(p.Rules, r)
		}
		return p
	}
	toWeb := open("b", "third")
	toWeb.Subject = app("shop", "web")
	w := newWorld(open("a", "first", "second"), toWeb)
	labelled := func(ns, name, addr string, keys ...string) {
		w.pod(ns, name, addr)
		for _, k := range keys {
			w.inv.Pods[len(w.inv.Pods)-1].Labels[k] = "y"
		}
	}
	labelled("shop", "one", "10.0.1.1", "first")
	labelled("shop", "two", "10.0.1.2", "second")
	labelled("jobs", "both", "10.0.1.3", "first", "second")
	inc := resolve.NewIncremental(resolve.Input{Policies: w.policies, Inventory: &w.inv, Config: w.cfg, Now: now})
	of := func(pod string) *plan.Table {
		return inc.Plan().SubjectOf(end(inc.Plan(), pod).Peer).Tables[ir.Ingress]
	}
	ofDB, ofWeb := of(db), of(web)
	labelled("shop", "three", "10.0.1.4", "first", "second", "third")
	if !inc.AddPod(w.inv.Pods[len(w.inv.Pods)-1]) {
		t.Error("a pod with known labels is no quick change")
	}
	if of(db) != ofDB {
		t.Error("db's table, which knows pods with both labels, was compiled again")
	}
	if of(web) == ofWeb {
		t.Error("web's table, which knows no pod with the third label, was not compiled again")
	}
	cold, _ := w.compile(t)
	compare(t, 0, 0, inc.Plan(), cold)
}
