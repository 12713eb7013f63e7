package datapath

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/weir-mesh/weir/compiler/plan"
)

// withOwn adds to a projection the addresses that the node has and the plan cannot know: a bridge's, for one, from which its
// sockets reach the bridge's pods, and by which it translates what it forwards to them (S5). Only that is added; as a
// destination such an address is what the plan says, and a forwarded source is the world only where the plan knows nothing.
func withOwn(p *plan.Projection) (*plan.Projection, error) {
	addrs, err := ownAddrs()
	if err != nil {
		return nil, err
	}
	out := *p
	for _, a := range addrs {
		i := slices.IndexFunc(p.Addresses, func(x plan.ProjectedAddress) bool { return x.HasSocket && x.Prefix.Addr().Is4() == a.Is4() })
		known := covering(p, a)
		if i < 0 || known.Prefix.IsSingleIP() || known.Service {
			continue
		}
		x := plan.ProjectedAddress{Prefix: netip.PrefixFrom(a, a.BitLen()), Peer: known.Peer, Host: known.Peer, Socket: p.Addresses[i].Socket, HasSocket: true}
		if known.Peer == 0 {
			x.Peer = p.Addresses[i].Peer
		}
		if len(out.Addresses) == len(p.Addresses) {
			out.Addresses = slices.Clone(p.Addresses)
		}
		out.Addresses = append(out.Addresses, x)
	}
	return &out, nil
}

// covering is the longest block of a projection that holds an address; the zero value, which is the unknown, for none.
func covering(p *plan.Projection, a netip.Addr) (best plan.ProjectedAddress) {
	for i := range p.Addresses {
		if x := &p.Addresses[i]; x.Prefix.Contains(a) && (!best.Prefix.IsValid() || x.Prefix.Bits() > best.Prefix.Bits()) {
			best = *x
		}
	}
	return best
}

// ownAddrs are the addresses of this network namespace from which its sockets may reach a pod by a route.
func ownAddrs() ([]netip.Addr, error) {
	for try := 1; ; try++ {
		list, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
		if errors.Is(err, netlink.ErrDumpInterrupted) && try < dumps {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("listing the node's own addresses: %w", err)
		}
		var out []netip.Addr
		for i := range list {
			a, _ := netip.AddrFromSlice(list[i].IP)
			if a = a.Unmap(); a.IsValid() && !a.IsLoopback() && (a.Is4() || !a.IsLinkLocalUnicast()) {
				out = append(out, a)
			}
		}
		slices.SortFunc(out, netip.Addr.Compare)
		return slices.Compact(out), nil
	}
}
