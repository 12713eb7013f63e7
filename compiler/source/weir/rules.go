package weir

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/schemas/v1alpha1"
)

var actions = map[v1alpha1.Action]ir.Action{v1alpha1.ActionDeny: ir.Deny, v1alpha1.ActionAllow: ir.Allow, v1alpha1.ActionPass: ir.Pass}

// rule lowers one rule. An allow in error is left out: what isn't understood opens nothing.
func (l *lowering) rule(s *policyState, d ir.Direction, i int, c *v1alpha1.RuleCommon, peersField string, peers []v1alpha1.Peer) {
	path := fmt.Sprintf("spec.%s[%d]", d, i)
	o := s.object
	r := ir.Rule{Direction: d, Index: i, Name: value(c.Name), Pos: o.at(path), Action: actions[c.Action], Audit: s.policy.Audit || isAudit(c.Mode),
		Log: c.Log, Ports: ports(c)}
	before := len(l.diags)
	r.HTTP = l.http(o, path+".http", c.HTTP)
	for j := range peers {
		r.Peers = append(r.Peers, l.peer(s, fmt.Sprintf("%s.%s[%d]", path, peersField, j), &peers[j]))
	}
	if r.Action == ir.Allow {
		l.authentication(s, path, c, &r)
		if r.Audit && !s.policy.Audit {
			s.auditAllows[d] = true
		} else {
			s.allows[d] = true
		}
		if l.diags[before:].HasErrors() {
			return
		}
		l.expired(&r)
		l.canProve(&r)
	} else {
		l.unlearnt(&r)
	}
	s.policy.Rules = append(s.policy.Rules, r)
}

// authentication fills in Plaintext, Exception and NotAfter of an allow (S18, S28). The schema lets nothing else
// expire.
func (l *lowering) authentication(s *policyState, path string, c *v1alpha1.RuleCommon, r *ir.Rule) {
	own := l.end(s.object, path+".expires", c.Expires)
	r.NotAfter = earliest(s.ends, own)
	s.idleEnd = s.idleEnd && r.NotAfter != s.ends
	if !own.IsZero() && r.NotAfter != own {
		l.diags.Add(diag.Diagnostic{Code: CodeIdleEnd, Severity: diag.Warning, Pos: s.object.at(path + ".expires"),
			Message: "this end never counts: the whole " + s.object.Kind + " ends before, on " + ir.EndText(s.ends), Hint: "take it out, or give it a time before that one",
			Related: []diag.Related{{Pos: s.object.at("spec.expires"), Message: "the end of all its allows"}}})
	}
	if value(c.Authentication) == v1alpha1.AuthenticationNone {
		l.underException(s, path, value(c.Exception), r)
	}
}

// expired says that an allow no longer holds (S28); it stays in the policy, where the node would have ended it too.
func (l *lowering) expired(r *ir.Rule) {
	if r.NotAfter.IsZero() || l.in.Now.Before(r.NotAfter) {
		return
	}
	l.warnAt(CodeExpired, r.Pos, "this allow ended on "+ir.EndText(r.NotAfter), "renew what ended (the rule, its object or its exception), or remove the rule")
}

// unlearnt refuses to deny or pass by a DNS name: nothing has learnt its addresses yet, so that the rule would match nobody
// and let through what it is there to stop. Beside the error it closes all that the name may mean, which is outside the
// cluster (S15).
func (l *lowering) unlearnt(r *ir.Rule) {
	for i := range r.Peers {
		p := &r.Peers[i]
		if p.DNS == "" {
			continue
		}
		message, way := fmt.Sprintf("%s by a name does nothing yet: the addresses of %s are not known", r.Action, p.DNS), "name its addresses as a cidr, or allow what is needed and nothing else"
		if insideCluster(p.DNS) {
			message, way = fmt.Sprintf("%s by %s does nothing: it is a name in the cluster, and a DNS name stands for what is outside", r.Action, p.DNS), insideWay
		}
		l.errorAt(CodeUnlearnt, p.Pos, message, way)
		r.Action, *p = ir.Deny, ir.Peer{Pos: p.Pos, Entity: ir.World}
	}
}

// insideCluster reports whether a name is one that the cluster's own DNS answers: no answer of a name lies in the cluster (S15).
func insideCluster(name string) bool {
	return slices.ContainsFunc([]string{".svc", ".pod", ".cluster.local"}, func(end string) bool { return strings.HasSuffix(name, end) })
}

const insideWay = "name the pods behind it: pods, namespaces or serviceAccounts"

// canProve reports allows that ask for authentication from ends that can't give it (S18).
func (l *lowering) canProve(r *ir.Rule) {
	for i := range r.Peers {
		switch name := r.Peers[i].DNS; {
		case name == "":
		case insideCluster(name):
			l.warnAt(CodeInside, r.Peers[i].Pos, fmt.Sprintf("this peer can never match: %s is a name in the cluster, and a DNS name stands for what is outside", name), insideWay)
		default:
			l.warnAt(CodeDNS, r.Peers[i].Pos, fmt.Sprintf("%s is denied until something learns its addresses", r.Peers[i].DNS), "name a cidr until then")
		}
	}
	if r.Plaintext {
		return
	}
	way := "for plaintext write authentication: \"none\" and exception: NAME"
	tcp := r.Ports == nil
	for _, p := range r.Ports {
		tcp = tcp || p.Space == ir.TCP
	}
	if !tcp {
		l.warnAt(CodeNoProof, r.Pos, "this rule can never match: only TCP between enrolled pods can be authenticated", way)
		return
	}
	for i := range r.Peers {
		p := &r.Peers[i]
		if p.DNS != "" || p.Pods != nil || p.Entity == ir.Cluster || p.CIDR != nil && p.CIDR.MatchPods {
			continue
		}
		l.warnAt(CodeNoProof, p.Pos, "this peer can never match: it has no identity to prove", way)
	}
}
