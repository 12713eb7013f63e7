package analyze

import (
	"fmt"
	"maps"
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
		of = append(of, l.podsOf(p)...)
	}
	return l.names.labels(of)
}

// podsOf lists the pods that have an identity, or may get it.
func (l *linter) podsOf(peer plan.PeerIndex) []int32 {
	if l.endpointsOf == nil {
		l.endpointsOf = make([][]int32, len(l.plan.Peers))
		for i := range l.plan.Endpoints {
			for _, p := range l.plan.Endpoints[i].Peers {
				if of := l.endpointsOf[p]; len(of) == 0 || of[len(of)-1] != int32(i) {
					l.endpointsOf[p] = append(of, int32(i))
				}
			}
		}
	}
	return l.endpointsOf[peer]
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
	if r.PeerSet < 0 || r.Audit || !slices.ContainsFunc(r.Source.Peers, byLabel) {
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

// addresses reports workloads about which a verdict hangs on the address that their pods will get (S4).
func (l *linter) addresses() {
	var names []string
	var first diag.Position
	for i := range l.plan.Endpoints {
		e := &l.plan.Endpoints[i]
		name := l.names.Label(int32(i))
		if len(e.Addrs) > 0 || len(e.Peers) < 2 || slices.Contains(names, name) || !l.hangs(e.Peers) {
			continue
		}
		if names = append(names, name); len(names) == 1 || e.Pos.Compare(first) < 0 {
			first = e.Pos
		}
	}
	if len(names) == 0 {
		return
	}
	slices.Sort(names)
	who, count := names, len(names)
	if count > maxNear {
		who = append(slices.Clone(names[:maxNear]), fmt.Sprintf("%d more", count-maxNear))
	}
	l.add(CodeAddress, diag.Warning, first, "a verdict about "+andList(who)+" depends on the pod's address, which is not known yet",
		"a rule's cidr with matchPods holds a part of the addresses that it may get: declare the pod ranges in the MeshConfig, or select pods by label")
}

// hangs reports whether some table answers differently for the identities.
func (l *linter) hangs(peers []plan.PeerIndex) bool {
	for s := range l.plan.Subjects {
		for _, t := range l.plan.Subjects[s].Tables {
			first := l.plan.Row(t, peers[0])
			for _, p := range peers[1:] {
				row := l.plan.Row(t, p)
				for c := range t.NumClasses {
					if a, b := l.plan.Decisions[t.Decision(first, c)], l.plan.Decisions[t.Decision(row, c)]; a.Verdict != b.Verdict || a.Auth != b.Auth {
						return true
					}
				}
			}
		}
	}
	return false
}
