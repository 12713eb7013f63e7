package analyze

import (
	"cmp"
	"slices"
	"strings"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/resolve"
)

// nearRule is an allow that misses a denied flow in one way, and whose match would open it, or its layer's part of it.
type nearRule struct {
	rule plan.RuleIndex
	miss miss
	// text says what it misses; besides who else would have to allow it, empty for nobody.
	text, besides string
}

// nearOrder is the order in which rules that miss a flow are listed: the likeliest to be meant first.
var nearOrder = []miss{missRequest, missPort, missProof, missEnded, missAudit, missPeer}

// near lists the allows that miss a denied flow in one way only, the likeliest to be meant first: those that would open it
// alone, then those beside which the other layer would have to allow it (S9). Where the question is about both address families,
// and a rule misses one of them only in that way, it says which.
func (x *Explainer) near(d ir.Direction, q Question, r *Reply, f plan.Flow) []Near {
	found := x.nearRules(d, q, r, f)
	if other, ok := x.otherFamily(r, f); ok {
		o := x.names.reply(other, q.Request)
		also := x.nearRules(d, q, &o, other)
		both, one := overFamily(found, also, x.names.flowFamily(f))
		_, two := overFamily(also, found, x.names.flowFamily(other))
		found = slices.Concat(both, one, two)
	}
	slices.SortStableFunc(found, func(a, b nearRule) int {
		return cmp.Or(cmp.Compare(len(a.besides), len(b.besides)), slices.Index(nearOrder, a.miss)-slices.Index(nearOrder, b.miss))
	})
	var out []Near
	for _, c := range found[:min(len(found), maxNear)] {
		out = append(out, Near{Rule: x.places.rule(c.rule), Text: c.text + c.besides})
	}
	return out
}

// otherFamily is a flow that the question is about in the other address family; false where the families are not told apart.
func (x *Explainer) otherFamily(r *Reply, f plan.Flow) (other plan.Flow, ok bool) {
	own := x.names.flowFamily(f)
	if own == anyFamily || r.Flow.Dst.Frontend >= 0 {
		return other, false
	}
	for _, g := range r.flows {
		switch x.names.flowFamily(g) {
		case anyFamily:
			return other, false
		case own:
		default:
			if !ok {
				other, ok = g, true
			}
		}
	}
	return other, ok
}

// overFamily parts rules into those that miss the flow of the other family in the same way, and the rest, which then say their
// family.
func overFamily(found, other []nearRule, f family) (both, one []nearRule) {
	for _, c := range found {
		if slices.Contains(other, c) {
			both = append(both, c)
			continue
		}
		c.text = "over " + f.String() + ": " + c.text
		one = append(one, c)
	}
	return both, one
}

// nearRules are the allows that miss a flow, denied for want of one, in one way only.
func (x *Explainer) nearRules(d ir.Direction, q Question, r *Reply, f plan.Flow) []nearRule {
	subject, o, c := f.Src, &r.Egress, &r.Answer.Egress
	if d == ir.Ingress {
		subject, o, c = f.Dst, &r.Ingress, &r.Answer.Ingress
	}
	sub := x.plan.SubjectOf(subject.Peer)
	if sub == nil || subject.Frontend >= 0 || !tells(o.Reason) || o.Verdict != plan.Deny || r.SharedWith != "" ||
		o.Reason == plan.ByRule || o.Reason == plan.ByRequest { // a rule that denies would deny what nearly matched, too
		return nil
	}
	v := x.view(d, q, f, c)
	var found []nearRule
	for _, i := range x.narrator.tell(v, sub).missed {
		rule, m := &x.plan.Rules[i], v.misses(i)
		if rule.Action != ir.Allow || !slices.Contains(nearOrder, m) || !x.likely(v, q, rule, m) {
			continue
		}
		if besides, ok := x.opens(v, sub, i, m); ok {
			found = append(found, nearRule{i, m, x.missText(v, q, i, m), besides})
		}
	}
	return found
}

// opens reports whether the flow would pass if a rule that misses it in one way matched, or would but for the other layer.
func (x *Explainer) opens(v *view, sub *plan.Subject, i plan.RuleIndex, m miss) (besides string, ok bool) {
	own, layer := x.plan.Policies[x.plan.Rules[i].Policy].Layer, ir.Mesh
	o := x.hadItMatched(v, sub, i, m)
	if m == missPeer && !namesDNS(&x.plan.Rules[i]) {
		if o, ok = x.fromItsPeers(v, sub, &x.plan.Rules[i]); !ok {
			return "", false
		}
	}
	switch {
	case o.Verdict != plan.Deny:
		return "", true
	case o.Reason == plan.ByAuthentication: // the orchestrator's allows, and the mesh says nothing
	case o.Rule != plan.None:
		layer = x.plan.Policies[x.plan.Rules[o.Rule].Policy].Layer
	case o.Policy != plan.None:
		layer = x.plan.Policies[o.Policy].Layer
	}
	switch layer {
	case own:
		return "", false
	case ir.Orchestrator:
		return "; the orchestrator's policies would have to allow that, too", true
	default:
		return "; the mesh's policies would have to allow that, too", true
	}
}

// hadItMatched is what this side would say: on the rule's port, or of the flow as it is if the rule were about it.
func (x *Explainer) hadItMatched(v *view, sub *plan.Subject, i plan.RuleIndex, m miss) plan.Outcome {
	if m == missPort {
		if o, ok := x.onItsPorts(v, sub, &x.plan.Rules[i]); ok {
			return o
		}
	}
	c := resolve.Cell{Subject: sub, Direction: v.direction, Provable: m == missProof || v.provable()}
	c.Rules = v.matching(nil, rulesOfSubject(x.narrator.rules, sub), ^miss(0))
	return resolve.Would(x.plan, c, i, v.request != nil)
}

func namesDNS(r *plan.Rule) bool {
	return slices.ContainsFunc(r.Source.Peers, func(p ir.Peer) bool { return p.DNS != "" })
}

// maxNearPeers bounds of how many identities that a rule names it is asked whether it would let them through.
const maxNearPeers = 256

// fromItsPeers is what this side says of the flow with one of the peers that the rule names, one that it denies if there is
// any; false where there is none.
func (x *Explainer) fromItsPeers(v *view, sub *plan.Subject, r *plan.Rule) (o plan.Outcome, ok bool) {
	if r.PeerSet < 0 {
		return o, false
	}
	peers := members(&x.plan.PeerSets[r.PeerSet])
	w := *v
	for _, w.peer = range peers[:min(len(peers), maxNearPeers)] {
		if !w.portMatches(r) {
			continue
		}
		o, ok = x.plan.Decisions[x.plan.At(sub.Tables[v.direction], w.peer, w.key)].Outcome, true
		if o.Verdict == plan.Redirect && v.request != nil {
			o, _, _ = x.names.requests.List(o.List, v.request)
		}
		if o.Verdict == plan.Deny {
			break
		}
	}
	return o, ok
}

// onItsPorts is what this side says of the flow on one of the rule's ports, one that it lets through if there is any.
func (x *Explainer) onItsPorts(v *view, sub *plan.Subject, r *plan.Rule) (o plan.Outcome, ok bool) {
	table := sub.Tables[v.direction]
	for _, p := range r.Ports {
		key, known := plan.Key(p.Space, p.First), p.Name == ""
		for _, n := range x.plan.Peers[v.destination()].NamedPorts {
			if !known && n.Name == p.Name && n.Space == p.Space {
				key, known = plan.Key(n.Space, n.Number), true
			}
		}
		if !known || p.Space != v.key.Space() {
			continue
		}
		o, ok = x.plan.Decisions[x.plan.At(table, v.peer, key)].Outcome, true
		if o.Verdict != plan.Deny {
			break
		}
	}
	return o, ok
}

// likely reports whether a person may have meant a rule: another port of the same protocol, another peer of the same
// kind.
func (x *Explainer) likely(v *view, q Question, r *plan.Rule, m miss) bool {
	switch m {
	case missPort:
		return r.Ports == nil || slices.ContainsFunc(r.Ports, func(p ir.Port) bool { return p.Space == v.key.Space() })
	case missPeer:
		pod, world := x.plan.Peers[v.peer].Kind == plan.PodPeer, x.plan.Peers[v.peer].Kind == plan.WorldPeer
		return slices.ContainsFunc(r.Source.Peers, func(p ir.Peer) bool {
			return pod && p.Pods != nil || world && (p.CIDR != nil || p.Entity == ir.World) || p.DNS != "" && q.To.Kind == DNSTarget
		})
	}
	return true
}

func (x *Explainer) missText(v *view, q Question, i plan.RuleIndex, m miss) string {
	r := &x.plan.Rules[i]
	switch m {
	case missRequest:
		return "would allow it if " + requestMiss(r.Source.HTTP, v.request)
	case missPort:
		return "would allow it on " + x.rulePorts(v, r) + " instead of " + KeyText(v.key)
	case missProof:
		return "would allow it if both ends could prove who they are: " + x.unproved(v)
	case missEnded:
		return "allowed it until " + ir.EndText(r.Source.NotAfter)
	case missAudit:
		return "would allow it if it were enforced: it is in audit"
	}
	if q.To.Kind == DNSTarget && slices.ContainsFunc(r.Source.Peers, func(p ir.Peer) bool { return p.DNS != "" }) {
		return "allows names, " + peersText(r.Source.Peers) + ", and nothing learns their addresses yet"
	}
	word := "from "
	if v.direction == ir.Egress {
		word = "to "
	}
	return "would allow it " + word + peersText(r.Source.Peers)
}

// rulePorts are a rule's ports, with the numbers behind names on the destination.
func (x *Explainer) rulePorts(v *view, r *plan.Rule) string {
	var parts []string
	for _, p := range r.Ports {
		if p.Space != v.key.Space() {
			continue
		}
		text := portText(p)
		for _, n := range x.plan.Peers[v.destination()].NamedPorts {
			if n.Name == p.Name && n.Space == p.Space {
				text = KeyText(plan.Key(n.Space, n.Number)) + " (" + n.Name + ")"
			}
		}
		parts = append(parts, text)
	}
	if len(parts) == 0 {
		return "TCP" // a rule that looks at requests, without ports
	}
	return orList(parts)
}

// requestMiss says what a request would need to match one of a rule's matches: the one that it misses least.
func requestMiss(ms []ir.HTTPMatch, q *plan.Request) string {
	var best []string
	for i := range ms {
		if m := dimensions(&ms[i], q); best == nil || len(m) < len(best) {
			best = m
		}
	}
	if len(best) == 0 {
		return "the request could be evaluated"
	}
	return strings.Join(best, " and ")
}

// dimensions lists the parts of a match that a request misses, each in words.
func dimensions(m *ir.HTTPMatch, q *plan.Request) []string {
	var out []string
	try := func(part ir.HTTPMatch, text string) {
		if !plan.MatchHTTP(&part, q) {
			out = append(out, text)
		}
	}
	if m.Methods != nil {
		try(ir.HTTPMatch{Methods: m.Methods}, "the method were "+orList(m.Methods))
	}
	if m.Path != nil {
		verb := "the path were "
		switch m.Path.Kind {
		case ir.Prefix:
			verb = "the path were under "
		case ir.Regex:
			verb = "the path matched "
		}
		try(ir.HTTPMatch{Path: m.Path}, verb+m.Path.Value)
	}
	if m.GRPC != nil {
		try(ir.HTTPMatch{GRPC: m.GRPC}, "it were a call of "+strings.TrimSuffix(m.GRPC.Service+"/"+m.GRPC.Method, "/"))
	}
	if m.Hosts != nil {
		try(ir.HTTPMatch{Hosts: m.Hosts}, "the host were "+orList(m.Hosts))
	}
	for i := range m.Headers {
		try(ir.HTTPMatch{Headers: m.Headers[i : i+1]}, "it had header "+keyText(&m.Headers[i]))
	}
	for i := range m.Query {
		try(ir.HTTPMatch{Query: m.Query[i : i+1]}, "it had query parameter "+keyText(&m.Query[i]))
	}
	for i := range m.Claims {
		try(ir.HTTPMatch{Claims: m.Claims[i : i+1]}, "a token of "+m.Claims[i].Provider+" had claim "+keyText(&m.Claims[i]))
	}
	return out
}
