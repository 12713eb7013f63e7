package encode

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/weir-mesh/weir/compiler/plan"
)

// Held is a generation read back from the kernel.
type Held struct {
	Root      Root
	Meta      Meta
	Rules     RuleSlots
	Endpoints []HeldEndpoint
}

// HeldEndpoint is an endpoint of a generation that was read back.
type HeldEndpoint struct {
	Slot, Ifindex uint32
	Name          string
	Addrs         []netip.Addr
}

// Read takes a generation apart, from the root on.
func Read(b []byte) (*Held, error) {
	h := &Held{Rules: RuleSlots{}}
	r := &h.Root
	if _, err := binary.Decode(b, binary.LittleEndian, r); err != nil {
		return nil, fmt.Errorf("reading a generation's root: %w", err)
	}
	if r.Magic != Magic || r.Layout != Layout {
		return nil, fmt.Errorf("reading a generation: magic %#x, layout %d, want %#x, %d", r.Magic, r.Layout, Magic, Layout)
	}
	part := func(off, n uint32) ([]byte, error) {
		if uint64(off)+uint64(n) > uint64(len(b)) {
			return nil, fmt.Errorf("reading a generation: part at %d of %d bytes ends behind %d", off, n, len(b))
		}
		return b[off : off+n], nil
	}
	meta, err := part(r.Meta, r.MetaN)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(meta, &h.Meta); err != nil {
		return nil, fmt.Errorf("reading a generation's description: %w", err)
	}
	ids, err := part(r.Rules, 16*r.RulesN)
	if err != nil {
		return nil, err
	}
	for i := uint32(1); i < r.RulesN; i++ {
		if id := plan.ID(ids[16*i:]); id != (plan.ID{}) {
			h.Rules[id] = i
		}
	}
	size := uint32(binary.Size(endpointRecord{}))
	records, err := part(r.Endpoints, size*r.EndpointsN)
	if err != nil {
		return nil, err
	}
	for i := range r.EndpointsN {
		var e endpointRecord
		if err := binary.Read(bytes.NewReader(records[i*size:]), binary.LittleEndian, &e); err != nil {
			return nil, fmt.Errorf("reading endpoint %d: %w", i, err)
		}
		if e.AddrsN == 0 || e.AddrsN > MaxAddrs {
			continue
		}
		he := HeldEndpoint{Slot: i, Ifindex: e.Ifindex}
		if int(i) < len(h.Meta.Endpoints) {
			he.Name = h.Meta.Endpoints[i]
		}
		for _, a := range e.Addrs[:e.AddrsN] {
			he.Addrs = append(he.Addrs, netip.AddrFrom16(a).Unmap())
		}
		h.Endpoints = append(h.Endpoints, he)
	}
	return h, nil
}
