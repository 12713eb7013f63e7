package analyze

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/resolve"
)

// TestTies gives two objects of one priority that answer differently, and asks whether they are pointed out (S12).
func TestTies(t *testing.T) {
	in := func(key string, values ...string) ir.LabelSelector {
		return ir.LabelSelector{{Key: key, Op: ir.In, Values: values}}
	}
	object := func(name string, prio int32, subject ir.LabelSelector, action ir.Action, peers []ir.Peer, ports ...ir.Port) ir.Policy {
		return ir.Policy{Kind: "ClusterMeshPolicy", Name: name, Layer: ir.Mesh, Tier: ir.Admin, Priority: prio, Subject: ir.Selector{Pods: subject},
			Rules: []ir.Rule{{Direction: ir.Ingress, Action: action, Peers: peers, Ports: ports, Plaintext: action == ir.Allow}}}
	}
	proved := func(p ir.Policy) ir.Policy {
		p.Rules[0].Plaintext = false
		return p
	}
	until := func(p ir.Policy, end time.Time) ir.Policy {
		p.Rules[0].NotAfter = end
		return p
	}
	entity := func(e ir.Entity) []ir.Peer { return []ir.Peer{{Entity: e}} }
	udp := ir.Port{Space: ir.UDP, First: 5, Last: 5}
	requests := func(p ir.Policy) ir.Policy {
		p.Rules[0].HTTP = []ir.HTTPMatch{{Methods: []string{"GET"}}}
		return p
	}
	cidr := func(s string) []ir.Peer { return []ir.Peer{{CIDR: &ir.CIDR{Prefix: netip.MustParsePrefix(s)}}} }
	pods := func(l ir.LabelSelector) []ir.Peer { return []ir.Peer{{Pods: &ir.Selector{Pods: l}}} }
	tcp := func(a, b uint16) ir.Port { return ir.Port{Space: ir.TCP, First: a, Last: b} }
	for _, c := range []struct {
		name string
		a, b ir.Policy
		want bool
	}{
		{"labels of different keys", object("a", 1, in("x", "1"), ir.Deny, nil), object("b", 1, in("y", "1"), ir.Allow, nil), true},
		{"different values of one key", object("a", 1, in("x", "1"), ir.Deny, nil), object("b", 1, in("x", "2"), ir.Allow, nil), false},
		{"different priorities", object("a", 1, in("x", "1"), ir.Deny, nil), object("b", 2, in("y", "1"), ir.Allow, nil), false},
		{"the same answer", object("a", 1, in("x", "1"), ir.Deny, nil), object("b", 1, in("y", "1"), ir.Deny, nil), false},
		{"other ports", object("a", 1, in("x", "1"), ir.Deny, nil, tcp(1, 9)), object("b", 1, in("y", "1"), ir.Allow, nil, tcp(10, 20)), false},
		{"ports that touch", object("a", 1, in("x", "1"), ir.Deny, nil, tcp(1, 10)), object("b", 1, in("y", "1"), ir.Allow, nil, tcp(10, 20)), true},
		{"other blocks", object("a", 1, in("x", "1"), ir.Deny, cidr("192.0.2.0/25")), object("b", 1, in("y", "1"), ir.Allow, cidr("192.0.2.128/25")), false},
		{"a block within a block", object("a", 1, in("x", "1"), ir.Deny, cidr("192.0.2.0/24")), object("b", 1, in("y", "1"), ir.Allow, cidr("192.0.2.128/25")), true},
		{"pods and the world", object("a", 1, in("x", "1"), ir.Deny, cidr("192.0.2.0/24")), object("b", 1, in("y", "1"), ir.Allow, pods(nil)), false},
		{"an allow that has ended", object("a", 1, in("x", "1"), ir.Deny, nil), until(object("b", 1, in("y", "1"), ir.Allow, nil), now), false},
		{"an allow that ends", object("a", 1, in("x", "1"), ir.Deny, nil), until(object("b", 1, in("y", "1"), ir.Allow, nil), now.Add(1)), true},
		{"an allow that can prove nothing on its ports", object("a", 1, in("x", "1"), ir.Deny, nil, udp), proved(object("b", 1, in("y", "1"), ir.Allow, nil, udp)), false},
		{"the same in plaintext", object("a", 1, in("x", "1"), ir.Deny, nil, udp), object("b", 1, in("y", "1"), ir.Allow, nil, udp), true},
		{"no port, and nothing to prove", object("a", 1, in("x", "1"), ir.Deny, nil, udp), proved(object("b", 1, in("y", "1"), ir.Allow, nil)), false},
		{"an allow of a block that can prove nothing", object("a", 1, in("x", "1"), ir.Deny, nil), proved(object("b", 1, in("y", "1"), ir.Allow, cidr("192.0.2.0/24"))), false},
		{"anyone who proves it, and nodes", object("a", 1, in("x", "1"), ir.Deny, entity(ir.Host)), proved(object("b", 1, in("y", "1"), ir.Allow, nil)), false},
		{"a cluster that proves it, and nodes", object("a", 1, in("x", "1"), ir.Deny, entity(ir.Host)), proved(object("b", 1, in("y", "1"), ir.Allow, entity(ir.Cluster))), false},
		{"anyone who proves it, and pods", object("a", 1, in("x", "1"), ir.Deny, pods(in("p", "1"))), proved(object("b", 1, in("y", "1"), ir.Allow, nil)), true},
		{"requests, which are TCP", object("a", 1, in("x", "1"), ir.Deny, nil, udp), requests(object("b", 1, in("y", "1"), ir.Allow, nil)), false},
		{"peers of different keys", object("a", 1, in("x", "1"), ir.Deny, pods(in("p", "1"))), object("b", 1, in("y", "1"), ir.Allow, pods(in("q", "1"))), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, found := resolve.Compile(resolve.Input{Policies: []ir.Policy{c.a, c.b}, Inventory: &inventory.Inventory{}, Now: now})
			if found.HasErrors() {
				t.Fatal(found)
			}
			n, err := NewNames(p)
			if err != nil {
				t.Fatal(err)
			}
			if got := slices.ContainsFunc(Lint(n), func(d diag.Diagnostic) bool { return d.Code == CodeTie }); got != c.want {
				t.Errorf("pointed out: %t, want %t", got, c.want)
			}
		})
	}
}
