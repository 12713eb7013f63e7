package oracle

import (
	"net/netip"
	"slices"

	"github.com/weir-mesh/weir/compiler/ir"
)

// flow makes a flow of the world: mostly one that some rule is about, or a neighbour of one.
func (g *gen) flow() flow {
	p, r := g.anyRule()
	if r == nil || g.one(4) {
		return g.anyFlow()
	}
	for range 40 {
		f := g.anyFlow()
		if g.w.isAbout(p, r, f) {
			if g.one(6) {
				f.space, f.number = g.spaceAndNumber(f.src.addr.Is4())
			}
			if r.HTTP != nil && f.request != nil {
				f.request = g.requestFor(pick(g, r.HTTP...))
			}
			if r.Direction == ir.Egress && g.one(2) {
				g.throughService(&f)
			}
			return f
		}
	}
	return g.anyFlow()
}

// throughService sends a flow to a service's address that stands for its destination, if there is one (S27).
func (g *gen) throughService(f *flow) {
	if f.dst.place != inPod {
		return
	}
	p := &g.w.inv.Pods[f.dst.pod]
	for _, s := range g.w.inv.Services {
		vip := familyOf(s.ClusterIPs, f.src.addr.Is4())
		for _, port := range s.Ports {
			for _, b := range port.Backends {
				if vip.IsValid() && b.Pod.Namespace == p.Namespace && b.Pod.Name == p.Name {
					f.dst, f.space, f.number = end{place: atAddress, addr: vip}, port.Space, port.Port
					return
				}
			}
		}
	}
}

func (g *gen) anyRule() (*ir.Policy, *ir.Rule) {
	if len(g.w.policies) == 0 {
		return nil, nil
	}
	p := &g.w.policies[g.IntN(len(g.w.policies))]
	if len(p.Rules) == 0 {
		return nil, nil
	}
	return p, &p.Rules[g.IntN(len(p.Rules))]
}

// isAbout says whether a rule reaches a flow, in the audit chain at least.
func (w *world) isAbout(p *ir.Policy, r *ir.Rule, f flow) bool {
	src, dst := w.party(f.src, f.dst), w.party(f.dst, f.src)
	subject, peer := src, dst
	if r.Direction == ir.Ingress {
		subject, peer = dst, src
	}
	if subject.kind != pod || peer.kind == pod && peer.pod == subject.pod || !w.selects(&p.Subject, subject.pod) {
		return false
	}
	q := question{w: w, direction: r.Direction, subject: subject.pod, peer: peer, destination: dst, space: f.space, number: f.number, audit: true}
	return q.reaches(p, r)
}

// anyFlow makes a flow near the borders that the world's rules draw more often than elsewhere.
func (g *gen) anyFlow() flow {
	var f flow
	v4 := !g.one(3)
	f.dst = g.end(v4, true)
	f.src = g.end(v4, false)
	if g.one(6) && len(g.w.inv.Services) > 0 {
		if a := familyOf(pick(g, g.w.inv.Services...).ClusterIPs, v4); a.IsValid() {
			f.dst = end{place: atAddress, addr: a}
		}
	}
	if f.src.place == translated { // S5: with the address of the destination's own node
		f.dst = g.pod(v4)
		f.src = end{place: atAddress, addr: g.address(v4)}
		if f.dst.place == inPod {
			if n := g.w.nodeOf(f.dst.pod); n >= 0 {
				f.src = end{place: translated, node: n, addr: familyOf(g.w.inv.Nodes[n].Addrs, v4)}
			}
		}
	}
	f.space, f.number = g.spaceAndNumber(v4)
	if f.space == ir.TCP && !g.one(8) {
		f.request = g.request()
	}
	return f
}

func familyOf(addrs []netip.Addr, v4 bool) netip.Addr {
	for _, a := range addrs {
		if a.Is4() == v4 {
			return a
		}
	}
	return netip.Addr{}
}

// nodeOf is the place of a pod's node, or -1.
func (w *world) nodeOf(pod int) int {
	for i := range w.inv.Nodes {
		if w.inv.Nodes[i].Name == w.inv.Pods[pod].Node {
			return i
		}
	}
	return -1
}

// end makes an end of a flow, most often a pod.
func (g *gen) end(v4, isDestination bool) end {
	switch g.IntN(12) {
	case 0:
		n := g.IntN(len(g.w.inv.Nodes))
		return end{place: onNode, node: n, addr: familyOf(g.w.inv.Nodes[n].Addrs, v4)}
	case 1:
		return end{place: atAddress, addr: g.address(v4)}
	case 2:
		if !isDestination {
			return end{place: translated}
		}
	}
	return g.pod(v4)
}

// pod is a pod with an address of the family, or a declared one without any; hostNetwork pods are met as nodes.
func (g *gen) pod(v4 bool) end {
	for range 10 {
		i := g.IntN(len(g.w.inv.Pods))
		p := &g.w.inv.Pods[i]
		a := familyOf(p.Addrs, v4)
		switch {
		case p.HostNetwork:
			n := g.w.nodeOf(i)
			if n < 0 {
				continue
			}
			return end{place: onNode, node: n, addr: familyOf(g.w.inv.Nodes[n].Addrs, v4)}
		case a.IsValid() || len(p.Addrs) == 0:
			return end{place: inPod, pod: i, addr: a}
		}
	}
	return end{place: atAddress, addr: g.address(v4)}
}

// address is one that a rule's block, a range or an object draws a border at.
func (g *gen) address(v4 bool) netip.Addr {
	if g.addresses == nil {
		g.addresses = g.borders()
	}
	for {
		if a := pick(g, g.addresses...); a.Is4() == v4 {
			return a
		}
	}
}

func (g *gen) borders() []netip.Addr {
	out := []netip.Addr{netip.MustParseAddr("203.0.113.5"), netip.MustParseAddr("2001:db8:ffff::1"), netip.MustParseAddr("10.1.0.99"),
		address(podRange6, 99), address(serviceRange4, 77), address(serviceRange6, 77),
		netip.MustParseAddr("224.0.0.251"), netip.MustParseAddr("ff02::fb"), netip.MustParseAddr("255.255.255.255")}
	for _, p := range g.w.policies {
		for _, r := range p.Rules {
			for _, peer := range r.Peers {
				if peer.CIDR == nil {
					continue
				}
				out = append(out, edges(peer.CIDR.Prefix)...)
				for _, e := range peer.CIDR.Except {
					out = append(out, edges(e)...)
				}
			}
		}
	}
	for _, p := range []netip.Prefix{nodeRange4, nodeRange6, podRange4, podRange6, serviceRange4, serviceRange6} {
		out = append(out, edges(p)...)
	}
	for range 4 {
		for _, a := range g.w.inv.APIServers {
			out = append(out, a.Unmap())
		}
	}
	for i := range g.w.inv.Pods {
		out = append(out, g.w.inv.Pods[i].Addrs...)
	}
	return slices.DeleteFunc(out, func(a netip.Addr) bool { return !a.IsValid() || a.IsUnspecified() })
}

// point is a number in a space.
type point struct {
	space  ir.Space
	number uint16
}

// spaceAndNumber is at or next to a number that a rule, a named port or a service names.
func (g *gen) spaceAndNumber(v4 bool) (ir.Space, uint16) {
	if g.points == nil {
		g.points = g.numbers()
	}
	p := pick(g, g.points...)
	switch { // ICMP belongs to a family
	case p.space == ir.ICMPv6 && v4:
		p.space = ir.ICMPv4
	case p.space == ir.ICMPv4 && !v4:
		p.space = ir.ICMPv6
	}
	return p.space, p.number
}

func (g *gen) numbers() []point {
	out := []point{{ir.TCP, 80}, {ir.TCP, 80}, {ir.TCP, 8080}, {ir.TCP, 8081}, {ir.UDP, 53}, {ir.TCP, 0}, {ir.TCP, 65535}, {ir.SCTP, 7},
		{ir.OtherProtocol, 47}, {ir.OtherProtocol, 255}, {ir.ICMPv4, 8 << 8}, {ir.ICMPv6, 128 << 8}, {ir.UDP, uint16(g.IntN(65536))}}
	for _, p := range g.w.policies {
		for _, r := range p.Rules {
			for _, port := range r.Ports {
				if port.Name == "" {
					out = append(out, point{port.Space, port.First}, point{port.Space, port.First - 1}, point{port.Space, port.Last}, point{port.Space, port.Last + 1})
				}
			}
		}
	}
	for _, s := range g.w.inv.Services {
		for _, p := range s.Ports {
			out = append(out, point{p.Space, p.Port}, point{p.Space, p.Port})
		}
	}
	for _, p := range g.w.inv.Pods {
		for _, n := range p.Ports {
			out = append(out, point{n.Space, n.Number})
		}
	}
	return out
}

// requestFor makes a request that meets an alternative, or misses one of its conditions.
func (g *gen) requestFor(m ir.HTTPMatch) *request {
	r := g.request()
	for range 60 {
		if r != nil && !r.refused() && r.matches(&m) {
			break
		}
		r = g.request()
	}
	if r != nil && g.one(3) {
		switch other := g.request(); {
		case other == nil:
			return nil
		case g.one(3):
			r.path = other.path
		case g.one(2):
			r.headers, r.claims = other.headers, other.claims
		default:
			r.method, r.query, r.host = other.method, other.query, other.host
		}
	}
	return r
}

// request makes a request of which rules can say something; nil is what is not HTTP.
func (g *gen) request() *request {
	if g.one(12) {
		return nil
	}
	r := &request{method: pick(g, "GET", "POST", "DELETE", "get"), host: pick(g, "shop.example.com", "SHOP.example.com:80", "example.com", "x.y.example.org", "")}
	r.path = pick(g, "/", "/a", "/a/b", "/ab", "/a/", "//a", "/x/../a", "/./a/b", "/%61/b", "/a%2fb", "/a%5Cb", `/a\b`, "/a#b", "/b/c", "/a/../../..", "/%zz", "a", "/a//b",
		"/shop.Cart/Add", "/shop.Cart/Remove", "/shop.Cart/Add/more", "/A", "/%2e%2e/a")
	r.query = pick(g, "", "", "v=red", "v=blue&v=red", "v=re", "w=red")
	if g.one(2) {
		r.headers = map[string][]string{"x-team": pick(g, []string{"red"}, []string{"blue", "red"}, []string{"blue,red"}, []string{"green"}, []string{""})}
	}
	if g.one(2) {
		r.claims = map[string]map[string]string{pick(g, "idp", "other"): {"role": pick(g, "red", "blue", "reader")}}
	}
	return r
}
