package encode

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/weir-mesh/weir/compiler/plan"
)

// addresses are the encoded address tables: exact ones, and intervals for the blocks.
type addresses struct {
	v4   []pair
	wide []wideEntry
	own  []ownRecord
	net  [2]intervals // IPv4, IPv6
}

// intervals cut a family's whole space: firsts[i] is the first address of interval i.
type intervals struct {
	firsts []netip.Addr
	values []uint32
}

func wordsOf(a netip.Addr) words { return a.As16() }

// keyWords are an address's words as the programs load them.
func keyWords(a netip.Addr) (w [4]uint32) {
	b := a.As16()
	for i := range w {
		w[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return w
}

type block struct {
	prefix netip.Prefix
	value  uint32
}

func encodeAddresses(p *plan.Projection) (*addresses, error) {
	t := &addresses{}
	var blocks [2][]block
	seen := make(map[netip.Prefix]bool, len(p.Addresses))
	for i := range p.Addresses {
		a := &p.Addresses[i]
		if err := checkAddress(p, a); err != nil {
			return nil, fmt.Errorf("address %s: %w", a.Prefix, err)
		}
		if seen[a.Prefix] {
			return nil, fmt.Errorf("address %s is there twice", a.Prefix)
		}
		seen[a.Prefix] = true
		v := t.value(a)
		addr := a.Prefix.Addr()
		switch {
		case !a.Prefix.IsSingleIP():
			f := family(addr)
			blocks[f] = append(blocks[f], block{a.Prefix, v})
		case addr.Is4():
			t.v4 = append(t.v4, pair{keyWords(addr)[3], v})
		default:
			t.wide = append(t.wide, wideEntry{wideKey{keyWords(addr), tagAddress}, v})
		}
	}
	t.net[0] = cut(netip.IPv4Unspecified(), blocks[0])
	t.net[1] = cut(netip.IPv6Unspecified(), blocks[1])
	return t, nil
}

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

func checkAddress(p *plan.Projection, a *plan.ProjectedAddress) error {
	switch {
	case !a.Prefix.IsValid():
		return fmt.Errorf("no block")
	case a.Prefix.Addr().Is4In6() || a.Prefix.Addr().Zone() != "":
		return fmt.Errorf("an IPv4 address in IPv6 form, or a zone")
	case a.Prefix != a.Prefix.Masked():
		return fmt.Errorf("the block's first address is %s", a.Prefix.Masked().Addr())
	}
	for _, n := range []uint32{a.Peer, a.Socket, a.Host} {
		if int(n) >= len(p.Peers) {
			return fmt.Errorf("peer %d of %d", n, len(p.Peers))
		}
	}
	return nil
}

// value is the word that the programs find for an address; see ADDR_… in bpf/layout.h.
func (t *addresses) value(a *plan.ProjectedAddress) uint32 {
	v := a.Peer
	if a.HasSocket {
		r := ownRecord{Translated: a.Peer, Socket: a.Socket, Host: a.Host}
		i := slices.Index(t.own, r)
		if i < 0 {
			i, t.own = len(t.own), append(t.own, r)
		}
		v = uint32(i) | addrOwn
	}
	if a.Local {
		v |= addrLocal
	}
	if a.Service {
		v |= addrService
	}
	return v
}

// cut turns nested blocks into intervals in which the most specific block holds.
func cut(zero netip.Addr, blocks []block) intervals {
	slices.SortFunc(blocks, func(a, b block) int {
		return cmp.Or(a.prefix.Addr().Compare(b.prefix.Addr()), cmp.Compare(a.prefix.Bits(), b.prefix.Bits()))
	})
	var iv intervals
	from := func(a netip.Addr, v uint32) {
		if n := len(iv.firsts); n > 0 && iv.firsts[n-1] == a {
			iv.values[n-1] = v
			return
		}
		iv.firsts, iv.values = append(iv.firsts, a), append(iv.values, v)
	}
	type open struct {
		last  netip.Addr
		value uint32
	}
	stack := []open{{value: NoValue}}
	closeTop := func() {
		top := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if next := top.last.Next(); next.IsValid() {
			from(next, stack[len(stack)-1].value)
		}
	}
	from(zero, NoValue)
	for _, b := range blocks {
		for len(stack) > 1 && stack[len(stack)-1].last.Less(b.prefix.Addr()) {
			closeTop()
		}
		from(b.prefix.Addr(), b.value)
		stack = append(stack, open{lastOf(b.prefix), b.value})
	}
	for len(stack) > 1 {
		closeTop()
	}
	return iv.merge()
}

func (iv intervals) merge() intervals {
	n := 0
	for i := range iv.firsts {
		if n > 0 && iv.values[n-1] == iv.values[i] {
			continue
		}
		iv.firsts[n], iv.values[n] = iv.firsts[i], iv.values[i]
		n++
	}
	return intervals{iv.firsts[:n], iv.values[:n]}
}

// lastOf is a block's last address.
func lastOf(p netip.Prefix) netip.Addr {
	a := p.Addr().AsSlice()
	for i := p.Bits(); i < len(a)*8; i++ {
		a[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(a)
	return last
}

// bytes are the firsts in the host order that a search compares, and the values.
func (iv intervals) bytes() (firsts, values []byte) {
	for i, a := range iv.firsts {
		if a.Is4() {
			b := a.As4()
			firsts = binary.LittleEndian.AppendUint32(firsts, binary.BigEndian.Uint32(b[:]))
		} else {
			b := a.As16()
			firsts = binary.LittleEndian.AppendUint64(firsts, binary.BigEndian.Uint64(b[:8]))
			firsts = binary.LittleEndian.AppendUint64(firsts, binary.BigEndian.Uint64(b[8:]))
		}
		values = binary.LittleEndian.AppendUint32(values, iv.values[i])
	}
	return firsts, values
}
