package weir

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/source/manifest"
	"github.com/weir-mesh/weir/schemas/v1alpha1"
)

var entities = map[v1alpha1.Entity]ir.Entity{
	v1alpha1.EntityWorld: ir.World, v1alpha1.EntityCluster: ir.Cluster, v1alpha1.EntityHost: ir.Host,
	v1alpha1.EntityKubeAPIServer: ir.KubeAPIServer, v1alpha1.EntityOwnNode: ir.OwnNode,
}

// peer lowers a peer: a group of pods, a block, a name or an entity (S15).
func (l *lowering) peer(s *policyState, path string, p *v1alpha1.Peer) ir.Peer {
	out := ir.Peer{Pos: s.object.at(path)}
	switch {
	case p.CIDR != nil:
		out.CIDR = l.cidr(s.object, path+".cidr", p.CIDR)
	case p.DNS != nil:
		out.DNS = *p.DNS
	case p.Entity != nil:
		out.Entity = entities[*p.Entity]
	default:
		out.Pods = podGroup(s.policy.Namespace, p)
	}
	return out
}

// podGroup is the AND of a peer's selectors. In a namespaced policy pods are those of its own namespace unless a
// namespace selector says otherwise (S15).
func podGroup(namespace string, p *v1alpha1.Peer) *ir.Selector {
	out := &ir.Selector{Namespaces: labelSelector(p.Namespaces), Pods: labelSelector(p.Pods), ServiceAccounts: accounts(namespace, p.ServiceAccounts), SPIFFE: p.SPIFFE}
	if p.Pods != nil && p.Namespaces == nil {
		out.Namespace = namespace
	}
	return out
}

// accounts reads "namespace/name", or "name" for the policy's own namespace.
func accounts(namespace string, refs []string) []ir.NamespacedName {
	var out []ir.NamespacedName
	for _, s := range refs {
		out = append(out, accountOf(s, namespace))
	}
	return out
}

func (l *lowering) cidr(o *NamedObject, path string, c *v1alpha1.CIDRPeer) *ir.CIDR {
	out := &ir.CIDR{Prefix: l.prefix(o, path+".cidr", c.CIDR), MatchPods: value(c.MatchPods)}
	for i, s := range c.Except {
		at := fmt.Sprintf("%s.except[%d]", path, i)
		e := l.prefix(o, at, s)
		if e.Addr().Is4() != out.Prefix.Addr().Is4() || e.Bits() <= out.Prefix.Bits() || !out.Prefix.Contains(e.Addr()) {
			l.errorAt(CodeRule, o.at(at), fmt.Sprintf("%s does not lie inside %s", s, c.CIDR), "an exception is a smaller block of the same family")
		}
		out.Except = append(out.Except, e)
	}
	return out
}

func (l *lowering) prefix(o *NamedObject, path, s string) netip.Prefix {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		l.errorAt(CodeValue, o.at(path), fmt.Sprintf("%q is no address block", s), "write it as 10.0.0.0/8 or 2001:db8::/32")
		return p
	}
	l.diags = append(l.diags, manifest.CheckBlock(o.at(path), p)...)
	return p.Masked()
}

// labelSelector lowers a label selector; an absent one selects all, as an empty one does.
func labelSelector(s *v1alpha1.LabelSelector) ir.LabelSelector {
	if s == nil {
		return nil
	}
	return labels(s.MatchLabels, s.MatchExpressions)
}

var operators = map[v1alpha1.LabelOperator]ir.Op{
	v1alpha1.LabelOperatorIn: ir.In, v1alpha1.LabelOperatorNotIn: ir.NotIn, v1alpha1.LabelOperatorExists: ir.Exists, v1alpha1.LabelOperatorDoesNotExist: ir.DoesNotExist,
}

func labels(match map[string]string, expressions []v1alpha1.LabelRequirement) ir.LabelSelector {
	var out ir.LabelSelector
	for _, k := range slices.Sorted(maps.Keys(match)) {
		out = append(out, ir.Requirement{Key: k, Op: ir.In, Values: []string{match[k]}})
	}
	for _, e := range expressions {
		out = append(out, ir.Requirement{Key: e.Key, Op: operators[e.Operator], Values: slices.Compact(slices.Sorted(slices.Values(e.Values)))})
	}
	return out
}
