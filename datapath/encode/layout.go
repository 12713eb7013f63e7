package encode

// The structures of bpf/layout.h, field by field in its order: a test compares them through BTF. Offsets are relative
// to the root.

// Magic and Layout open every generation; the programs refuse another.
const (
	Magic  = 0x77656972
	Layout = 3
)

const (
	// NoValue is the program's NO_VALUE: in a table or an event, that there is none.
	NoValue = 0xffffffff

	addrNumber  = 0x00ffffff
	addrLocal   = 1 << 24
	addrService = 1 << 25
	addrOwn     = 1 << 26

	tagAddress = 0xfffffffe
	tagSelf    = 0xfffffffd

	pairBucket = 8
	wideBucket = 4

	endpointSelf = 1

	decisionLog   = 1
	decisionAudit = 2
)

// MaxAddrs is how many addresses an endpoint may have.
const MaxAddrs = 4

// Root is where everything of a generation is.
type Root struct {
	Magic, Layout               uint32
	Generation, Epoch           uint64
	Links, LinksMask, LinksSeed uint32
	Endpoints, EndpointsN       uint32
	Size                        uint32
	JudgedAt                    uint64
	V4, V4Mask, V4Seed          uint32
	Wide, WideMask, WideSeed    uint32
	Net4, Net4Values, Net4N     uint32
	Net6, Net6Values, Net6N     uint32
	Own, OwnN                   uint32
	PortPages, Pages, PagesN    uint32
	Decisions, DecisionsN       uint32
	Rules, RulesN               uint32
	Meta, MetaN                 uint32
}

// words is an address: network order in memory; an IPv4 address is ::ffff:a.b.c.d.
type words [16]byte

type wideKey struct {
	Word [4]uint32
	Tag  uint32
}

type wideEntry struct {
	Key   wideKey
	Value uint32
}

type pair struct{ Key, Value uint32 }

type ownRecord struct{ Translated, Socket, Host uint32 }

type tableRecord struct {
	Rows, RowsN          uint32
	Classes, ClassesN    uint32
	Cells, Height, Width uint32
	Frontends            uint32
	FrontendsN           uint32
}

type endpointRecord struct {
	Ifindex, Flags, AddrsN, NetNS uint32
	Addrs                         [MaxAddrs]words
	Tables                        [2]tableRecord
}

type decisionRecord struct {
	Verdict, Auth, Flags, AuditVerdict uint8
	Rule, AuditRule                    uint32
}

// Count is one CPU's counter.
type Count struct{ Packets, Bytes uint64 }

// Event is what the programs write to the ring buffer.
type Event struct {
	Time, Generation, Epoch uint64
	Local, Remote           [16]byte
	Slot, Peer, Decision    uint32
	Rule, AuditRule, Key    uint32
	LocalPort, RemotePort   uint16
	Proto, Kind, FromPod    uint8
	Drop, Verdict           uint8
	AuditVerdict, Family    uint8
	Reply, Kept             uint8
}

// CtKey and CtValue are a connection's entry.
type CtKey struct {
	Local, Remote [16]byte
	LPort, RPort  uint16
	Proto, Kind   uint8
	Pad           uint16
}

// CtValue is what is known of a connection.
type CtValue struct {
	Judged       uint64
	Seen, Key    uint32
	SPort, DPort uint16
	Dir, Flags   uint8
	ICMP         uint8
	Opening      uint8
}

// Budget is one CPU's allowance of events.
type Budget struct{ Second, Used, Lost uint64 }
