package resolve

import (
	"fmt"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// report turns what a table's compile met into findings. Several tables may say the same; Compile drops repeats.
func (c *compiler) report(s *plan.Subject, f *met) {
	if f.tooLong || f.cut {
		c.diags.Add(diag.Diagnostic{Code: "WEIR3003", Severity: diag.Error, Pos: c.plan.Policies[s.Policies[0]].Pos,
			Message: fmt.Sprintf("the rules for these pods need more than %d request entries or %d classes; the connections are denied",
				maxEntries, plan.MaxClasses),
			Hint: "use fewer conditional pass rules, or objects of different priority"})
	}
	for pair := range f.conflicts {
		c.conflict(pair)
	}
	for r := range f.unserved {
		c.unserved(r)
	}
}

// conflict reports two rules of equal priority that answer differently for pods that exist (S12). Where one of them
// looks at requests the overlap is only possible, and a warning.
func (c *compiler) conflict(pair [2]plan.RuleIndex) {
	a, b := &c.plan.Rules[pair[0]], &c.plan.Rules[pair[1]]
	severity, how := diag.Error, "is denied"
	if a.HTTP || b.HTTP {
		severity, how = diag.Warning, "may meet, and is then denied"
	}
	pa, pb := &c.plan.Policies[a.Policy], &c.plan.Policies[b.Policy]
	c.diags.Add(diag.Diagnostic{Code: "WEIR2012", Severity: severity, Pos: b.Pos,
		Message: fmt.Sprintf("%s and %s have priority %d and answer differently (%s, %s): what both match %s", pa.Object, pb.Object,
			pb.Priority, a.Action, b.Action, how),
		Hint:    "give the objects different priorities",
		Related: []diag.Related{{Pos: a.Pos, Message: "the other rule"}}})
}

// unserved reports a layer-7 rule that meets connections which no waypoint can look into (S25).
func (c *compiler) unserved(i plan.RuleIndex) {
	r := &c.plan.Rules[i]
	what := "these pods have no waypoint: the connections are denied"
	hint := "enrol the namespace, or set waypoints in the MeshConfig"
	if r.Direction == ir.Egress {
		what = "some peers of this rule have no waypoint: connections to them are denied"
		hint = "name only peers that a waypoint serves, or leave out http"
	}
	c.diags.Add(diag.Diagnostic{Code: "WEIR2025", Severity: diag.Error, Pos: r.Pos, Message: "a rule looks at requests, but " + what, Hint: hint})
}

// findings reports what only the whole plan shows.
func (c *compiler) findings() {
	if n := len(c.plan.Decisions); n > plan.MaxNodeDecisions {
		c.diags.Add(diag.Diagnostic{Code: "WEIR3001", Severity: diag.Warning,
			Message: fmt.Sprintf("the plan has %d decisions; a node holds %d, so pods must be spread over nodes", n, plan.MaxNodeDecisions),
			Hint:    "each node's own part is checked before it is sent"})
	}
	c.enrolment()
	c.ranges()
}

// keepNeededWaypoints drops the waypoints that decide nothing: layer 7 only where it is needed.
func (c *compiler) keepNeededWaypoints() {
	p := c.plan
	needed := make([]bool, len(p.Waypoints))
	for i := range p.Peers {
		peer := &p.Peers[i]
		if s := p.SubjectOf(plan.PeerIndex(i)); peer.Waypoint >= 0 && redirects(p, s.Tables[ir.Ingress]) {
			needed[peer.Waypoint] = true
		}
	}
	for i := range p.Subjects {
		t := p.Subjects[i].Tables[ir.Egress]
		if !redirects(p, t) {
			continue
		}
		for j := range p.Peers {
			if w := p.Peers[j].Waypoint; w >= 0 && !needed[w] && rowRedirects(p, t, p.Row(t, plan.PeerIndex(j))) {
				needed[w] = true
			}
		}
	}
	place := make([]int32, len(needed))
	var kept []plan.Waypoint
	for i := range p.Waypoints {
		place[i] = plan.None
		if needed[i] {
			place[i] = int32(len(kept))
			kept = append(kept, p.Waypoints[i])
		}
	}
	p.Waypoints = kept
	for i := range p.Peers {
		if w := p.Peers[i].Waypoint; w >= 0 {
			p.Peers[i].Waypoint = place[w]
		}
	}
}

func redirects(p *plan.Plan, t *plan.Table) bool {
	for _, d := range t.Decisions {
		if p.Decisions[d].Verdict == plan.Redirect || p.Decisions[d].Audit.Verdict == plan.Redirect {
			return true
		}
	}
	return false
}

// rowRedirects says whether a row holds a redirect, now or when an allow ends (S28).
func rowRedirects(p *plan.Plan, t *plan.Table, row int) bool {
	for class := range t.NumClasses {
		for d := &p.Decisions[t.Decision(row, class)]; ; d = &p.Decisions[d.Then] {
			if d.Verdict == plan.Redirect || d.Audit.Verdict == plan.Redirect {
				return true
			}
			if d.NotAfter == 0 {
				break
			}
		}
	}
	return false
}
