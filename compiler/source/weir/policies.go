package weir

import (
	"time"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/schemas/v1alpha1"
)

// policyState is what the rules of one object share.
type policyState struct {
	object *NamedObject
	policy *ir.Policy
	ends   time.Time // of the object
	// idleEnd says that ends is set, and ends no allow so far.
	idleEnd bool
	// allows and auditAllows say where rules that allow are enforced, and where one is only watched.
	allows, auditAllows [ir.NumDirections]bool
}

func (l *lowering) meshPolicy(o *NamedObject) {
	var p v1alpha1.MeshPolicy
	if ds := o.Decode(&p); ds.HasErrors() {
		// What can't be read closes its namespace: nothing may open because of a typing error.
		l.diags = append(l.diags, ds...)
		l.out.Policies = append(l.out.Policies, ir.Policy{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, Pos: o.at("metadata.name"), Layer: ir.Mesh,
			Tier: ir.Namespace, Subject: ir.Selector{Namespace: o.Namespace}, Isolate: [ir.NumDirections]bool{true, true}})
		return
	}
	spec := &p.Spec
	out := ir.Policy{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, Pos: o.at("metadata.name"), Layer: ir.Mesh, Tier: ir.Namespace, Audit: isAudit(spec.Mode),
		Subject: ir.Selector{Namespace: o.Namespace, Pods: labels(spec.Subject.MatchLabels, spec.Subject.MatchExpressions),
			ServiceAccounts: accounts(o.Namespace, spec.Subject.ServiceAccounts)}}
	s := &policyState{object: o, policy: &out, ends: l.end(o, "spec.expires", spec.Expires), idleEnd: spec.Expires != nil}
	for i := range spec.Ingress {
		l.rule(s, ir.Ingress, i, &spec.Ingress[i].RuleCommon, "from", spec.Ingress[i].From)
	}
	for i := range spec.Egress {
		l.rule(s, ir.Egress, i, &spec.Egress[i].RuleCommon, "to", spec.Egress[i].To)
	}
	l.idleEnd(s)
	s.isolation(spec.Isolate)
	l.out.Policies = append(l.out.Policies, out)
}

// isolation fills in where the object isolates: where it allows, and where it says so (S11). Rules in audit
// isolate in the audit chain only (S30); an object in audit is absent from the enforced chain as a whole.
func (s *policyState) isolation(says []v1alpha1.Direction) {
	p := s.policy
	p.Isolate = s.allows
	for _, d := range says {
		switch d {
		case v1alpha1.DirectionIngress:
			p.Isolate[ir.Ingress] = true
		case v1alpha1.DirectionEgress:
			p.Isolate[ir.Egress] = true
		}
	}
	for d := range p.AuditIsolate {
		p.AuditIsolate[d] = s.auditAllows[d] && !p.Isolate[d]
	}
}

func (l *lowering) clusterPolicy(o *NamedObject) {
	var p v1alpha1.ClusterMeshPolicy
	out := ir.Policy{Kind: o.Kind, Name: o.Name, Pos: o.at("metadata.name"), Layer: ir.Mesh, Tier: ir.Admin}
	if ds := o.Decode(&p); ds.HasErrors() {
		// It may be about any pod, so it closes all of them.
		l.diags = append(l.diags, ds...)
		out.Rules = []ir.Rule{{Direction: ir.Ingress, Pos: out.Pos, Action: ir.Deny}, {Direction: ir.Egress, Pos: out.Pos, Action: ir.Deny}}
		l.out.Policies = append(l.out.Policies, out)
		return
	}
	spec := &p.Spec
	out.Audit, out.Priority = isAudit(spec.Mode), spec.Priority
	if spec.Tier == v1alpha1.TierBaseline {
		out.Tier = ir.Baseline
	}
	out.Subject = ir.Selector{Namespaces: labelSelector(spec.Subject.Namespaces), Pods: labelSelector(spec.Subject.Pods),
		ServiceAccounts: accounts("", spec.Subject.ServiceAccounts)}
	s := &policyState{object: o, policy: &out, ends: l.end(o, "spec.expires", spec.Expires), idleEnd: spec.Expires != nil}
	for i := range spec.Ingress {
		l.rule(s, ir.Ingress, i, &spec.Ingress[i].RuleCommon, "from", spec.Ingress[i].From)
	}
	for i := range spec.Egress {
		l.rule(s, ir.Egress, i, &spec.Egress[i].RuleCommon, "to", spec.Egress[i].To)
	}
	l.idleEnd(s)
	l.out.Policies = append(l.out.Policies, out)
}

// idleEnd reports an object's end that ends nothing: only allows end (S28).
func (l *lowering) idleEnd(s *policyState) {
	if !s.idleEnd {
		return
	}
	message, hint := "this end never counts: each allow of the object ends before", "take it out, or give it a time before theirs"
	if s.allows == ([ir.NumDirections]bool{}) && s.auditAllows == ([ir.NumDirections]bool{}) {
		message, hint = "this end ends nothing: only allows end, and the object has none", "take it out; what denies holds until it is removed"
	}
	l.warnAt(CodeIdleEnd, s.object.at("spec.expires"), message, hint)
}
