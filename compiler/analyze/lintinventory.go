package analyze

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// splitIdentities reports rules that tell pods of one SPIFFE id apart: across nodes only the address does (S21).
func (l *linter) splitIdentities() {
	for _, id := range slices.Sorted(maps.Keys(l.names.sharing)) {
		group := l.names.sharing[id]
		var rules []plan.RuleIndex
		for i := range l.plan.Rules {
			if l.splits(plan.RuleIndex(i), group) {
				rules = append(rules, plan.RuleIndex(i))
			}
		}
		if len(rules) == 0 {
			continue
		}
		l.split(id, group, rules)
	}
}

func (l *linter) split(id string, group []plan.PeerIndex, rules []plan.RuleIndex) {
	slices.SortFunc(rules, func(a, b plan.RuleIndex) int { return l.plan.Rules[a].Pos.Compare(l.plan.Rules[b].Pos) })
	var related []diag.Related
	for _, r := range rules[1:min(len(rules), 1+maxNear)] {
		related = append(related, diag.Related{Pos: l.plan.Rules[r].Pos, Message: "does, too"})
	}
	text := "this rule tells"
	if len(rules) > 1 {
		text = fmt.Sprintf("this rule and %d more tell", len(rules)-1)
	}
	l.add(CodeSplitIdentity, diag.Warning, l.plan.Rules[rules[0]].Pos,
		fmt.Sprintf("%s pods of one identity apart, %s: %s", text, id, andList(l.labels(group))),
		"between nodes the identity proves the service account, not the labels: give the pods service accounts of their own", related...)
}

// labels names the workloads of identities, at most three.
func (l *linter) labels(peers []plan.PeerIndex) []string {
	var of []int32
	for _, p := range peers {
		of = append(of, l.names.hosts.pods[p]...)
	}
	return l.names.labels(of)
}

// labels names the workloads of pods, at most three.
func (n *Names) labels(pods []int32) []string {
	seen := map[string]bool{}
	for _, i := range pods {
		seen[n.Label(i)] = true
	}
	out := slices.Sorted(maps.Keys(seen))
	if len(out) > maxNear {
		out = append(out[:maxNear], "others")
	}
	return out
}

// splits reports whether a rule matches some identities of a group and not others, by something that no certificate
// proves.
func (l *linter) splits(i plan.RuleIndex, group []plan.PeerIndex) bool {
	r := &l.plan.Rules[i]
	byLabel := func(p ir.Peer) bool { return p.Pods != nil && len(p.Pods.Pods) > 0 }
	if best := l.atBest(r); best.empty() || r.PeerSet < 0 || r.Audit || !slices.ContainsFunc(r.Source.Peers, byLabel) {
		return false
	}
	set := &l.plan.PeerSets[r.PeerSet]
	in := 0
	for _, p := range group {
		if set.Has(p) {
			in++
		}
	}
	return in > 0 && in < len(group)
}

// addresses reports workloads about which a verdict hangs on the address that their pods will get (S4), and the rules that
// make it so.
func (l *linter) addresses() {
	at := map[string]diag.Position{}
	var rules []plan.RuleIndex
	for i := range l.plan.Endpoints {
		e := &l.plan.Endpoints[i]
		name := l.names.Label(int32(i))
		if _, known := at[name]; known || len(e.Addrs) > 0 || len(e.Peers) < 2 {
			continue
		}
		if by, hangs := l.hangs(e.Peers); hangs {
			at[name] = e.Pos
			rules = append(rules, by...)
		}
	}
	if len(at) == 0 {
		return
	}
	who := slices.Sorted(maps.Keys(at))
	pos := at[who[0]]
	if n := len(who) - maxNear; n > 0 {
		who = append(who[:maxNear:maxNear], fmt.Sprintf("%d more", n))
	}
	hint := "declare the pod ranges in the MeshConfig, or select pods by label"
	if slices.ContainsFunc(l.plan.Ranges, func(r netip.Prefix) bool {
		return !slices.Contains(l.plan.NodeRanges, r) && !slices.Contains(l.plan.ServiceRanges, r)
	}) {
		hint = "select pods by label, or let the block hold all of the pod ranges"
	}
	slices.Sort(rules)
	rules = slices.Compact(rules)
	var related []diag.Related
	for _, i := range rules[:min(len(rules), maxNear)] {
		related = append(related, diag.Related{Pos: l.plan.Rules[i].Pos, Message: "a block of this rule holds a part of the addresses that it may get"})
	}
	l.add(CodeAddress, diag.Warning, pos, "a verdict about "+andList(who)+" depends on the pod's address, which is not known yet", hint, related...)
}

// hangs reports whether some table answers differently for the identities, and the rules that match some of them only where
// the first such does.
func (l *linter) hangs(peers []plan.PeerIndex) ([]plan.RuleIndex, bool) {
	for s := range l.plan.Subjects {
		for d, t := range l.plan.Subjects[s].Tables {
			first := l.plan.Row(t, peers[0])
			for _, p := range peers[1:] {
				row := l.plan.Row(t, p)
				for at, start := range t.Starts {
					c := int(t.Classes[at])
					if a, b := l.plan.Decisions[t.Decision(first, c)], l.plan.Decisions[t.Decision(row, c)]; a.Verdict != b.Verdict || a.Auth != b.Auth {
						v := view{plan: l.plan, direction: ir.Direction(d), peer: p, key: plan.PortKey(start)}
						if len(l.peersOf[s]) > 0 {
							v.subject = l.peersOf[s][0]
						}
						return l.telling(&v, int32(s), peers[0]), true
					}
				}
			}
		}
	}
	return nil, false
}

// telling lists the rules of a subject that match a view, or it with another peer, and not both.
func (l *linter) telling(v *view, subject int32, other plan.PeerIndex) []plan.RuleIndex {
	w := *v
	w.peer = other
	return slices.DeleteFunc(l.livingRules(&l.plan.Subjects[subject], v.direction), func(i plan.RuleIndex) bool {
		r := &l.plan.Rules[i]
		return r.Audit || !v.portMatches(r) || v.peerMatches(r) == w.peerMatches(r)
	})
}
