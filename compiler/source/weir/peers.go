package weir

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/schemas/v1alpha1"
)

// peer lowers a peer: a group of pods, a block, a name or an entity, exactly one of them (S15).
func (l *lowering) peer(s *policyState, d ir.Direction, path string, p *v1alpha1.Peer) ir.Peer {
	o := s.object
	out := ir.Peer{Pos: o.at(path)}
	group := p.Pods != nil || p.Namespaces != nil || p.ServiceAccounts != nil || p.SPIFFE != nil
	kinds := 0
	for _, is := range []bool{group, p.CIDR != nil, p.DNS != nil, p.Entity != nil} {
		if is {
			kinds++
		}
	}
	if kinds != 1 {
		l.errorAt(CodeRule, out.Pos, "a peer is one of: pods, namespaces, serviceAccounts and spiffe together; a cidr; a dns name; an entity", "write a peer for each")
		return out
	}
	switch {
	case group:
		out.Pods = l.podGroup(s, path, p)
	case p.CIDR != nil:
		out.CIDR = l.cidr(o, path+".cidr", p.CIDR)
	case p.DNS != nil:
		if out.DNS = *p.DNS; d == ir.Ingress {
			l.errorAt(CodeRule, o.at(path+".dns"), "a dns name is a peer of egress only", "")
		}
	default:
		out.Entity = l.entity(o, d, path+".entity", *p.Entity)
	}
	return out
}

// podGroup is the AND of a peer's selectors. In a namespaced policy pods are those of its own namespace unless a
// namespace selector says otherwise (S15).
func (l *lowering) podGroup(s *policyState, path string, p *v1alpha1.Peer) *ir.Selector {
	o := s.object
	out := &ir.Selector{}
	switch {
	case p.Namespaces != nil:
		out.Namespaces = l.labelSelector(o, path+".namespaces", p.Namespaces)
	case p.Pods != nil:
		out.Namespace = s.policy.Namespace
	}
	if p.Pods != nil {
		out.Pods = l.labelSelector(o, path+".pods", p.Pods)
	}
	l.notEmpty(o, path+".serviceAccounts", p.ServiceAccounts == nil, len(p.ServiceAccounts))
	out.ServiceAccounts = l.accounts(o, path+".serviceAccounts", p.ServiceAccounts)
	l.notEmpty(o, path+".spiffe", p.SPIFFE == nil, len(p.SPIFFE))
	for i, id := range p.SPIFFE {
		if rest, ok := strings.CutPrefix(id, "spiffe://"); !ok || !strings.Contains(rest, "/") || strings.Contains(strings.TrimSuffix(rest, "/*"), "*") {
			l.errorAt(CodeValue, o.at(fmt.Sprintf("%s.spiffe[%d]", path, i)), fmt.Sprintf("%q is no SPIFFE id", id), "write spiffe://trust-domain/path, exact or ending in \"/*\"")
		}
		out.SPIFFE = append(out.SPIFFE, id)
	}
	return out
}

func (l *lowering) accounts(o *NamedObject, path string, refs []string) []ir.NamespacedName {
	var out []ir.NamespacedName
	for i, s := range refs {
		a := accountOf(s, o.Namespace)
		if a.Namespace == "" || a.Name == "" {
			l.errorAt(CodeRule, o.at(fmt.Sprintf("%s[%d]", path, i)), "a service account in a cluster kind is \"namespace/name\"", "")
		}
		out = append(out, a)
	}
	return out
}

func (l *lowering) cidr(o *NamedObject, path string, c *v1alpha1.CIDRPeer) *ir.CIDR {
	out := &ir.CIDR{MatchPods: value(c.MatchPods)}
	p, ok := l.prefix(o, path+".cidr", c.CIDR)
	out.Prefix = p
	l.notEmpty(o, path+".except", c.Except == nil, len(c.Except))
	for i, s := range c.Except {
		at := fmt.Sprintf("%s.except[%d]", path, i)
		e, eok := l.prefix(o, at, s)
		switch {
		case !ok || !eok:
		case e.Addr().Is4() != p.Addr().Is4() || e.Bits() <= p.Bits() || !p.Contains(e.Addr()):
			l.errorAt(CodeRule, o.at(at), fmt.Sprintf("%s does not lie inside %s", s, c.CIDR), "an exception is a smaller block of the same family")
		default:
			out.Except = append(out.Except, e)
		}
	}
	return out
}

func (l *lowering) prefix(o *NamedObject, path, s string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		l.errorAt(CodeValue, o.at(path), fmt.Sprintf("%q is no address block", s), "write it as 10.0.0.0/8 or 2001:db8::/32")
		return netip.Prefix{}, false
	}
	return p.Masked(), true
}

func (l *lowering) entity(o *NamedObject, d ir.Direction, path string, e v1alpha1.Entity) ir.Entity {
	switch e {
	case v1alpha1.EntityWorld:
		return ir.World
	case v1alpha1.EntityCluster:
		return ir.Cluster
	case v1alpha1.EntityHost:
		return ir.Host
	case v1alpha1.EntityKubeAPIServer:
		return ir.KubeAPIServer
	case v1alpha1.EntityOwnNode:
		if d == ir.Egress {
			l.errorAt(CodeRule, o.at(path), "own-node is a peer of ingress only", "write host")
		}
		return ir.OwnNode
	}
	l.errorAt(CodeRule, o.at(path), "entity is world, cluster, host, kube-apiserver or own-node", "")
	return ir.NoEntity
}

func (l *lowering) labelSelector(o *NamedObject, path string, s *v1alpha1.LabelSelector) ir.LabelSelector {
	return l.labels(o, path, s.MatchLabels, s.MatchExpressions)
}

func (l *lowering) labels(o *NamedObject, path string, match map[string]string, expressions []v1alpha1.LabelRequirement) ir.LabelSelector {
	var out ir.LabelSelector
	for _, k := range slices.Sorted(maps.Keys(match)) {
		out = append(out, ir.Requirement{Key: k, Op: ir.In, Values: []string{match[k]}})
	}
	l.notEmpty(o, path+".matchExpressions", expressions == nil, len(expressions))
	for i := range expressions {
		out = append(out, l.requirement(o, fmt.Sprintf("%s.matchExpressions[%d]", path, i), &expressions[i]))
	}
	return out
}

func (l *lowering) requirement(o *NamedObject, path string, e *v1alpha1.LabelRequirement) ir.Requirement {
	out := ir.Requirement{Key: e.Key, Values: slices.Compact(slices.Sorted(slices.Values(e.Values)))}
	takesValues := false
	switch e.Operator {
	case v1alpha1.LabelOperatorIn:
		out.Op, takesValues = ir.In, true
	case v1alpha1.LabelOperatorNotIn:
		out.Op, takesValues = ir.NotIn, true
	case v1alpha1.LabelOperatorExists:
		out.Op = ir.Exists
	case v1alpha1.LabelOperatorDoesNotExist:
		out.Op = ir.DoesNotExist
	default:
		l.errorAt(CodeRule, o.at(path+".operator"), "operator is In, NotIn, Exists or DoesNotExist", "")
		return out
	}
	switch {
	case e.Key == "":
		l.errorAt(CodeRule, o.at(path), "a condition needs a key", "")
	case takesValues && len(e.Values) == 0:
		l.errorAt(CodeRule, o.at(path), "In and NotIn need values", "")
	case !takesValues && e.Values != nil:
		l.errorAt(CodeRule, o.at(path+".values"), "Exists and DoesNotExist take no values", "")
	}
	return out
}
