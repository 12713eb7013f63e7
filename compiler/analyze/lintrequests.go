package analyze

import (
	"math"
	"slices"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/resolve"
)

// unasked reports ports on which, or peers for which, an allow that looks at requests is idle, beside others where it
// decides: allows without requests let every connection of theirs through (S22).
func (l *linter) unasked(i plan.RuleIndex, r *plan.Rule) {
	if !r.HTTP || r.Action != ir.Allow || r.Audit {
		return
	}
	whole := l.open(i, r, l.ruleRows)
	l.addUnasked("this rule", r.Pos, r, whole)
	if len(whole) > 0 || len(r.Source.Peers) < 2 {
		return
	}
	for j := range r.Source.Peers {
		if peer := &r.Source.Peers[j]; peer.Pods != nil {
			selected := func(t *plan.Table, _ *plan.Rule) []plan.PeerIndex { return l.rowsWithin(t, peer.Pods) }
			l.addUnasked(selectorText(peer.Pods), orPos(peer.Pos, r.Pos), r, l.open(i, r, selected))
		}
	}
}

func (l *linter) addUnasked(whose string, pos diag.Position, r *plan.Rule, open []opening) {
	for _, o := range open {
		l.add(CodeIdleRequests, diag.Warning, pos, "the requests of "+whose+" are not looked at"+on(o.ports, r)+": a rule without http allows the same connections",
			l.by(&plan.Outcome{Rule: o.by, Policy: plan.None})+"; take what both match out of one of them")
	}
}

// on ends a clause with ports, where they are not all that a rule names.
func on(ports []portRange, r *plan.Rule) string {
	var names []string
	for _, p := range ports {
		names = append(names, portText(ir.Port{Space: ir.TCP, First: p.first, Last: p.last}))
	}
	if len(r.Ports) == len(ports) && !slices.ContainsFunc(r.Ports, func(p ir.Port) bool {
		return !slices.Contains(ports, portRange{p.First, p.Last}) || p.Name != ""
	}) {
		return ""
	}
	return " on " + someOf(names)
}

// ruleRows are identities of the rows that a rule names.
func (l *linter) ruleRows(t *plan.Table, r *plan.Rule) []plan.PeerIndex {
	if r.PeerSet < 0 {
		return l.rowsOf(t)
	}
	set := &l.plan.PeerSets[r.PeerSet]
	return slices.DeleteFunc(slices.Clone(l.rowsOf(t)), func(p plan.PeerIndex) bool { return !set.Has(p) })
}

// rowsWithin are identities, one of each row, that a selector selects.
func (l *linter) rowsWithin(t *plan.Table, s *ir.Selector) []plan.PeerIndex {
	seen := map[string]bool{}
	var out []plan.PeerIndex
	var key []byte
	for i := range l.plan.Peers {
		if p := &l.plan.Peers[i]; p.Kind != plan.PodPeer || !resolve.Selects(s, p) {
			continue
		}
		if key = l.plan.RowKey(key[:0], t, plan.PeerIndex(i)); !seen[string(key)] {
			seen[string(key)] = true
			out = append(out, plan.PeerIndex(i))
		}
	}
	return out
}

// stretch is a range of TCP ports of one subject; by is the rule that lets all connections there through, or None.
type stretch struct {
	portRange
	by plan.RuleIndex
}

// opening is a rule that lets all connections through on ports.
type opening struct {
	by    plan.RuleIndex
	ports []portRange
}

// open returns the ports on which all connections that a rule matches, from rows of its subjects' tables, are let through
// by rules that do not look at requests.
func (l *linter) open(i plan.RuleIndex, r *plan.Rule, rows func(*plan.Table, *plan.Rule) []plan.PeerIndex) []opening {
	var all []stretch
	found := false
	for _, s := range l.subjects[r.Policy] {
		if len(l.peersOf[s]) == 0 {
			continue
		}
		if l.tried > maxTried {
			return nil
		}
		of := l.openTo(i, s, rows(l.plan.Subjects[s].Tables[r.Direction], r))
		found = found || slices.ContainsFunc(of, func(x stretch) bool { return x.by != plan.None })
		all = append(all, of...)
	}
	if !found {
		return nil
	}
	return agreed(all)
}

// openTo lists a subject's ports on which a rule matches connections from rows.
func (l *linter) openTo(i plan.RuleIndex, subject int32, rows []plan.PeerIndex) []stretch {
	r := &l.plan.Rules[i]
	t := l.plan.Subjects[subject].Tables[r.Direction]
	v := &view{plan: l.plan, direction: r.Direction, subject: l.peersOf[subject][0]}
	var out []stretch
	for at, start := range t.Starts {
		if start > math.MaxUint16 {
			break // TCP is the first space
		}
		last := uint32(math.MaxUint16)
		if at+1 < len(t.Starts) {
			last = min(last, t.Starts[at+1]-1)
		}
		x := stretch{portRange{uint16(start), uint16(last)}, plan.None}
		v.key = plan.PortKey(start)
		met := false
		for _, v.peer = range rows {
			if l.tried++; v.misses(i) != 0 {
				continue
			}
			by := l.lets(t, v)
			if met = true; by == plan.None {
				x.by = plan.None
				break
			}
			x.by = by
		}
		if met {
			out = append(out, x)
		}
	}
	return out
}

// lets returns the rule without requests that lets a connection through, for good as far as is known (S28), or None.
func (l *linter) lets(t *plan.Table, v *view) plan.RuleIndex {
	d := &l.plan.Decisions[l.plan.At(t, v.peer, v.key)]
	if d.Verdict != plan.Allow || d.Reason != plan.ByRule || d.NotAfter != 0 || l.plan.Rules[d.Rule].HTTP {
		return plan.None
	}
	return d.Rule
}

// agreed returns the ports on which no stretch has no rule, by the rule that is first there.
func agreed(all []stretch) []opening {
	edges := make([]int, 0, 2*len(all))
	for _, x := range all {
		edges = append(edges, int(x.first), int(x.last)+1)
	}
	slices.Sort(edges)
	edges = slices.Compact(edges)
	var out []opening
	for k := range len(edges) - 1 {
		first, last := edges[k], edges[k+1]-1
		by := plan.RuleIndex(plan.None)
		for _, x := range all {
			if int(x.first) > first || int(x.last) < last {
				continue
			}
			if by = x.by; by == plan.None {
				break
			}
		}
		if by == plan.None {
			continue
		}
		at := slices.IndexFunc(out, func(o opening) bool { return o.by == by })
		if at < 0 {
			at, out = len(out), append(out, opening{by: by})
		}
		ports := &out[at].ports
		if n := len(*ports); n > 0 && int((*ports)[n-1].last)+1 == first {
			(*ports)[n-1].last = uint16(last)
			continue
		}
		*ports = append(*ports, portRange{uint16(first), uint16(last)})
	}
	return out
}

// idleRequests reports rules that look at requests and are named by an entry of some list, while another rule answers alike
// whatever they match. The last of several that do the same are the idle ones, whose absence is taken for granted then.
func (l *linter) idleRequests() {
	l.idleToo = map[plan.RuleIndex]bool{}
	for i := plan.RuleIndex(len(l.plan.Rules) - 1); i >= 0; i-- {
		r := &l.plan.Rules[i]
		if !r.HTTP || r.Action == ir.Pass || r.Source.Implied || !l.decides[i] {
			continue
		}
		m, met := l.meet(i, r, func(v *view, s *plan.Subject) bool { return l.instead(v, s, i) != plan.None })
		if !met || l.needed(i, r) {
			continue
		}
		by := l.instead(&m.view, l.plan.SubjectOf(m.subject), i)
		l.idleToo[i] = true
		verb := map[ir.Action]string{ir.Allow: "allows", ir.Deny: "denies"}[l.plan.Rules[by].Action]
		l.add(CodeNeverDecides, diag.Warning, r.Pos, neverDecides, l.places.rule(by).Short+" already "+verb+" these requests: it is about "+requestsText(l.plan.Rules[by].Source.HTTP))
	}
}

// instead returns a rule that matches every request that another matches in the list of a connection, and that answers in
// its place, or None.
func (l *linter) instead(v *view, s *plan.Subject, i plan.RuleIndex) plan.RuleIndex {
	d := &l.plan.Decisions[l.plan.At(s.Tables[v.direction], v.peer, v.key)]
	list := d.List
	if l.plan.Rules[i].Audit {
		list = d.Audit.List
	}
	if list == plan.None {
		return plan.None
	}
	entries := l.plan.Lists[list].Entries
	at := slices.IndexFunc(entries, func(e plan.Entry) bool { return e.Rule == i })
	if at < 0 {
		return plan.None
	}
	for j := range entries {
		if by := entries[j].Rule; by != plan.None && by != i && !l.idleToo[by] && l.plan.Rules[by].HTTP && plan.Implies(&entries[at], &entries[j]) {
			return by
		}
	}
	return plan.None
}
