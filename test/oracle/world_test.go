// Package oracle holds the slow, obvious evaluator of docs/semantics.md and the property test that the compiled plan
// decides as it does. It is made of test files only: nothing can import it. Section numbers (S1 to S34) refer to
// docs/semantics.md; each clause of the evaluator quotes the one it is written from.
package oracle

import (
	"net/netip"
	"time"

	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
)

// world is everything that a verdict depends on.
type world struct {
	policies []ir.Policy
	inv      inventory.Inventory
	config   inventory.Config
	now      time.Time
	// answers, when not nil, keeps what was answered, for who asks the same of many plans.
	answers map[asked]verdict
}

// asked is a flow at a moment (Unix seconds).
type asked struct {
	unix int64
	f    flow
}

// place says how one end of a flow is named.
type place uint8

const (
	// inPod is an address of a pod, or a declared pod that has none yet.
	inPod place = iota
	// onNode is a node's own address: as source, one of its sockets, those of hostNetwork pods included.
	onNode
	// translated is a forwarded packet that carries the address of the destination's own node; sources only.
	translated
	// atAddress is any other address: of the world, of nobody, of a service, and also of pods and nodes.
	atAddress
)

// end is one end of a flow. pod and node are places in the inventory.
type end struct {
	place     place
	pod, node int
	addr      netip.Addr
}

// flow is a connection: number is a port, an ICMP type<<8|code or an IP protocol. request is nil for what is not HTTP.
type flow struct {
	src, dst end
	space    ir.Space
	number   uint16
	request  *request
}

// kind is what an end is to the rules.
type kind uint8

const (
	unknown kind = iota
	pod
	host    // a node
	ownNode // a socket of the other end's own node
	outside // the world
	viaNode // a translated packet: the world, under the address of a node
	service // a service's own address
)

// party is an end of a flow as the rules see it.
type party struct {
	kind kind
	pod  *inventory.Pod
	// addr is not valid for a declared pod that has none.
	addr netip.Addr
}

// party resolves an end; other is the flow's other end.
func (w *world) party(e, other end) party {
	switch e.place {
	case inPod:
		p := &w.inv.Pods[e.pod]
		if p.HostNetwork { // S1: hostNetwork pods are host
			return party{kind: host, addr: e.addr}
		}
		return party{kind: pod, pod: p, addr: e.addr}
	case onNode:
		// S5: own-node is only what a socket of the pod's own node sends
		if other.place == inPod && w.inv.Pods[other.pod].Node == w.inv.Nodes[e.node].Name {
			return party{kind: ownNode, addr: e.addr}
		}
		return party{kind: host, addr: e.addr}
	case translated:
		return party{kind: viaNode, addr: e.addr} // S5
	default:
		return w.locate(e.addr)
	}
}

// locate says what an address is (S1, S3).
func (w *world) locate(a netip.Addr) party {
	for i := range w.inv.Pods {
		p := &w.inv.Pods[i]
		for _, b := range p.Addrs {
			switch {
			case a == b && p.HostNetwork: // S1: hostNetwork pods are host
				return party{kind: host, addr: a}
			case a == b: // S1: an address belongs to the running pod that has it
				return party{kind: pod, pod: p, addr: a}
			}
		}
	}
	for i := range w.inv.Nodes {
		for _, b := range w.inv.Nodes[i].Addrs {
			if a == b {
				return party{kind: host, addr: a}
			}
		}
	}
	for i := range w.inv.Services {
		for _, b := range w.inv.Services[i].ClusterIPs {
			if a == b {
				return party{kind: service, addr: a}
			}
		}
	}
	if !a.IsValid() {
		return party{kind: unknown} // an endpoint behind a service that no object explains
	}
	if a.IsMulticast() || a == netip.MustParseAddr("255.255.255.255") {
		return party{kind: unknown, addr: a} // S6: multicast is denied, whoever names its addresses
	}
	if !w.inRanges(a) {
		return party{kind: outside, addr: a} // S3: world is only what lies outside all ranges
	}
	if w.isAPIServer(a) {
		return party{kind: host, addr: a} // ruling 1
	}
	return party{kind: unknown, addr: a} // S3: an in-cluster address that no object explains
}

// inRanges says whether an address lies in the pod, node or service ranges (S3).
func (w *world) inRanges(a netip.Addr) bool {
	for _, ranges := range [][]netip.Prefix{w.config.PodRanges, w.config.NodeRanges, w.config.ServiceRanges} {
		for _, r := range ranges {
			if r.Contains(a) {
				return true
			}
		}
	}
	for i := range w.inv.Nodes {
		for _, r := range w.inv.Nodes[i].PodCIDRs {
			if r.Contains(a) {
				return true
			}
		}
	}
	return false
}

func (w *world) isAPIServer(a netip.Addr) bool {
	for _, b := range w.inv.APIServers {
		if a == b.Unmap() {
			return true
		}
	}
	return false
}

// enrolled says whether a pod is enrolled: a selector of MeshConfig matches it; without one nothing is (S16).
func (w *world) enrolled(p *inventory.Pod) bool {
	if p.HostNetwork {
		return false // S1: it is no endpoint
	}
	for i := range w.config.Enrolled {
		if w.selects(&w.config.Enrolled[i], p) {
			return true
		}
	}
	return false
}

// spiffe is the identity of an enrolled pod; others have none (S18).
func (w *world) spiffe(p *inventory.Pod) string {
	if !w.enrolled(p) {
		return ""
	}
	return "spiffe://" + w.config.TrustDomain + "/ns/" + p.Namespace + "/sa/" + p.ServiceAccount
}

// served says whether a waypoint serves a party: it is enrolled, MeshConfig has waypoints, and does not leave it out
// (S25, ruling 2).
func (w *world) served(p *party) bool {
	if p.kind != pod || !w.enrolled(p.pod) || w.config.Waypoint == inventory.WaypointNone {
		return false
	}
	if w.config.Waypoints == nil {
		return true
	}
	for i := range w.config.Waypoints {
		if w.selects(&w.config.Waypoints[i], p.pod) {
			return true
		}
	}
	return false
}

// policed says whether anything governs a pod: it is enrolled or a policy selects it (S8, S9, ruling 3).
func (w *world) policed(p *inventory.Pod) bool {
	if w.enrolled(p) {
		return true
	}
	for i := range w.policies {
		if w.selects(&w.policies[i].Subject, p) {
			return true
		}
	}
	return false
}

// attached says whether Weir's datapath enforces at a pod (S17).
func (w *world) attached(p *inventory.Pod) bool {
	if p.HostNetwork {
		return false
	}
	if w.enrolled(p) {
		return true
	}
	for i := range w.policies {
		if w.selects(&w.policies[i].Subject, p) && (w.policies[i].Layer == ir.Mesh || w.config.EnforceNetworkPolicy) {
			return true
		}
	}
	return false
}
