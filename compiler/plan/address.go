package plan

import (
	"net/netip"
	"slices"
)

// AddressTable finds the identity of an address: exact addresses first, then the longest prefix (S3).
type AddressTable struct {
	Exact map[netip.Addr]PeerIndex
	// Prefixes maps blocks to identities: world blocks, and in-cluster ranges to the unknown peer.
	Prefixes map[netip.Prefix]PeerIndex
	// Lengths4 and Lengths6 are the prefix lengths in use, longest first.
	Lengths4, Lengths6 []int
}

// Add enters a block; a full-length block is exact.
func (t *AddressTable) Add(p netip.Prefix, i PeerIndex) {
	if t.Exact == nil {
		t.Exact, t.Prefixes = map[netip.Addr]PeerIndex{}, map[netip.Prefix]PeerIndex{}
	}
	if p.IsSingleIP() {
		t.Exact[p.Addr()] = i
		return
	}
	t.Prefixes[p.Masked()] = i
	ls := &t.Lengths6
	if p.Addr().Is4() {
		ls = &t.Lengths4
	}
	if at, found := slices.BinarySearchFunc(*ls, p.Bits(), func(a, b int) int { return b - a }); !found {
		*ls = slices.Insert(*ls, at, p.Bits())
	}
}

// Lookup returns the identity of an address. An address that no block holds is unknown, which is denied, and so is one that
// is nobody's own: a multicast group's, or IPv4's broadcast (S6).
func (t *AddressTable) Lookup(a netip.Addr) PeerIndex {
	a = a.Unmap().WithZone("")
	if IsMulticast(a) {
		return 0
	}
	if i, ok := t.Exact[a]; ok {
		return i
	}
	ls := t.Lengths6
	if a.Is4() {
		ls = t.Lengths4
	}
	for _, l := range ls {
		if p, err := a.Prefix(l); err == nil {
			if i, ok := t.Prefixes[p]; ok {
				return i
			}
		}
	}
	return 0
}

// IsMulticast reports whether an address is a multicast group's or IPv4's broadcast: nothing passes that goes
// there, or names it as its source (S6; RFC 1122, section 3.2.1.3).
func IsMulticast(a netip.Addr) bool {
	return a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// IsMulticastBlock reports whether every address of a block is one that IsMulticast is about.
func IsMulticastBlock(p netip.Prefix) bool {
	a := p.Masked().Addr()
	switch {
	case p.IsSingleIP():
		return IsMulticast(a)
	case a.Is4():
		return a.IsMulticast() && p.Bits() >= 4
	default:
		return a.IsMulticast() && p.Bits() >= 8
	}
}
