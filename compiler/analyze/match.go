package analyze

import (
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// miss is a way in which a rule does not match a flow.
type miss uint8

const (
	missPeer miss = 1 << iota
	missPort
	missProof
	missRequest
	missEnded
	missAudit
)

// view is one side of a flow as a rule sees it.
type view struct {
	plan          *plan.Plan
	direction     ir.Direction
	subject, peer plan.PeerIndex
	key           plan.PortKey
	request       *plan.Request
	// settled says that the connection is decided for all its requests alike, so that no rule is asked about one (S22).
	settled bool
}

// settle makes the view that of the connection where no request changes what its decision says.
func (v *view) settle(c *plan.Decision) {
	if c.Verdict != plan.Redirect {
		v.request = nil
		v.settled = c.Reason != plan.ByNoWaypoint && c.Reason != plan.ByCapacity
	}
}

// flow is the flow that the view is of.
func (v *view) flow() plan.Flow {
	f := plan.Flow{Src: plan.NewEnd(v.subject), Dst: plan.NewEnd(v.peer), Port: v.key}
	if v.direction == ir.Ingress {
		f.Src, f.Dst = f.Dst, f.Src
	}
	return f
}

// provable reports whether both ends can prove who they are: TCP between enrolled pods (S18).
func (v *view) provable() bool {
	return v.key.Space() == ir.TCP && v.plan.Peers[v.subject].Enrolled && v.plan.Peers[v.peer].Enrolled
}

// destination is the end whose container ports names stand for.
func (v *view) destination() plan.PeerIndex {
	if v.direction == ir.Egress {
		return v.peer
	}
	return v.subject
}

// misses says in which ways a rule does not match the flow; 0 is a match. A rule that looks at requests misses none
// where no request is given.
func (v *view) misses(i plan.RuleIndex) miss {
	r := &v.plan.Rules[i]
	var m miss
	if !v.peerMatches(r) {
		m |= missPeer
	}
	if !v.portMatches(r) {
		m |= missPort
	}
	if asksForProof(v.plan, r) && !v.provable() {
		m |= missProof
	}
	if hasEnded(v.plan, r) {
		m |= missEnded
	}
	if r.Audit {
		m |= missAudit
	}
	if r.HTTP && v.request != nil && !anyMatch(r.Source.HTTP, v.request) {
		m |= missRequest
	}
	return m
}

// asksForProof reports whether a rule matches only where both ends can prove who they are (S18).
func asksForProof(p *plan.Plan, r *plan.Rule) bool {
	return r.Action == ir.Allow && !r.Plaintext && p.Policies[r.Policy].Layer == ir.Mesh
}

// here reports whether a rule that has not ended and that names the view's peer matches its port, with what is known of
// the proof of the ends: the part of misses that differs from port to port.
func (v *view) here(r *plan.Rule, provable bool) bool {
	return v.portMatches(r) && (provable || !asksForProof(v.plan, r))
}

// hasEnded reports whether an allow's end is past (S28).
func hasEnded(p *plan.Plan, r *plan.Rule) bool {
	end := r.Source.NotAfter
	return r.Action == ir.Allow && !end.IsZero() && !end.After(p.Now)
}

func anyMatch(ms []ir.HTTPMatch, q *plan.Request) bool {
	for i := range ms {
		if plan.MatchHTTP(&ms[i], q) {
			return true
		}
	}
	return false
}

func (v *view) peerMatches(r *plan.Rule) bool {
	if v.peer == 0 {
		return false // nothing matches an unknown address (S3)
	}
	return r.PeerSet < 0 || v.plan.PeerSets[r.PeerSet].Has(v.peer)
}

func (v *view) portMatches(r *plan.Rule) bool {
	if r.HTTP && v.key.Space() != ir.TCP {
		return false
	}
	if r.Ports == nil {
		return true
	}
	for _, p := range r.Ports {
		if p.Space != v.key.Space() {
			continue
		}
		if p.Name == "" && p.First <= v.key.Number() && v.key.Number() <= p.Last {
			return true
		}
		for _, n := range v.plan.Peers[v.destination()].NamedPorts {
			if p.Name == n.Name && n.Space == p.Space && n.Number == v.key.Number() {
				return true
			}
		}
	}
	return false
}

// rulesOf lists each policy's rules in the source's order.
func rulesOf(p *plan.Plan) map[plan.PolicyIndex][]plan.RuleIndex {
	out := map[plan.PolicyIndex][]plan.RuleIndex{}
	for i := range p.Rules {
		out[p.Rules[i].Policy] = append(out[p.Rules[i].Policy], plan.RuleIndex(i))
	}
	return out
}
