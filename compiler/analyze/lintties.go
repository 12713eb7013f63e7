package analyze

import (
	"fmt"
	"slices"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// CodeTie says that two objects of equal priority may come to answer differently (S12).
const CodeTie diag.Code = "WEIR2020"

// ties reports rules of equal priority, of different objects, that answer differently and that nothing keeps apart: no
// pod meets both today (that would be an error of the compile), but one may tomorrow.
func (l *linter) ties() {
	p := l.plan
	for i := range p.Policies {
		for j := i + 1; j < len(p.Policies); j++ {
			a, b := &p.Policies[i], &p.Policies[j]
			if a.Layer != ir.Mesh || a.Layer != b.Layer || a.Tier != b.Tier || a.Priority != b.Priority {
				break // policies are in the order in which they are asked
			}
			if a.Tier != ir.Namespace && !disjoint(&a.Source.Subject, &b.Source.Subject) {
				l.tie(plan.PolicyIndex(i), plan.PolicyIndex(j))
			}
		}
	}
}

// tie reports the first pair of rules of two objects; one is enough to say what to do.
func (l *linter) tie(i, j plan.PolicyIndex) {
	for _, ra := range l.rules[i] {
		for _, rb := range l.rules[j] {
			a, b := &l.plan.Rules[ra], &l.plan.Rules[rb]
			if a.Direction != b.Direction || a.Action == b.Action || !portsMeet(a.Ports, b.Ports) || !peersMeet(a.Source.Peers, b.Source.Peers) {
				continue
			}
			hint := "no pod meets both today; one that does is denied. Give the objects different priorities"
			if l.meetNow(i, j, a, b) {
				if l.inConflict(i, j, ra, rb) {
					return
				}
				hint = "what meets both today does not come to them; what does is denied. Give the objects different priorities"
			}
			pa, pb := &l.plan.Policies[i], &l.plan.Policies[j]
			l.add(CodeTie, diag.Warning, b.Pos, fmt.Sprintf("%s and %s have priority %d and may answer differently (%s, %s)", pa.Object, pb.Object, pb.Priority,
				a.Action, b.Action), hint,
				diag.Related{Pos: a.Pos, Message: "the other rule"})
			return
		}
	}
}

// inConflict reports whether two rules that pods meet are denied for it: the compile then has its own finding. They are not
// where other tiers answer first. Where looking would take too long it says yes.
func (l *linter) inConflict(i, j plan.PolicyIndex, ra, rb plan.RuleIndex) bool {
	v := &view{plan: l.plan, direction: l.plan.Rules[ra].Direction}
	for _, s := range l.subjects[i] {
		if !slices.Contains(l.subjects[j], s) || len(l.peersOf[s]) == 0 {
			continue
		}
		v.subject = l.peersOf[s][0]
		t := l.plan.Subjects[s].Tables[v.direction]
		for _, v.peer = range l.rowsOf(t) {
			if !v.peerMatches(&l.plan.Rules[ra]) || !v.peerMatches(&l.plan.Rules[rb]) {
				continue
			}
			row := l.plan.Row(t, v.peer)
			for _, start := range t.Starts {
				if l.tried++; l.tried > maxTried {
					return true
				}
				if v.key = plan.PortKey(start); v.portMatches(&l.plan.Rules[ra]) && v.portMatches(&l.plan.Rules[rb]) &&
					l.byConflict(&l.plan.Decisions[t.Decision(row, t.Class(v.key))], i, j) {
					return true
				}
			}
		}
	}
	return false
}

// byConflict reports whether a conflict of one of some objects decides a connection, or some of its requests, as enforced or
// in audit.
func (l *linter) byConflict(d *plan.Decision, of ...plan.PolicyIndex) bool {
	theirs := func(o *plan.Outcome) bool {
		return o.Reason == plan.ByConflict && o.Rule != plan.None && slices.Contains(of, l.plan.Rules[o.Rule].Policy)
	}
	for _, o := range []*plan.Outcome{&d.Outcome, &d.Audit} {
		if theirs(o) || o.List != plan.None && slices.ContainsFunc(l.plan.Lists[o.List].Entries, func(e plan.Entry) bool { return theirs(&e.Outcome) }) {
			return true
		}
	}
	return false
}

// meetNow reports whether pods that exist meet both rules.
func (l *linter) meetNow(i, j plan.PolicyIndex, a, b *plan.Rule) bool {
	shared := slices.ContainsFunc(l.subjects[i], func(s int32) bool { return slices.Contains(l.subjects[j], s) })
	if !shared || a.PeerSet < 0 || b.PeerSet < 0 {
		return shared
	}
	x, y := l.plan.PeerSets[a.PeerSet].Bits, l.plan.PeerSets[b.PeerSet].Bits
	for k := range min(len(x), len(y)) {
		if x[k]&y[k] != 0 {
			return true
		}
	}
	return false
}

// disjoint reports whether no pod can be selected by both, whatever its labels.
func disjoint(a, b *ir.Selector) bool {
	return a.Namespace != "" && b.Namespace != "" && a.Namespace != b.Namespace || labelsDisjoint(a.Namespaces, b.Namespaces) ||
		labelsDisjoint(a.Pods, b.Pods) || a.ServiceAccounts != nil && b.ServiceAccounts != nil && !slices.ContainsFunc(a.ServiceAccounts,
		func(n ir.NamespacedName) bool { return slices.Contains(b.ServiceAccounts, n) })
}

func labelsDisjoint(a, b ir.LabelSelector) bool {
	for _, x := range a {
		for _, y := range b {
			if x.Key == y.Key && (excludes(x, y) || excludes(y, x)) {
				return true
			}
		}
	}
	return false
}

// excludes reports whether what satisfies x cannot satisfy y.
func excludes(x, y ir.Requirement) bool {
	in := func(v string) bool { return slices.Contains(y.Values, v) }
	switch {
	case x.Op == ir.In && y.Op == ir.In:
		return !slices.ContainsFunc(x.Values, in)
	case x.Op == ir.In && y.Op == ir.NotIn:
		return !slices.ContainsFunc(x.Values, func(v string) bool { return !in(v) })
	default:
		return (x.Op == ir.In || x.Op == ir.Exists) && y.Op == ir.DoesNotExist
	}
}

func portsMeet(a, b []ir.Port) bool {
	return a == nil || b == nil || slices.ContainsFunc(a, func(x ir.Port) bool {
		return slices.ContainsFunc(b, func(y ir.Port) bool {
			return x.Space == y.Space && (x.Name != "" || y.Name != "" || x.First <= y.Last && y.First <= x.Last)
		})
	})
}

func peersMeet(a, b []ir.Peer) bool {
	return a == nil || b == nil || slices.ContainsFunc(a, func(x ir.Peer) bool {
		return slices.ContainsFunc(b, func(y ir.Peer) bool { return peerMeets(&x, &y) })
	})
}

// peerMeets reports whether somebody may be both peers. Names and the API server may be anywhere.
func peerMeets(x, y *ir.Peer) bool {
	switch {
	case x.Pods != nil && y.Pods != nil:
		return !disjoint(x.Pods, y.Pods)
	case x.CIDR != nil && y.CIDR != nil:
		return x.CIDR.Prefix.Overlaps(y.CIDR.Prefix)
	case x.DNS != "" || y.DNS != "" || x.Entity == ir.KubeAPIServer || y.Entity == ir.KubeAPIServer:
		return true
	}
	return whereabouts(x)&whereabouts(y) != 0
}

// whereabouts says where a peer may be: the world (1), nodes (2), pods (4).
func whereabouts(p *ir.Peer) int {
	switch {
	case p.Pods != nil:
		return 4
	case p.CIDR != nil && p.CIDR.MatchPods:
		return 7
	case p.CIDR != nil, p.Entity == ir.World:
		return 1
	case p.Entity == ir.Cluster:
		return 6
	default:
		return 2
	}
}
