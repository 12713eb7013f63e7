package oracle

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
)

// gen makes small random worlds. The same seed makes the same world.
type gen struct {
	*rand.Rand
	w *world
	// layer7 counts layer-7 rules: the evaluator tries every combination of their conditions.
	layer7 int
	// large worlds have more identities and rules than a machine word has bits.
	large bool
	// plain worlds have no layer 7 and no API server; simple ones have only rules of which the first that matches decides.
	plain, simple bool
	// addresses and points are what flows are made of: where the world's rules and objects draw borders.
	addresses []netip.Addr
	points    []point
}

// maxLayer7 bounds the layer-7 rules of one world.
const maxLayer7 = 6

func newGen(seed uint64) *gen {
	return &gen{Rand: rand.New(rand.NewPCG(seed, 0x5765_6972)), w: &world{}}
}

// one says yes once in n times.
func (g *gen) one(n int) bool { return g.IntN(n) == 0 }

func pick[T any](g *gen, from ...T) T { return from[g.IntN(len(from))] }

// genNow is when every world is judged.
var genNow = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// world makes a world.
func (g *gen) world() *world {
	g.w.now = genNow
	g.large = g.one(150)
	g.simple = g.large && g.one(2)
	if g.plain || g.simple {
		g.layer7 = maxLayer7
	}
	g.namespaces()
	g.nodes()
	g.pods()
	g.configure()
	g.services()
	g.policies()
	return g.w
}

// broad makes a world with many identities, and rules about hundreds of them at a time.
func (g *gen) broad() *world {
	g.w.now = genNow
	g.layer7 = maxLayer7 - 1
	g.namespaces()
	g.nodes()
	for i := range 600 + g.IntN(200) {
		n := g.IntN(len(g.w.inv.Nodes))
		g.w.inv.Pods = append(g.w.inv.Pods, inventory.Pod{Namespace: g.w.inv.Namespaces[0].Name, Name: fmt.Sprintf("pod%d", i), ServiceAccount: "default",
			Node: g.w.inv.Nodes[n].Name, Labels: map[string]string{"id": fmt.Sprint(i), "app": pick(g, "web", "web", "db"), "tier": pick(g, "front", "front", "back")},
			Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})}})
	}
	g.configure()
	g.policies()
	every := ir.Selector{Pods: ir.LabelSelector{{Key: "id", Op: ir.Exists}}}
	last := &g.w.policies[len(g.w.policies)-1]
	last.Rules = append(last.Rules, ir.Rule{Direction: ir.Ingress, Action: ir.Allow, Plaintext: true, Index: len(last.Rules), Peers: []ir.Peer{{Pods: &every}},
		Pos: diag.Position{File: "w.cue", Line: last.Pos.Line + 99}})
	return g.w
}

func (g *gen) namespaces() {
	for _, n := range []string{"a", "b", "c"}[:2+g.IntN(2)] {
		labels := map[string]string{"kubernetes.io/metadata.name": n}
		if g.one(2) {
			labels["team"] = pick(g, "red", "blue")
		}
		if !g.one(3) {
			labels["weir.dev/mesh"] = "enabled"
		}
		g.w.inv.Namespaces = append(g.w.inv.Namespaces, inventory.Namespace{Name: n, Labels: labels})
	}
}

// The plan of addresses: nodes 10.0.0.0/24 and fd00::/64, pods 10.1.NODE.0/24 and fd00:0:0:1::/64, services
// 10.2.0.0/24 and fd00:0:0:2::/64; the world is 192.0.2.0/24, 198.51.100.0/24, 2001:db8::/32.
var (
	nodeRange4    = netip.MustParsePrefix("10.0.0.0/24")
	nodeRange6    = netip.MustParsePrefix("fd00::/64")
	podRange4     = netip.MustParsePrefix("10.1.0.0/16")
	podRange6     = netip.MustParsePrefix("fd00:0:0:1::/64")
	serviceRange4 = netip.MustParsePrefix("10.2.0.0/24")
	serviceRange6 = netip.MustParsePrefix("fd00:0:0:2::/64")
)

func address(p netip.Prefix, n int) netip.Addr {
	a := p.Masked().Addr()
	for range n {
		a = a.Next()
	}
	return a
}

func (g *gen) nodes() {
	for i := range 1 + g.IntN(2) {
		n := inventory.Node{Name: fmt.Sprintf("node%d", i), Addrs: []netip.Addr{address(nodeRange4, i+1), address(nodeRange6, i+1)}}
		if g.one(2) {
			n.PodCIDRs = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i), 0}), 24)}
		}
		g.w.inv.Nodes = append(g.w.inv.Nodes, n)
	}
	if !g.plain && !g.one(3) {
		g.w.inv.APIServers = append(g.w.inv.APIServers, pick(g, g.w.inv.Nodes[0].Addrs[0], netip.MustParseAddr("192.0.2.10"), address(nodeRange4, 200),
			netip.MustParseAddr("::ffff:192.0.2.10")))
	}
}

func (g *gen) pods() {
	n := 3 + g.IntN(5)
	if g.large {
		n = 36
	}
	for i := range n {
		node := g.IntN(len(g.w.inv.Nodes))
		p := inventory.Pod{Namespace: pick(g, g.w.inv.Namespaces...).Name, Name: fmt.Sprintf("pod%d", i), ServiceAccount: pick(g, "default", "default", "web"),
			Labels: map[string]string{"app": pick(g, "web", "db", "api"), "pod-template-hash": fmt.Sprint(g.IntN(100))}, Node: g.w.inv.Nodes[node].Name}
		if g.one(2) {
			p.Labels["tier"] = pick(g, "front", "back")
		}
		p.Workload = inventory.Workload{Kind: "Deployment", Namespace: p.Namespace, Name: fmt.Sprintf("workload%d", i)}
		switch g.IntN(12) {
		case 0: // S1: hostNetwork
			p.HostNetwork, p.Addrs = true, g.w.inv.Nodes[node].Addrs
			if g.one(4) { // on a node that no object describes, or not scheduled yet
				p.Node, p.Addrs = "elsewhere", pick(g, nil, []netip.Addr{address(nodeRange4, 100+i)})
			}
		case 1: // S4: declared, no address yet
			p.Declared, p.Replicas, p.Node = true, int32(1+g.IntN(3)), ""
		default:
			p.Addrs = g.podAddresses(i, node)
		}
		p.Ports = g.namedPorts()
		g.w.inv.Pods = append(g.w.inv.Pods, p)
	}
}

func (g *gen) podAddresses(i, node int) []netip.Addr {
	v4 := netip.AddrFrom4([4]byte{10, 1, byte(node), byte(i + 1)})
	v6 := address(podRange6, 64*node+i+1)
	switch g.IntN(6) {
	case 0:
		return []netip.Addr{v4}
	case 1:
		return []netip.Addr{v6}
	case 2: // an address outside every range: the pod explains it
		return []netip.Addr{netip.AddrFrom4([4]byte{10, 9, 0, byte(i + 1)}), v6}
	default:
		return []netip.Addr{v4, v6}
	}
}

// namedPorts give one name different numbers on different pods, as in the middle of a rollout (S13).
func (g *gen) namedPorts() []inventory.NamedPort {
	var out []inventory.NamedPort
	if !g.one(3) {
		out = append(out, inventory.NamedPort{Name: "http", Space: ir.TCP, Number: pick[uint16](g, 80, 8080, 8081)})
	}
	if g.one(2) {
		out = append(out, inventory.NamedPort{Name: "dns", Space: pick(g, ir.UDP, ir.UDP, ir.TCP), Number: pick[uint16](g, 53, 5353)})
	}
	if g.one(4) { // one name for two protocols
		out = append(out, inventory.NamedPort{Name: "http", Space: ir.UDP, Number: pick[uint16](g, 80, 443)})
	}
	if g.one(4) {
		out = append(out, inventory.NamedPort{Space: ir.TCP, Number: 9090})
	}
	if g.one(3) { // two names for one number
		out = append(out, inventory.NamedPort{Name: "alt", Space: ir.TCP, Number: pick[uint16](g, 80, 8080)})
	}
	g.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func (g *gen) configure() {
	if g.one(8) {
		g.w.config.EnforceNetworkPolicy = g.one(2)
		return // S16: without a MeshConfig nothing is enrolled
	}
	c := &g.w.config
	c.Present, c.TrustDomain, c.EnforceNetworkPolicy = true, "example.org", g.one(2)
	c.LogDenied, c.LogAllowed = g.one(2), g.one(3)
	if !g.one(4) {
		c.PodRanges = []netip.Prefix{pick(g, podRange4, netip.MustParsePrefix("10.1.7.7/16")), podRange6}
		if g.one(4) {
			c.PodRanges = c.PodRanges[:1]
		}
	}
	if !g.one(4) {
		c.NodeRanges = []netip.Prefix{nodeRange4, nodeRange6}
	}
	if !g.one(4) {
		c.ServiceRanges = []netip.Prefix{serviceRange4, serviceRange6}
	}
	mesh := ir.Selector{Namespaces: ir.LabelSelector{{Key: "weir.dev/mesh", Op: ir.In, Values: []string{"enabled"}}}}
	switch g.IntN(6) {
	case 0:
		c.Enrolled = []ir.Selector{{}}
	case 1:
		c.Enrolled = []ir.Selector{{Namespace: "a"}, {Pods: g.podLabels()}}
	case 2:
		mesh.Pods = ir.LabelSelector{{Key: "app", Op: ir.NotIn, Values: []string{"db"}}}
		c.Enrolled = []ir.Selector{mesh}
	default:
		c.Enrolled = []ir.Selector{mesh}
	}
	c.Waypoint = pick(g, inventory.WaypointPerNamespace, inventory.WaypointPerNamespace, inventory.WaypointPerNamespace, inventory.WaypointPerServiceAccount, inventory.WaypointNone)
	if g.one(4) {
		c.Waypoints = []ir.Selector{{Pods: ir.LabelSelector{{Key: "app", Op: ir.In, Values: []string{"api", "web"}}}}}
	}
}

func (g *gen) services() {
	for i := range g.IntN(5) {
		s := inventory.Service{Namespace: pick(g, g.w.inv.Namespaces...).Name, Name: fmt.Sprintf("svc%d", i)}
		v4, v6 := address(serviceRange4, i+1), address(serviceRange6, i+1)
		switch g.IntN(6) {
		case 3: // none yet
		case 0:
			s.ClusterIPs = []netip.Addr{v4}
		case 1:
			s.ClusterIPs = []netip.Addr{v6}
		case 2:
			s.Headless = true
		default:
			s.ClusterIPs = []netip.Addr{v4, v6}
		}
		s.Ports = append(s.Ports, g.servicePort("web", ir.TCP, 80))
		if g.one(3) {
			s.Ports = append(s.Ports, g.servicePort("dns", ir.UDP, 53))
		}
		if g.one(4) {
			s.Ports[0].NodePort, s.Exposed = 30080, true
		}
		g.w.inv.Services = append(g.w.inv.Services, s)
	}
}

// servicePort has no endpoint, one, or several that differ; pods, addresses of the world, or of nobody (S27).
func (g *gen) servicePort(name string, space ir.Space, port uint16) inventory.ServicePort {
	out := inventory.ServicePort{Name: name, Space: space, Port: port}
	for range pick(g, 0, 1, 1, 1, 2, 2, 3) {
		b := inventory.Backend{Port: pick[uint16](g, 80, 80, 8080, 8081, 53)}
		switch g.IntN(8) {
		case 0:
			b.Addr = pick(g, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"))
		case 1:
			b.Addr = pick(g, netip.MustParseAddr("10.1.0.99"), address(podRange6, 200))
		default:
			p := pick(g, g.w.inv.Pods...)
			b.Pod = ir.NamespacedName{Namespace: p.Namespace, Name: p.Name}
			for _, n := range p.Ports { // targetPort by name: each pod its own number
				if n.Name == "http" && n.Space == space && g.one(2) {
					b.Port = n.Number
				}
			}
		}
		out.Backends = append(out.Backends, b)
	}
	return out
}
