package lab

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/resolve"
)

// MaxPods is how many pods a lab builds. Each is a namespace, a veth and a thread.
const MaxPods = 250

// Source is what a lab is made from.
type Source struct {
	Policies  []ir.Policy
	Inventory *inventory.Inventory
	Config    inventory.Config
	// Now is the moment that expiry is judged at (S28).
	Now time.Time
}

// World is a source in which every pod, node and service has addresses, and its plan. Pods stand in the order of the
// plan's endpoints.
type World struct {
	Source
	Plan *plan.Plan
	// Outside are the addresses that the outside namespace has.
	Outside []OutsideAddr
}

// OutsideAddr is an address outside the nodes: one for each identity of the world that rules tell apart, and an
// in-cluster address that nothing explains (S3).
type OutsideAddr struct {
	Addr netip.Addr
	Peer plan.PeerIndex
}

// Where the lab takes addresses from when no range is declared. None is routed outside the lab's namespaces.
var (
	defaultPods     = [2]netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd77:6569:7244::/64")}
	defaultNodes    = [2]netip.Prefix{netip.MustParsePrefix("172.30.255.0/24"), netip.MustParsePrefix("fd77:6569:7230::/64")}
	defaultServices = [2]netip.Prefix{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("fd77:6569:7296::/112")}
)

// NewWorld gives addresses to what has none, on the given number of nodes, and compiles. The findings are those of the
// compilation.
func NewWorld(s Source, nodes int) (*World, diag.List, error) {
	if nodes < 1 || nodes > 2 {
		return nil, nil, fmt.Errorf("a lab has one node or two, not %d", nodes)
	}
	if n := len(s.Inventory.Pods); n == 0 {
		return nil, nil, fmt.Errorf("there is no workload to run")
	} else if n > MaxPods {
		return nil, nil, fmt.Errorf("a lab holds %d pods and there are %d: name fewer files", MaxPods, n)
	}
	placed, err := place(s, nodes)
	if err != nil {
		return nil, nil, err
	}
	p, diags := placed.compile()
	return &World{Source: placed, Plan: p, Outside: outside(p, &placed.Config)}, diags, nil
}

func (s *Source) compile() (*plan.Plan, diag.List) {
	return resolve.Compile(resolve.Input{Policies: s.Policies, Inventory: s.Inventory, Config: s.Config, Now: s.Now})
}

// with returns the world after a change of its source, with the addresses that it has.
func (w *World) with(change func(*Source)) *World {
	s := w.Source
	inv := *s.Inventory
	inv.Pods = slices.Clone(inv.Pods)
	s.Inventory, s.Policies = &inv, slices.Clone(s.Policies)
	change(&s)
	p, _ := s.compile()
	return &World{Source: s, Plan: p, Outside: w.Outside}
}

// place fills the inventory: the lab's own nodes in the place of the cluster's, each pod on one of them.
func place(s Source, nodes int) (Source, error) {
	inv := *s.Inventory
	inv.Pods, inv.Services = slices.Clone(inv.Pods), slices.Clone(inv.Services)
	keepRanges(&s.Config, &inv)
	s.Config.EnforceNetworkPolicy = true // the lab enforces whatever selects a pod (S17)
	a := newAllocator(&inv)
	pods := pools(&s.Config.PodRanges, defaultPods)
	hosts := pools(&s.Config.NodeRanges, defaultNodes)
	services := pools(&s.Config.ServiceRanges, defaultServices)
	inv.Nodes = nil
	for i := range nodes {
		addrs, err := a.both(hosts)
		if err != nil {
			return s, fmt.Errorf("giving node %d an address: %w", i+1, err)
		}
		inv.Nodes = append(inv.Nodes, inventory.Node{Name: fmt.Sprintf("node-%d", i+1), Addrs: addrs})
	}
	for i := range inv.Pods {
		if err := a.pod(&inv.Pods[i], &inv.Nodes[i%nodes], pods); err != nil {
			return s, err
		}
	}
	for i := range inv.Services {
		if err := a.service(&inv.Services[i], services); err != nil {
			return s, err
		}
	}
	s.Inventory = &inv
	return s, nil
}

// keepRanges leaves the addresses of the cluster's own nodes, which the lab does not build, in-cluster.
func keepRanges(c *inventory.Config, inv *inventory.Inventory) {
	c.PodRanges, c.NodeRanges, c.ServiceRanges = slices.Clone(c.PodRanges), slices.Clone(c.NodeRanges), slices.Clone(c.ServiceRanges)
	for i := range inv.Nodes {
		c.PodRanges = append(c.PodRanges, inv.Nodes[i].PodCIDRs...)
	}
	for i := range inv.Nodes {
		for _, a := range inv.Nodes[i].Addrs {
			c.NodeRanges = append(c.NodeRanges, netip.PrefixFrom(a, a.BitLen()))
		}
	}
}

// pools picks, of each family, the first declared range with room for more than one address, or declares the default.
func pools(declared *[]netip.Prefix, defaults [2]netip.Prefix) [2]netip.Prefix {
	var out [2]netip.Prefix
	for f := range out {
		at := slices.IndexFunc(*declared, func(p netip.Prefix) bool { return family(p.Addr()) == f && p.Addr().BitLen()-p.Bits() >= 2 })
		if at < 0 {
			*declared = append(*declared, defaults[f])
			out[f] = defaults[f]
			continue
		}
		out[f] = (*declared)[at].Masked()
	}
	return out
}

// family is 0 for IPv4 and 1 for IPv6.
func family(a netip.Addr) int {
	if a.Unmap().Is4() {
		return 0
	}
	return 1
}

// allocator gives out addresses that nobody has.
type allocator struct {
	taken map[netip.Addr]bool
	next  map[netip.Prefix]netip.Addr
}

func newAllocator(inv *inventory.Inventory) *allocator {
	a := &allocator{taken: map[netip.Addr]bool{}, next: map[netip.Prefix]netip.Addr{}}
	take := func(as []netip.Addr) {
		for _, x := range as {
			a.taken[x] = true
		}
	}
	for i := range inv.Pods {
		take(inv.Pods[i].Addrs)
	}
	for i := range inv.Nodes {
		take(inv.Nodes[i].Addrs)
	}
	for i := range inv.Services {
		take(inv.Services[i].ClusterIPs)
		for j := range inv.Services[i].Ports {
			for _, b := range inv.Services[i].Ports[j].Backends {
				a.taken[b.Addr] = true // a bare address is nobody's in the lab
			}
		}
	}
	return a
}

// give returns the next free address of a range; never its first, which is the network's own.
func (a *allocator) give(p netip.Prefix) (netip.Addr, error) {
	x, ok := a.next[p]
	if !ok {
		x = p.Addr()
	}
	for x = x.Next(); p.Contains(x); x = x.Next() {
		if !a.taken[x] {
			a.taken[x], a.next[p] = true, x
			return x, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("the range %s has no address left", p)
}

func (a *allocator) both(pools [2]netip.Prefix) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, p := range pools {
		x, err := a.give(p)
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

// pod puts a pod on a node. The addresses of a running pod are kept.
func (a *allocator) pod(p *inventory.Pod, node *inventory.Node, pools [2]netip.Prefix) error {
	p.Node = node.Name
	if p.HostNetwork {
		p.Addrs = slices.Clone(node.Addrs)
		return nil
	}
	if len(p.Addrs) > 0 {
		return nil
	}
	var err error
	if p.Addrs, err = a.both(pools); err != nil {
		return fmt.Errorf("giving pod %s/%s an address: %w", p.Namespace, p.Name, err)
	}
	return nil
}

func (a *allocator) service(s *inventory.Service, pools [2]netip.Prefix) error {
	if s.Headless || len(s.ClusterIPs) > 0 {
		return nil
	}
	var err error
	if s.ClusterIPs, err = a.both(pools); err != nil {
		return fmt.Errorf("giving service %s/%s an address: %w", s.Namespace, s.Name, err)
	}
	return nil
}

// outside picks an address for each identity of the world, and one of the pod range that nobody has.
func outside(p *plan.Plan, c *inventory.Config) []OutsideAddr {
	var out []OutsideAddr
	for i := range p.Peers {
		if peer := plan.PeerIndex(i); p.Peers[i].Kind == plan.WorldPeer {
			if a, ok := inside(p, p.Peers[i].Prefix, peer); ok {
				out = append(out, OutsideAddr{a, peer})
			}
		}
	}
	for f := range 2 {
		for _, r := range c.PodRanges {
			if family(r.Addr()) != f || r.IsSingleIP() {
				continue
			}
			if a := last(r); p.Addresses.Lookup(a) == 0 {
				out = append(out, OutsideAddr{a, 0})
				break
			}
		}
	}
	return out
}

// documentation addresses (RFC 5737, RFC 3849) stand for the world where a block leaves the choice.
var documentation = []netip.Addr{netip.MustParseAddr("203.0.113.10"), netip.MustParseAddr("198.51.100.10"), netip.MustParseAddr("192.0.2.10"),
	netip.MustParseAddr("8.8.8.10"), netip.MustParseAddr("2001:db8:ffff::10"), netip.MustParseAddr("2600:1:ffff::10")}

// inside returns an address of a block that has this identity and that a host can have.
func inside(p *plan.Plan, block netip.Prefix, peer plan.PeerIndex) (netip.Addr, bool) {
	fits := func(a netip.Addr) bool {
		return block.Contains(a) && p.Addresses.Lookup(a) == peer && a.IsGlobalUnicast() && !a.IsUnspecified()
	}
	for _, a := range documentation {
		if fits(a) {
			return a, true
		}
	}
	a := block.Addr()
	for range 1 << 10 {
		if fits(a) {
			return a, true
		}
		if a = a.Next(); !a.IsValid() {
			break
		}
	}
	if a := last(block); fits(a) {
		return a, true
	}
	return netip.Addr{}, false
}

// last is the highest address of a block but one, which in IPv4 is no broadcast address.
func last(p netip.Prefix) netip.Addr {
	raw := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < 8*len(raw); i++ {
		raw[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(raw)
	if p.Addr().BitLen()-p.Bits() >= 2 {
		return a.Prev()
	}
	return a
}
