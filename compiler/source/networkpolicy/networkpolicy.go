// Package networkpolicy lowers Kubernetes NetworkPolicy to the internal model. What a field means is the text of
// networking.k8s.io/v1 and, for what is accepted, the API server's own validation.
package networkpolicy

import (
	"encoding/json"
	"fmt"

	netv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/source/manifest"
)

// The findings of this package.
const (
	CodePort     diag.Code = "WEIR1007"
	CodeInvalid  diag.Code = "WEIR1037"
	CodeSelector diag.Code = "WEIR1038"
	CodeIdle     diag.Code = "WEIR2103"
)

// Is reports whether the object is a NetworkPolicy.
func Is(o *manifest.Object) bool {
	return o.Kind == "NetworkPolicy" && o.Group() == "networking.k8s.io"
}

// Lower makes the policy of an object. An object that names no namespace is in defaultNamespace. Where the findings
// hold an error the policy isolates in both directions and allows nothing, so that a plan made of it opens nothing.
func Lower(o *manifest.Object, defaultNamespace string) (ir.Policy, diag.List) {
	names := o.CheckNames()
	for i := range names {
		if names[i].Pos.Path == o.NamePath() {
			names[i].Severity = diag.Warning // no meaning hangs on it, and nothing is named after it
			names[i].Hint = "the API server will refuse it: " + names[i].Hint
		}
	}
	placed := *o
	placed.Namespace = o.NamespaceOr(defaultNamespace)
	o = &placed
	l := lowering{object: o, policy: ir.Policy{Kind: "NetworkPolicy", Namespace: o.Namespace, Name: o.Name, Pos: o.Pos("metadata.name"),
		Layer: ir.Orchestrator, Tier: ir.Namespace, Subject: ir.Selector{Namespace: o.Namespace}}}
	// Clusters before 1.28 wrote a status that the type no longer has.
	var np struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        metav1.ObjectMeta       `json:"metadata"`
		Spec            netv1.NetworkPolicySpec `json:"spec"`
		Status          json.RawMessage         `json:"status"`
	}
	if l.diags = o.DecodeStrict(&np); o.APIVersion != netv1.SchemeGroupVersion.String() {
		l.invalid("apiVersion", o.APIVersion+" is not a version of NetworkPolicy", "use networking.k8s.io/v1")
	}
	l.diags = append(l.diags, names...)
	if !l.diags.HasErrors() {
		l.spec(&np.Spec)
	}
	if l.diags.HasErrors() {
		l.policy.Rules, l.policy.Isolate = nil, [ir.NumDirections]bool{true, true}
	}
	return l.policy, l.diags
}

// lowering holds one object's state.
type lowering struct {
	object *manifest.Object
	policy ir.Policy
	diags  diag.List
	// typesUnknown says that policyTypes is in error: what it leaves out is not known.
	typesUnknown bool
}

func (l *lowering) errorAt(code diag.Code, path, message, hint string) {
	l.diags.Add(diag.Diagnostic{Code: code, Severity: diag.Error, Pos: l.object.Pos(path), Message: message, Hint: hint})
}

func (l *lowering) invalid(path, message, hint string) { l.errorAt(CodeInvalid, path, message, hint) }

func (l *lowering) spec(s *netv1.NetworkPolicySpec) {
	l.policy.Subject.Pods = l.selector("spec.podSelector", &s.PodSelector)
	l.isolation(s)
	for i := range s.Ingress {
		r := &s.Ingress[i]
		l.rule(ir.Ingress, i, "spec.ingress", "from", r.From, r.Ports)
	}
	for i := range s.Egress {
		r := &s.Egress[i]
		l.rule(ir.Egress, i, "spec.egress", "to", r.To, r.Ports)
	}
	l.localNode(len(s.Ingress))
}

// localNode allows what NetworkPolicySpec.ingress allows beside the rules: "traffic is allowed to a pod if there are no
// NetworkPolicies selecting the pod […], OR if the traffic source is the pod's local node". Probes come from there. Of
// egress the API says no such thing.
func (l *lowering) localNode(index int) {
	if l.policy.Isolate[ir.Ingress] {
		l.policy.Rules = append(l.policy.Rules, ir.Rule{Direction: ir.Ingress, Index: index, Pos: l.policy.Pos, Action: ir.Allow, Implied: true,
			Peers: []ir.Peer{{Entity: ir.OwnNode, Pos: l.policy.Pos}}})
	}
}

// isolation follows policyTypes: "If this field is not specified, it will default based on the existence of ingress
// or egress rules; policies that contain an egress section are assumed to affect egress, and all policies (whether
// or not they contain an ingress section) are assumed to affect ingress." The API server takes an empty egress
// list for no section.
func (l *lowering) isolation(s *netv1.NetworkPolicySpec) {
	iso := &l.policy.Isolate
	if len(s.PolicyTypes) == 0 {
		iso[ir.Ingress], iso[ir.Egress] = true, len(s.Egress) > 0
		return
	}
	if len(s.PolicyTypes) > 2 { // as the API server's validation has it, whatever they are
		l.invalid("spec.policyTypes", fmt.Sprintf("%d policy types, and there may be two", len(s.PolicyTypes)), "write Ingress and Egress once")
	}
	for i, t := range s.PolicyTypes {
		switch t {
		case netv1.PolicyTypeIngress:
			iso[ir.Ingress] = true
		case netv1.PolicyTypeEgress:
			iso[ir.Egress] = true
		default:
			l.typesUnknown = true
			l.invalid(fmt.Sprintf("spec.policyTypes[%d]", i), fmt.Sprintf("%q is no policy type", t), "write Ingress or Egress")
		}
	}
}

func (l *lowering) rule(d ir.Direction, i int, list, peersField string, peers []netv1.NetworkPolicyPeer, ports []netv1.NetworkPolicyPort) {
	path := fmt.Sprintf("%s[%d]", list, i)
	r := ir.Rule{Direction: d, Index: i, Pos: l.object.Pos(path), Action: ir.Allow}
	// "If this field is empty or missing, this rule matches all sources": nil in the internal model, too.
	for j := range peers {
		r.Peers = append(r.Peers, l.peer(fmt.Sprintf("%s.%s[%d]", path, peersField, j), &peers[j]))
	}
	for j := range ports {
		r.Ports = append(r.Ports, l.port(fmt.Sprintf("%s.ports[%d]", path, j), &ports[j]))
	}
	if !l.policy.Isolate[d] {
		if l.typesUnknown {
			return
		}
		// The rules of a direction that policyTypes leaves out do nothing.
		l.diags.Add(diag.Diagnostic{Code: CodeIdle, Severity: diag.Warning, Pos: r.Pos,
			Message: fmt.Sprintf("this rule does nothing: policyTypes leaves %s out", d),
			Hint:    "add the direction to policyTypes, or remove the rule"})
		return
	}
	l.policy.Rules = append(l.policy.Rules, r)
}
