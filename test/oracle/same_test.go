package oracle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/project"
	"github.com/weir-mesh/weir/compiler/resolve"
)

// sameWorlds is how many worlds are compiled in a second way.
const sameWorlds = 300

// TestOrderMeansNothing compiles worlds with everything in another order.
func TestOrderMeansNothing(t *testing.T) { holds(t, "ordered") }

// holds checks a property of all its worlds.
func holds(t *testing.T, name string) {
	t.Helper()
	for _, p := range properties() {
		if p.name != name {
			continue
		}
		for seed := p.first; seed < p.first+uint64(p.worlds); seed++ {
			w, flows := p.make(seed)
			if err := p.check(w, flows); err != nil {
				small := shrink(w, flow{}, err, func(w *world, _ flow) error { return p.check(w, nil) })
				t.Fatalf("seed %d: %v\n%s", seed, small.err, small.w)
			}
		}
	}
}

// orderMeansNothing compiles a world with everything in another order: the digests are the same (S2), and so is every
// answer.
func orderMeansNothing(w *world, _ []flow) error {
	first, err := compile(w)
	if err != nil {
		return err
	}
	other := w.clone()
	r := rand.New(rand.NewPCG(uint64(len(w.policies)), uint64(len(w.inv.Pods))))
	other.inv.Namespaces = slices.Clone(other.inv.Namespaces)
	shuffle(r, other.policies)
	shuffle(r, other.inv.Namespaces)
	shuffle(r, other.inv.Pods)
	shuffle(r, other.inv.Nodes)
	shuffle(r, other.inv.Services)
	second, err := compile(other)
	if err != nil {
		return err
	}
	if err := sameDigests(second.plan, first.plan); err != nil {
		return fmt.Errorf("in another order: %w", err)
	}
	return sameFiles(w, first.plan, second.plan)
}

// sameFiles writes two plans and compares the files.
func sameFiles(w *world, a, b *plan.Plan) error {
	for name, write := range writers(w) {
		x, err := write(a)
		if err != nil {
			return err
		}
		y, err := write(b)
		if err != nil {
			return err
		}
		if !bytes.Equal(x, y) {
			return fmt.Errorf("%s differs", name)
		}
	}
	return nil
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

// TestBroadSets grows worlds with many identities and rules about hundreds of them.
func TestBroadSets(t *testing.T) { holds(t, "broad") }

// TestIncrementalDecidesAlike adds a world's last pod and policy to a compile of the rest.
func TestIncrementalDecidesAlike(t *testing.T) {
	holds(t, "grows")
	changes, quick := 0, 0
	for seed := range uint64(100) {
		c, err := grow(newGen(2_000_000 + seed).world())
		if err != nil {
			t.Fatal(err)
		}
		changes, quick = changes+c.changes, quick+c.quick
	}
	if quick < changes/20 {
		t.Errorf("only %d of %d changes took the quick path", quick, changes)
	}
}

// growsAlike insists that what comes of changes has the digests of a cold compile, and decides as semantics.md says.
func growsAlike(w *world, flows []flow) error {
	c, err := grow(w)
	if err != nil {
		return err
	}
	for _, f := range flows {
		if _, err := c.check(f); err != nil {
			return err
		}
	}
	return nil
}

// grown is a world whose plan came from changes.
type grown struct {
	*compiled
	changes, quick int
}

// grow compiles a world without its last pods and policies, and adds them: pods first, policies first, or in turn.
func grow(w *world) (*grown, error) {
	cold, err := compile(w)
	if err != nil {
		return nil, err
	}
	pods, policies := min(len(w.inv.Pods), 1+len(w.policies)%3), min(len(w.policies), 1+len(w.inv.Pods)%3)
	rest := w.clone()
	rest.inv.Pods, rest.policies = rest.inv.Pods[:len(rest.inv.Pods)-pods], rest.policies[:len(rest.policies)-policies]
	inc := resolve.NewIncremental(rest.input())
	g := &grown{}
	for pods+policies > 0 {
		g.changes++
		var quick bool
		if podFirst := (g.changes+len(w.inv.Nodes))%2 == 0; pods > 0 && (podFirst || policies == 0) {
			quick = inc.AddPod(w.inv.Pods[len(w.inv.Pods)-pods])
			pods--
		} else {
			quick = inc.AddPolicy(w.policies[len(w.policies)-policies])
			policies--
		}
		if quick {
			g.quick++
		}
	}
	if g.compiled, err = bind(w, inc.Plan(), inc.Diagnostics()); err != nil {
		return nil, err
	}
	if err := samePlan(g.plan, cold.plan); err != nil {
		return nil, err
	}
	if !reflect.DeepEqual(g.found, cold.found) {
		return nil, fmt.Errorf("found %v, a cold compile finds %v", g.found, cold.found)
	}
	return g, g.checkPlan()
}

// samePlan compares what came of changes with a cold compile: the digests, and which identity each block has, of which a
// digest holds the exact addresses only.
func samePlan(got, cold *plan.Plan) error {
	blocks := func(p *plan.Plan) map[netip.Prefix]plan.ID {
		out := map[netip.Prefix]plan.ID{}
		for b, i := range p.Addresses.Prefixes {
			out[b] = p.Peers[i].ID
		}
		return out
	}
	if a, b := blocks(got), blocks(cold); !maps.Equal(a, b) {
		return fmt.Errorf("identities of blocks %v, a cold compile's %v", a, b)
	}
	return sameDigests(got, cold)
}

func sameDigests(a, b *plan.Plan) error {
	if a.PolicyDigest != b.PolicyDigest || a.DecisionDigest != b.DecisionDigest || a.NodeDigest != b.NodeDigest {
		return fmt.Errorf("digests differ from a cold compile's: policy %t, decision %t, node state %t", a.PolicyDigest == b.PolicyDigest,
			a.DecisionDigest == b.DecisionDigest, a.NodeDigest == b.NodeDigest)
	}
	return nil
}
