package oracle

import (
	"net/netip"

	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// verdict is the evaluator's answer for a flow, by side and together.
type verdict struct {
	egress, ingress judgement
	verdict         plan.Verdict
	by              ir.Direction
	auth            plan.Auth
}

// judgement is one side's answer: enforced, with audit enforced too (S30), and for a request where there is one.
type judgement struct {
	enforced, audit               outcome
	requestEnforced, requestAudit outcome
	log                           logged
}

// logged says whether a flow is recorded; where a redirect or a service leaves open which rule's wish counts, it is not
// compared.
type logged uint8

const (
	notCompared logged = iota
	notLogged
	isLogged
)

func loggedIf(yes bool) logged {
	if yes {
		return isLogged
	}
	return notLogged
}

// decide answers for a flow: it is allowed when the source's egress and the destination's ingress both allow it (S8).
func (w *world) decide(f flow) verdict {
	var v verdict
	src, dst := w.party(f.src, f.dst), w.party(f.dst, f.src)
	switch {
	case src.kind == pod && dst.kind == pod && src.pod == dst.pod:
		// S6: traffic of a pod to itself is allowed: it never leaves it
		self := same(outcome{verdict: plan.Allow, reason: plan.BySelf})
		return verdict{egress: self, ingress: self, verdict: plan.Allow}
	case dst.kind == service:
		v.egress, v.ingress = w.throughService(src, dst, f)
	default:
		v.egress = w.judge(ir.Egress, src, dst, f)
		v.ingress = w.judge(ir.Ingress, src, dst, f)
	}
	v.conclude()
	return v
}

func same(o outcome) judgement { return judgement{o, o, o, o, notCompared} }

// judge asks one side in both chains, for the connection and for the request.
func (w *world) judge(d ir.Direction, src, dst party, f flow) judgement {
	subject, peer := src, dst
	if d == ir.Ingress {
		subject, peer = dst, src
	}
	if subject.kind != pod {
		// S8: a side that is no endpoint allows
		return same(outcome{verdict: plan.Allow, reason: plan.ByNoEndpoint})
	}
	if !w.policed(subject.pod) {
		return same(outcome{verdict: plan.Allow, reason: plan.ByDefault}) // S9
	}
	q := question{w: w, direction: d, subject: subject.pod, peer: peer, destination: dst, space: f.space, number: f.number}
	var j judgement
	j.enforced = q.connection()
	j.log = q.logged(j.enforced)
	j.requestEnforced = q.afterRequest(j.enforced, f.request)
	q.audit = true
	j.audit = q.connection()
	j.requestAudit = q.afterRequest(j.audit, f.request)
	return j
}

// logged: a rule may say so; else denied connections of enrolled endpoints, and allowed ones, as MeshConfig says.
func (q *question) logged(o outcome) logged {
	switch {
	case o.verdict == plan.Redirect:
		return notCompared
	case o.rule != nil && o.rule.Log != nil:
		return loggedIf(*o.rule.Log)
	case o.verdict == plan.Deny:
		return loggedIf(q.w.config.LogDenied && q.w.enrolled(q.subject))
	default:
		return loggedIf(q.w.config.LogAllowed)
	}
}

// afterRequest is the answer once the request is seen: only a redirected connection's requests are looked at (S22).
func (q *question) afterRequest(c outcome, r *request) outcome {
	if c.verdict != plan.Redirect {
		return c
	}
	return q.request(r)
}

// conclude combines the sides.
func (v *verdict) conclude() {
	e, i := v.egress.enforced, v.ingress.enforced
	switch {
	case e.verdict == plan.Deny:
		v.verdict, v.by = plan.Deny, ir.Egress
	case i.verdict == plan.Deny:
		v.verdict, v.by = plan.Deny, ir.Ingress
	case i.verdict == plan.Redirect:
		v.verdict, v.by = plan.Redirect, ir.Ingress
	case e.verdict == plan.Redirect:
		v.verdict, v.by = plan.Redirect, ir.Egress
	default:
		v.verdict, v.by = plan.Allow, ir.Ingress
		if i.rule == nil && e.rule != nil {
			v.by = ir.Egress
		}
	}
	v.auth = max(e.auth, i.auth) // S19: both sides must permit plaintext
}

// throughService answers for a service's address. At the source's side it is allowed if it is allowed for every
// endpoint behind it, ready or not; at the destination's side nothing is lost by asking for the same (S27, R7).
func (w *world) throughService(src, dst party, f flow) (egress, ingress judgement) {
	port := w.servicePort(dst.addr, f)
	var ends []party
	var flows []flow
	all := 0
	if port != nil {
		for i := range port.Backends {
			for _, p := range w.backend(&port.Backends[i], dst.addr) {
				all++
				if src.kind == pod && p.kind == pod && p.pod == src.pod {
					continue // S6: through its own service
				}
				g := f
				g.number = port.Backends[i].Port
				ends, flows = append(ends, p), append(flows, g)
			}
		}
	}
	switch {
	case src.kind != pod:
		egress = same(outcome{verdict: plan.Allow, reason: plan.ByNoEndpoint}) // S8
	case !w.policed(src.pod):
		egress = same(outcome{verdict: plan.Allow, reason: plan.ByDefault})
	case port == nil:
		egress = same(outcome{verdict: plan.Deny, reason: plan.ByUnknownAddress})
	case all == 0:
		egress = same(outcome{verdict: plan.Deny, reason: plan.ByBackends}) // S27: no endpoint: denied
	case len(ends) == 0:
		egress = same(outcome{verdict: plan.Allow, reason: plan.BySelf})
	default:
		var each []judgement
		for i := range ends {
			each = append(each, w.judge(ir.Egress, src, ends[i], flows[i]))
		}
		egress = judgement{
			enforced:        common(each, func(j judgement) outcome { return j.enforced }),
			audit:           common(each, func(j judgement) outcome { return j.audit }),
			requestEnforced: common(each, func(j judgement) outcome { return j.requestEnforced }),
			requestAudit:    common(each, func(j judgement) outcome { return j.requestAudit }),
		}
	}
	reason := plan.BySelf
	if all == 0 {
		reason = plan.ByNoEndpoint
	}
	ingress = same(outcome{verdict: plan.Allow, reason: reason})
	for i := range ends {
		if j := w.judge(ir.Ingress, src, ends[i], flows[i]); i == 0 || opens(j.enforced.verdict) < opens(ingress.enforced.verdict) {
			ingress = j
		}
	}
	return egress, ingress
}

// opens orders verdicts by how much they let through.
func opens(v plan.Verdict) int {
	return map[plan.Verdict]int{plan.Deny: 0, plan.Redirect: 1, plan.Allow: 2}[v]
}

// common is the answer that all endpoints behind an address share; if they differ, it is denied: no tunnel decides
// per chosen backend (S27).
func common(each []judgement, which func(judgement) outcome) outcome {
	asks := func(o outcome) bool { return o.auth == plan.AuthRequired } // to permit plaintext asks nothing, as silence does
	first := which(each[0])
	var others []outcome
	for _, j := range each[1:] {
		o := which(j)
		if o.verdict != first.verdict || asks(o) != asks(first) || !sameCases(o, first) {
			return outcome{verdict: plan.Deny, reason: plan.ByBackends}
		}
		if o.auth > first.auth { // of those alike, one that speaks of authentication (S18)
			first, o = o, first
		}
		others = append(others, o)
	}
	first.alike = others
	return first
}

// sameCases says whether two redirects decide every request alike and by the same rules.
func sameCases(a, b outcome) bool {
	if len(a.layer7) != len(b.layer7) {
		return false
	}
	for i := range a.layer7 {
		if a.layer7[i] != b.layer7[i] {
			return false
		}
	}
	for i := range a.cases {
		x, y := a.cases[i], b.cases[i]
		if x.verdict != y.verdict || x.reason != y.reason || x.rule != y.rule || x.policy != y.policy || x.auth != y.auth {
			return false
		}
	}
	return true
}

// servicePort finds the port of the service that has the address.
func (w *world) servicePort(a netip.Addr, f flow) *inventory.ServicePort {
	for i := range w.inv.Services {
		s := &w.inv.Services[i]
		for _, b := range s.ClusterIPs {
			for j := range s.Ports {
				if a == b && s.Ports[j].Space == f.space && s.Ports[j].Port == f.number {
					return &s.Ports[j]
				}
			}
		}
	}
	return nil
}

// backend lists the parties behind a service's port: one, unless it is a pod that may get different addresses (S4);
// none where it has no address of the service address's family (ruling 13).
func (w *world) backend(b *inventory.Backend, vip netip.Addr) []party {
	for i := range w.inv.Pods {
		p := &w.inv.Pods[i]
		if b.Pod.Name == "" || p.Namespace != b.Pod.Namespace || p.Name != b.Pod.Name {
			continue
		}
		var out []party
		for _, a := range w.addresses(p) {
			if len(p.Addrs) == 0 || a.Is4() == vip.Is4() {
				out = append(out, w.party(end{place: inPod, pod: i, addr: a}, end{place: atAddress}))
			}
		}
		return out
	}
	if b.Addr.IsValid() && b.Addr.Is4() != vip.Is4() {
		return nil
	}
	return []party{w.locate(b.Addr)} // S27: manual external ones by address
}

// addresses are those that a pod has or, before it has any, examples of each kind that it may get: in the declared
// pod ranges or, where there are none, anywhere in the families that rules with matchPods speak of (S4).
func (w *world) addresses(p *inventory.Pod) []netip.Addr {
	if len(p.Addrs) > 0 {
		return p.Addrs
	}
	blocks := w.podBlocks()
	if len(blocks) == 0 || p.HostNetwork {
		return []netip.Addr{{}}
	}
	spaces := append([]netip.Prefix(nil), w.config.PodRanges...)
	for i := range w.inv.Nodes {
		spaces = append(spaces, w.inv.Nodes[i].PodCIDRs...)
	}
	if len(spaces) == 0 {
		for _, b := range blocks {
			spaces = append(spaces, netip.PrefixFrom(b.Addr(), 0).Masked())
		}
	}
	// The edges of the blocks and their neighbours fall on every side of every block.
	candidates := []netip.Addr{}
	for _, b := range append(blocks, spaces...) {
		candidates = append(candidates, edges(b)...)
	}
	var out []netip.Addr
	for _, a := range candidates {
		for _, s := range spaces {
			if a.IsValid() && s.Contains(a) {
				out = append(out, a)
				break
			}
		}
	}
	return out
}

// podBlocks lists the blocks, holes included, of rules with matchPods.
func (w *world) podBlocks() []netip.Prefix {
	var out []netip.Prefix
	for i := range w.policies {
		for j := range w.policies[i].Rules {
			for _, p := range w.policies[i].Rules[j].Peers {
				if p.CIDR != nil && p.CIDR.MatchPods {
					out = append(append(out, p.CIDR.Prefix), p.CIDR.Except...)
				}
			}
		}
	}
	return out
}

// edges are a block's first and last address and the neighbours outside.
func edges(p netip.Prefix) []netip.Addr {
	first := p.Masked().Addr()
	raw := first.AsSlice()
	for i := p.Bits(); i < len(raw)*8; i++ {
		raw[i/8] |= 1 << (7 - i%8)
	}
	last, _ := netip.AddrFromSlice(raw)
	return []netip.Addr{first.Prev(), first, last, last.Next()}
}
