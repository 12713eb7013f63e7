package resolve_test

import (
	"testing"

	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/resolve"
)

// TestNamesForQuestions holds that an endpoint has the names of its container ports that no rule names, and that these are in
// no digest: they decide nothing.
func TestNamesForQuestions(t *testing.T) {
	without, with := newWorld(), newWorld()
	with.inv.Pods[1].Ports = []inventory.NamedPort{{Name: "sql", Space: ir.TCP, Number: 5432}, {Space: ir.TCP, Number: 9090}}
	a, _ := without.compile(t)
	b, _ := with.compile(t)
	names := 0
	for i := range b.Endpoints {
		if e := &b.Endpoints[i]; e.Name == "db" {
			names += len(e.NamedPorts)
		}
	}
	if names != 1 {
		t.Errorf("db has %d names, want 1", names)
	}
	if a.PolicyDigest != b.PolicyDigest || a.DecisionDigest != b.DecisionDigest || a.NodeDigest != b.NodeDigest {
		t.Error("a name that no rule names changes a digest")
	}
}

// TestInNetwork: a pod with its node's network has beside it what selectors would look at; no other pod has.
func TestInNetwork(t *testing.T) {
	w := newWorld(mesh("a", in(ir.Allow, from(app("shop", "web")), nil)))
	w.inv.Pods[1].HostNetwork = true
	p, _ := w.compile(t)
	for i := range p.Endpoints {
		e := &p.Endpoints[i]
		if (e.InNetwork != nil) != e.HostNetwork {
			t.Errorf("%s, with its node's network %t: %v", e.Name, e.HostNetwork, e.InNetwork)
		}
		if s := app("shop", "db"); e.HostNetwork && !resolve.Selects(&s, e.InNetwork) {
			t.Errorf("%s: a selector of its labels does not select %v", e.Name, e.InNetwork)
		}
	}
}
