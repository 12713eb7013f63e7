package resolve

import (
	"testing"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// TestUnheard: a rule behind one that always answers in its place is known to decide nothing without a look at any chain, which
// is what makes a search for idle rules quick.
func TestUnheard(t *testing.T) {
	p := &plan.Plan{Policies: []plan.Policy{{Layer: ir.Mesh, Tier: ir.Namespace}, {Layer: ir.Mesh, Tier: ir.Admin}}, Rules: []plan.Rule{{Policy: 0}, {Policy: 1}}}
	namespaced := slot{rule: 7, policy: 5, layer: ir.Mesh, tier: ir.Namespace}
	with := func(change func(*slot)) slot {
		s := namespaced
		change(&s)
		return s
	}
	own := slot{rule: 0, policy: 0, layer: ir.Mesh, tier: ir.Namespace}
	admin := slot{rule: 1, policy: 1, layer: ir.Mesh, tier: ir.Admin}
	for _, c := range []struct {
		what  string
		slots []slot
		rule  plan.RuleIndex
		want  bool
	}{
		{"alone", []slot{own}, 0, false},
		{"behind another object's of the namespace tier", []slot{namespaced, own}, 0, true},
		{"before it", []slot{own, namespaced}, 0, false},
		{"behind one that looks at requests", []slot{with(func(s *slot) { s.http = []ir.HTTPMatch{{}} }), own}, 0, false},
		{"behind one in audit", []slot{with(func(s *slot) { s.audit = true }), own}, 0, false},
		{"behind one that ends", []slot{with(func(s *slot) { s.notAfter = 9 }), own}, 0, false},
		{"behind one of the other layer", []slot{with(func(s *slot) { s.layer = ir.Orchestrator }), own}, 0, false},
		{"behind another object's of the admin tier", []slot{with(func(s *slot) { s.tier = ir.Admin }), own}, 0, false},
		{"behind one of its object", []slot{with(func(s *slot) { s.tier, s.policy = ir.Admin, 1 }), admin}, 1, true},
		{"behind another, and then one of its object", []slot{with(func(s *slot) { s.tier = ir.Admin }), with(func(s *slot) { s.tier, s.policy = ir.Admin, 1 }), admin}, 1, true},
	} {
		if got := unheard(p, c.slots, c.rule); got != c.want {
			t.Errorf("%s: unheard %t", c.what, got)
		}
	}
}
