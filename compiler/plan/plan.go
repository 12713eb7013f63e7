// Package plan is the compiled output that everything reads: what the kernel and the waypoints get, and what
// tests, explain, reach and reports look at. It holds types and look-ups, no compiler. Section numbers (S1 to
// S34) refer to docs/semantics.md.
package plan

import (
	"encoding/hex"
	"net/netip"
	"sync"
	"time"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
)

// ID is a content hash: the first 16 bytes of a SHA-256 (S2).
type ID [16]byte

func (i ID) String() string { return hex.EncodeToString(i[:]) }

// MarshalText writes the id in hexadecimal.
func (i ID) MarshalText() ([]byte, error) { return []byte(i.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (i *ID) UnmarshalText(b []byte) error {
	_, err := hex.Decode(i[:], b)
	return err
}

// Places in the plan's slices; they are this plan's own business and appear in no digest.
type (
	// PeerIndex is a place in Plan.Peers.
	PeerIndex uint32
	// RuleIndex is a place in Plan.Rules.
	RuleIndex int32
	// PolicyIndex is a place in Plan.Policies.
	PolicyIndex int32
	// DecisionIndex is a place in Plan.Decisions.
	DecisionIndex uint32
	// ListIndex is a place in Plan.Lists.
	ListIndex int32
	// FrontendIndex is a place in Plan.Frontends.
	FrontendIndex uint32
)

// None is the index of nothing, for RuleIndex, PolicyIndex and ListIndex.
const None = -1

// Verdict is what happens to a connection or request.
type Verdict uint8

// The verdicts. Redirect hands a connection to the waypoint, which decides each request.
const (
	Deny Verdict = iota
	Allow
	Redirect
)

func (v Verdict) String() string { return [...]string{"deny", "allow", "redirect"}[v] }

// PeerKind is what an identity stands for.
type PeerKind uint8

// The kinds of identity.
const (
	// UnknownPeer is an in-cluster address that no object explains (S3). Index 0 of every plan.
	UnknownPeer PeerKind = iota
	PodPeer
	// HostPeer is a node's address; OwnHostPeer a socket of the subject's own node; TranslatedPeer a forwarded
	// packet with the own node's address (S5).
	HostPeer
	OwnHostPeer
	TranslatedPeer
	// WorldPeer is a part of the address space outside all ranges.
	WorldPeer
)

func (k PeerKind) String() string {
	return [...]string{"unknown", "pod", "host", "own-node", "translated", "world"}[k]
}

// Peer is an identity: everything about one end of a connection that some rule can tell apart (S2).
type Peer struct {
	ID   ID       `json:"id"`
	Kind PeerKind `json:"kind"`
	// For pods: namespace, the labels that some selector mentions, service account, numbers of named ports.
	Namespace       string            `json:"namespace,omitempty"`
	NamespaceLabels map[string]string `json:"namespaceLabels,omitempty"`
	Labels          map[string]string `json:"labels,omitempty"`
	ServiceAccount  string            `json:"serviceAccount,omitempty"`
	NamedPorts      []NamedPort       `json:"namedPorts,omitempty"`
	Enrolled        bool              `json:"enrolled,omitempty"`
	// SPIFFE is the id of an enrolled pod.
	SPIFFE string `json:"spiffe,omitempty"`
	// CIDRs are the blocks of rules in which the address lies: with matchPods for pods and nodes, all for world.
	CIDRs     []netip.Prefix `json:"cidrs,omitempty"`
	APIServer bool           `json:"apiServer,omitempty"`
	// Prefix is, for world, the most specific block of a rule that holds the address; 0.0.0.0/0 or ::/0 for the rest.
	Prefix netip.Prefix `json:"prefix,omitzero"`
	// Subject is the place in Plan.Subjects, or None: no policy selects the pod and it is not enrolled.
	Subject int32 `json:"-"`
	// Waypoint is the place in Plan.Waypoints of the waypoint that serves the pod, or None.
	Waypoint int32 `json:"-"`
}

// NamedPort is a named port that some rule names and its number on this identity.
type NamedPort struct {
	Name   string   `json:"name"`
	Space  ir.Space `json:"space"`
	Number uint16   `json:"number"`
}

// Subject is a class of pods that the same rules select: they share their tables.
type Subject struct {
	ID       ID
	Enrolled bool
	// Attached says that Weir's datapath enforces (S17); else only a CNI may (S16).
	Attached bool
	// Policies are those that select the subject, in the order in which they are asked.
	Policies []PolicyIndex
	Tables   [ir.NumDirections]*Table
}

// Policy is the plan's record of a source object.
type Policy struct {
	ID       ID
	Object   string
	Pos      diag.Position
	Layer    ir.Layer
	Tier     ir.Tier
	Priority int32
	Audit    bool
	// Source is what was read; nil in a plan that was not compiled here.
	Source *ir.Policy `json:"-"`
}

// Rule is the plan's record of a rule.
type Rule struct {
	ID        ID
	Policy    PolicyIndex
	Direction ir.Direction
	// Index is the rule's place in its direction's list in the source.
	Index     int
	Name      string
	Pos       diag.Position
	Action    ir.Action
	Audit     bool
	Plaintext bool
	Exception string
	// HTTP says that the rule looks at requests.
	HTTP bool
	// PeerSet is the place in Plan.PeerSets; Ports and Source are what the rule says.
	PeerSet int32
	Ports   []ir.Port
	Source  *ir.Rule
}

// PeerSet is the union of a rule's peers over the plan's identities: bit i of Bits is Peers[i].
type PeerSet struct {
	ID   ID
	Bits []uint64
}

// Has reports whether the set holds the identity.
func (s *PeerSet) Has(p PeerIndex) bool {
	w := int(p >> 6)
	return w < len(s.Bits) && s.Bits[w]&(1<<(p&63)) != 0
}

// Reason says what decided when it was not a rule, or why a rule's answer was turned.
type Reason uint8

// The reasons.
const (
	// ByRule: the rule named decided.
	ByRule Reason = iota
	// ByIsolation: no rule allows and a policy isolates the subject (S11); Decision.Policy names it.
	ByIsolation
	// ByEnrolment: nothing said anything and the endpoint is enrolled (S9).
	ByEnrolment
	// ByDefault: nothing said anything and the endpoint is not enrolled (S9).
	ByDefault
	// ByUnknownAddress: the peer is an in-cluster address that no object explains (S3).
	ByUnknownAddress
	// ByAuthentication: the orchestrator layer alone allowed, and the two ends cannot prove who they are (S18).
	ByAuthentication
	// ByNoWaypoint: a layer-7 rule could be reached and no waypoint serves the destination (S25).
	ByNoWaypoint
	// ByConflict: two objects of equal priority answer differently (S12); Rule is the one that allowed.
	ByConflict
	// BySelf: a pod talks to itself (S6).
	BySelf
	// ByNoEndpoint: the side is no endpoint and allows (S8).
	ByNoEndpoint
	// ByCapacity: the first-match list would be longer than a waypoint can hold; denied, with a finding.
	ByCapacity
	// ByBackends: the endpoints behind a service's address differ, or there are none (S27).
	ByBackends
	// ByRequest: the request can't be evaluated: malformed, or a parameter that a rule asks for is there twice (S23).
	ByRequest
)

func (r Reason) String() string {
	return [...]string{"rule", "isolation", "enrolment", "default", "unknown-address", "authentication", "no-waypoint",
		"conflict", "self", "no-endpoint", "capacity", "backends", "request"}[r]
}

// Auth is what a side asks of a connection that it allows (S18 to S20).
type Auth uint8

// The demands, least first; the strictest of the two sides holds.
const (
	// AuthNone: the side is no enrolled endpoint and no mesh rule spoke: nothing is asked.
	AuthNone Auth = iota
	// AuthPlaintext: a rule permits plaintext under an exception.
	AuthPlaintext
	// AuthRequired: both SPIFFE identities must be proved.
	AuthRequired
)

func (a Auth) String() string { return [...]string{"none", "plaintext", "required"}[a] }

// SameDemand reports whether two sides ask the same of a connection: to permit plaintext is to ask nothing, too.
func (a Auth) SameDemand(b Auth) bool { return (a == AuthRequired) == (b == AuthRequired) }

// Outcome is one chain's answer.
type Outcome struct {
	Verdict Verdict
	Reason  Reason
	// Rule decided; for reasons other than ByRule it is None or the nearest rule, as the reason says.
	Rule RuleIndex
	// Policy is the isolating policy of ByIsolation, else None.
	Policy PolicyIndex
	Auth   Auth
	// List is the first-match list that decides each request when Verdict is Redirect, else None.
	List ListIndex
}

// Decision is one side's answer for a class of connections.
type Decision struct {
	// ID is the content's hash: verdicts, rules and what follows, in terms of ids. Zero for what no table holds.
	ID ID
	Outcome
	// Audit is the answer of the chain with audit objects and rules enforced (S30). It equals Outcome where none differs.
	Audit Outcome
	// Log says that the flow is recorded.
	Log bool
	// NotAfter, when not zero, is the second (Unix) from which Then holds instead (S28).
	NotAfter int64
	Then     DecisionIndex
}

// AuditDiffers reports whether the audit chain answers differently.
func (d *Decision) AuditDiffers() bool { return d.Audit.Verdict != d.Verdict || d.Audit.List != d.List }

// List is a first-match list over requests; its last entry matches everything.
type List struct {
	ID      ID
	Entries []Entry
}

// Entry matches a request when every one of Conds does; one of Conds matches when any of its matches does. No
// Conds match everything.
type Entry struct {
	Conds [][]ir.HTTPMatch
	Outcome
}

// Table is one side's decisions: identity class × port class → cell → decision.
type Table struct {
	ID ID
	// PeerSets are places in Plan.PeerSets; a peer's row key is its membership in them, bit by bit, in this order.
	PeerSets []int32
	// Rows maps a row key to a row. Every key that an identity of the plan has is there. Row 0 is the unknown peer,
	// which has no key.
	Rows Rows
	// Starts are the first keys of port intervals, ascending, the first is 0; Classes[i] is interval i's port class.
	Starts     []uint32
	Classes    []uint16
	NumClasses int
	// Cells holds places in Decisions: cell (row, class) is Cells[row*NumClasses+class].
	Cells     []uint16
	Decisions []DecisionIndex
}

// PortKey is a point of the six port-like spaces: space<<16 | number.
type PortKey uint32

// Key makes a PortKey; number is a port, an ICMP type<<8|code, or an IP protocol number.
func Key(s ir.Space, number uint16) PortKey { return PortKey(s)<<16 | PortKey(number) }

// Space and Number take a key apart.
func (k PortKey) Space() ir.Space { return ir.Space(k >> 16) }

// Number is the port, ICMP type<<8|code or protocol number.
func (k PortKey) Number() uint16 { return uint16(k) }

// Endpoint is a running or declared pod: node state, outside the decision digest.
type Endpoint struct {
	Namespace, Name string
	Workload        string // kind/name
	Node            string
	HostNetwork     bool
	Declared        bool
	Replicas        int32
	Addrs           []netip.Addr
	// Peers are the identities of Addrs, in their order. Without addresses: the one identity, or, where the
	// verdict hangs on the address, each one that the pod may get (S4).
	Peers    []PeerIndex
	Attached bool
	// NamedPorts are all that its containers name, for questions: an identity has only those that some rule names. Not in a
	// digest, nor in a node's part.
	NamedPorts []NamedPort
	// InNetwork is, of a pod with its node's network, what selectors would look at if it had one of its own (S1); else nil.
	// Not in a digest, nor in a node's part.
	InNetwork *Peer
	// Touched names an object that was not understood and may change who reaches the pod and whom it reaches: what can be
	// said of its connections is unknown, while what is known of them is enforced (S33). Empty for none.
	Touched string
	Pos     diag.Position
}

// Touched names what was not understood and may change a flow's verdict; empty for nothing (S33).
func (p *Plan) Touched(f Flow) string {
	for _, e := range []End{f.Src, f.Dst} {
		if e.Endpoint >= 0 && p.Endpoints[e.Endpoint].Touched != "" {
			return p.Endpoints[e.Endpoint].Touched
		}
	}
	if f.Dst.Frontend < 0 {
		return ""
	}
	for _, b := range p.Frontends[f.Dst.Frontend].Backends {
		if b.Endpoint >= 0 && p.Endpoints[b.Endpoint].Touched != "" {
			return p.Endpoints[b.Endpoint].Touched
		}
	}
	return ""
}

// Node is a node and the identities of its addresses.
type Node struct {
	Name  string
	Addrs []netip.Addr
	// Host, Own and Translated are the identities of each address as seen by S5.
	Host, Own, Translated []PeerIndex
}

// Frontend is one port of a service's virtual address.
type Frontend struct {
	Namespace, Service, PortName string
	Addrs                        []netip.Addr
	Port                         PortKey
	NodePort                     uint16
	Backends                     []Backend
	// NoBackends says why there is none; Pos is the service's place. Neither is in a digest.
	NoBackends string
	Pos        diag.Position
}

// Addressless is a service without an address of its own: a connection to its name goes where DNS says.
type Addressless struct {
	Namespace, Service string
	// ExternalName is the name that it stands for; empty for a headless service, whose name is its pods'.
	ExternalName string
}

// Backend is one endpoint behind a frontend.
type Backend struct {
	// Endpoint is the place in Plan.Endpoints, or None for a bare address.
	Endpoint int32
	Addr     netip.Addr
	// Peers are the identities it may have.
	Peers []PeerIndex
	Port  PortKey
}

// Waypoint is a layer-7 proxy that the plan needs.
type Waypoint struct {
	ID        ID
	Namespace string
	// ServiceAccount is empty for the waypoint of a whole namespace.
	ServiceAccount string
}

// Name prints "ns" or "ns/serviceaccount".
func (w *Waypoint) Name() string {
	if w.ServiceAccount == "" {
		return w.Namespace
	}
	return w.Namespace + "/" + w.ServiceAccount
}

// Plan is the compiled output for one inventory at one moment.
type Plan struct {
	// Now is the moment that expiry was judged at (S28).
	Now         time.Time
	TrustDomain string
	Policies    []Policy
	Rules       []Rule
	Peers       []Peer
	PeerSets    []PeerSet
	Subjects    []Subject
	Decisions   []Decision
	Lists       []List
	Frontends   []Frontend
	// NoAddress are the services that have no frontend.
	NoAddress []Addressless
	Endpoints []Endpoint
	Nodes     []Node
	Waypoints []Waypoint
	// Ranges are the in-cluster ranges (S3); NodeRanges and ServiceRanges are those of nodes and services, the others
	// are pods'.
	Ranges, NodeRanges, ServiceRanges []netip.Prefix
	// Addresses finds the identity of an address.
	Addresses AddressTable
	// PolicyDigest, DecisionDigest and NodeDigest are hexadecimal SHA-256 (design: the plan's three parts).
	PolicyDigest, DecisionDigest, NodeDigest string

	frontendsOnce sync.Once
	frontends     map[frontendKey]int32
}
