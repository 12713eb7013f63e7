package resolve

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// report turns what a table's compile met into findings. Several tables may say the same; Compile drops repeats.
func (c *compiler) report(s *plan.Subject, f *met) {
	if f.tooLong || f.cut || f.cutInAudit {
		severity, how := diag.Error, "the connections are denied"
		if !f.tooLong && !f.cut {
			severity, how = diag.Warning, "the connections would be denied with what is in audit enforced"
		}
		c.diags.Add(diag.Diagnostic{Code: "WEIR3003", Severity: severity, Pos: c.plan.Policies[s.Policies[0]].Pos,
			Message: fmt.Sprintf("the rules for these pods need more than %d request entries or %d classes; %s",
				maxEntries, plan.MaxClasses, how),
			Hint: "use fewer conditional pass rules, or objects of different priority"})
	}
	for pair, enforced := range f.conflicts {
		c.conflict(pair, enforced)
	}
	for r, enforced := range f.unserved {
		c.unserved(s, r, enforced)
	}
}

// conflict reports two rules of equal priority that answer differently for pods that exist (S12). Where one of them
// looks at requests the overlap is only possible, and where one is in audit nothing is denied yet: warnings.
func (c *compiler) conflict(pair [2]plan.RuleIndex, enforced bool) {
	a, b := &c.plan.Rules[pair[0]], &c.plan.Rules[pair[1]]
	severity, how := diag.Error, "what comes to both is denied"
	if a.HTTP || b.HTTP {
		severity, how = diag.Warning, "what both match may meet, and is then denied"
	}
	if !enforced {
		severity, how = diag.Warning, strings.Replace(how, "is", "would be", 1)+" with what is in audit enforced"
	}
	pa, pb := &c.plan.Policies[a.Policy], &c.plan.Policies[b.Policy]
	c.diags.Add(diag.Diagnostic{Code: "WEIR2012", Severity: severity, Pos: b.Pos,
		Message: fmt.Sprintf("%s and %s have priority %d and answer differently (%s, %s): %s", pa.Object, pb.Object,
			pb.Priority, a.Action, b.Action, how),
		Hint:    "give the objects different priorities",
		Related: []diag.Related{{Pos: a.Pos, Message: "the other rule"}}})
}

// unserved reports a layer-7 rule that meets connections which no waypoint can look into (S25). Where it does so only with
// what is in audit enforced, nothing is denied yet (S30).
func (c *compiler) unserved(s *plan.Subject, i plan.RuleIndex, enforced bool) {
	r := &c.plan.Rules[i]
	severity, denied := diag.Error, "are denied"
	if !enforced {
		severity, denied = diag.Warning, "would be denied with what is in audit enforced"
	}
	what := "some peers of this rule have no waypoint: connections to them " + denied
	hint := "name only peers that a waypoint serves, or leave out http"
	if r.Direction == ir.Ingress {
		what = c.podsOf(s) + " no waypoint: the connections " + denied
		switch cfg := &c.in.Config; {
		case !s.Enrolled:
			hint = "enrol the namespace, or leave out http"
		case cfg.Waypoint == inventory.WaypointNone:
			hint = "set waypoints in the MeshConfig, or leave out http"
		default:
			hint = "let waypoints.selectors in the MeshConfig select them, or leave out http"
		}
	}
	c.diags.Add(diag.Diagnostic{Code: "WEIR2025", Severity: severity, Pos: r.Pos, Message: "a rule looks at requests, but " + what, Hint: hint})
}

// podsOf names the workloads of a subject, three of them at most, with the verb to have.
func (c *compiler) podsOf(s *plan.Subject) string {
	var names []string
	for i := range c.plan.Endpoints {
		e := &c.plan.Endpoints[i]
		if len(e.Peers) == 0 || c.plan.SubjectOf(e.Peers[0]) != s {
			continue
		}
		_, name, ok := strings.Cut(e.Workload, "/")
		if !ok {
			name = e.Name
		}
		if name = e.Namespace + "/" + name; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	const shown = 3
	switch n := len(names); {
	case n == 0:
		return "these pods have"
	case n == 1:
		return names[0] + " has"
	case n > shown:
		return fmt.Sprintf("%s and %d more have", strings.Join(names[:shown], ", "), n-shown)
	default:
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1] + " have"
	}
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
