package resolve_test

import (
	"testing"

	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
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
