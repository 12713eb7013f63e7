package oracle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/project"
	"github.com/weir-mesh/weir/compiler/resolve"
)

// sameWorlds is how many worlds are compiled in a second way.
const sameWorlds = 300

// TestOrderMeansNothing compiles worlds with everything in another order: the digests are the same (S2), and so is every
// answer.
func TestOrderMeansNothing(t *testing.T) {
	for seed := range uint64(sameWorlds) {
		g := newGen(1_000_000 + seed)
		w := g.world()
		first, err := compile(w)
		if err != nil {
			t.Fatal(err)
		}
		other := w.clone()
		r := rand.New(rand.NewPCG(seed, 1))
		shuffle(r, other.policies)
		shuffle(r, other.inv.Namespaces)
		shuffle(r, other.inv.Pods)
		shuffle(r, other.inv.Nodes)
		shuffle(r, other.inv.Services)
		second, err := compile(other)
		if err != nil {
			t.Fatal(err)
		}
		a, b := first.plan, second.plan
		if a.DecisionDigest != b.DecisionDigest || a.NodeDigest != b.NodeDigest {
			t.Fatalf("seed %d: digests depend on the order: decision %t, node state %t\n%s", seed, a.DecisionDigest == b.DecisionDigest, a.NodeDigest == b.NodeDigest, w)
		}
		for name, write := range writers(w) {
			x, err := write(a)
			if err != nil {
				t.Fatal(err)
			}
			y, err := write(b)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(x, y) {
				t.Fatalf("seed %d: %s depends on the order\n%s", seed, name, w)
			}
		}
	}
}

// writers write a plan's files.
func writers(w *world) map[string]func(*plan.Plan) ([]byte, error) {
	out := map[string]func(*plan.Plan) ([]byte, error){"decision.json": project.Decisions, "policy.json": project.Policies}
	for _, n := range w.inv.Nodes {
		out["node "+n.Name] = func(p *plan.Plan) ([]byte, error) {
			node, err := project.Node(p, n.Name, 1)
			if err != nil {
				return nil, err
			}
			return json.Marshal(node)
		}
	}
	return out
}

func shuffle[T any](r *rand.Rand, list []T) {
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
}

// TestIncrementalDecidesAlike adds a world's last pod and policy to a compile of the rest: what comes out has the digests
// of a cold compile, and decides as semantics.md says.
func TestIncrementalDecidesAlike(t *testing.T) {
	quick := 0
	for seed := range uint64(sameWorlds) {
		g := newGen(2_000_000 + seed)
		w := g.world()
		if _, err := grow(w, flow{}); err != nil {
			small := shrink(w, flow{}, err, func(w *world, f flow) error { _, err := grow(w, f); return err })
			t.Fatalf("seed %d: %v\n%s", seed, small.err, small.w)
		}
		c, _ := grow(w, flow{})
		quick += c.quick
		for range 20 {
			f := g.flow()
			if _, err := c.check(f); err != nil {
				t.Fatalf("seed %d: %v\nflow %s\n%s", seed, err, w.tellFlow(f), w)
			}
		}
	}
	if quick < sameWorlds/10 {
		t.Errorf("only %d of %d changes took the quick path", quick, 2*sameWorlds)
	}
}

// grown is a world whose plan came from changes.
type grown struct {
	*compiled
	quick int
}

// grow compiles a world without its last pod and policy, and adds them.
func grow(w *world, _ flow) (*grown, error) {
	cold, err := compile(w)
	if err != nil || len(w.policies) == 0 || len(w.inv.Pods) == 0 {
		return nil, err
	}
	rest := w.clone()
	rest.policies = rest.policies[:len(rest.policies)-1]
	rest.inv.Pods = rest.inv.Pods[:len(rest.inv.Pods)-1]
	inc := resolve.NewIncremental(rest.input())
	g := &grown{}
	if inc.AddPod(w.inv.Pods[len(w.inv.Pods)-1]) {
		g.quick++
	}
	if inc.AddPolicy(w.policies[len(w.policies)-1]) {
		g.quick++
	}
	if g.compiled, err = bind(w, inc.Plan(), inc.Diagnostics()); err != nil {
		return nil, err
	}
	if err := sameDigests(g.plan, cold.plan); err != nil {
		return nil, err
	}
	return g, g.checkPlan()
}

func sameDigests(a, b *plan.Plan) error {
	if a.PolicyDigest != b.PolicyDigest || a.DecisionDigest != b.DecisionDigest || a.NodeDigest != b.NodeDigest {
		return fmt.Errorf("digests differ from a cold compile's: policy %t, decision %t, node state %t", a.PolicyDigest == b.PolicyDigest,
			a.DecisionDigest == b.DecisionDigest, a.NodeDigest == b.NodeDigest)
	}
	return nil
}
