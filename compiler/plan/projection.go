package plan

import (
	"net/netip"

	"github.com/weir-mesh/weir/compiler/ir"
)

// ProjectionVersion is the version of the Projection's form; an agent refuses another.
const ProjectionVersion = 1

// MaxNodeDecisions and MaxClasses bound what a node can hold: a cell is 16 bits, and 0xffff is never a decision.
const (
	MaxNodeDecisions = 65535
	MaxClasses       = 65535
)

// Projection is what one node's agent reads: node state and the tables of its own endpoints. Numbers are the
// node's own. Byte slices hold little-endian uint16 (base64 in JSON).
type Projection struct {
	Version int `json:"version"`
	// Node is the node's name; Generation only grows, and an agent refuses an older one.
	Node           string `json:"node"`
	Generation     uint64 `json:"generation"`
	DecisionDigest string `json:"decisionDigest"`
	NodeDigest     string `json:"nodeDigest"`

	Endpoints []ProjectedEndpoint `json:"endpoints"`
	// Peers are the identities by number; number 0 is the unknown peer.
	Peers     []ProjectedPeer     `json:"peers"`
	Addresses []ProjectedAddress  `json:"addresses"`
	Frontends []ProjectedFrontend `json:"frontends"`
	Tables    []ProjectedTable    `json:"tables"`
	Decisions []ProjectedDecision `json:"decisions"`
	Rules     []ProjectedRule     `json:"rules"`
}

// ProjectedEndpoint is a pod of this node that the datapath is attached to.
type ProjectedEndpoint struct {
	Name string `json:"name"` // namespace/pod
	// Interface is the host side of the pod's veth; empty when the agent must find it by address and route.
	Interface string       `json:"interface,omitempty"`
	Addrs     []netip.Addr `json:"addrs"`
	// Peers are the numbers of the identities of Addrs, in their order.
	Peers []uint32 `json:"peers"`
	// Egress and Ingress are places in Tables.
	Egress  int `json:"egress"`
	Ingress int `json:"ingress"`
	// SelfFrontends are frontends whose only other choice is the pod itself: decision by frontend (S6, S27).
	SelfFrontends map[uint32]uint16 `json:"selfFrontends,omitempty"`
}

// ProjectedPeer is an identity.
type ProjectedPeer struct {
	ID   ID       `json:"id"`
	Kind PeerKind `json:"kind"`
	Name string   `json:"name"`
}

// ProjectedAddress maps an address block to an identity. A full-length prefix is exact.
type ProjectedAddress struct {
	Prefix netip.Prefix `json:"prefix"`
	Peer   uint32       `json:"peer"`
	// Socket is, for an address of this node, the identity of what its own sockets send; Peer is then that of
	// translated packets (S5). HasSocket says that it is set.
	Socket    uint32 `json:"socket,omitempty"`
	HasSocket bool   `json:"hasSocket,omitempty"`
	// Host is, for an address of this node, the identity as a destination (S5: host).
	Host uint32 `json:"host,omitempty"`
	// Local says that the address is a pod of this node: identities are kernel-attested (S20). A connection that
	// needs authentication and whose peer is not local needs the tunnel, and is denied where there is none.
	Local bool `json:"local,omitempty"`
	// Service says that the address is a service's: it is looked up by port among the frontends (S27), and denied
	// where no port is found.
	Service bool `json:"service,omitempty"`
}

// ProjectedFrontend is a port of a service's address; its number is its place in the slice.
type ProjectedFrontend struct {
	Name   string       `json:"name"`
	Addrs  []netip.Addr `json:"addrs"`
	Space  ir.Space     `json:"space"`
	Number uint16       `json:"number"`
	// Local says that every endpoint behind it is a pod of this node (and there is one): a connection that needs
	// authentication stays on the node whichever is chosen (S20). Without it such a connection needs the tunnel.
	Local bool `json:"local,omitempty"`
}

// ProjectedTable is one side's table. Cells and FrontendCells hold numbers of Decisions.
type ProjectedTable struct {
	// Starts and Classes give the port class of each interval of the key space (see Key).
	Starts     []uint32 `json:"starts"`
	Classes    []uint16 `json:"classes"`
	NumClasses int      `json:"numClasses"`
	NumRows    int      `json:"numRows"`
	// RowOfPeer holds the row of each identity, by its number.
	RowOfPeer []byte `json:"rowOfPeer"`
	Cells     []byte `json:"cells"`
	// FrontendCells holds, for an egress table, the decision of each frontend, by its number.
	FrontendCells []byte `json:"frontendCells,omitempty"`
}

// ProjectedDecision is what the kernel does and records.
type ProjectedDecision struct {
	ID      ID      `json:"id"`
	Verdict Verdict `json:"verdict"`
	Auth    Auth    `json:"auth"`
	Reason  Reason  `json:"reason"`
	// Rule and AuditRule are places in Rules, or -1.
	Rule         int32   `json:"rule"`
	AuditVerdict Verdict `json:"auditVerdict"`
	AuditRule    int32   `json:"auditRule"`
	AuditDiffers bool    `json:"auditDiffers,omitempty"`
	Log          bool    `json:"log,omitempty"`
	// NotAfter, when not 0, is the Unix second from which the agent puts Then in its place, without a controller (S28).
	NotAfter int64  `json:"notAfter,omitempty"`
	Then     uint32 `json:"then,omitempty"`
}

// ProjectedRule names a rule for counters, events and metrics.
type ProjectedRule struct {
	ID   ID     `json:"id"`
	Name string `json:"name"` // file:line or object and path
}
