package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weir-mesh/weir/compiler/plan"
)

// network is the lab's namespaces and what connects them:
//
//	pod ── veth ── node ── veth ── outside ── veth ── other node
//
// Everything is routed, as with a CNI that uses no bridge: a pod's only neighbour is its node, which answers for a
// link-local gateway. The outside namespace is the world, and the router between two nodes.
type network struct {
	world *World
	// pods has the place of each endpoint of the plan; nil for hostNetwork, which lives in its node's namespace.
	pods    []*space
	nodes   []*space
	outside *space
}

// The gateways: pods and nodes reach their next hop by them.
var (
	gateway4 = netip.MustParseAddr("169.254.1.1")
	gateway6 = netip.MustParseAddr("fe80::1")
	nodeEnd6 = netip.MustParseAddr("fe80::2")
)

// uplink is a node's interface to the outside; eth0 a pod's to its node.
const (
	uplink = "uplink"
	eth0   = "eth0"
)

// podLink is the host side of an endpoint's veth.
func podLink(endpoint int) string { return fmt.Sprintf("pod%d", endpoint) }

// buildNetwork makes everything below a prefix of names.
func buildNetwork(ctx context.Context, w *World, prefix string) (_ *network, err error) {
	n := &network{world: w, pods: make([]*space, len(w.Plan.Endpoints))}
	defer func() {
		if err != nil {
			n.leave()
		}
	}()
	if n.outside, err = newSpace("outside", prefix+"outside", true); err != nil {
		return nil, err
	}
	if err := n.buildOutside(); err != nil {
		return nil, err
	}
	for i := range w.Plan.Nodes {
		if err := n.buildNode(ctx, i, prefix); err != nil {
			return nil, err
		}
	}
	for i := range w.Plan.Endpoints {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err := n.buildPod(i, prefix); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// enterNetwork finds the namespaces that buildNetwork made, in another process.
func enterNetwork(w *World, prefix string) (_ *network, err error) {
	n := &network{world: w, pods: make([]*space, len(w.Plan.Endpoints))}
	defer func() {
		if err != nil {
			n.leave()
		}
	}()
	if n.outside, err = newSpace("outside", prefix+"outside", false); err != nil {
		return nil, err
	}
	for _, o := range w.Outside {
		n.outside.addrs = append(n.outside.addrs, o.Addr)
	}
	for i := range w.Plan.Nodes {
		s, err := newSpace(w.Plan.Nodes[i].Name, prefix+w.Plan.Nodes[i].Name, false)
		if err != nil {
			return nil, err
		}
		s.addrs = w.Plan.Nodes[i].Addrs
		n.nodes = append(n.nodes, s)
	}
	for i := range w.Plan.Endpoints {
		e := &w.Plan.Endpoints[i]
		if e.HostNetwork {
			continue
		}
		if n.pods[i], err = newSpace(endpointName(e), prefix+podSpace(e), false); err != nil {
			return nil, err
		}
		n.pods[i].addrs = e.Addrs
	}
	return n, nil
}

// podSpace is the part of a namespace's name that is the pod's own.
func podSpace(e *plan.Endpoint) string { return e.Namespace + "." + e.Name }

// spaces are all namespaces.
func (n *network) spaces() []*space {
	out := []*space{}
	for _, s := range append(append([]*space{n.outside}, n.nodes...), n.pods...) {
		if s != nil {
			out = append(out, s)
		}
	}
	return out
}

// leave ends the threads. The namespaces stay until clean removes them.
func (n *network) leave() {
	for _, s := range n.spaces() {
		s.leave()
	}
}

// nodeOf is the place of an endpoint's node.
func (n *network) nodeOf(endpoint int) int {
	for i := range n.world.Plan.Nodes {
		if n.world.Plan.Nodes[i].Name == n.world.Plan.Endpoints[endpoint].Node {
			return i
		}
	}
	return -1
}

// quiet keeps IPv6 from what a lab does not wait for: duplicate address detection and routers.
var quiet = [][2]string{{"ipv6/conf/all/accept_dad", "0"}, {"ipv6/conf/default/accept_dad", "0"}, {"ipv6/conf/default/router_solicitations", "0"},
	{"ipv6/conf/default/accept_ra", "0"}}

// router forwards, and asks nothing of a packet's source: the datapath does (S7).
var router = [][2]string{{"ipv4/ip_forward", "1"}, {"ipv6/conf/all/forwarding", "1"}, {"ipv4/conf/all/rp_filter", "0"},
	{"ipv4/conf/default/rp_filter", "0"}}

func (n *network) buildOutside() error {
	s := n.outside
	if err := errors.Join(s.sysctl(quiet...), s.sysctl(router...)); err != nil {
		return err
	}
	lo, err := s.up("lo")
	if err != nil {
		return err
	}
	for _, o := range n.world.Outside {
		s.addrs = append(s.addrs, o.Addr)
		if err := s.addAddr(lo, o.Addr); err != nil {
			return err
		}
	}
	return nil
}

func (n *network) buildNode(ctx context.Context, i int, prefix string) error {
	node := &n.world.Plan.Nodes[i]
	s, err := newSpace(node.Name, prefix+node.Name, true)
	if err != nil {
		return err
	}
	n.nodes = append(n.nodes, s)
	s.addrs = node.Addrs
	if err := errors.Join(s.sysctl(quiet...), s.sysctl(router...)); err != nil {
		return err
	}
	if _, err := s.up("lo"); err != nil {
		return err
	}
	port := fmt.Sprintf("node%d", i)
	here, there, err := connect(s, uplink, n.outside, port)
	if err != nil {
		return err
	}
	for _, a := range s.addrs {
		if err := s.addAddr(here, a); err != nil {
			return err
		}
	}
	err = errors.Join(n.outside.addAddr(there, gateway4), n.outside.addAddr(there, gateway6), s.addAddr(here, nodeEnd6))
	for _, a := range s.addrs {
		err = errors.Join(err, s.defaultRoute(here, a), n.outside.route(there, a, netip.Addr{}, netip.Addr{}))
	}
	if err != nil {
		return err
	}
	return s.nft(ctx, Ruleset(n.world))
}

func (n *network) buildPod(i int, prefix string) error {
	e := &n.world.Plan.Endpoints[i]
	if e.HostNetwork {
		return nil
	}
	at := n.nodeOf(i)
	if at < 0 {
		return fmt.Errorf("pod %s is on no node of the lab", endpointName(e))
	}
	node := n.nodes[at]
	s, err := newSpace(endpointName(e), prefix+podSpace(e), true)
	if err != nil {
		return err
	}
	n.pods[i] = s
	s.addrs = e.Addrs
	if err := s.sysctl(quiet...); err != nil {
		return err
	}
	if _, err := s.up("lo"); err != nil {
		return err
	}
	own, host, err := connect(s, eth0, node, podLink(i))
	if err != nil {
		return err
	}
	// The node answers for the pod's gateway, at once.
	if err := node.sysctl([2]string{"ipv4/conf/" + podLink(i) + "/proxy_arp", "1"}, [2]string{"ipv4/neigh/" + podLink(i) + "/proxy_delay", "0"}); err != nil {
		return err
	}
	if err := node.addAddr(host, gateway6); err != nil {
		return err
	}
	port, err := n.outside.links.LinkByName(fmt.Sprintf("node%d", at))
	if err != nil {
		return fmt.Errorf("finding the port of %s: %w", node.name, err)
	}
	for _, a := range e.Addrs {
		via, from := nodeEnd6, ofFamily(node.addrs, family(a))[0]
		if a.Is4() {
			via = from
		}
		err = errors.Join(err, s.addAddr(own, a), s.defaultRoute(own, a), node.route(host, a, netip.Addr{}, from), n.outside.route(port, a, via, netip.Addr{}))
	}
	return err
}

// connect makes a veth between two namespaces and brings both ends up.
func connect(a *space, aName string, b *space, bName string) (netlink.Link, netlink.Link, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = aName
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: bName, PeerNamespace: netlink.NsFd(int(b.handle))}
	if err := a.links.LinkAdd(veth); err != nil {
		return nil, nil, fmt.Errorf("connecting %s to %s: %w", a.name, b.name, err)
	}
	bEnd, err := b.up(bName)
	if err != nil {
		return nil, nil, err
	}
	aEnd, err := a.up(aName)
	return aEnd, bEnd, err
}

func single(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}

func (s *space) addAddr(l netlink.Link, a netip.Addr) error {
	x := &netlink.Addr{IPNet: single(a)}
	switch {
	case a.Is6() && a.IsLinkLocalUnicast():
		x.Mask = net.CIDRMask(64, 128)
		x.Flags = unix.IFA_F_NODAD
	case a.Is6():
		x.Flags = unix.IFA_F_NODAD
	case a.IsLinkLocalUnicast():
		x.Scope = unix.RT_SCOPE_LINK
	}
	if err := s.links.AddrAdd(l, x); err != nil {
		return fmt.Errorf("giving %s in %s the address %s: %w", l.Attrs().Name, s.name, a, err)
	}
	return nil
}

// defaultRoute sends what a holder of the address sends to the gateway of its family.
func (s *space) defaultRoute(l netlink.Link, a netip.Addr) error {
	gw, all := gateway4, netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if a.Is6() {
		gw, all = gateway6, netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	r := &netlink.Route{LinkIndex: l.Attrs().Index, Gw: gw.AsSlice(), Src: a.AsSlice(), Flags: int(netlink.FLAG_ONLINK),
		Dst: &net.IPNet{IP: all.Addr().AsSlice(), Mask: net.CIDRMask(0, a.BitLen())}}
	if err := s.links.RouteReplace(r); err != nil {
		return fmt.Errorf("giving %s a route by %s: %w", s.name, gw, err)
	}
	return nil
}

// route leads to an address: at the link itself, or through a neighbour. from is the source of the node's own packets.
func (s *space) route(l netlink.Link, to, via, from netip.Addr) error {
	r := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: single(to)}
	if via.IsValid() {
		r.Gw, r.Flags = via.AsSlice(), int(netlink.FLAG_ONLINK)
	} else if to.Is4() {
		r.Scope = unix.RT_SCOPE_LINK
	}
	if from.IsValid() {
		r.Src = from.AsSlice()
	}
	if err := s.links.RouteReplace(r); err != nil {
		return fmt.Errorf("routing %s in %s: %w", to, s.name, err)
	}
	return nil
}

// nft replaces the namespace's rules. The rules go through nft(8), as kube-proxy's do: the text is what a person who
// looks into the namespace sees, and one -f is one transaction.
func (s *space) nft(ctx context.Context, ruleset string) error {
	bin, err := findNft()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, bin, "-f", "-")
	cmd.Stdin = strings.NewReader("flush ruleset\n" + ruleset)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	// A child is made by the thread that starts it, and so in its namespace.
	if err := s.do(cmd.Start); err != nil {
		return fmt.Errorf("starting nft in %s: %w", s.name, err)
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("translating services in %s: %w: %s", s.name, err, strings.TrimSpace(out.String()))
	}
	return nil
}

func findNft() (string, error) {
	for _, name := range []string{"nft", "/usr/sbin/nft", "/sbin/nft"} {
		if p, err := exec.LookPath(name); err == nil {
			return p, nil
		}
	}
	return "", errors.New("the lab translates services with nft, which is not installed (package nftables)")
}
