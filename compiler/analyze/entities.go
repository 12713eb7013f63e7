package analyze

import (
	"net/netip"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// world returns the identities of the addresses outside the cluster that no rule names.
func (n *Names) world() []end {
	var out []end
	for _, a := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		if p, ok := n.plan.Addresses.Prefixes[netip.PrefixFrom(a, 0)]; ok {
			out = append(out, end{End: plan.NewEnd(p), family: addrFamily(a)})
		}
	}
	return out
}

// entity resolves the name of an entity (S5); ok says that it is one's.
func (n *Names) entity(name string) (t *Target, ok bool, err error) {
	t = &Target{Name: name, Kind: EntityTarget}
	every := func(*plan.Peer) bool { return true }
	switch name {
	case "world":
		t.Entity, t.ends = ir.World, n.world()
	case "cluster":
		t.Entity, t.ends = ir.Cluster, append(n.peers(func(p *plan.Peer) bool { return p.Kind == plan.PodPeer }), n.hosts.ends(every)...)
	case "host":
		t.Entity, t.ends = ir.Host, n.hosts.ends(every)
	case "own-node":
		t.Entity, t.ends = ir.OwnNode, n.hosts.ends(every)
	case "kube-apiserver":
		t.Entity = ir.KubeAPIServer
		t.ends = append(n.peers(func(p *plan.Peer) bool { return p.APIServer && p.Kind == plan.WorldPeer }),
			n.hosts.ends(func(p *plan.Peer) bool { return p.APIServer })...)
	default:
		return nil, false, nil
	}
	if len(t.ends) == 0 {
		return nil, true, &NameError{Name: name, Why: "is nowhere in this inventory: no address of it is known"}
	}
	t.pods = len(t.ends)
	return t, true, nil
}

// peers are the identities of some kind as ends.
func (n *Names) peers(want func(*plan.Peer) bool) []end {
	var out []end
	for i := range n.plan.Peers {
		if p := &n.plan.Peers[i]; want(p) {
			e := end{End: plan.NewEnd(plan.PeerIndex(i))}
			if p.Kind == plan.WorldPeer {
				e.family = addrFamily(p.Prefix.Addr())
			}
			out = append(out, e)
		}
	}
	return out
}
