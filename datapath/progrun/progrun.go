// Package progrun runs packets through the datapath's real programs by BPF_PROG_TEST_RUN, without attaching them, and
// reads the verdict, the decision and the rules from the program.
package progrun

import (
	"net/netip"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/datapath"
)

// Hook is where a packet is seen.
type Hook uint8

// The hooks: FromPod is the veth's ingress, ToPod its egress.
const (
	FromPod Hook = iota
	ToPod
)

func (h Hook) String() string { return [...]string{"from-pod", "to-pod"}[h] }

// Flow is one packet's flow as seen at an endpoint's veth.
type Flow struct {
	Local, Remote         netip.Addr
	Space                 ir.Space
	LocalPort, RemotePort uint16 // TCP, UDP, SCTP
	// Number is ICMP type<<8|code, or the protocol number in OtherProtocol.
	Number uint16
	// OwnSocket says that the packet comes from a socket of the pod's own node (S5).
	OwnSocket bool
}

// Result is what the program answered.
type Result struct {
	// Pass is the packet's fate; Drop is the reason when it is false.
	Pass bool
	Drop datapath.Drop
	// Decided says that a decision was looked up; what follows is zero without.
	Decided bool
	// Decision is the place in Projection.Decisions that the cell holds; Verdict and what follows are those of the
	// decision that holds in its place at the moment of New (S28).
	Decision uint32
	Verdict  plan.Verdict
	Audit    plan.Verdict
	// Rule and AuditRule are places in Projection.Rules, or -1.
	Rule, AuditRule int32
	// Peer is the number of the identity found for the remote address.
	Peer uint32
	// Port is the key that was looked up: the original direction's. Parsed says that the packet was read as far as that.
	Port   plan.PortKey
	Parsed bool
	// Generation is the one that the packet saw.
	Generation, Epoch uint64
	// Reply says that the packet passed, or not, as part of a tracked connection.
	Reply bool
	// Kept says that it passed by what the connection's entry keeps: Rule is then known, or -1 for a reply, and nothing
	// else was looked up.
	Kept bool
}

// Options change how a Runner is set up.
type Options struct {
	// Shares gives every endpoint a conntrack of its own with as many entries; 0 lets all of them share one, which is
	// cheaper and makes no difference to single packets.
	Shares uint32
	// NetNS is the network namespace whose sockets tell who opened a connection without an entry (encode.Binding), as the
	// namespace that runs the packets numbers it; 0 is none.
	NetNS uint32
}
