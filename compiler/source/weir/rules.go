package weir

import (
	"fmt"
	"time"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/schemas/v1alpha1"
)

// rule lowers one rule. A rule in error is left out when it allows: what isn't understood opens nothing. One that
// denies stays, as wide as what of it was understood.
func (l *lowering) rule(s *policyState, d ir.Direction, i int, c *v1alpha1.RuleCommon, peers []v1alpha1.Peer) {
	path := fmt.Sprintf("spec.%s[%d]", d, i)
	o := s.object
	r := ir.Rule{Direction: d, Index: i, Name: value(c.Name), Pos: o.at(path), Audit: s.policy.Audit || isAudit(c.Mode), Log: c.Log}
	errorsBefore := l.diags.Count(diag.Error)
	r.Action = l.action(s, path, c.Action)
	r.Ports = l.ports(o, path, c)
	r.HTTP = l.http(o, path+".http", c.HTTP)
	peersField := path + map[ir.Direction]string{ir.Ingress: ".from", ir.Egress: ".to"}[d]
	l.notEmpty(o, peersField, peers == nil, len(peers))
	for j := range peers {
		r.Peers = append(r.Peers, l.peer(s, d, fmt.Sprintf("%s[%d]", peersField, j), &peers[j]))
	}
	l.authentication(s, path, c, &r)
	if r.Action == ir.Allow {
		if r.Audit && !s.policy.Audit {
			s.auditAllows[d] = true
		} else {
			s.allows[d] = true
		}
		if l.diags.Count(diag.Error) > errorsBefore {
			return
		}
		l.expired(s, path, &r)
		l.canProve(s, path, &r)
	}
	s.policy.Rules = append(s.policy.Rules, r)
}

func (l *lowering) action(s *policyState, path string, a v1alpha1.Action) ir.Action {
	switch a {
	case v1alpha1.ActionAllow:
		return ir.Allow
	case v1alpha1.ActionDeny:
		return ir.Deny
	case v1alpha1.ActionPass:
		if s.policy.Tier != ir.Admin {
			l.errorAt(CodeRule, s.object.at(path+".action"), "pass is an action of the admin tier only", "")
			return ir.Deny
		}
		return ir.Pass
	}
	l.errorAt(CodeRule, s.object.at(path+".action"), "action is allow, deny or pass", "")
	return ir.Deny
}

// authentication fills in Plaintext, Exception and NotAfter (S18, S28).
func (l *lowering) authentication(s *policyState, path string, c *v1alpha1.RuleCommon, r *ir.Rule) {
	o := s.object
	if r.Action != ir.Allow {
		if c.Expires != nil {
			l.errorAt(CodeRule, o.at(path+".expires"), "only an allow may expire", "a deny that ends would open (S28): remove it when it is no longer wanted")
		}
		if c.Authentication != nil {
			l.errorAt(CodeRule, o.at(path+".authentication"), "authentication belongs to an allow", "")
		}
		return
	}
	r.NotAfter = earliest(s.ends, l.end(o, path+".expires", c.Expires))
	none := false
	if c.Authentication != nil {
		switch *c.Authentication {
		case v1alpha1.AuthenticationRequired:
		case v1alpha1.AuthenticationNone:
			none = true
		default:
			l.errorAt(CodeRule, o.at(path+".authentication"), "authentication is required or none", "")
		}
	}
	switch {
	case !none && c.Exception != nil:
		l.errorAt(CodeRule, o.at(path+".exception"), "exception goes with authentication none", "")
	case none && c.Exception == nil:
		l.errorAt(CodeException, o.at(path+".authentication"), "authentication none needs an exception from the register", "write exception: NAME, and a MeshException of that name")
	case none:
		l.underException(s, path, *c.Exception, r)
	}
}

// underException permits plaintext if the register has the exception and it covers the rule. An exception that has
// ended closes the rule by its end.
func (l *lowering) underException(s *policyState, path, name string, r *ir.Rule) {
	pos := s.object.at(path + ".exception")
	i, ok := l.exceptions[name]
	if !ok {
		l.errorAt(CodeException, pos, fmt.Sprintf("the register has no exception %q", name), "write a MeshException of that name, or correct the name")
		return
	}
	e := &l.out.Exceptions[i]
	if !covers(e.Covers, s.policy, r.Name) {
		l.diags.Add(diag.Diagnostic{Code: CodeException, Severity: diag.Error, Pos: pos, Message: fmt.Sprintf("the exception %q does not cover this rule", name),
			Hint: "add the policy to its covers, or use an exception that was approved for it", Related: []diag.Related{{Pos: e.Pos, Message: "the exception"}}})
		return
	}
	r.Plaintext, r.Exception = true, name
	r.NotAfter = earliest(r.NotAfter, e.Expires)
	e.UsedBy = append(e.UsedBy, s.policy.Object()+" "+path)
}

func covers(cs []v1alpha1.Coverage, p *ir.Policy, rule string) bool {
	is := func(want *string, have string) bool { return want == nil || *want == have }
	for _, c := range cs {
		kind := c.Kind == nil || string(*c.Kind) == p.Kind
		if kind && is(c.Namespace, p.Namespace) && is(c.Policy, p.Name) && is(c.Rule, rule) {
			return true
		}
	}
	return false
}

// expired says that an allow no longer holds (S28); it stays in the policy, where the node would have ended it too.
func (l *lowering) expired(s *policyState, path string, r *ir.Rule) {
	if r.NotAfter.IsZero() || l.in.Now.Before(r.NotAfter) {
		return
	}
	l.warnAt(CodeExpired, r.Pos, "this allow ended on "+r.NotAfter.Format(time.RFC3339), "renew what ended (the rule, its object or its exception), or remove the rule")
}

// canProve reports allows that ask for authentication from ends that can't give it (S18).
func (l *lowering) canProve(s *policyState, path string, r *ir.Rule) {
	for i := range r.Peers {
		if r.Peers[i].DNS != "" {
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
