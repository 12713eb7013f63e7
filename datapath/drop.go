package datapath

// Drop is the reason why a packet was dropped. The numbers are those of bpf/layout.h.
type Drop uint8

// The reasons.
const (
	// NotDropped: the packet passed.
	NotDropped Drop = iota
	// DropPolicy: the decision denies; it names the rule or the default.
	DropPolicy
	// DropTunnelMissing: authentication is required, the peer is not of this node and there is no tunnel (S20).
	DropTunnelMissing
	// DropWaypointMissing: a waypoint has to decide and none listens here (S25).
	DropWaypointMissing
	// DropSource: the source is no address of the pod behind the veth (S7), in ARP and neighbour discovery too (S6).
	DropSource
	// DropDestination: the destination is no address of the pod behind the veth.
	DropDestination
	// DropNoEndpoint: the interface is no endpoint of this generation.
	DropNoEndpoint
	// DropNoGeneration: no generation was published yet.
	DropNoGeneration
	// DropMalformed: a header is cut short or contradicts itself.
	DropMalformed
	// DropUnparsed: more tags, options or extension headers than the program follows, or one it does not know.
	DropUnparsed
	// DropEthertype: neither IP nor ARP.
	DropEthertype
	// DropFragment: a later fragment whose first was not seen.
	DropFragment
	// DropMulticast: to or from a multicast or broadcast address (S6).
	DropMulticast
	// DropServicePort: a service's address without a service on that port (S27).
	DropServicePort
	// DropMissing: the generation lacks something that the look-up needed.
	DropMissing
	// DropConntrack: the endpoint has no conntrack share, or it took no entry.
	DropConntrack
	// NumDrops is the number of reasons.
	NumDrops
)

var dropNames = [NumDrops]string{"passed", "policy", "tunnel-missing", "waypoint-missing", "source", "destination",
	"no-endpoint", "no-generation", "malformed", "unparsed", "ethertype", "fragment", "multicast", "service-port",
	"missing", "conntrack"}

func (d Drop) String() string {
	if d >= NumDrops {
		return "unknown"
	}
	return dropNames[d]
}
