package resolve

import (
	"slices"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// enrolment reports selectors of the MeshConfig that select no pod: what is not enrolled is open by default (S16), so that
// one misspelt label opens the mesh without a word.
func (c *compiler) enrolment() {
	cfg := &c.in.Config
	if !cfg.Present || len(c.in.Inventory.Pods) == 0 {
		return
	}
	none := func(pos diag.Position, message, hint string) {
		c.diags.Add(diag.Diagnostic{Code: "WEIR2028", Severity: diag.Warning, Pos: pos, Message: message, Hint: hint})
	}
	ours := slices.ContainsFunc(c.policies, func(p *ir.Policy) bool { return p.Layer == ir.Mesh })
	if cfg.EnrolledPos == nil && ours && !c.anyEnrolled(&ir.Selector{}) {
		none(cfg.Pos, "no pod is enrolled: no namespace that was read has the label weir.dev/mesh=enabled",
			"label the namespaces, or read the Namespace objects too; what is not enrolled is open by default")
	}
	for i, pos := range cfg.EnrolledPos {
		if !c.anyEnrolled(&cfg.Enrolled[i]) {
			none(pos, "this enrols no pod: nothing that was read is that", "correct the labels, or read the Namespace objects too; what is not enrolled is open by default")
		}
	}
	for i, pos := range cfg.WaypointsPos {
		if !c.anyEnrolled(&cfg.Waypoints[i]) {
			none(pos, "this gives no enrolled pod a waypoint: nothing that was read is that", "correct the labels, or read the Namespace objects too; without a waypoint, layer 7 is denied")
		}
	}
}

// anyEnrolled reports whether a selector selects an enrolled pod; what a selector of the enrolment selects is enrolled.
func (c *compiler) anyEnrolled(s *ir.Selector) bool {
	return slices.ContainsFunc(c.plan.Peers, func(p plan.Peer) bool { return p.Enrolled && selects(s, &p) })
}
