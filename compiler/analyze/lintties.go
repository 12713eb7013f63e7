package analyze

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/resolve"
)

// CodeTie says that two objects of equal priority may come to answer differently (S12).
const CodeTie diag.Code = "WEIR2020"

// ties reports rules of equal priority, of different objects, that answer differently and that nothing keeps apart: nothing
// comes to both today (that would be an error of the compile), but something may tomorrow.
func (l *linter) ties() {
	conflict, ok := l.inConflict()
	if !ok {
		return
	}
	p := l.plan
	for i := range p.Policies {
		for j := i + 1; j < len(p.Policies); j++ {
			a, b := plan.PolicyIndex(i), plan.PolicyIndex(j)
			if !l.equals(a, b) {
				break // policies are in the order in which they are asked
			}
			if !conflict[[2]plan.PolicyIndex{a, b}] && !disjoint(&p.Policies[i].Source.Subject, &p.Policies[j].Source.Subject) {
				l.tie(a, b)
			}
		}
	}
}

// equals reports whether two objects are asked at once: of one tier and priority, where that decides (S10, S12).
func (l *linter) equals(i, j plan.PolicyIndex) bool {
	a, b := &l.plan.Policies[i], &l.plan.Policies[j]
	return a.Layer == ir.Mesh && b.Layer == ir.Mesh && a.Tier != ir.Namespace && a.Tier == b.Tier && a.Priority == b.Priority
}

// tie reports the first pair of rules of two objects; one is enough to say what to do.
func (l *linter) tie(i, j plan.PolicyIndex) {
	a, b, ok := l.mayDiffer(i, j)
	if !ok {
		return
	}
	hint := "no pod meets both today; one that does is denied. Give the objects different priorities"
	if l.meetToday(a, b) {
		hint = "what meets both today does not come to them; what does is denied. Give the objects different priorities"
	}
	ra, rb := &l.plan.Rules[a], &l.plan.Rules[b]
	pa, pb := &l.plan.Policies[i], &l.plan.Policies[j]
	l.add(CodeTie, diag.Warning, rb.Pos, fmt.Sprintf("%s and %s have priority %d and may answer differently (%s, %s)", pa.Object, pb.Object, pb.Priority,
		ra.Action, rb.Action), hint, diag.Related{Pos: ra.Pos, Message: "the other rule"})
}

// mayDiffer returns the first rules of two objects that answer differently and that nothing keeps apart.
func (l *linter) mayDiffer(i, j plan.PolicyIndex) (a, b plan.RuleIndex, ok bool) {
	for _, a = range l.rules[i] {
		for _, b = range l.rules[j] {
			ra, rb := &l.plan.Rules[a], &l.plan.Rules[b]
			if ra.Direction != rb.Direction || ra.Action == rb.Action {
				continue
			}
			x, y := l.atBest(ra), l.atBest(rb)
			if !x.empty() && !y.empty() && portsMeet(x.ports, y.ports) && peersMeet(x.peers, y.peers) {
				return a, b, true
			}
		}
	}
	return 0, 0, false
}

// extent is what a rule may match, whoever comes: nil is any.
type extent struct {
	ports []ir.Port
	peers []ir.Peer
}

func (e *extent) empty() bool {
	return e.ports != nil && len(e.ports) == 0 || e.peers != nil && len(e.peers) == 0
}

// atBest is what a rule may match at all: nothing once it has ended (S28), and where it asks for authentication only TCP and
// who may be an enrolled pod (S18).
func (l *linter) atBest(r *plan.Rule) extent {
	if hasEnded(l.plan, r) {
		return extent{ports: []ir.Port{}}
	}
	out := extent{r.Ports, r.Source.Peers}
	proof := asksForProof(l.plan, r)
	if proof || r.HTTP {
		out.ports = tcpOf(out.ports)
	}
	if proof {
		out.peers = provers(out.peers)
	}
	return out
}

// tcpOf are those of a rule's ports that are TCP.
func tcpOf(ports []ir.Port) []ir.Port {
	if ports == nil {
		return []ir.Port{{Space: ir.TCP, First: 0, Last: math.MaxUint16}}
	}
	return slices.DeleteFunc(slices.Clone(ports), func(p ir.Port) bool { return p.Space != ir.TCP })
}

// provers are those of a rule's peers that may be pods. No DNS name is: its answers are never in the cluster (S15).
func provers(peers []ir.Peer) []ir.Peer {
	pods := ir.Peer{Pods: &ir.Selector{}}
	if peers == nil {
		return []ir.Peer{pods}
	}
	out := []ir.Peer{}
	for _, p := range peers {
		switch {
		case p.Pods != nil, p.CIDR != nil && p.CIDR.MatchPods:
			out = append(out, p)
		case p.Entity == ir.Cluster:
			out = append(out, pods)
		}
	}
	return out
}

// meetToday reports whether something that exists meets both of two rules. The pods of a subject share their tables.
func (l *linter) meetToday(a, b plan.RuleIndex) bool {
	ra, rb := &l.plan.Rules[a], &l.plan.Rules[b]
	v := &view{plan: l.plan, direction: ra.Direction}
	for _, s := range l.subjects[ra.Policy] {
		if !slices.Contains(l.subjects[rb.Policy], s) || len(l.peersOf[s]) == 0 {
			continue
		}
		v.subject = l.peersOf[s][0]
		t := l.plan.Subjects[s].Tables[v.direction]
		for _, v.peer = range l.rowsOf(t) {
			if l.tied++; !v.peerMatches(ra) || !v.peerMatches(rb) {
				continue
			}
			for _, start := range t.Starts {
				if v.key = plan.PortKey(start); (v.misses(a)|v.misses(b))&^missAudit == 0 {
					return true
				}
			}
		}
	}
	return false
}

// maxTies bounds what is looked at to find out which objects of one priority meet.
const maxTies = 100_000_000

// inConflict finds the objects of which the compile says that they are in conflict: something comes to both (S12). Where that
// would take too long it says so.
func (l *linter) inConflict() (pairs map[[2]plan.PolicyIndex]bool, ok bool) {
	pairs = map[[2]plan.PolicyIndex]bool{}
	for s := range l.plan.Subjects {
		sub := &l.plan.Subjects[s]
		if len(l.peersOf[s]) == 0 || !l.hasTies(sub) {
			continue
		}
		for d := range ir.NumDirections {
			v := &view{plan: l.plan, direction: d, subject: l.peersOf[s][0]}
			all := l.livingRules(sub, d)
			seen := map[string]bool{}
			for _, v.peer = range l.rowsOf(sub.Tables[d]) {
				if l.tied > maxTies {
					return nil, false
				}
				l.conflictsOf(v, sub, all, seen, pairs)
			}
		}
	}
	return pairs, true
}

// hasTies reports whether two of a subject's objects are of one priority.
func (l *linter) hasTies(s *plan.Subject) bool {
	for k := range s.Policies[:max(0, len(s.Policies)-1)] {
		if l.equals(s.Policies[k], s.Policies[k+1]) {
			return true
		}
	}
	return false
}

// conflictsOf adds what is in conflict in the cells of one row. Everything about a cell follows from the rules that match it;
// seen holds those that were looked at.
func (l *linter) conflictsOf(v *view, s *plan.Subject, all []plan.RuleIndex, seen map[string]bool, pairs map[[2]plan.PolicyIndex]bool) {
	near := v.aboutPeer(all)
	l.tied += len(all)
	if len(near) < 2 {
		return
	}
	var key []byte
	for v.key = range classKeys(s.Tables[v.direction]) {
		c := resolve.Cell{Subject: s, Direction: v.direction, Provable: v.provable()}
		key = key[:0]
		for _, r := range near {
			if v.here(&l.plan.Rules[r], c.Provable) {
				c.Rules = append(c.Rules, r)
				key = binary.LittleEndian.AppendUint32(key, uint32(r))
			}
		}
		l.tied += len(near)
		if len(c.Rules) < 2 || seen[string(key)] {
			continue
		}
		seen[string(key)] = true
		for _, pair := range resolve.Conflicts(l.plan, c) {
			pairs[pair] = true
		}
	}
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
