package analyze

import (
	"fmt"
	"maps"
	"slices"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// backends reports services behind which the endpoints get different answers (S27): at the source's side, such connections
// are denied; at the endpoints' own, it hangs on the endpoint that is chosen.
func (l *linter) backends() {
	for i := range l.plan.Frontends {
		f := plan.FrontendIndex(i)
		if len(l.plan.Frontends[f].Backends) < 2 {
			continue
		}
		if who := l.deniedAt(f); len(who) > 0 {
			l.addBackends(f, fmt.Sprintf("%s denied at %s: the endpoints behind it get different answers", areList(l.names.labels(who)), l.frontendText(f)),
				"allow all endpoints behind the service, or let the service select only those that are allowed")
		}
		uneven := l.unevenAt(f)
		for _, answers := range slices.Sorted(maps.Keys(uneven)) {
			l.addBackends(f, fmt.Sprintf("the endpoints behind %s answer %s differently: %s", l.frontendText(f), andList(l.names.labels(uneven[answers])), answers),
				"let all endpoints behind the service allow the same, or let the service select only those that do")
		}
	}
}

// areList is andList with its verb.
func areList(s []string) string {
	if len(s) == 1 {
		return s[0] + " is"
	}
	return andList(s) + " are"
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

// toFrontend is a connection to a service's address; the port is the frontend's.
func toFrontend(src plan.End, f plan.FrontendIndex) plan.Flow {
	return plan.Flow{Src: src, Dst: plan.End{Endpoint: plan.None, Frontend: int32(f)}}
}

// clients are the pods' ends of an identity that may connect to a frontend: those of its family (S3).
func (l *linter) clients(peer plan.PeerIndex, f plan.FrontendIndex) []plan.End {
	to := l.names.flowFamily(toFrontend(plan.NewEnd(peer), f))
	var out []plan.End
	for _, i := range l.names.hosts.pods[peer] {
		e := plan.End{Peer: peer, Endpoint: i, Frontend: plan.None}
		from := l.names.endFamily(e)
		if from == anyFamily || to == anyFamily || from == to {
			out = append(out, e)
		}
	}
	return out
}

// whatever reports whether something holds for an end, whichever identity it gets (S4).
func (l *linter) whatever(e plan.End, holds func(plan.End) bool) bool {
	if !undecided(l.plan, e) {
		return holds(e)
	}
	return !slices.ContainsFunc(l.plan.Endpoints[e.Endpoint].Peers, func(p plan.PeerIndex) bool {
		e.Peer = p
		return !holds(e)
	})
}

// deniedAt lists the pods that a frontend is closed to because their own side answers differently for the endpoints.
func (l *linter) deniedAt(f plan.FrontendIndex) (who []int32) {
	for s := range l.plan.Subjects {
		if !l.differs(int32(s), f) {
			continue
		}
		for _, peer := range l.peersOf[s] {
			for _, c := range l.clients(peer, f) {
				// The pod itself is left out (S6). What is not known yet is no difference: addresses reports it.
				denied := func(e plan.End) bool {
					return l.plan.FrontendEgress(e, f).Reason == plan.ByBackends &&
						l.names.unplaced(toFrontend(e, f), nil) == nil
				}
				if l.whatever(c, denied) {
					who = append(who, c.Endpoint)
				}
			}
		}
	}
	return who
}

// answers is what an endpoint's own side says on a port: a column of its table; no table allows.
type answers struct {
	table *plan.Table
	class int
}

// unevenAt lists the pods that some endpoints behind a frontend let in and others do not, or not alike, by what two of them
// answer.
func (l *linter) unevenAt(f plan.FrontendIndex) map[string][]int32 {
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
		return nil
	}
	who := map[string][]int32{}
	for i := range l.plan.Peers {
		peer := plan.PeerIndex(i)
		if l.plan.Peers[i].Kind != plan.PodPeer || !l.uneven(peer, columns) {
			continue
		}
		for _, c := range l.clients(peer, f) {
			text := ""
			differs := func(e plan.End) bool {
				flow := toFrontend(e, f)
				if l.names.unplaced(flow, nil) != nil {
					return false // what is not known yet is no difference: addresses reports it
				}
				text = l.names.disagreement(flow, nil)
				return text != ""
			}
			if l.whatever(c, differs) {
				who[text] = append(who[text], c.Endpoint)
			}
		}
	}
	return who
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
		if d.Verdict != first.Verdict || d.Verdict != plan.Deny && !d.Auth.SameDemand(first.Auth) {
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
