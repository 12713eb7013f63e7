package analyze

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/resolve"
)

// CodeNowhere says that no address of an entity is known (S5).
const CodeNowhere diag.Code = "WEIR2023"

// failsOpen ends a sentence about what a rule does not match: an allow loses no more than what it would allow, but what a
// deny would stop is left to the rules after it.
func failsOpen(a ir.Action) string {
	switch a {
	case ir.Deny:
		return "; this deny fails open"
	case ir.Pass:
		return "; this pass passes nothing on, and the rules after it decide"
	default:
		return ""
	}
}

// noneDenied ends a sentence about a policy that selects no pod.
func (l *linter) noneDenied(i plan.PolicyIndex) string {
	if slices.ContainsFunc(l.rules[i], func(r plan.RuleIndex) bool { return l.plan.Rules[r].Action == ir.Deny }) {
		return "; its denies fail open"
	}
	return ""
}

// emptyPeers reports each peer that matches nothing, or less than it says. It returns whether all match nothing.
func (l *linter) emptyPeers(r *plan.Rule, p *plan.Policy) bool {
	some := r.Source.Peers == nil
	for i := range r.Source.Peers {
		switch peer := &r.Source.Peers[i]; {
		case peer.CIDR != nil:
			some = l.cidr(r, p, peer) || some
		case peer.Entity != ir.NoEntity:
			some = l.somewhere(r, peer) || some
		// Where the rule has only this peer, the plan's set of its peers tells.
		case peer.Pods != nil && (len(r.Source.Peers) > 1 || l.none(r)) && !l.anyPod(peer.Pods):
			what, hint := l.noPod(peer.Pods)
			l.add(CodeNoPeer, l.emptiness(p), orPos(peer.Pos, r.Pos), what+failsOpen(r.Action), hint)
		case peer.Pods != nil:
			some = true
			l.peerOnNodesNetwork(r, peer)
		}
	}
	return !some
}

func (l *linter) anyPod(s *ir.Selector) bool {
	for i := range l.plan.Peers {
		if l.plan.Peers[i].Kind == plan.PodPeer && resolve.Selects(s, &l.plan.Peers[i]) {
			return true
		}
	}
	return false
}

// noPod says in words that a selector selects nobody, and what may be wrong with it.
func (l *linter) noPod(s *ir.Selector) (what, hint string) {
	what = "there is no pod" + strings.TrimPrefix(selectorText(s), "every pod")
	if len(s.Pods) > 0 {
		what = "no pod is " + strings.TrimPrefix(selectorText(s), "pods ")
	}
	ours := func(id string) bool { return strings.HasPrefix(id, "spiffe://"+l.plan.TrustDomain+"/") }
	switch {
	case s.SPIFFE != nil && l.plan.TrustDomain == "":
		return what, "only enrolled pods have an identity, and without a MeshConfig none is enrolled"
	case s.SPIFFE != nil && !slices.ContainsFunc(s.SPIFFE, ours):
		return what, "the mesh's trust domain is " + l.plan.TrustDomain + ", and no pod has an identity of another"
	case s.SPIFFE != nil:
		return what, "no enrolled pod that was read has this identity: spiffe://" + l.plan.TrustDomain + "/ns/NAMESPACE/sa/ACCOUNT"
	}
	if hosted := l.onNodesNetwork(s); hosted != "" {
		return what, "that is only " + hosted + ", " + isItsNode + ": " + nameTheNode
	}
	return what, "nothing that was read has these labels, namespace or account"
}

// known is what was read of where the entities are.
type known struct {
	apiServer, host bool
	// ownNode tells by subject.
	ownNode []bool
}

// entities finds what is known of where they are. Of nodes nothing need be where no pod has one yet, before a merge.
func entities(p *plan.Plan) *known {
	k := &known{ownNode: make([]bool, len(p.Subjects)), apiServer: slices.ContainsFunc(p.Peers, func(p plan.Peer) bool { return p.APIServer })}
	nodes := map[string]bool{"": true}
	for i := range p.Nodes {
		nodes[p.Nodes[i].Name] = len(p.Nodes[i].Addrs) > 0
		k.host = k.host || len(p.Nodes[i].Addrs) > 0
	}
	for i := range p.Endpoints {
		e := &p.Endpoints[i]
		k.host = k.host || nodes[e.Node] || e.HostNetwork && len(e.Addrs) > 0
		if s := p.Peers[e.Peers[0]].Subject; s >= 0 && nodes[e.Node] {
			k.ownNode[s] = true
		}
	}
	return k
}

// somewhere reports an entity of which no address is known; true where one is, or need not be.
func (l *linter) somewhere(r *plan.Rule, peer *ir.Peer) bool {
	if l.known == nil {
		l.known = entities(l.plan)
	}
	var what string
	hint := "give the Node objects, too, with their addresses"
	switch {
	case peer.Entity == ir.KubeAPIServer && !l.known.apiServer:
		what, hint = "nothing that was read says where the API server is", "set spec.kubeAPIServer.addresses in the MeshConfig"
	case peer.Entity == ir.Host && !l.known.host:
		what = "no address of a node is known"
	case peer.Entity == ir.OwnNode && !slices.ContainsFunc(l.subjects[r.Policy], func(s int32) bool { return l.known.ownNode[s] }):
		what = "no address of the nodes of these pods is known"
	default:
		return true
	}
	l.add(CodeNowhere, diag.Warning, orPos(peer.Pos, r.Pos), fmt.Sprintf("%s matches nothing: %s%s", peer.Entity, what, failsOpen(r.Action)), hint)
	return false
}

// emptyPorts reports each named port of a rule that no pod has on which it could be, beside others that some pod has.
func (l *linter) emptyPorts(r *plan.Rule) {
	for _, p := range r.Ports {
		if p.Name != "" && !l.anyNamed(r, p) {
			l.add(CodeNoPort, diag.Warning, r.Pos, portText(p)+" matches nothing: no pod that this rule is about has a container port of that name"+failsOpen(r.Action),
				nameThePort)
		}
	}
}

// nameThePort is the way out of a name that no port has.
const nameThePort = "name the port in the pod's containers, or write its number"

// anyNamed reports whether some destination of a rule has the named port.
func (l *linter) anyNamed(r *plan.Rule, p ir.Port) bool {
	has := func(i plan.PeerIndex) bool {
		return slices.ContainsFunc(l.plan.Peers[i].NamedPorts, func(n plan.NamedPort) bool { return n.Name == p.Name && n.Space == p.Space })
	}
	if r.Direction == ir.Ingress {
		return slices.ContainsFunc(l.subjects[r.Policy], func(s int32) bool { return slices.ContainsFunc(l.peersOf[s], has) })
	}
	for i := range l.plan.Peers {
		if r.PeerSet < 0 || l.plan.PeerSets[r.PeerSet].Has(plan.PeerIndex(i)) {
			if has(plan.PeerIndex(i)) {
				return true
			}
		}
	}
	return false
}
