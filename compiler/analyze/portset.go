package analyze

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// shownSpaces are the spaces that the lines form shows: TCP, UDP and SCTP.
const shownSpaces = 3

// portSet holds open ports of TCP, UDP and SCTP as ranges, ascending, apart from each other. Port 0 is no port.
type portSet [shownSpaces][]portRange

type portRange struct{ first, last uint16 }

// append adds a range behind all others of its space.
func (s *portSet) append(k plan.PortKey, last uint16) {
	first := max(k.Number(), 1)
	if last < first {
		return
	}
	rs := &s[k.Space()]
	if n := len(*rs); n > 0 && int((*rs)[n-1].last)+1 >= int(first) {
		(*rs)[n-1].last = max((*rs)[n-1].last, last)
		return
	}
	*rs = append(*rs, portRange{first, last})
}

func (s portSet) union(o portSet) portSet {
	var out portSet
	for space := range s {
		all := slices.Concat(s[space], o[space])
		slices.SortFunc(all, func(a, b portRange) int { return cmp.Compare(a.first, b.first) })
		for _, r := range all {
			out.append(plan.Key(ir.Space(space), r.first), r.last)
		}
	}
	return out
}

// String is "" for no port, "All Connections" for every port, else "SCTP 9003,TCP 80-90,443".
func (s portSet) String() string {
	every := []portRange{{1, 65535}}
	if slices.Equal(s[ir.TCP], every) && slices.Equal(s[ir.UDP], every) && slices.Equal(s[ir.SCTP], every) {
		return "All Connections"
	}
	var parts []string
	for _, space := range []ir.Space{ir.SCTP, ir.TCP, ir.UDP} {
		if len(s[space]) == 0 {
			continue
		}
		var rs []string
		for _, r := range s[space] {
			if r.first == r.last {
				rs = append(rs, fmt.Sprint(r.first))
			} else {
				rs = append(rs, fmt.Sprintf("%d-%d", r.first, r.last))
			}
		}
		parts = append(parts, space.String()+" "+strings.Join(rs, ","))
	}
	return strings.Join(parts, ",")
}

// worldRange is a run of addresses outside the cluster with one identity.
type worldRange struct {
	first, last netip.Addr
	peer        plan.PeerIndex
}

func (r worldRange) family() int {
	if r.first.Is4() {
		return 0
	}
	return 1
}

// worldRanges cuts a family's addresses into runs, ascending; the cluster's ranges are left out, single pods and
// nodes are not. IPv6 is left out when no rule names a block of it.
func worldRanges(p *plan.Plan, family int) []worldRange {
	var blocks []netip.Prefix
	peers := map[netip.Prefix]plan.PeerIndex{}
	enter := func(b netip.Prefix, i plan.PeerIndex) {
		if b.Addr().Is4() == (family == 0) && (p.Peers[i].Kind == plan.WorldPeer || p.Peers[i].Kind == plan.UnknownPeer) {
			blocks, peers[b] = append(blocks, b), i
		}
	}
	for b, i := range p.Addresses.Prefixes {
		enter(b, i)
	}
	for a, i := range p.Addresses.Exact {
		enter(netip.PrefixFrom(a, a.BitLen()), i)
	}
	if family == 1 && len(blocks) < 2 {
		return nil
	}
	// A block comes before what lies inside it.
	slices.SortFunc(blocks, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	var out []worldRange
	emit := func(first, last netip.Addr, i plan.PeerIndex) {
		if first.IsValid() && first.Compare(last) <= 0 && p.Peers[i].Kind == plan.WorldPeer {
			out = append(out, worldRange{first, last, i})
		}
	}
	var open []netip.Prefix // blocks around the place reached
	at := netip.Addr{}      // the first address that no run holds yet
	closeTo := func(next netip.Addr) {
		for len(open) > 0 && (!next.IsValid() || !open[len(open)-1].Contains(next)) {
			b := open[len(open)-1]
			open = open[:len(open)-1]
			if at.IsValid() && b.Contains(at) {
				emit(at, lastOf(b), peers[b])
				at = lastOf(b).Next()
			}
		}
	}
	for _, b := range blocks {
		closeTo(b.Addr())
		if len(open) > 0 {
			emit(at, b.Addr().Prev(), peers[open[len(open)-1]])
		}
		at = b.Addr()
		open = append(open, b)
	}
	closeTo(netip.Addr{})
	return out
}

// blocksOf are the blocks, holes included, that rules of a direction name.
func blocksOf(p *plan.Plan, d ir.Direction) map[netip.Prefix]bool {
	out := map[netip.Prefix]bool{}
	for i := range p.Rules {
		if p.Rules[i].Direction != d || p.Rules[i].Source == nil {
			continue
		}
		for _, peer := range p.Rules[i].Source.Peers {
			if peer.CIDR == nil {
				continue
			}
			out[peer.CIDR.Prefix.Masked()] = true
			for _, e := range peer.CIDR.Except {
				out[e.Masked()] = true
			}
		}
	}
	return out
}

// cutRanges joins neighbouring ranges except where one of the blocks begins or ends.
func cutRanges(ranges []worldRange, blocks map[netip.Prefix]bool) []worldRange {
	cuts := map[netip.Addr]bool{}
	for b := range blocks {
		cuts[b.Addr()] = true
		if next := lastOf(b).Next(); next.IsValid() {
			cuts[next] = true
		}
	}
	var out []worldRange
	for _, r := range ranges {
		if n := len(out); n > 0 && out[n-1].last.Next() == r.first && !cuts[r.first] {
			out[n-1].last = r.last
			continue
		}
		out = append(out, r)
	}
	return out
}

// lastOf is the last address of a block.
func lastOf(b netip.Prefix) netip.Addr {
	raw := b.Masked().Addr().AsSlice()
	for i := b.Bits(); i < len(raw)*8; i++ {
		raw[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(raw)
	return a
}
