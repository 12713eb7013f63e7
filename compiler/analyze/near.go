package analyze

import (
	"slices"
	"strings"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// near lists the allows that miss a denied flow in one way only, the likeliest to be meant first.
func (x *Explainer) near(v *view, q Question, missed []plan.RuleIndex) []Near {
	type candidate struct {
		rule plan.RuleIndex
		miss miss
	}
	order := []miss{missRequest, missPort, missProof, missEnded, missAudit, missPeer}
	var found []candidate
	for _, i := range missed {
		r := &x.plan.Rules[i]
		if m := v.misses(i); r.Action == ir.Allow && slices.Contains(order, m) && x.likely(v, q, r, m) {
			found = append(found, candidate{i, m})
		}
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return slices.Index(order, a.miss) - slices.Index(order, b.miss) })
	var out []Near
	for _, c := range found[:min(len(found), maxNear)] {
		if text := x.missText(v, q, c.rule, c.miss); text != "" {
			out = append(out, Near{Rule: x.places.rule(c.rule), Text: text})
		}
	}
	return out
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
		return "allowed it until " + r.Source.NotAfter.UTC().Format("2006-01-02 15:04 MST")
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
