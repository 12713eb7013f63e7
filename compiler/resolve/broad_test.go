package resolve

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// TestBroad has rules about every second identity, every third, and so on: whether a set's smaller part is just so large
// that tables ask its classes, or just small enough to be visited, each identity is let in by the rules about it only.
func TestBroad(t *testing.T) {
	const pods = 1200
	in := []func(i int) bool{
		func(i int) bool { return i%2 == 0 }, func(i int) bool { return i%3 == 0 }, func(i int) bool { return i%3 != 1 },
		func(i int) bool { return i < broadFrom }, func(i int) bool { return i <= broadFrom }, func(i int) bool { return i%17 == 0 },
	}
	inv := &inventory.Inventory{Namespaces: []inventory.Namespace{{Name: "a"}}}
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
	for i := range pods {
		p := inventory.Pod{Namespace: "a", Name: fmt.Sprint("p", i), Labels: map[string]string{"id": fmt.Sprint(i)}, Addrs: []netip.Addr{addr(i)}}
		for k := range in {
			if in[k](i) {
				p.Labels[fmt.Sprint("in", k)] = "yes"
			}
		}
		inv.Pods = append(inv.Pods, p)
	}
	dst := ir.Policy{Kind: "Policy", Name: "p", Layer: ir.Mesh, Tier: ir.Namespace, Isolate: [2]bool{ir.Ingress: true}, Subject: ir.Selector{Pods: ir.LabelSelector{{Key: "id", Op: ir.In, Values: []string{"1"}}}}}
	for k := range in {
		dst.Rules = append(dst.Rules, ir.Rule{Direction: ir.Ingress, Action: ir.Allow, Plaintext: true, Ports: []ir.Port{{Space: ir.TCP, First: uint16(k), Last: uint16(k)}},
			Peers: []ir.Peer{{Pods: &ir.Selector{Pods: ir.LabelSelector{{Key: fmt.Sprint("in", k), Op: ir.Exists}}}}}})
	}
	for i := range 150 { // and one set for each of many identities: a key is longer than a word
		dst.Rules = append(dst.Rules, ir.Rule{Direction: ir.Ingress, Action: ir.Allow, Plaintext: true, Ports: []ir.Port{{Space: ir.UDP, First: uint16(i), Last: uint16(i)}},
			Peers: []ir.Peer{{Pods: &ir.Selector{Pods: ir.LabelSelector{{Key: "id", Op: ir.In, Values: []string{fmt.Sprint(i)}}}}}}})
	}
	c := compileCold(Input{Policies: []ir.Policy{dst}, Inventory: inv, Workers: 1, Config: inventory.Config{PodRanges: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}})
	allowed := func(i int, k plan.PortKey) bool {
		f := plan.Flow{Src: plan.NewEnd(c.plan.Addresses.Lookup(addr(i))), Dst: plan.NewEnd(c.plan.Addresses.Lookup(addr(1))), Port: k}
		return c.plan.Decide(f).Verdict == plan.Allow
	}
	for i := range pods {
		for k := range in {
			if got := allowed(i, plan.Key(ir.TCP, uint16(k))); got != in[k](i) {
				t.Fatalf("identity %d, set %d: let in %t", i, k, got)
			}
		}
		for _, other := range []int{i, i ^ 1, i ^ 64, i + 8} {
			if got := allowed(i, plan.Key(ir.UDP, uint16(other))); got != (other == i && i < 150) {
				t.Fatalf("identity %d at the port of %d: let in %t", i, other, got)
			}
		}
	}
	if n := len(c.sets.broad.sets); n != 4 {
		t.Errorf("%d sets are broad, want 4", n)
	}
	if c.sets.broad.classes.seed == 0 {
		t.Error("the classes' places can be foretold")
	}
}
