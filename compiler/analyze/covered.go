package analyze

import (
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// tiers marks the rules that have a part in a flow and that no decision names: those that pass it on, and those of the
// layer beside the one that is named, where both have to allow (S9).
func (t *tester) tiers(f plan.Flow, r *Reply, req *plan.Request) {
	for _, f := range t.names.led(f) {
		for d, subject := range []plan.PeerIndex{f.Src.Peer, f.Dst.Peer} {
			s := t.plan.SubjectOf(subject)
			if s == nil {
				continue
			}
			v := &view{plan: t.plan, direction: ir.Direction(d), subject: subject, peer: []plan.PeerIndex{f.Dst.Peer, f.Src.Peer}[d], key: f.Port, request: req}
			spoke := r.Verdict != plan.Deny || []plan.Verdict{r.Egress.Verdict, r.Ingress.Verdict}[d] == plan.Deny
			for _, ts := range t.narrator.tell(v, s).tiers {
				switch {
				case ts.rule == plan.None:
				case ts.says == saysPass, spoke && ts.says != saysAsk && !t.decided[ts.rule] && v.needs(t.narrator.rules, s, ts.rule):
					t.decided[ts.rule] = true
				}
			}
		}
	}
}

// led returns the connections that one to a service's address may turn into: the source itself left out (S6).
func (n *Names) led(f plan.Flow) []plan.Flow {
	if f.Dst.Frontend < 0 {
		return []plan.Flow{f}
	}
	var out []plan.Flow
	for _, b := range n.plan.Frontends[f.Dst.Frontend].Backends {
		if b.Endpoint >= 0 && b.Endpoint == f.Src.Endpoint {
			continue
		}
		for _, p := range b.Peers {
			out = append(out, plan.Flow{Src: f.Src, Dst: plan.End{Peer: p, Endpoint: b.Endpoint, Frontend: plan.None}, Port: b.Port})
		}
	}
	return out
}
