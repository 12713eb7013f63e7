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
	if cfg.EnrolledPos == nil && ours && !c.anyPod(&ir.Selector{}, true) {
		none(cfg.Pos, "no pod is enrolled: no namespace that was read has the label weir.dev/mesh=enabled",
			"label the namespaces, or read the Namespace objects too; what is not enrolled is open by default")
	}
	for i, pos := range cfg.EnrolledPos {
		if !c.anyPod(&cfg.Enrolled[i], false) {
			none(pos, "this enrols no pod: nothing that was read is that", "correct the labels, or read the Namespace objects too; what is not enrolled is open by default")
		}
	}
	for i, pos := range cfg.WaypointsPos {
		if !c.anyPod(&cfg.Waypoints[i], true) {
			none(pos, "this gives no enrolled pod a waypoint: nothing that was read is that", "correct the labels, or read the Namespace objects too; without a waypoint, layer 7 is denied")
		}
	}
}

func (c *compiler) anyPod(s *ir.Selector, enrolled bool) bool {
	return slices.ContainsFunc(c.plan.Peers, func(p plan.Peer) bool {
		return p.Kind == plan.PodPeer && (p.Enrolled || !enrolled) && selects(s, &p)
	})
}
