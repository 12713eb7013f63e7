// Package progrun runs packets through the datapath's real programs by BPF_PROG_TEST_RUN, without attaching them, and
// reads the verdict, the decision and the rules from the program.
package progrun

import (
	"errors"
	"net/netip"
	"time"

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

// Runner holds programs loaded for one projection.
type Runner struct{}

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
	// Decided says that a decision was looked up; the rest is zero without.
	Decided  bool
	Decision uint32 // place in Projection.Decisions
	Verdict  plan.Verdict
	Audit    plan.Verdict
	// Rule and AuditRule are places in Projection.Rules, or -1.
	Rule, AuditRule int32
	Peer            uint32
	Generation      uint64
	Reply           bool // passed as a reply of a tracked connection
}

var errSkeleton = errors.New("progrun is being built")

// New loads the programs and publishes the projection to them. Endpoints need no interfaces.
func New(p *plan.Projection, now time.Time) (*Runner, error) { return nil, errSkeleton }

// Publish makes another projection the current generation.
func (r *Runner) Publish(p *plan.Projection, now time.Time) error { return errSkeleton }

// Reset forgets all connections, so that one flow's state does not answer for another.
func (r *Runner) Reset() error { return errSkeleton }

// Flow builds the first packet of a flow of the endpoint (a place in Projection.Endpoints) and runs it at the hook,
// as if no connection were tracked.
func (r *Runner) Flow(h Hook, endpoint int, f Flow) (Result, error) { return Result{}, errSkeleton }

// Packet runs a whole Ethernet frame at the hook; conntrack applies.
func (r *Runner) Packet(h Hook, endpoint int, frame []byte, ownSocket bool) (Result, error) {
	return Result{}, errSkeleton
}

// Close frees the programs.
func (r *Runner) Close() error { return nil }
