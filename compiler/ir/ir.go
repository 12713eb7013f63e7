// Package ir is the one form that every policy front end lowers to: layers, tiers, objects and rules
// with positions, before they meet an inventory. Section numbers (S1 to S34) refer to docs/semantics.md.
package ir

import (
	"net/netip"
	"time"

	"github.com/weir-mesh/weir/compiler/diag"
)

// Layer is one of the two layers that both have a say on each side of a connection (S9).
type Layer uint8

// The layers. Orchestrator holds NetworkPolicy and its kin; Mesh holds our kinds.
const (
	Orchestrator Layer = iota
	Mesh
	NumLayers
)

func (l Layer) String() string { return [...]string{"orchestrator", "mesh"}[l] }

// Tier is a step inside a layer (S10).
type Tier uint8

// The tiers in the order in which they are asked.
const (
	Admin Tier = iota
	Namespace
	Baseline
	NumTiers
)

func (t Tier) String() string { return [...]string{"admin", "namespace", "baseline"}[t] }

// Action is what a rule says about what it matches. Pass exists in the admin tier only.
type Action uint8

// The actions.
const (
	Deny Action = iota
	Allow
	Pass
)

func (a Action) String() string { return [...]string{"deny", "allow", "pass"}[a] }

// Direction is seen from the subject: egress leaves it, ingress reaches it.
type Direction uint8

// The directions.
const (
	Egress Direction = iota
	Ingress
	NumDirections
)

func (d Direction) String() string { return [...]string{"egress", "ingress"}[d] }

// Policy is one object of any front end.
type Policy struct {
	// Kind, Namespace and Name identify the object; Namespace is empty for cluster kinds.
	Kind, Namespace, Name string
	Pos                   diag.Position
	Layer                 Layer
	Tier                  Tier
	// Priority orders objects inside the admin and baseline tiers, lowest number first (S12).
	Priority int32
	Subject  Selector
	// Isolate says in which directions the object isolates its subjects (S11). Front ends fill it:
	// the compiler adds nothing.
	Isolate [NumDirections]bool
	// AuditIsolate says where the object isolates only because of rules that are in audit: it counts in the audit
	// chain alone (S30).
	AuditIsolate [NumDirections]bool
	// Audit objects are absent from the enforced chain, isolation included (S30).
	Audit bool
	Rules []Rule
}

// Object prints "Kind namespace/name" or "Kind name".
func (p *Policy) Object() string {
	if p.Namespace == "" {
		return p.Kind + " " + p.Name
	}
	return p.Kind + " " + p.Namespace + "/" + p.Name
}

// Rule is one rule of a policy. Order inside a direction is the order in Policy.Rules.
type Rule struct {
	Direction Direction
	// Index is the rule's place in the source's list, for paths such as spec.ingress[2].
	Index int
	// Name is the user's name or comment for the rule; it may be empty.
	Name   string
	Pos    diag.Position
	Action Action
	// Audit is true when the rule or its object is in audit (S30).
	Audit bool
	// Peers is nil for any peer; it is never empty and not nil (S14).
	Peers []Peer
	// Ports is nil for every IP protocol and port (S13).
	Ports []Port
	// HTTP is nil for a layer-4 rule; otherwise the rule matches requests that match one of them (S22).
	HTTP []HTTPMatch
	// Plaintext is true when the rule says `authentication: none` under a valid exception (S18). A mesh allow
	// without it matches only TCP between two enrolled endpoints. In the orchestrator layer it is ignored.
	Plaintext bool
	// Exception names the exception behind Plaintext.
	Exception string
	// NotAfter, when not zero, is when an allow stops to match: the earliest of the rule's, the object's and
	// the exception's end (S28). Isolation stays.
	NotAfter time.Time
	// ExceptionEnds is when the exception itself ends; NotAfter may be earlier.
	ExceptionEnds time.Time
	// Log overrides the default for logging: nil is the default.
	Log *bool
	// Implied rules are no text of the source's: its API adds them. Nothing is said about them beyond what they decide.
	Implied bool
}

// Peer is one alternative of a rule's from or to: exactly one field is set (S15).
type Peer struct {
	Pods   *Selector
	CIDR   *CIDR
	DNS    string
	Entity Entity
	Pos    diag.Position
}

// Entity is a peer named by role (S5).
type Entity uint8

// The entities; NoEntity means that the peer is something else.
const (
	NoEntity Entity = iota
	World
	Cluster
	Host
	OwnNode
	KubeAPIServer
)

func (e Entity) String() string {
	return [...]string{"", "world", "cluster", "host", "own-node", "kube-apiserver"}[e]
}

// Selector selects pods. All that is set must hold (S15).
type Selector struct {
	// Namespace, when not empty, is the one namespace that can match.
	Namespace string
	// Namespaces selects namespaces by label; the zero value matches every namespace.
	Namespaces LabelSelector
	Pods       LabelSelector
	// ServiceAccounts is nil for any; an entry is {namespace, name}.
	ServiceAccounts []NamespacedName
	// SPIFFE is nil for any; an entry is an exact id or ends in "/*".
	SPIFFE []string
	// EnrolledOnly restricts the selector to enrolled pods.
	EnrolledOnly bool
}

// NamespacedName names an object in a namespace.
type NamespacedName struct{ Namespace, Name string }

func (n NamespacedName) String() string { return n.Namespace + "/" + n.Name }

// LabelSelector is a conjunction of requirements, Kubernetes' meaning; empty matches all.
type LabelSelector []Requirement

// Requirement is one condition on labels. Values is sorted and without repeats.
type Requirement struct {
	Key    string
	Op     Op
	Values []string
}

// Op is a label operator. A key that is absent satisfies NotIn and DoesNotExist, as in Kubernetes.
type Op uint8

// The label operators.
const (
	In Op = iota
	NotIn
	Exists
	DoesNotExist
)

func (o Op) String() string { return [...]string{"in", "notin", "exists", "!"}[o] }

// CIDR is an address block with holes. Without MatchPods it matches only what lies outside the pod, node and
// service ranges (S3).
type CIDR struct {
	Prefix    netip.Prefix
	Except    []netip.Prefix
	MatchPods bool
}

// Space is a space of 65,536 port-like numbers: TCP, UDP and SCTP ports, ICMP type<<8|code, IP protocol numbers.
type Space uint8

// The spaces.
const (
	TCP Space = iota
	UDP
	SCTP
	ICMPv4
	ICMPv6
	// OtherProtocol holds the protocol numbers 0 to 255 of everything else.
	OtherProtocol
	NumSpaces
)

func (s Space) String() string {
	return [...]string{"TCP", "UDP", "SCTP", "ICMP", "ICMPv6", "IP"}[s]
}

// Port is a range in one space, or a name to be looked up on the destination (S13): Name is empty, or First and
// Last are unused. All of a space is First 0, Last 65535.
type Port struct {
	Space       Space
	First, Last uint16
	Name        string
}

// HTTPMatch matches a request when all that is set holds (S22 to S24).
type HTTPMatch struct {
	// Methods is nil for any; exact, case-sensitive.
	Methods []string
	Path    *StringMatch
	// Hosts is nil for any; lower case, exact or with a leading "*.".
	Hosts   []string
	Headers []KeyMatch
	Query   []KeyMatch
	// GRPC matches the path /Service/Method of a gRPC request; an empty Method is any method.
	GRPC *GRPCMatch
	// Claims match verified JWT claims: an absent claim does not match.
	Claims []KeyMatch
}

// GRPCMatch names a gRPC method.
type GRPCMatch struct{ Service, Method string }

// MatchKind is how a string is compared.
type MatchKind uint8

// The kinds. Prefix of a path is by segment; Regex is a full match in RE2; Present asks only for existence.
const (
	Exact MatchKind = iota
	Prefix
	Regex
	Present
)

func (k MatchKind) String() string { return [...]string{"exact", "prefix", "regex", "present"}[k] }

// StringMatch compares one string.
type StringMatch struct {
	Kind  MatchKind
	Value string
}

// KeyMatch compares the value of a header (key in lower case), query parameter or claim.
type KeyMatch struct {
	Key string
	StringMatch
	// Provider is the JWT provider of a claim.
	Provider string
}
