package oracle

import (
	"net/netip"
	"strings"

	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
)

// question is one side's view of a flow.
type question struct {
	w         *world
	direction ir.Direction
	subject   *inventory.Pod
	peer      party
	// destination is whichever of the two is the flow's destination.
	destination party
	space       ir.Space
	number      uint16
	// audit asks the chain in which audit objects and rules are enforced (S30).
	audit bool
	// holds answers for the conditions of a layer-7 rule.
	holds func(*ir.Rule) bool
}

// selects evaluates a selector: all that is set must hold (S15).
func (w *world) selects(s *ir.Selector, p *inventory.Pod) bool {
	if p.HostNetwork {
		return false // S1: it is no endpoint
	}
	if s.Namespace != "" && s.Namespace != p.Namespace {
		return false
	}
	if !labelsMatch(s.Namespaces, w.namespaceLabels(p.Namespace)) || !labelsMatch(s.Pods, p.Labels) {
		return false
	}
	if s.EnrolledOnly && !w.enrolled(p) {
		return false
	}
	if s.ServiceAccounts != nil {
		found := false
		for _, a := range s.ServiceAccounts {
			if a.Namespace == p.Namespace && a.Name == p.ServiceAccount {
				found = true
			}
		}
		if !found {
			return false
		}
	}
	if s.SPIFFE != nil {
		found := false
		for _, pattern := range s.SPIFFE {
			if spiffeMatches(pattern, w.spiffe(p)) {
				found = true
			}
		}
		if !found {
			return false
		}
	}
	return true
}

// spiffeMatches compares an id with an exact one or a pattern with a trailing "/*" (S15).
func spiffeMatches(pattern, id string) bool {
	if id == "" {
		return false // S18: no SVID
	}
	if strings.HasSuffix(pattern, "/*") {
		start := pattern[:len(pattern)-1]
		return len(id) > len(start) && id[:len(start)] == start
	}
	return pattern == id
}

func (w *world) namespaceLabels(name string) map[string]string {
	for i := range w.inv.Namespaces {
		if w.inv.Namespaces[i].Name == name {
			return w.inv.Namespaces[i].Labels
		}
	}
	return nil
}

// labelsMatch evaluates a label selector as Kubernetes does.
func labelsMatch(s ir.LabelSelector, labels map[string]string) bool {
	for _, r := range s {
		value, present := labels[r.Key]
		listed := false
		for _, v := range r.Values {
			if present && v == value {
				listed = true
			}
		}
		ok := false
		switch r.Op {
		case ir.In:
			ok = listed
		case ir.NotIn:
			ok = !listed
		case ir.Exists:
			ok = present
		case ir.DoesNotExist:
			ok = !present
		}
		if !ok {
			return false
		}
	}
	return true
}

// reaches says whether a rule is about this flow, its layer-7 conditions aside.
func (q *question) reaches(p *ir.Policy, r *ir.Rule) bool {
	if r.Direction != q.direction {
		return false
	}
	if !q.audit && (p.Audit || r.Audit) {
		return false // S30: rules in audit are absent from the enforced chain
	}
	if r.Action == ir.Allow && !r.NotAfter.IsZero() && !q.w.now.Before(r.NotAfter) {
		return false // S28: an allow may expire; a deny may not
	}
	if p.Layer == ir.Mesh && r.Action == ir.Allow && !r.Plaintext && !q.provable() {
		return false // S18, R1: it can never match
	}
	if r.HTTP != nil && q.space != ir.TCP {
		return false // S13: http and grpc imply TCP
	}
	return q.fromPeers(r) && q.onPorts(r)
}

// matches adds the layer-7 conditions.
func (q *question) matches(p *ir.Policy, r *ir.Rule) bool {
	return q.reaches(p, r) && (r.HTTP == nil || q.holds(r))
}

// provable says whether both ends can prove who they are: TCP between two enrolled endpoints (S18).
func (q *question) provable() bool {
	return q.space == ir.TCP && q.w.enrolled(q.subject) && q.peer.kind == pod && q.w.enrolled(q.peer.pod)
}

// fromPeers says whether one of the rule's peers matches; no list means any (S14, S15: peers are OR).
func (q *question) fromPeers(r *ir.Rule) bool {
	if r.Peers == nil {
		return true
	}
	for i := range r.Peers {
		if q.isPeer(&r.Peers[i]) {
			return true
		}
	}
	return false
}

func (q *question) isPeer(p *ir.Peer) bool {
	switch {
	case p.Pods != nil:
		return q.peer.kind == pod && q.w.selects(p.Pods, q.peer.pod)
	case p.CIDR != nil:
		return q.inCIDR(p.CIDR)
	case p.DNS != "":
		return false // S15: nothing has learnt addresses yet: names are denied
	default:
		return q.isEntity(p.Entity)
	}
}

// inCIDR: a CIDR matches only the world; with matchPods also pods and nodes (S3). The address decides, its family
// included: 0.0.0.0/0 says nothing about IPv6.
func (q *question) inCIDR(c *ir.CIDR) bool {
	switch q.peer.kind {
	case outside:
	case pod, host, ownNode, viaNode:
		if !c.MatchPods {
			return false
		}
	default:
		return false
	}
	return cidrHolds(c, q.peer.addr)
}

func cidrHolds(c *ir.CIDR, a netip.Addr) bool {
	if !a.IsValid() || !c.Prefix.Contains(a) {
		return false
	}
	for _, e := range c.Except {
		if e.Contains(a) {
			return false
		}
	}
	return true
}

// isEntity evaluates the entities of S5.
func (q *question) isEntity(e ir.Entity) bool {
	k := q.peer.kind
	switch e {
	case ir.World:
		return k == outside || k == viaNode // a forwarded packet with the node's address is world
	case ir.Cluster:
		return k == pod || k == host || k == ownNode // any pod or node
	case ir.Host:
		return k == host || k == ownNode // any node
	case ir.OwnNode:
		return k == ownNode
	case ir.KubeAPIServer:
		return (k == host || k == ownNode || k == outside) && q.w.isAPIServer(q.peer.addr)
	}
	return false
}

// onPorts says whether one of the rule's ports matches; no list means every IP protocol (S13, S14).
func (q *question) onPorts(r *ir.Rule) bool {
	if r.Ports == nil {
		return true
	}
	for _, p := range r.Ports {
		if p.Space != q.space {
			continue // S13: a port names its protocol
		}
		if p.Name == "" {
			if p.First <= q.number && q.number <= p.Last {
				return true
			}
			continue
		}
		if q.destination.kind != pod {
			continue
		}
		for _, n := range q.destination.pod.Ports { // S13: name and protocol must both match on the destination
			if n.Name == p.Name && n.Space == p.Space && n.Number == q.number {
				return true
			}
		}
	}
	return false
}
