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
	wanted, seen := map[plan.PeerIndex]bool{}, map[string]bool{}
	for _, p := range peers {
		wanted[p] = true
	}
	for i := range l.plan.Endpoints {
		if slices.ContainsFunc(l.plan.Endpoints[i].Peers, func(p plan.PeerIndex) bool { return wanted[p] }) {
			seen[l.names.Label(int32(i))] = true
		}
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

// backends reports services behind which the endpoints get different answers (S27): at the source's side, such connections
// are denied; at the endpoints' own, it hangs on the endpoint that is chosen.
func (l *linter) backends() {
	for i := range l.plan.Frontends {
		f := plan.FrontendIndex(i)
		if len(l.plan.Frontends[f].Backends) < 2 {
			continue
		}
		if who := l.deniedAt(f); len(who) > 0 {
			l.addBackends(f, fmt.Sprintf("%s are denied at %s: the endpoints behind it get different answers", andList(who), l.frontendText(f)),
				"allow all endpoints behind the service, or let the service select only those that are allowed")
		}
		if who, answers := l.unevenAt(f); len(who) > 0 {
			l.addBackends(f, fmt.Sprintf("the endpoints behind %s answer %s differently: %s", l.frontendText(f), andList(who), answers),
				"let all endpoints behind the service allow the same, or let the service select only those that do")
		}
	}
}

func (l *linter) frontendText(f plan.FrontendIndex) string {
	fe := &l.plan.Frontends[f]
	return "service " + fe.Namespace + "/" + fe.Service + " " + KeyText(fe.Port)
}

func (l *linter) addBackends(f plan.FrontendIndex, message, hint string) {
	fe := &l.plan.Frontends[f]
	pos := fe.Pos
	if !pos.IsValid() {
		pos.Object = "Service " + fe.Namespace + "/" + fe.Service
	}
	l.add(CodeBackends, diag.Warning, pos, message, hint)
}

// deniedAt names the workloads that a frontend is closed to because their own side answers differently for the endpoints.
func (l *linter) deniedAt(f plan.FrontendIndex) []string {
	var who []plan.PeerIndex
	for s := range l.plan.Subjects {
		if !l.differs(int32(s), f) {
			continue
		}
		for _, peer := range l.peersOf[s] {
			// What is not known yet is no difference: addresses reports it.
			if l.names.unplaced(plan.Flow{Src: plan.NewEnd(peer), Dst: plan.End{Endpoint: plan.None, Frontend: int32(f)}}, nil) == nil {
				who = append(who, peer)
			}
		}
	}
	return l.labels(who)
}

// answers is what an endpoint's own side says on a port: a column of its table; no table allows.
type answers struct {
	table *plan.Table
	class int
}

// unevenAt names the workloads that some endpoints behind a frontend let in and others do not, or not alike, and says what
// two of them answer.
func (l *linter) unevenAt(f plan.FrontendIndex) (names []string, answer string) {
	var columns []answers
	for i := range l.plan.Frontends[f].Backends {
		b := &l.plan.Frontends[f].Backends[i]
		for _, peer := range b.Peers {
			var c answers
			if s := l.plan.SubjectOf(peer); s != nil {
				c = answers{s.Tables[ir.Ingress], s.Tables[ir.Ingress].Class(b.Port)}
			}
			if !slices.Contains(columns, c) {
				columns = append(columns, c)
			}
		}
	}
	if len(columns) < 2 {
		return nil, ""
	}
	var who []plan.PeerIndex
	for i := range l.plan.Peers {
		peer := plan.PeerIndex(i)
		if l.plan.Peers[i].Kind != plan.PodPeer || !l.uneven(peer, columns) {
			continue
		}
		flow := plan.Flow{Src: plan.NewEnd(peer), Dst: plan.End{Endpoint: plan.None, Frontend: int32(f)}}
		if l.names.unplaced(flow, nil) != nil {
			continue // what is not known yet is no difference: addresses reports it
		}
		if text := l.names.disagreement(flow, nil); text != "" {
			who, answer = append(who, peer), text
		}
	}
	return l.labels(who), answer
}

// uneven reports whether the columns differ for an identity: a quick look, since few do.
func (l *linter) uneven(peer plan.PeerIndex, columns []answers) bool {
	allow := plan.Decision{Outcome: plan.Outcome{Verdict: plan.Allow}}
	first := &allow
	for i, c := range columns {
		d := &allow
		if c.table != nil {
			d = &l.plan.Decisions[c.table.Decision(l.rowOf(c.table, peer), c.class)]
		}
		if i == 0 {
			first = d
		}
		if d.Verdict != first.Verdict || d.Verdict != plan.Deny && d.Auth != first.Auth {
			return true
		}
	}
	return false
}

// rowOf looks an identity's row up once for all services.
func (l *linter) rowOf(t *plan.Table, peer plan.PeerIndex) int {
	rows, ok := l.rows[t]
	if !ok {
		rows = make([]int, len(l.plan.Peers))
		for i := range rows {
			rows[i] = l.plan.Row(t, plan.PeerIndex(i))
		}
		l.rows[t] = rows
	}
	return rows[peer]
}

// differs reports whether a subject's egress answers differ, some of them letting through, behind a frontend.
func (l *linter) differs(s int32, f plan.FrontendIndex) bool {
	if len(l.peersOf[s]) == 0 {
		return false
	}
	d := l.plan.FrontendTableDecision(l.plan.Subjects[s].Tables[ir.Egress], f, plan.None, 0)
	return d.Reason == plan.ByBackends
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
