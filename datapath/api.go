package datapath

import (
	"net/netip"
	"time"

	"github.com/weir-mesh/weir/compiler/plan"
)

// DefaultRoot is where everything is pinned, in a folder named by the layout's version.
const DefaultRoot = "/sys/fs/bpf/weir"

// Layout is the version of what is pinned: maps, programs and their meaning. Another layout under the same root is
// refused, with its name.
const Layout = "v3"

// AttachMode is how programs are attached to an interface.
type AttachMode string

// The modes. Auto takes TCX (Linux 6.6) where the kernel has it, else a clsact filter.
const (
	Auto   AttachMode = ""
	TCX    AttachMode = "tcx"
	Clsact AttachMode = "clsact"
)

// Options say where and how a datapath lives. The zero value is the production default.
type Options struct {
	// Root is the folder below a BPF file system in which maps and links are pinned; empty is DefaultRoot. Two
	// datapaths on one kernel (the lab's nodes) need two roots.
	Root string
	// NetNS is the path of the network namespace that holds the host sides of the veths; empty is the process's own.
	NetNS string
	// Attach forces a way of attaching.
	Attach AttachMode
	// ConntrackEntries is each endpoint's own share of connection tracking; 0 is DefaultConntrackEntries. An endpoint
	// keeps the share that it was first attached with.
	ConntrackEntries uint32
	// EventRate bounds the events of one CPU in a second; 0 is DefaultEventRate. What exceeds it is counted as lost.
	EventRate uint32
	// EventBytes is the size of the ring buffer, a power of two; 0 is DefaultEventBytes.
	EventBytes uint32
	// AllFlows makes an event of every new flow, not only of those whose decision says that it is logged.
	AllFlows bool
}

// The defaults of Options.
const (
	DefaultConntrackEntries = 2048
	DefaultEventRate        = 10000
	DefaultEventBytes       = 1 << 20
)

// Applied says what an Apply or Advance did.
type Applied struct {
	// Generation is the projection's; Epoch is the kernel's own count of swaps, which conntrack compares (S29).
	Generation, Epoch uint64
	// Bytes is the size of the encoded generation.
	Bytes int
	// Attached and Detached name endpoints ("namespace/pod") whose attachment changed.
	Attached, Detached []string
	// Missing names endpoints of which no interface was found (yet): nothing is attached for them. Unfound says why, of each
	// in its place.
	Missing []string
	Unfound []Unfound
	// Grown says that the maps were too small and that the programs were replaced by ones with larger maps.
	Grown bool
}

// State is what the kernel holds, read back from it.
type State struct {
	// Loaded is false when nothing is pinned or no generation was ever published; the rest is then zero.
	Loaded             bool
	Generation, Epoch  uint64
	DecisionDigest     string
	NodeDigest         string
	Node               string
	JudgedAt           time.Time // the moment that expiry was judged at (S28)
	Mode               AttachMode
	Endpoints          []EndpointState
	Peers, Addresses   int
	Tables, Decisions  int
	Bytes, Capacity    int
	ConntrackMapsBytes uint64
	MapsBytes          uint64
}

// EndpointState is one attached endpoint.
type EndpointState struct {
	Name      string // empty when the projection was not read by this process
	Slot      int
	Interface string
	Ifindex   int
	Addrs     []netip.Addr
	// Ingress and Egress say whether a program of ours sits at the veth's ingress (from the pod) and egress (to it).
	Ingress, Egress bool
}

// Difference is a place where the kernel holds something else than a projection says.
type Difference struct {
	What string // e.g. "decision digest", "table 3, cells"
	Want string
	Have string
}

// Counter counts packets (segments, for a packet that the kernel will still cut up) and bytes.
type Counter struct{ Packets, Bytes uint64 }

// Counters are the datapath's counts since its maps were made.
type Counters struct {
	// Rules are by place in the applied projection's Rules.
	Rules []Counter
	// NoRule counts what a default decided.
	NoRule Counter
	// Passed counts what was let through, Drops what was not, by reason.
	Passed Counter
	Drops  map[Drop]Counter
	// EventsLost counts the events that the rate bound or a full buffer suppressed.
	EventsLost uint64
}

// Event is a verdict on a flow.
type Event struct {
	Time time.Time
	Kind EventKind
	// Endpoint is the pod's name, or its slot where the name is not known: no endpoint, or an event that was left unread
	// for more than a generation.
	Endpoint string
	// FromPod says at which hook: the pod's own packets, or packets to it.
	FromPod bool
	// Verdict is what happened to the packet; Drop is the reason when it was dropped.
	Verdict plan.Verdict
	Drop    Drop
	// Decision, Rule and AuditRule are places in the projection of the event's generation, -1 for none.
	Decision, Rule, AuditRule int32
	RuleName, AuditRuleName   string
	AuditVerdict              plan.Verdict
	Peer                      uint32
	PeerName                  string
	// Local and Remote are not valid where the packet is not IP, or was not read so far.
	Local, Remote netip.AddrPort
	Protocol      uint8
	// Port is what was looked up: space and number of the original direction. Parsed says that the packet was read as far
	// as that.
	Port              plan.PortKey
	Parsed            bool
	Generation, Epoch uint64
}

// EventKind says why there is an event.
type EventKind uint8

// The kinds.
const (
	NewFlow EventKind = iota + 1
	DeniedFlow
	// AuditFlow: the audit chain answers differently (S30); the verdict is the enforced one.
	AuditFlow
)

func (k EventKind) String() string { return [...]string{"", "new", "denied", "audit"}[k] }

// Removed says what Uninstall did.
type Removed struct {
	// Interfaces from which programs were detached: their pods are open now.
	Interfaces []string
	// Pins is the number of maps and links unpinned.
	Pins int
}
