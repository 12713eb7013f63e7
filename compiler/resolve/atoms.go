package resolve

import (
	"net/netip"
	"slices"
)

// atoms is the partition of the address space by the rules' blocks: an address belongs to the longest block that
// holds it, and the blocks around that one are the ones it matches.
type atoms struct {
	blocks map[netip.Prefix]bool
	// lengths are the prefix lengths in use, longest first, by family (0 is IPv4).
	lengths [families][]int
}

func newAtoms(blocks []netip.Prefix) atoms {
	a := atoms{blocks: map[netip.Prefix]bool{}}
	for _, b := range blocks {
		a.add(b)
	}
	return a
}

func (a *atoms) add(b netip.Prefix) {
	a.blocks[b] = true
	ls := &a.lengths[family(b.Addr())]
	if at, ok := slices.BinarySearchFunc(*ls, b.Bits(), func(x, y int) int { return y - x }); !ok {
		*ls = slices.Insert(*ls, at, b.Bits())
	}
}

// families is how many families of addresses there are.
const families = 2

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// around returns the blocks that hold the prefix, longest first.
func (a *atoms) around(p netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, l := range a.lengths[family(p.Addr())] {
		if l > p.Bits() {
			continue
		}
		if b, err := p.Addr().Prefix(l); err == nil && a.blocks[b] {
			out = append(out, b)
		}
	}
	return out
}

// within returns the blocks that lie in the prefix, itself left out, in order.
func (a *atoms) within(p netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for b := range a.blocks {
		if b.Bits() > p.Bits() && p.Contains(b.Addr()) {
			out = append(out, b)
		}
	}
	slices.SortFunc(out, comparePrefix)
	return out
}

func addrPrefix(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// inAny reports whether a whole prefix lies in one of the ranges.
func inAny(ranges []netip.Prefix, p netip.Prefix) bool {
	return slices.ContainsFunc(ranges, func(r netip.Prefix) bool {
		return r.Addr().Is4() == p.Addr().Is4() && r.Bits() <= p.Bits() && r.Contains(p.Addr())
	})
}
