package plan

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/weir-mesh/weir/compiler/ir"
)

// End is one end of a connection. Peer is the identity of the address in use; Endpoint and Frontend are None where
// the end is no pod, or no service's address.
type End struct {
	Peer     PeerIndex
	Endpoint int32
	Frontend int32
}

// Flow is a connection: Port is what the source asks for, at a frontend the service's port.
type Flow struct {
	Src, Dst End
	Port     PortKey
}

// Answer is the plan's verdict on a flow.
type Answer struct {
	Verdict Verdict
	// Egress is the source's answer, Ingress the destination's.
	Egress, Ingress Decision
	// By is the side that decided: for a denial the one that denied, egress first; else the one with a rule, the
	// destination's first.
	By ir.Direction
	// Auth is the stricter demand of the two sides (S19).
	Auth Auth
}

// Side returns the answer of the side that decided.
func (a *Answer) Side() *Decision {
	if a.By == ir.Egress {
		return &a.Egress
	}
	return &a.Ingress
}

// InAudit is the answer of the chain in which what is in audit is enforced (S30).
func (a *Answer) InAudit() Answer {
	out := *a
	out.Egress.Outcome, out.Ingress.Outcome = a.Egress.Audit, a.Ingress.Audit
	out.conclude()
	return out
}

// NewEnd returns an end that is only an identity.
func NewEnd(p PeerIndex) End { return End{Peer: p, Endpoint: None, Frontend: None} }

func side(v Verdict, r Reason) Decision {
	o := Outcome{Verdict: v, Reason: r, Rule: None, Policy: None, List: None}
	return Decision{Outcome: o, Audit: o}
}

// Row returns the row of an identity in the table.
func (p *Plan) Row(t *Table, peer PeerIndex) int {
	if peer == 0 {
		return 0
	}
	var buf [64]byte
	row, _ := t.Rows.Find(p.RowKey(buf[:0], t, peer))
	return row
}

// RowKey appends the row key that a known identity has in the table: its membership in t.PeerSets, eight to a byte,
// lowest bit first.
func (p *Plan) RowKey(buf []byte, t *Table, peer PeerIndex) []byte {
	var b byte
	for i, s := range t.PeerSets {
		if p.PeerSets[s].Has(peer) {
			b |= 1 << (i & 7)
		}
		if i&7 == 7 {
			buf, b = append(buf, b), 0
		}
	}
	if len(t.PeerSets)&7 != 0 || len(t.PeerSets) == 0 {
		buf = append(buf, b)
	}
	return buf
}

// Class returns the port class of a key.
func (t *Table) Class(k PortKey) int {
	lo, hi := 0, len(t.Starts)
	for hi-lo > 1 {
		mid := int(uint(lo+hi) >> 1)
		if t.Starts[mid] <= uint32(k) {
			lo = mid
		} else {
			hi = mid
		}
	}
	return int(t.Classes[lo])
}

// Decision returns the place of the decision for a row and a port class.
func (t *Table) Decision(row, class int) DecisionIndex {
	return t.Decisions[t.Cells[row*t.NumClasses+class]]
}

// At looks up a table for an identity and a port.
func (p *Plan) At(t *Table, peer PeerIndex, k PortKey) DecisionIndex {
	return t.Decision(p.Row(t, peer), t.Class(k))
}

// SubjectOf returns the subject of an identity, nil when the identity is no pod or nothing selects it.
func (p *Plan) SubjectOf(peer PeerIndex) *Subject {
	if s := p.Peers[peer].Subject; s >= 0 {
		return &p.Subjects[s]
	}
	return nil
}

// Decide answers for a flow: both sides must allow (S8).
func (p *Plan) Decide(f Flow) Answer {
	if f.Src.Endpoint >= 0 && f.Src.Endpoint == f.Dst.Endpoint {
		self := side(Allow, BySelf)
		return Answer{Verdict: Allow, Egress: self, Ingress: self}
	}
	if f.Dst.Frontend >= 0 {
		return p.decideFrontend(f)
	}
	a := Answer{
		Egress:  p.side(f.Src.Peer, f.Dst.Peer, ir.Egress, f.Port),
		Ingress: p.side(f.Dst.Peer, f.Src.Peer, ir.Ingress, f.Port),
	}
	a.conclude()
	return a
}

func (p *Plan) side(subject, peer PeerIndex, d ir.Direction, k PortKey) Decision {
	if p.Peers[subject].Kind != PodPeer {
		return side(Allow, ByNoEndpoint)
	}
	s := p.SubjectOf(subject)
	if s == nil {
		return side(Allow, ByDefault)
	}
	return p.Decisions[p.At(s.Tables[d], peer, k)]
}

func (a *Answer) conclude() {
	e, i := &a.Egress, &a.Ingress
	switch {
	case e.Verdict == Deny:
		a.Verdict, a.By = Deny, ir.Egress
	case i.Verdict == Deny:
		a.Verdict, a.By = Deny, ir.Ingress
	case e.Verdict == Redirect || i.Verdict == Redirect:
		a.Verdict, a.By = Redirect, ir.Ingress
		if i.Verdict != Redirect {
			a.By = ir.Egress
		}
	default:
		a.Verdict, a.By = Allow, ir.Ingress
		if i.Rule == None && e.Rule != None {
			a.By = ir.Egress
		}
	}
	a.Auth = max(e.Auth, i.Auth)
}

// decideFrontend answers for a service's address: at the source's side it is the common answer of the endpoints
// behind it (S27); at the destination's side the strictest of theirs. DecideEach tells them apart.
func (p *Plan) decideFrontend(f Flow) Answer {
	a := Answer{Egress: p.FrontendEgress(f.Src, FrontendIndex(f.Dst.Frontend)), Ingress: side(Allow, BySelf)}
	each := p.DecideEach(f)
	for i := range each {
		if d := &each[i].Answer.Ingress; i == 0 || stricter(d, &a.Ingress) {
			a.Ingress = *d
		}
	}
	if len(p.Frontends[f.Dst.Frontend].Backends) == 0 {
		a.Ingress = side(Allow, ByNoEndpoint)
	}
	a.conclude()
	return a
}

// BackendAnswer is what becomes of a connection to a service's address that is led to one of the endpoints behind it:
// Backend is its place in the frontend's, Peer the identity that it has or may have.
type BackendAnswer struct {
	Backend int
	Peer    PeerIndex
	Answer  Answer
}

// DecideEach answers for a service's address endpoint by endpoint, the source itself left out (S6): the source's side is the
// same for all, since what it sends still carries the service's address (S27), and each endpoint has its own.
func (p *Plan) DecideEach(f Flow) []BackendAnswer {
	egress := p.FrontendEgress(f.Src, FrontendIndex(f.Dst.Frontend))
	backends := p.Frontends[f.Dst.Frontend].Backends
	var out []BackendAnswer
	for i := range backends {
		b := &backends[i]
		if b.Endpoint >= 0 && b.Endpoint == f.Src.Endpoint {
			continue
		}
		for _, peer := range b.Peers {
			a := Answer{Egress: egress, Ingress: p.side(peer, f.Src.Peer, ir.Ingress, b.Port)}
			a.conclude()
			out = append(out, BackendAnswer{i, peer, a})
		}
	}
	return out
}

// stricter orders verdicts deny, redirect, allow.
func stricter(d, e *Decision) bool {
	return d.Verdict != e.Verdict && (d.Verdict == Deny || e.Verdict == Allow)
}

// FrontendEgress is the source's own answer for a frontend (S27): the common verdict of every endpoint behind it,
// the pod itself left out (S6); denied when there is none or they differ. NotAfter and Then are those of
// FrontendTableDecision.
func (p *Plan) FrontendEgress(src End, f FrontendIndex) Decision {
	s := p.SubjectOf(src.Peer)
	switch {
	case p.Peers[src.Peer].Kind != PodPeer:
		return side(Allow, ByNoEndpoint)
	case s == nil:
		return side(Allow, ByDefault)
	}
	return p.FrontendTableDecision(s.Tables[ir.Egress], f, src.Endpoint, 0)
}

// FrontendTableDecision is what an egress table says of a frontend (S27) from the moment at on (Unix seconds; 0 is the
// plan's own): the common answer of every endpoint behind it, in each chain. self is the endpoint that asks, which may
// be behind it too and is left out (S6), or None. NotAfter is the first end of any of the answers; what holds from
// then on is this function's answer for that moment, and Then is not set (S28).
func (p *Plan) FrontendTableDecision(t *Table, f FrontendIndex, self int32, at int64) Decision {
	each := p.behind(t, f, self, at)
	switch {
	case len(p.Frontends[f].Backends) == 0:
		return side(Deny, ByBackends)
	case len(each) == 0:
		return side(Allow, BySelf)
	}
	out := *each[0]
	out.Outcome = common(each, func(d *Decision) *Outcome { return &d.Outcome })
	out.Audit = common(each, func(d *Decision) *Outcome { return &d.Audit })
	for _, d := range each[1:] {
		out.Log = out.Log || d.Log
		if d.NotAfter != 0 && (out.NotAfter == 0 || d.NotAfter < out.NotAfter) {
			out.NotAfter = d.NotAfter
		}
		if d.ID != out.ID {
			out.ID = ID{}
		}
	}
	out.Then = 0
	return out
}

// behind lists a table's decisions, as they are at a moment, for the endpoints behind a frontend other than self.
func (p *Plan) behind(t *Table, f FrontendIndex, self int32, at int64) []*Decision {
	var each []*Decision
	for i := range p.Frontends[f].Backends {
		b := &p.Frontends[f].Backends[i]
		if b.Endpoint >= 0 && b.Endpoint == self {
			continue
		}
		for _, peer := range b.Peers {
			each = append(each, p.DecisionAt(p.At(t, peer, b.Port), at))
		}
	}
	return each
}

// DecisionAt follows a decision to what holds in its place at a moment (S28).
func (p *Plan) DecisionAt(i DecisionIndex, at int64) *Decision {
	d := &p.Decisions[i]
	for d.NotAfter != 0 && d.NotAfter <= at {
		d = &p.Decisions[d.Then]
	}
	return d
}

// common is the answer that all endpoints behind a service share, of those that share it one that speaks of
// authentication (S18); denied where they differ (S27).
func common(each []*Decision, of func(*Decision) *Outcome) Outcome {
	out := *of(each[0])
	for _, d := range each[1:] {
		o := of(d)
		if o.Verdict != out.Verdict || !o.Auth.SameDemand(out.Auth) || o.List != out.List {
			return side(Deny, ByBackends).Outcome
		}
		if o.Auth > out.Auth {
			out = *o
		}
	}
	return out
}

// RuleName says where a rule is: its place in a file, else its object and field.
func (p *Plan) RuleName(r RuleIndex) string {
	rule := &p.Rules[r]
	if rule.Pos.IsValid() {
		return fmt.Sprintf("%s:%d", rule.Pos.File, rule.Pos.Line)
	}
	return fmt.Sprintf("%s spec.%s[%d]", p.Policies[rule.Policy].Object, rule.Direction, rule.Index)
}

// FrontendAt returns the frontend at a service's address and port, or None; service says whether the address is a
// service's at all.
func (p *Plan) FrontendAt(a netip.Addr, k PortKey) (f int32, service bool) {
	p.frontendsOnce.Do(func() {
		p.frontends = map[frontendKey]int32{}
		for i := range p.Frontends {
			for _, addr := range p.Frontends[i].Addrs {
				p.frontends[frontendKey{addr, p.Frontends[i].Port}] = int32(i)
				p.frontends[frontendKey{addr, serviceAddr}] = None
			}
		}
	})
	if _, service = p.frontends[frontendKey{a, serviceAddr}]; !service {
		return None, false
	}
	if i, ok := p.frontends[frontendKey{a, k}]; ok {
		return i, true
	}
	return None, true
}

type frontendKey struct {
	addr netip.Addr
	port PortKey
}

// serviceAddr is a key that no port has: it marks an address as a service's.
const serviceAddr = PortKey(ir.NumSpaces) << 16

// AppendUint16 appends v in the projections' byte order.
func AppendUint16(b []byte, v uint16) []byte { return binary.LittleEndian.AppendUint16(b, v) }
