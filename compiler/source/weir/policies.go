package weir

import (
	"fmt"
	"time"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/schemas/v1alpha1"
)

// policyState is what the rules of one object share.
type policyState struct {
	object *NamedObject
	policy *ir.Policy
	ends   time.Time // of the object
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
	out := ir.Policy{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, Pos: o.at("metadata.name"), Layer: ir.Mesh, Tier: ir.Namespace, Audit: isAudit(spec.Mode)}
	out.Subject = ir.Selector{Namespace: o.Namespace, Pods: l.labels(o, "spec.subject", spec.Subject.MatchLabels, spec.Subject.MatchExpressions)}
	for _, sa := range spec.Subject.ServiceAccounts {
		out.Subject.ServiceAccounts = append(out.Subject.ServiceAccounts, ir.NamespacedName{Namespace: o.Namespace, Name: sa})
	}
	l.notEmpty(o, "spec.subject.serviceAccounts", spec.Subject.ServiceAccounts == nil, len(spec.Subject.ServiceAccounts))
	s := &policyState{object: o, policy: &out, ends: l.end(o, "spec.expires", spec.Expires)}
	l.notEmpty(o, "spec.ingress", spec.Ingress == nil, len(spec.Ingress))
	l.notEmpty(o, "spec.egress", spec.Egress == nil, len(spec.Egress))
	for i := range spec.Ingress {
		l.rule(s, ir.Ingress, i, &spec.Ingress[i].RuleCommon, spec.Ingress[i].From)
	}
	for i := range spec.Egress {
		l.rule(s, ir.Egress, i, &spec.Egress[i].RuleCommon, spec.Egress[i].To)
	}
	if spec.Ingress == nil && spec.Egress == nil && spec.Isolate == nil {
		l.errorAt(CodeRule, o.at("spec"), "a policy needs ingress, egress or isolate", "")
	}
	l.isolation(s, spec.Isolate)
	l.out.Policies = append(l.out.Policies, out)
}

// isolation fills in where the object isolates: where it allows, and where it says so (S11). Rules in audit
// isolate in the audit chain only (S30); an object in audit is absent from the enforced chain as a whole.
func (l *lowering) isolation(s *policyState, says []v1alpha1.Direction) {
	p := s.policy
	p.Isolate, p.AuditIsolate = s.allows, s.auditAllows
	if p.Audit {
		for d := range p.Isolate {
			p.Isolate[d] = p.Isolate[d] || p.AuditIsolate[d]
		}
	}
	l.notEmpty(s.object, "spec.isolate", says == nil, len(says))
	for i, d := range says {
		switch d {
		case v1alpha1.DirectionIngress:
			p.Isolate[ir.Ingress] = true
		case v1alpha1.DirectionEgress:
			p.Isolate[ir.Egress] = true
		default:
			l.errorAt(CodeRule, s.object.at(fmt.Sprintf("spec.isolate[%d]", i)), "a direction is ingress or egress", "")
		}
	}
	for d := range p.AuditIsolate {
		p.AuditIsolate[d] = p.AuditIsolate[d] && !p.Isolate[d]
	}
}

func (l *lowering) clusterPolicy(o *NamedObject) {
	var p v1alpha1.ClusterMeshPolicy
	out := ir.Policy{Kind: o.Kind, Name: o.Name, Pos: o.at("metadata.name"), Layer: ir.Mesh, Tier: ir.Admin}
	if o.Namespace != "" {
		l.errorAt(CodeRule, o.at("metadata.namespace"), "a ClusterMeshPolicy has no namespace", "leave it out, or write a MeshPolicy")
	}
	if ds := o.Decode(&p); ds.HasErrors() {
		// It may be about any pod, so it closes all of them.
		l.diags = append(l.diags, ds...)
		out.Rules = []ir.Rule{{Direction: ir.Ingress, Pos: out.Pos, Action: ir.Deny}, {Direction: ir.Egress, Pos: out.Pos, Action: ir.Deny}}
		l.out.Policies = append(l.out.Policies, out)
		return
	}
	spec := &p.Spec
	out.Audit = isAudit(spec.Mode)
	switch spec.Tier {
	case v1alpha1.TierAdmin:
	case v1alpha1.TierBaseline:
		out.Tier = ir.Baseline
	default:
		l.errorAt(CodeRule, o.at("spec.tier"), "tier is admin or baseline", "")
	}
	if out.Priority = spec.Priority; spec.Priority < 0 || spec.Priority > 1000 {
		l.errorAt(CodeValue, o.at("spec.priority"), "a priority is 0 to 1000", "")
	}
	out.Subject = l.clusterSubject(o, &spec.Subject)
	l.notEmpty(o, "spec.ingress", spec.Ingress == nil, len(spec.Ingress))
	l.notEmpty(o, "spec.egress", spec.Egress == nil, len(spec.Egress))
	s := &policyState{object: o, policy: &out, ends: l.end(o, "spec.expires", spec.Expires)}
	for i := range spec.Ingress {
		l.rule(s, ir.Ingress, i, &spec.Ingress[i].RuleCommon, spec.Ingress[i].From)
	}
	for i := range spec.Egress {
		l.rule(s, ir.Egress, i, &spec.Egress[i].RuleCommon, spec.Egress[i].To)
	}
	l.out.Policies = append(l.out.Policies, out)
}

func (l *lowering) clusterSubject(o *NamedObject, s *v1alpha1.ClusterSubject) ir.Selector {
	var out ir.Selector
	if s.Namespaces != nil {
		out.Namespaces = l.labelSelector(o, "spec.subject.namespaces", s.Namespaces)
	}
	if s.Pods != nil {
		out.Pods = l.labelSelector(o, "spec.subject.pods", s.Pods)
	}
	l.notEmpty(o, "spec.subject.serviceAccounts", s.ServiceAccounts == nil, len(s.ServiceAccounts))
	out.ServiceAccounts = l.accounts(o, "spec.subject.serviceAccounts", s.ServiceAccounts)
	return out
}

// notEmpty holds that an empty list is an error (S14).
func (l *lowering) notEmpty(o *NamedObject, path string, absent bool, n int) {
	if !absent && n == 0 {
		l.errorAt(CodeRule, o.at(path), path[lastStep(path):]+" is empty", "leave the field out for any, or write what you mean")
	}
}

func lastStep(path string) int {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '.' {
			return i + 1
		}
	}
	return 0
}
