package resolve

import (
	"fmt"
	"net/netip"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// buildFrontends makes a frontend of each port of each service that has, or will have, an address of its own (S27).
// A service's address is no identity: no selector or CIDR matches it.
func (c *compiler) buildFrontends() {
	endpoints := map[ir.NamespacedName]int32{}
	for i := range c.plan.Endpoints {
		e := &c.plan.Endpoints[i]
		endpoints[ir.NamespacedName{Namespace: e.Namespace, Name: e.Name}] = int32(i)
	}
	for i := range c.in.Inventory.Services {
		s := &c.in.Inventory.Services[i]
		if s.Headless {
			c.plan.NoAddress = append(c.plan.NoAddress, plan.Addressless{Namespace: s.Namespace, Service: s.Name, ExternalName: s.ExternalName})
			continue
		}
		c.serviceAddresses(s)
		for _, p := range s.Ports {
			f := plan.Frontend{Namespace: s.Namespace, Service: s.Name, PortName: p.Name,
				Port: plan.Key(p.Space, p.Port), NodePort: p.NodePort, NoBackends: p.NoBackends, Pos: s.Pos}
			var all []plan.Backend
			for _, b := range p.Backends {
				all = append(all, c.backend(endpoints, p.Space, b))
			}
			c.addFrontends(f, s.ClusterIPs, all)
		}
	}
}

// addFrontends adds a port's frontend, or one for each family that its service has addresses of: an address leads to
// endpoints of its own family only (S3).
func (c *compiler) addFrontends(f plan.Frontend, addrs []netip.Addr, all []plan.Backend) {
	if len(addrs) == 0 {
		of := f
		of.Backends = all
		c.plan.Frontends = append(c.plan.Frontends, of)
	}
	for fam := range families {
		of := f
		for _, a := range addrs {
			if family(a.Unmap()) == fam {
				of.Addrs = append(of.Addrs, a.Unmap())
			}
		}
		for _, b := range all {
			if b = c.inFamily(b, fam); len(b.Peers) > 0 {
				of.Backends = append(of.Backends, b)
			}
		}
		if len(of.Addrs) > 0 {
			c.plan.Frontends = append(c.plan.Frontends, of)
		}
	}
}

// inFamily leaves a backend the identities of its addresses of one family. A pod without addresses may get any.
func (c *compiler) inFamily(b plan.Backend, fam int) plan.Backend {
	var addrs []netip.Addr
	switch {
	case b.Endpoint >= 0:
		addrs = c.plan.Endpoints[b.Endpoint].Addrs
	case b.Addr.IsValid():
		addrs = []netip.Addr{b.Addr.Unmap()}
	}
	if len(addrs) == 0 {
		return b
	}
	var peers []plan.PeerIndex
	for i, a := range addrs {
		if family(a) == fam {
			peers = append(peers, b.Peers[i])
		}
	}
	b.Peers = peers
	return b
}

func (c *compiler) serviceAddresses(s *inventory.Service) {
	for _, a := range s.ClusterIPs {
		// A block of one address that a rule names owns it as little as the world does.
		if _, taken := c.peers.owner[a.Unmap()]; taken {
			c.diags.Add(diag.Diagnostic{Code: "WEIR2101", Severity: diag.Error, Pos: s.Pos,
				Message: fmt.Sprintf("service %s/%s and a pod or node both have the address %s", s.Namespace, s.Name, a),
				Hint:    "until this is settled, traffic with the address is denied"})
		}
		c.plan.Addresses.Add(addrPrefix(a.Unmap()), 0)
	}
}

func (c *compiler) backend(endpoints map[ir.NamespacedName]int32, space ir.Space, b inventory.Backend) plan.Backend {
	out := plan.Backend{Endpoint: plan.None, Addr: b.Addr, Port: plan.Key(space, b.Port)}
	if e, ok := endpoints[b.Pod]; ok && b.Pod.Name != "" {
		out.Endpoint, out.Peers = e, c.plan.Endpoints[e].Peers
		return out
	}
	out.Peers = []plan.PeerIndex{c.plan.Addresses.Lookup(b.Addr)}
	return out
}
