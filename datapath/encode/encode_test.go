package encode

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/datapath/internal/world"
)

func small(generation uint64) *world.World {
	w := world.New(generation)
	r := w.Rule("a.cue:1")
	deny, allow := w.Simple(plan.Deny, -1), w.Simple(plan.Allow, r)
	ending := w.Decision(plan.ProjectedDecision{Verdict: plan.Allow, Rule: r, AuditVerdict: plan.Allow, AuditRule: r, NotAfter: 2000, Then: uint32(deny)})
	t := w.Table(deny)
	e, _ := w.Pod("shop/web", t, t, "10.1.0.2", "fd00::2")
	db := w.Peer(plan.PodPeer, "shop/db")
	w.Address("10.2.0.0/16", db)
	t.Port(db, ir.TCP, 443, allow).Port(db, ir.UDP, 53, ending)
	f := w.Frontend("shop/web:80", ir.TCP, 80, false, "10.96.0.1")
	w.P.Endpoints[e].SelfFrontends = map[uint32]uint16{f: allow}
	return w
}

func input(p *plan.Projection) Input {
	in := Input{Projection: p, Now: 1000, Epoch: 1}
	for i := range p.Endpoints {
		in.Bindings = append(in.Bindings, Binding{Slot: uint32(i), Ifindex: uint32(i) + 7, NetNS: uint32(i)})
	}
	return in
}

func mustEncode(t testing.TB, in Input) *Generation {
	t.Helper()
	g, err := Encode(in)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// kernel reads a generation as the programs do, step by step (bpf/blob.h, bpf/decide.h).
type kernel struct {
	t testing.TB
	b []byte
	r *Root
}

func (k kernel) u16(off, i uint32) uint32 { return uint32(binary.LittleEndian.Uint16(k.b[off+2*i:])) }
func (k kernel) u32(off, i uint32) uint32 { return binary.LittleEndian.Uint32(k.b[off+4*i:]) }

func (k kernel) v4(a netip.Addr) uint32 {
	word := keyWords(a)[3]
	h := hashPair(k.r.V4Seed, word)
	for _, bucket := range []uint32{uint32(h) & k.r.V4Mask, uint32(h>>32) & k.r.V4Mask} {
		for i := range uint32(pairBucket) {
			at := k.r.V4 + (bucket*pairBucket+i)*8
			if k.u32(at, 0) == word && k.u32(at, 1) != NoValue {
				return k.u32(at, 1)
			}
		}
	}
	return NoValue
}

func (k kernel) wide(key wideKey) uint32 {
	h := hashWide(k.r.WideSeed, &key)
	for _, bucket := range []uint32{uint32(h) & k.r.WideMask, uint32(h>>32) & k.r.WideMask} {
		for i := range uint32(wideBucket) {
			at := k.r.Wide + (bucket*wideBucket+i)*24
			var e wideEntry
			if _, err := binary.Decode(k.b[at:], binary.LittleEndian, &e); err != nil {
				k.t.Fatal(err)
			}
			if e.Key == key && e.Value != NoValue {
				return e.Value
			}
		}
	}
	return NoValue
}

func (k kernel) address(a netip.Addr) uint32 {
	if a.Is4() {
		if v := k.v4(a); v != NoValue {
			return v
		}
		b := a.As4()
		return k.u32(k.r.Net4Values, k.search(k.r.Net4N, func(i uint32) bool { return k.u32(k.r.Net4, i) <= binary.BigEndian.Uint32(b[:]) }))
	}
	if v := k.wide(wideKey{keyWords(a), tagAddress}); v != NoValue {
		return v
	}
	b := a.As16()
	high, low := binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])
	return k.u32(k.r.Net6Values, k.search(k.r.Net6N, func(i uint32) bool {
		at := k.r.Net6 + 16*i
		h, l := binary.LittleEndian.Uint64(k.b[at:]), binary.LittleEndian.Uint64(k.b[at+8:])
		return h < high || h == high && l <= low
	}))
}

func (k kernel) search(n uint32, notAbove func(uint32) bool) (place uint32) {
	for n > 1 {
		half := n / 2
		if notAbove(place + half) {
			place += half
		}
		n -= half
	}
	return place
}

func (k kernel) cell(slot int, side ir.Direction, peer uint32, key plan.PortKey) uint32 {
	var e endpointRecord
	at := int(k.r.Endpoints) + slot*binary.Size(e)
	if _, err := binary.Decode(k.b[at:], binary.LittleEndian, &e); err != nil {
		k.t.Fatal(err)
	}
	t := e.Tables[side]
	page := k.u16(k.r.PortPages, uint32(key)>>8)
	class := k.u16(t.Classes, k.u16(k.r.Pages, page<<8|uint32(key)&0xff))
	return k.u16(t.Cells, k.u16(t.Rows, peer)*t.Width+class)
}

func randomAddr(r *rand.Rand, v6 bool) netip.Addr {
	if v6 {
		var b [16]byte
		binary.BigEndian.PutUint32(b[:], 0x20010db8)
		for i := 4; i < 16; i++ {
			b[i] = byte(r.UintN(4)) // few values: neighbours and nesting are common
		}
		return netip.AddrFrom16(b)
	}
	return netip.AddrFrom4([4]byte{10, byte(r.UintN(4)), byte(r.UintN(4)), byte(r.UintN(256))})
}

// TestAddresses compares the encoded search with the plan's longest-prefix look-up, on random nested blocks and their
// first, last and neighbouring addresses (S3).
func TestAddresses(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := small(1)
		var table plan.AddressTable
		for _, a := range w.P.Addresses {
			table.Add(a.Prefix, plan.PeerIndex(a.Peer))
		}
		probes := []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified(), netip.MustParseAddr("255.255.255.255"), netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")}
		for range r.UintN(300) {
			a := randomAddr(r, r.UintN(2) == 0)
			p, err := a.Prefix([]int{a.BitLen(), a.BitLen() - int(r.UintN(24)), int(r.UintN(uint(a.BitLen())))}[r.UintN(3)])
			if err != nil {
				t.Fatal(err)
			}
			if slices.ContainsFunc(w.P.Addresses, func(x plan.ProjectedAddress) bool { return x.Prefix == p }) {
				continue
			}
			peer := uint32(r.UintN(uint(len(w.P.Peers))))
			w.P.Addresses = append(w.P.Addresses, plan.ProjectedAddress{Prefix: p, Peer: peer})
			table.Add(p, plan.PeerIndex(peer))
			probes = append(probes, p.Addr(), p.Addr().Prev(), lastOf(p), lastOf(p).Next(), randomAddr(r, a.Is6()))
		}
		g := mustEncode(t, input(w.Build()))
		k := kernel{t, g.Bytes, &g.Root}
		for _, a := range probes {
			if !a.IsValid() || plan.IsMulticast(a) { // S6: the kernel drops what goes there before it looks
				continue
			}
			v := k.address(a)
			got := v & addrNumber
			if v == NoValue {
				got = 0
			}
			if want := uint32(table.Lookup(a)); got != want {
				t.Fatalf("seed %d, %s: identity %d, want %d", seed, a, got, want)
			}
		}
	}
}

// TestCells compares every boundary of random tables with the projection's own intervals (S13).
func TestCells(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 2))
		w := world.New(1)
		var decisions []uint16
		for range 8 {
			decisions = append(decisions, w.Simple(plan.Verdict(r.UintN(2)), w.Rule(fmt.Sprint("rule ", len(decisions)))))
		}
		tables := []*world.Table{w.Table(decisions[0]), w.Table(decisions[1]), w.Table(decisions[2])}
		w.Pod("a", tables[0], tables[1], "10.1.0.2")
		w.Pod("b", tables[0], tables[2], "10.1.0.3")
		for i := range 6 {
			w.Peer(plan.PodPeer, fmt.Sprint("peer ", i))
		}
		keys := []plan.PortKey{0, plan.Key(ir.OtherProtocol, 0xffff)}
		for range r.UintN(60) {
			space := ir.Space(r.UintN(uint(ir.NumSpaces)))
			first := uint16(r.UintN(1 << 16))
			last := max(first, first+uint16(r.UintN(700)))
			a, b := plan.Key(space, first), plan.Key(space, last)
			tables[r.UintN(3)].Set(uint32(r.UintN(uint(len(w.P.Peers)))), a, b, decisions[r.UintN(8)])
			keys = append(keys, a, a-1, a+1, b, b-1, b+1, plan.PortKey(r.UintN(6<<16)))
		}
		p := w.Build()
		g := mustEncode(t, input(p))
		k := kernel{t, g.Bytes, &g.Root}
		for slot, e := range p.Endpoints {
			for side, index := range []int{ir.Egress: e.Egress, ir.Ingress: e.Ingress} {
				table := &p.Tables[index]
				for peer := range p.Peers {
					for _, key := range keys {
						if key >= 6<<16 {
							continue
						}
						i, found := slices.BinarySearch(table.Starts, uint32(key))
						if !found {
							i--
						}
						row := int(binary.LittleEndian.Uint16(table.RowOfPeer[2*peer:]))
						want := uint32(binary.LittleEndian.Uint16(table.Cells[2*(row*table.NumClasses+int(table.Classes[i])):]))
						if got := k.cell(slot, ir.Direction(side), uint32(peer), key); got != want {
							t.Fatalf("seed %d, endpoint %d, side %d, peer %d, key %#x: decision %d, want %d", seed, slot, side, peer, key, got, want)
						}
					}
				}
			}
		}
	}
}

// TestHash fills the hashes with many keys: each is found, others are not.
func TestHash(t *testing.T) {
	w := small(1)
	const n = 20_000
	for i := range n {
		w.Address(netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}).String(), uint32(i%3))
		w.Address(netip.AddrFrom16([16]byte{0xfd, 14: byte(i >> 8), 15: byte(i), 13: 9}).String(), uint32(i%3))
	}
	g := mustEncode(t, input(w.Build()))
	k := kernel{t, g.Bytes, &g.Root}
	for _, a := range w.P.Addresses {
		if a.Prefix.IsSingleIP() && k.address(a.Prefix.Addr())&addrNumber != a.Peer {
			t.Fatalf("%s is not found", a.Prefix)
		}
	}
	for i := range n {
		if v := k.v4(netip.AddrFrom4([4]byte{10, 200, byte(i >> 8), byte(i)})); v != NoValue {
			t.Fatalf("found %#x for an address that is not there", v)
		}
	}
	if len(g.Bytes) > 4<<20 {
		t.Errorf("%d addresses take %d bytes", 2*n, len(g.Bytes))
	}
}

// TestSame gives the same bytes for the same input, and with the order of the addresses changed the same answers.
func TestSame(t *testing.T) {
	a, b := mustEncode(t, input(small(1).Build())), mustEncode(t, input(small(1).Build()))
	if !bytes.Equal(a.Bytes, b.Bytes) {
		t.Error("the same input gave other bytes")
	}
	if diff := a.Compare(b.Bytes); len(diff) != 0 {
		t.Errorf("differences %v", diff)
	}
	w := small(1)
	w.P.Addresses[0].Peer = 0
	if diff := a.Compare(mustEncode(t, input(w.Build())).Bytes); len(diff) != 1 || diff[0].Name != "IPv4 addresses" {
		t.Errorf("differences %v", diff)
	}
}

// TestRuleSlots keeps a rule's counter from generation to generation and gives no rule a slot that another had in the one
// before.
func TestRuleSlots(t *testing.T) {
	encode := func(prev RuleSlots, names ...string) *Generation {
		w := small(1)
		w.P.Rules = w.P.Rules[:1]
		for _, n := range names {
			w.Rule(n)
		}
		in := input(w.Build())
		in.Rules = prev
		return mustEncode(t, in)
	}
	a := encode(nil, "x", "y")
	b := encode(a.Rules, "z", "y")
	c := encode(b.Rules, "w", "y")
	if !slices.Equal(a.RuleSlot, []uint32{1, 2, 3}) || !slices.Equal(b.RuleSlot, []uint32{1, 4, 3}) || !slices.Equal(c.RuleSlot, []uint32{1, 2, 3}) {
		t.Errorf("slots %v, %v, %v", a.RuleSlot, b.RuleSlot, c.RuleSlot)
	}
	if !slices.Equal(b.Fresh, []uint32{4}) || b.RuleOf[2] != -1 || b.RuleOf[4] != 1 {
		t.Errorf("fresh %v, rules %v", b.Fresh, b.RuleOf)
	}
	h, err := Read(b.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if len(h.Rules) != 3 || h.Rules[small(1).P.Rules[0].ID] != 1 || h.Meta.Endpoints[0] != "shop/web" || h.Endpoints[0].Ifindex != 7 || h.Endpoints[0].Addrs[1].String() != "fd00::2" {
		t.Errorf("read back %+v", h)
	}
}

// TestExpiry follows Then at the given moment (S28).
func TestExpiry(t *testing.T) {
	p := small(1).Build()
	for _, c := range []struct {
		now, next int64
		holds     uint32
	}{{1999, 2000, 2}, {2000, 0, 0}, {1 << 40, 0, 0}} {
		in := input(p)
		in.Now = c.now
		if g := mustEncode(t, in); g.Decisions[2] != c.holds {
			t.Errorf("at %d decision %d holds, want %d", c.now, g.Decisions[2], c.holds)
		}
		if n := NextExpiry(p, c.now); n != c.next {
			t.Errorf("after %d comes %d, want %d", c.now, n, c.next)
		}
	}
	p.Decisions[0].NotAfter, p.Decisions[0].Then = 1, 2 // a ring ends
	in := input(p)
	in.Now = 5000
	mustEncode(t, in)
}

// TestRefused lists what is no projection, and where it says so.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		want   string
		change func(*plan.Projection)
	}{
		{"form 2", func(p *plan.Projection) { p.Version = 2 }},
		{"peer 0", func(p *plan.Projection) { p.Peers[0].Kind = plan.PodPeer }},
		{"peer 0", func(p *plan.Projection) { p.Peers = nil }},
		{"decision 0: rule 9 or -1 of 1", func(p *plan.Projection) { p.Decisions[0].Rule = 9 }},
		{"decision 1: unknown verdict", func(p *plan.Projection) { p.Decisions[1].Verdict = 3 }},
		{"decision 2: then 3 of 3", func(p *plan.Projection) { p.Decisions[2].Then = 3 }},
		{"table 0: port intervals", func(p *plan.Projection) { p.Tables[0].Starts[0] = 1 }},
		{"table 0: port interval 1 has class 99", func(p *plan.Projection) { p.Tables[0].Classes[1] = 99 }},
		{"table 0: port interval 2 starts at", func(p *plan.Projection) { p.Tables[0].Starts[2] = p.Tables[0].Starts[1] }},
		{"table 0: 2 rows for", func(p *plan.Projection) { p.Tables[0].RowOfPeer = p.Tables[0].RowOfPeer[:4] }},
		{"table 0: identity 0 has row 9", func(p *plan.Projection) { p.Tables[0].RowOfPeer[0] = 9 }},
		{"table 0: cell 0 holds decision 65535", func(p *plan.Projection) { p.Tables[0].Cells[0], p.Tables[0].Cells[1] = 255, 255 }},
		{"table 0: 0 cells for", func(p *plan.Projection) { p.Tables[0].Cells = nil }},
		{"table 0: 2 cells for 1 service ports", func(p *plan.Projection) { p.Tables[0].FrontendCells = make([]byte, 4) }},
		{"endpoint shop/web: 0 addresses", func(p *plan.Projection) { p.Endpoints[0].Addrs = nil }},
		{"endpoint shop/web: tables 0 and 7", func(p *plan.Projection) { p.Endpoints[0].Ingress = 7 }},
		{"no address of a pod", func(p *plan.Projection) { p.Endpoints[0].Addrs[0] = netip.MustParseAddr("::ffff:10.0.0.1") }},
		{"service port 9", func(p *plan.Projection) { p.Endpoints[0].SelfFrontends[9] = 0 }},
		{"also an address of shop/web", func(p *plan.Projection) { p.Endpoints = append(p.Endpoints, p.Endpoints[0]) }},
		{"address 10.2.0.0/16: peer 9 of 3", func(p *plan.Projection) { p.Addresses[2].Peer = 9 }},
		{"is there twice", func(p *plan.Projection) { p.Addresses = append(p.Addresses, p.Addresses[0]) }},
		{"first address is 10.2.0.0", func(p *plan.Projection) { p.Addresses[2].Prefix = netip.MustParsePrefix("10.2.0.1/16") }},
		{"rule 0 (a.cue:1) has no id", func(p *plan.Projection) { p.Rules[0].ID = plan.ID{} }},
		{"a node holds at most 65535", func(p *plan.Projection) { p.Decisions = make([]plan.ProjectedDecision, 65536) }},
	} {
		p := small(1).Build()
		c.change(p)
		_, err := Encode(input(p))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
	in := input(small(1).Build())
	in.Bindings = nil
	if _, err := Encode(in); err == nil {
		t.Error("endpoints without bindings were encoded")
	}
}

// FuzzEncode reads projections from anywhere: they are refused or encoded, and what is encoded reads back.
func FuzzEncode(f *testing.F) {
	b, err := json.Marshal(small(3).Build())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var p plan.Projection
		if json.Unmarshal(b, &p) != nil {
			return
		}
		g, err := Encode(input(&p))
		if err != nil {
			return
		}
		if _, err := Read(g.Bytes); err != nil {
			t.Error(err)
		}
	})
}
