package resolve

import (
	"fmt"

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
			continue
		}
		c.serviceAddresses(s)
		for _, p := range s.Ports {
			f := plan.Frontend{Namespace: s.Namespace, Service: s.Name, PortName: p.Name, Addrs: s.ClusterIPs,
				Port: plan.Key(p.Space, p.Port), NodePort: p.NodePort}
			for _, b := range p.Backends {
				f.Backends = append(f.Backends, c.backend(endpoints, p.Space, b))
			}
			c.plan.Frontends = append(c.plan.Frontends, f)
		}
	}
}

func (c *compiler) serviceAddresses(s *inventory.Service) {
	for _, a := range s.ClusterIPs {
		if i, ok := c.plan.Addresses.Exact[a.Unmap()]; ok && i != 0 {
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
