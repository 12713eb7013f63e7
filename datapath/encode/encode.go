// Package encode turns a node's projection of the plan into the bytes that the BPF programs read, and back into what a
// person can read. It is pure: the same projection, bindings and rule slots give the same bytes on any machine.
//
// One generation is one run of bytes (bpf/layout.h): exact addresses in bucket hashes, blocks as sorted intervals, ports
// as a page table, then per table the chain peer -> row, port class -> class, cell -> decision. Everything hangs off one
// root, and a packet reads the root's place once: that is what keeps its look-ups in one generation (S32), where a
// look-up per map would need an index carried into each of them.
package encode

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"slices"
	"unsafe"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// Binding ties an endpoint to its slot, which is its share of conntrack, and to its interface; interface 0 leaves the
// endpoint out. NetNS is the pod's network namespace, by its id in the namespace that holds the interface, plus one (netns
// ids begin at 0); 0 is unknown. The programs ask there who opened a connection (bpf/opener.h).
type Binding struct{ Slot, Ifindex, NetNS uint32 }

// RuleSlots are the counters of rules: a rule keeps its counter from one generation to the next. Slot 0 counts what no
// rule decided.
type RuleSlots map[plan.ID]uint32

// Input is what an encoding depends on.
type Input struct {
	Projection *plan.Projection
	// Bindings are by place in Projection.Endpoints.
	Bindings []Binding
	// Rules are the slots of the generation before; none of them is given to another rule.
	Rules RuleSlots
	// Now is the Unix second that expiry is judged at (S28).
	Now int64
	// Epoch is the node's count of swaps.
	Epoch uint64
}

// Generation is an encoded projection.
type Generation struct {
	Bytes []byte
	Root  Root
	// Rules are the slots in use, RuleSlot those of Projection.Rules, RuleOf the way back (-1 for none).
	Rules    RuleSlots
	RuleSlot []uint32
	RuleOf   []int32
	// Decisions is the place of the decision that holds at Now for each of Projection.Decisions.
	Decisions []uint32
	// Fresh are the slots that no rule had in the generation before: their counters start anew.
	Fresh []uint32
	// Sections name the parts of Bytes, in order.
	Sections []Section
}

// Section is a named part of a generation.
type Section struct {
	Name     string
	Off, Len uint32
}

// Meta travels with a generation for whoever reads it back.
type Meta struct {
	Node           string   `json:"node"`
	DecisionDigest string   `json:"decisionDigest"`
	NodeDigest     string   `json:"nodeDigest"`
	Endpoints      []string `json:"endpoints"` // by slot
	Peers          int      `json:"peers"`
	Addresses      int      `json:"addresses"`
	Tables         int      `json:"tables"`
}

// Encode lays a projection out.
func Encode(in Input) (*Generation, error) {
	p := in.Projection
	if err := check(p); err != nil {
		return nil, fmt.Errorf("encoding generation %d: %w", p.Generation, err)
	}
	if len(in.Bindings) != len(p.Endpoints) {
		return nil, fmt.Errorf("encoding generation %d: %d bindings for %d endpoints", p.Generation, len(in.Bindings), len(p.Endpoints))
	}
	e := &encoder{in: in, p: p, g: &Generation{}, buf: make([]byte, 0, sizeOf(p)), known: map[fingerprint][]Section{},
		castagnoli: crc32.MakeTable(crc32.Castagnoli)}
	for _, step := range []func() error{e.links, e.addresses, e.ports, e.rules, e.decisions, e.endpoints, e.meta} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("encoding generation %d: %w", p.Generation, err)
		}
	}
	return e.finish()
}

type encoder struct {
	in         Input
	p          *plan.Projection
	g          *Generation
	buf        []byte
	known      map[fingerprint][]Section
	castagnoli *crc32.Table
	wide       []wideEntry
	portTable  *ports
}

// sizeOf guesses a little above what a projection takes, so that the buffer is allocated once.
func sizeOf(p *plan.Projection) int {
	n := 64<<10 + 64*len(p.Addresses) + 128*len(p.Frontends) + 16*(len(p.Decisions)+len(p.Rules)) + 256*len(p.Endpoints)
	for i := range p.Tables {
		t := &p.Tables[i]
		n += len(t.RowOfPeer) + len(t.Cells) + len(t.FrontendCells) + 4*len(t.Starts)
	}
	return n
}

// align is where parts begin: a bucket of a hash is then one line of the processor's cache.
const align = 64

const rootSize = (uint32(unsafe.Sizeof(Root{})) + align - 1) &^ (align - 1)

// put adds a part and returns its offset; parts of equal content are one.
func (e *encoder) put(name string, b []byte) uint32 {
	if len(b) == 0 {
		return 0
	}
	f := fingerprint{crc32.Checksum(b, e.castagnoli), len(b)}
	for _, s := range e.known[f] {
		if at := s.Off - rootSize; bytes.Equal(e.buf[at:at+s.Len], b) {
			return s.Off
		}
	}
	e.buf = append(e.buf, make([]byte, -len(e.buf)&(align-1))...)
	s := Section{name, rootSize + uint32(len(e.buf)), uint32(len(b))}
	e.buf = append(e.buf, b...)
	e.known[f] = append(e.known[f], s)
	e.g.Sections = append(e.g.Sections, s)
	return s.Off
}

// fingerprint finds parts that may be equal; it is cheap, and equality is checked.
type fingerprint struct {
	sum uint32
	len int
}

func (e *encoder) addresses() error {
	t, err := encodeAddresses(e.p)
	if err != nil {
		return err
	}
	r := &e.g.Root
	b, mask, seed, err := encodePairs("IPv4 addresses", t.v4)
	if err != nil {
		return err
	}
	r.V4, r.V4Mask, r.V4Seed = e.put("IPv4 addresses", b), mask, seed
	e.wide = t.wide
	e.frontends()
	if b, mask, seed, err = encodeWide(e.wide); err != nil {
		return err
	}
	r.Wide, r.WideMask, r.WideSeed = e.put("IPv6 addresses and service ports", b), mask, seed

	firsts, values := t.net[0].bytes()
	r.Net4, r.Net4Values, r.Net4N = e.put("IPv4 blocks", firsts), e.put("IPv4 blocks, values", values), uint32(len(t.net[0].firsts))
	firsts, values = t.net[1].bytes()
	r.Net6, r.Net6Values, r.Net6N = e.put("IPv6 blocks", firsts), e.put("IPv6 blocks, values", values), uint32(len(t.net[1].firsts))
	var own []byte
	for _, o := range t.own {
		own = appendStruct(own, o)
	}
	r.Own, r.OwnN = e.put("own addresses", own), uint32(len(t.own))
	return nil
}

// frontends enters the services' ports, and for each pod the answers that leave it out of its own service (S6).
func (e *encoder) frontends() {
	for i := range e.p.Frontends {
		f := &e.p.Frontends[i]
		v := uint32(i)
		if f.Local {
			v |= addrLocal
		}
		for _, a := range f.Addrs {
			e.wide = append(e.wide, wideEntry{wideKey{keyWords(a), uint32(plan.Key(f.Space, f.Number))}, v})
		}
	}
	for i := range e.p.Endpoints {
		self := e.p.Endpoints[i].SelfFrontends
		for _, f := range sortedKeys(self) {
			k := wideKey{[4]uint32{e.in.Bindings[i].Slot, f}, tagSelf}
			e.wide = append(e.wide, wideEntry{k, uint32(self[f])})
		}
	}
}

func (e *encoder) links() error {
	var links []pair
	for _, b := range e.in.Bindings {
		if b.Ifindex != 0 {
			links = append(links, pair{b.Ifindex, b.Slot})
		}
	}
	b, mask, seed, err := encodePairs("interfaces", links)
	if err != nil {
		return err
	}
	r := &e.g.Root
	r.Links, r.LinksMask, r.LinksSeed = e.put("interfaces", b), mask, seed
	return nil
}

func (e *encoder) ports() error {
	p, err := encodePorts(e.p.Tables)
	if err != nil {
		return err
	}
	e.portTable = p
	r := &e.g.Root
	r.PortPages, r.Pages, r.PagesN = e.put("port pages", p.directory), e.put("port classes", p.pages), uint32(p.numPages)
	return nil
}

// rules gives every rule a counter: the one it had, else one that no rule had before.
func (e *encoder) rules() error {
	used := map[uint32]bool{0: true}
	for _, s := range e.in.Rules {
		used[s] = true
	}
	g := e.g
	g.Rules, g.RuleSlot = RuleSlots{}, make([]uint32, len(e.p.Rules))
	free, top := uint32(1), uint32(0)
	for i := range e.p.Rules {
		id := e.p.Rules[i].ID
		if id == (plan.ID{}) {
			return fmt.Errorf("rule %d (%s) has no id", i, e.p.Rules[i].Name)
		}
		slot, ok := g.Rules[id]
		if !ok {
			if slot, ok = e.in.Rules[id]; !ok {
				for used[free] {
					free++
				}
				slot, used[free] = free, true
				g.Fresh = append(g.Fresh, slot)
			}
			g.Rules[id] = slot
		}
		g.RuleSlot[i], top = slot, max(top, slot)
	}
	ids := make([]byte, 16*(top+1))
	g.RuleOf = slices.Repeat([]int32{-1}, int(top)+1)
	for i := len(e.p.Rules) - 1; i >= 0; i-- {
		s := g.RuleSlot[i]
		g.RuleOf[s] = int32(i)
		copy(ids[16*s:], e.p.Rules[i].ID[:])
	}
	g.Root.Rules, g.Root.RulesN = e.put("rules", ids), top+1
	return nil
}

func (e *encoder) slot(rule int32) uint32 {
	if rule < 0 {
		return 0
	}
	return e.g.RuleSlot[rule]
}

func (e *encoder) decisions() error {
	var b []byte
	for i := range e.p.Decisions {
		at := expired(e.p, uint32(i), e.in.Now)
		e.g.Decisions = append(e.g.Decisions, at)
		d := &e.p.Decisions[at]
		r := decisionRecord{Verdict: uint8(d.Verdict), Auth: uint8(d.Auth), AuditVerdict: uint8(d.AuditVerdict),
			Rule: e.slot(d.Rule), AuditRule: e.slot(d.AuditRule)}
		if d.Log {
			r.Flags |= decisionLog
		}
		if d.AuditDiffers {
			r.Flags |= decisionAudit
		}
		b = appendStruct(b, r)
	}
	e.g.Root.Decisions, e.g.Root.DecisionsN = e.put("decisions", b), uint32(len(e.p.Decisions))
	return nil
}

func (e *encoder) table(i int) tableRecord {
	t := &e.p.Tables[i]
	name := func(part string) string { return fmt.Sprintf("table %d, %s", i, part) }
	classes := e.portTable.classes[i]
	return tableRecord{
		Rows: e.put(name("rows"), t.RowOfPeer), RowsN: uint32(len(t.RowOfPeer) / 2),
		Classes: e.put(name("port classes"), classes), ClassesN: uint32(len(classes) / 2),
		Cells: e.put(name("cells"), t.Cells), Height: uint32(t.NumRows), Width: uint32(t.NumClasses),
		Frontends: e.put(name("service ports"), t.FrontendCells), FrontendsN: uint32(len(t.FrontendCells) / 2),
	}
}

func (e *encoder) endpoints() error {
	tables := make([]tableRecord, len(e.p.Tables))
	for i := range tables {
		tables[i] = e.table(i)
	}
	var slots uint32
	taken := map[uint32]int{}
	for i, b := range e.in.Bindings {
		if other, ok := taken[b.Slot]; ok {
			return fmt.Errorf("endpoints %s and %s have slot %d", e.p.Endpoints[other].Name, e.p.Endpoints[i].Name, b.Slot)
		}
		taken[b.Slot] = i
		slots = max(slots, b.Slot+1)
	}
	records := make([]endpointRecord, slots)
	for i := range e.p.Endpoints {
		ep, b := &e.p.Endpoints[i], e.in.Bindings[i]
		r := &records[b.Slot]
		r.Ifindex, r.NetNS, r.AddrsN = b.Ifindex, b.NetNS, uint32(len(ep.Addrs))
		for j, a := range ep.Addrs {
			r.Addrs[j] = wordsOf(a)
		}
		if len(ep.SelfFrontends) > 0 {
			r.Flags |= endpointSelf
		}
		r.Tables = [2]tableRecord{ir.Egress: tables[ep.Egress], ir.Ingress: tables[ep.Ingress]}
	}
	var b []byte
	for i := range records {
		b = appendStruct(b, &records[i])
	}
	e.g.Root.Endpoints, e.g.Root.EndpointsN = e.put("endpoints", b), slots
	return nil
}

func (e *encoder) meta() error {
	m := Meta{Node: e.p.Node, DecisionDigest: e.p.DecisionDigest, NodeDigest: e.p.NodeDigest,
		Endpoints: make([]string, e.g.Root.EndpointsN), Peers: len(e.p.Peers), Addresses: len(e.p.Addresses), Tables: len(e.p.Tables)}
	for i, b := range e.in.Bindings {
		m.Endpoints[b.Slot] = e.p.Endpoints[i].Name
	}
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("writing the description: %w", err)
	}
	e.g.Root.Meta, e.g.Root.MetaN = e.put("description", b), uint32(len(b))
	return nil
}

func (e *encoder) finish() (*Generation, error) {
	size := uint64(rootSize) + uint64(len(e.buf))
	if size > MaxBytes {
		return nil, fmt.Errorf("generation %d takes %d MiB: a node holds at most %d MiB", e.p.Generation, size>>20, MaxBytes>>20)
	}
	r := &e.g.Root
	r.Magic, r.Layout = Magic, Layout
	r.Generation, r.Epoch, r.JudgedAt, r.Size = e.p.Generation, e.in.Epoch, uint64(e.in.Now), uint32(size)
	e.g.Bytes = appendStruct(make([]byte, 0, size), r)
	e.g.Bytes = append(append(e.g.Bytes, make([]byte, int(rootSize)-len(e.g.Bytes))...), e.buf...)
	e.g.Sections = slices.Insert(e.g.Sections, 0, Section{"root", 0, rootSize})
	return e.g, nil
}

// MaxBytes bounds a generation: two lie side by side in the blob, whose places the verifier bounds to 2^29.
const MaxBytes = 128 << 20

// appendStruct appends a structure of fixed size. binary.Append cannot fail for those.
func appendStruct(b []byte, v any) []byte {
	b, err := binary.Append(b, binary.LittleEndian, v)
	if err != nil {
		panic(err)
	}
	return b
}

// Compare names the sections in which the kernel's bytes differ from the generation's.
func (g *Generation) Compare(have []byte) []Section {
	var diff []Section
	for _, s := range g.Sections {
		if int(s.Off+s.Len) > len(have) || !bytes.Equal(g.Bytes[s.Off:s.Off+s.Len], have[s.Off:s.Off+s.Len]) {
			diff = append(diff, s)
		}
	}
	return diff
}
