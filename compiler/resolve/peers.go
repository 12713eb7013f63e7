package resolve

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// peerBuilder interns identities by their content.
type peerBuilder struct {
	c         *compiler
	podAtoms  atoms
	nsLabels  map[string]map[string]string
	byKey     map[string]plan.PeerIndex
	apiServer map[netip.Addr]bool
	waypoints map[string]int32
	owner     map[netip.Addr]string
	// places are the answers of findPlaces, found once.
	places [][]netip.Prefix
}

// buildPeers makes the identities of everything that has an address or may get one, and the table of addresses.
func (c *compiler) buildPeers() {
	inv := c.in.Inventory
	b := &peerBuilder{c: c, podAtoms: newAtoms(c.labels.podBlocks), byKey: map[string]plan.PeerIndex{}, apiServer: map[netip.Addr]bool{},
		waypoints: map[string]int32{}, owner: map[netip.Addr]string{}}
	b.namespaces(inv.Namespaces)
	for _, a := range inv.APIServers {
		b.apiServer[a.Unmap()] = true
	}
	b.intern(plan.Peer{Kind: plan.UnknownPeer})
	c.plan.Ranges = ranges(&c.in.Config, inv.Nodes)
	c.plan.NodeRanges, c.plan.ServiceRanges = masked(c.in.Config.NodeRanges), masked(c.in.Config.ServiceRanges)
	b.world()
	b.nodes(inv.Nodes)
	b.pods(inv.Pods)
	b.apiServers(inv.APIServers)
	c.peers = b
}

func ranges(cfg *inventory.Config, nodes []inventory.Node) []netip.Prefix {
	return masked(slices.Concat(podRanges(cfg, nodes), cfg.NodeRanges, cfg.ServiceRanges))
}

// podRanges are those of the MeshConfig and of the nodes.
func podRanges(cfg *inventory.Config, nodes []inventory.Node) []netip.Prefix {
	all := slices.Clone(cfg.PodRanges)
	for i := range nodes {
		all = append(all, nodes[i].PodCIDRs...)
	}
	return all
}

// masked returns ranges in order, each once, without the bits behind their lengths.
func masked(in []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range in {
		out = append(out, p.Masked())
	}
	return sortedPrefixes(out)
}

func (b *peerBuilder) namespaces(all []inventory.Namespace) {
	b.nsLabels = map[string]map[string]string{}
	for i := range all {
		kept := map[string]string{}
		for k, v := range all[i].Labels {
			if b.c.labels.nsKeys[k] {
				kept[k] = v
			}
		}
		b.nsLabels[all[i].Name] = kept
	}
}

// intern returns the index of an identity, making it when its content is new.
func (b *peerBuilder) intern(p plan.Peer) plan.PeerIndex {
	key := peerKey(&p)
	if i, ok := b.byKey[key]; ok {
		return i
	}
	sum := sha256.Sum256([]byte(key))
	copy(p.ID[:], sum[:])
	p.Subject = plan.None
	if p.Kind != plan.PodPeer {
		p.Waypoint = plan.None
	}
	i := plan.PeerIndex(len(b.c.plan.Peers))
	b.byKey[key] = i
	b.c.plan.Peers = append(b.c.plan.Peers, p)
	return i
}

// peerKey writes everything that a rule can tell apart, in one canonical form (S2).
func peerKey(p *plan.Peer) string {
	var s strings.Builder
	q := func(v string) { s.WriteString(strconv.Quote(v)); s.WriteByte(' ') }
	q(p.Kind.String())
	if p.Kind == plan.PodPeer {
		q(p.Namespace)
		q(p.ServiceAccount)
		labelKey(&s, p.NamespaceLabels)
		labelKey(&s, p.Labels)
		for _, n := range p.NamedPorts {
			fmt.Fprintf(&s, "%q=%s/%d ", n.Name, n.Space, n.Number)
		}
		fmt.Fprintf(&s, "enrolled=%t %q ", p.Enrolled, p.SPIFFE)
	}
	if p.Kind == plan.WorldPeer {
		fmt.Fprintf(&s, "%s ", p.Prefix)
	}
	fmt.Fprintf(&s, "api=%t %v", p.APIServer, p.CIDRs)
	return s.String()
}

func labelKey(s *strings.Builder, m map[string]string) {
	s.WriteByte('{')
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(s, "%q:%q,", k, m[k])
	}
	s.WriteString("} ")
}

// world makes an identity of each block that some rule names and of what is left, and puts the in-cluster ranges
// on top: what lies inside them is unknown unless an object explains it (S3).
func (b *peerBuilder) world() {
	p := b.c.plan
	b.c.atoms = newAtoms(b.c.labels.allBlocks)
	roots := []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
	for _, block := range sortedPrefixes(append(roots, b.c.labels.allBlocks...)) {
		if !inAny(p.Ranges, block) {
			p.Addresses.Add(block, b.intern(plan.Peer{Kind: plan.WorldPeer, Prefix: block, CIDRs: b.c.atoms.around(block)}))
		}
	}
	for _, r := range p.Ranges {
		p.Addresses.Add(r, 0)
	}
}

// blocks returns the matchPods blocks that hold an address.
func (b *peerBuilder) blocks(a netip.Addr) []netip.Prefix { return b.podAtoms.around(addrPrefix(a)) }

// nodes makes the identities of the nodes' addresses, and those of a node whose address nothing tells apart (S5).
func (b *peerBuilder) nodes(nodes []inventory.Node) {
	b.host(netip.Addr{})
	for i := range nodes {
		n := plan.Node{Name: nodes[i].Name, Addrs: nodes[i].Addrs}
		for _, a := range nodes[i].Addrs {
			a = a.Unmap()
			host, own, translated := b.host(a)
			n.Host, n.Own, n.Translated = append(n.Host, host), append(n.Own, own), append(n.Translated, translated)
			b.own(a, host, "node "+nodes[i].Name, nodes[i].Pos)
		}
		b.c.plan.Nodes = append(b.c.plan.Nodes, n)
	}
}

func (b *peerBuilder) host(a netip.Addr) (host, own, translated plan.PeerIndex) {
	p := plan.Peer{Kind: plan.HostPeer}
	if a.IsValid() {
		p.CIDRs, p.APIServer = b.blocks(a), b.apiServer[a]
	}
	host = b.intern(p)
	p.Kind = plan.OwnHostPeer
	own = b.intern(p)
	p.Kind, p.APIServer = plan.TranslatedPeer, false
	return host, own, b.intern(p)
}

// own enters an exact address. Two owners of one address are an error, and the address is then nobody's.
func (b *peerBuilder) own(a netip.Addr, peer plan.PeerIndex, who string, pos diag.Position) {
	if other, taken := b.owner[a]; taken && other != who {
		b.c.diags.Add(diag.Diagnostic{Code: "WEIR2101", Severity: diag.Error, Pos: pos,
			Message: fmt.Sprintf("%s and %s both have the address %s", other, who, a),
			Hint:    "an address belongs to one running pod or node; until this is settled, traffic with it is denied"})
		b.c.plan.Addresses.Add(addrPrefix(a), 0)
		return
	}
	b.owner[a] = who
	b.c.plan.Addresses.Add(addrPrefix(a), peer)
}

func (b *peerBuilder) pods(pods []inventory.Pod) {
	for i := range pods {
		p := &pods[i]
		e := b.endpoint(p)
		switch {
		case p.HostNetwork:
			b.hostPod(p, &e)
		case len(p.Addrs) == 0:
			e.Peers = b.undecided(p)
		default:
			for _, a := range p.Addrs {
				a = a.Unmap()
				peer := b.pod(p, b.blocks(a))
				e.Addrs, e.Peers = append(e.Addrs, a), append(e.Peers, peer)
				b.own(a, peer, "pod "+p.Namespace+"/"+p.Name, p.Pos)
			}
		}
		b.c.plan.Endpoints = append(b.c.plan.Endpoints, e)
	}
}

// endpoint is what the plan says of a pod, apart from its addresses and their identities.
func (b *peerBuilder) endpoint(p *inventory.Pod) plan.Endpoint {
	e := plan.Endpoint{Namespace: p.Namespace, Name: p.Name, Workload: p.Workload.Kind + "/" + p.Workload.Name, Node: p.Node,
		HostNetwork: p.HostNetwork, Declared: p.Declared, Replicas: p.Replicas, Touched: p.Touched, Pos: p.Pos}
	for _, n := range p.Ports {
		if n.Name != "" {
			e.NamedPorts = append(e.NamedPorts, plan.NamedPort{Name: n.Name, Space: n.Space, Number: n.Number})
		}
	}
	if p.HostNetwork {
		is := b.selected(p)
		e.InNetwork = &is
	}
	return e
}

// hostPod is the node it runs on (S1).
func (b *peerBuilder) hostPod(p *inventory.Pod, e *plan.Endpoint) {
	if len(p.Addrs) == 0 {
		host, _, _ := b.host(netip.Addr{})
		e.Peers = []plan.PeerIndex{host}
	}
	for _, a := range p.Addrs {
		a = a.Unmap()
		host, _, _ := b.host(a)
		e.Addrs, e.Peers = append(e.Addrs, a), append(e.Peers, host)
		if _, taken := b.owner[a]; !taken {
			b.own(a, host, "node "+p.Node, p.Pos)
		}
	}
}

// selected is what selectors look at in a pod with a network of its own.
func (b *peerBuilder) selected(p *inventory.Pod) plan.Peer {
	id := plan.Peer{Kind: plan.PodPeer, Namespace: p.Namespace, NamespaceLabels: b.nsLabels[p.Namespace], ServiceAccount: p.ServiceAccount,
		Labels: map[string]string{}, Waypoint: plan.None}
	for k, v := range p.Labels {
		if b.c.labels.podKeys[k] {
			id.Labels[k] = v
		}
	}
	if cfg := &b.c.in.Config; matchesAny(cfg.Enrolled, &id) {
		id.Enrolled = true
		id.SPIFFE = fmt.Sprintf("spiffe://%s/ns/%s/sa/%s", cfg.TrustDomain, p.Namespace, p.ServiceAccount)
	}
	return id
}

func (b *peerBuilder) pod(p *inventory.Pod, blocks []netip.Prefix) plan.PeerIndex {
	id := b.selected(p)
	id.CIDRs = blocks
	for _, n := range p.Ports {
		if n.Name != "" && b.c.labels.ports[portName{n.Name, n.Space}] {
			id.NamedPorts = append(id.NamedPorts, plan.NamedPort{Name: n.Name, Space: n.Space, Number: n.Number})
		}
	}
	slices.SortFunc(id.NamedPorts, compareNamedPort)
	id.NamedPorts = slices.Compact(id.NamedPorts)
	cfg := &b.c.in.Config
	if id.Enrolled && cfg.Waypoint != inventory.WaypointNone && (cfg.Waypoints == nil || matchesAny(cfg.Waypoints, &id)) {
		id.Waypoint = b.waypoint(p.Namespace, p.ServiceAccount)
	}
	return b.intern(id)
}

func matchesAny(ss []ir.Selector, p *plan.Peer) bool {
	return slices.ContainsFunc(ss, func(s ir.Selector) bool { return selects(&s, p) })
}

func compareNamedPort(a, b plan.NamedPort) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(plan.Key(a.Space, a.Number), plan.Key(b.Space, b.Number)))
}

func (b *peerBuilder) waypoint(ns, sa string) int32 {
	w := plan.Waypoint{Namespace: ns}
	if b.c.in.Config.Waypoint == inventory.WaypointPerServiceAccount {
		w.ServiceAccount = sa
	}
	if i, ok := b.waypoints[w.Name()]; ok {
		return i
	}
	sum := sha256.Sum256([]byte("waypoint " + w.Name()))
	copy(w.ID[:], sum[:])
	i := int32(len(b.c.plan.Waypoints))
	b.waypoints[w.Name()] = i
	b.c.plan.Waypoints = append(b.c.plan.Waypoints, w)
	return i
}

// undecided returns the identities that a pod without an address may get (S4).
func (b *peerBuilder) undecided(p *inventory.Pod) []plan.PeerIndex {
	if b.places == nil {
		b.places = b.findPlaces()
	}
	var out []plan.PeerIndex
	for _, blocks := range b.places {
		out = append(out, b.pod(p, blocks))
	}
	return out
}

// findPlaces returns the ways in which the matchPods blocks may fall on an address of the pod ranges, or, where no
// range is declared, of the families that the blocks speak of. None is a multicast group's.
func (b *peerBuilder) findPlaces() [][]netip.Prefix {
	spaces := podRanges(&b.c.in.Config, b.c.in.Inventory.Nodes)
	if len(spaces) == 0 {
		for f, root := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
			if len(b.podAtoms.lengths[f]) > 0 {
				spaces = append(spaces, netip.PrefixFrom(root, 0))
			}
		}
	}
	if len(spaces) == 0 { // no rule has a matchPods block
		return [][]netip.Prefix{nil}
	}
	var out [][]netip.Prefix
	seen := map[string]bool{}
	for _, s := range sortedPrefixes(spaces) {
		for _, q := range append([]netip.Prefix{s.Masked()}, b.podAtoms.within(s.Masked())...) {
			if plan.IsMulticastBlock(q) {
				continue // no pod's address (S6)
			}
			blocks := b.podAtoms.around(q)
			if v := b.c.cidrVector(blocks); !seen[v] && !full(q, b.podAtoms.within(q)) {
				seen[v] = true
				out = append(out, blocks)
			}
		}
	}
	return out
}

// full reports whether blocks inside a prefix leave no address of it over: each half is a block, or full itself.
func full(p netip.Prefix, blocks []netip.Prefix) bool {
	if len(blocks) == 0 {
		return false
	}
	for _, h := range halves(p) {
		var in []netip.Prefix
		whole := false
		for _, b := range blocks {
			whole = whole || b == h
			if h.Contains(b.Addr()) {
				in = append(in, b)
			}
		}
		if !whole && !full(h, in) {
			return false
		}
	}
	return true
}

func halves(p netip.Prefix) [2]netip.Prefix {
	raw := p.Masked().Addr().AsSlice()
	low := netip.PrefixFrom(p.Masked().Addr(), p.Bits()+1)
	raw[p.Bits()/8] |= 1 << (7 - p.Bits()%8)
	high, _ := netip.AddrFromSlice(raw)
	return [2]netip.Prefix{low, netip.PrefixFrom(high, p.Bits()+1)}
}

// cidrVector says which of the policies' matchPods CIDRs hold an address that lies in exactly these blocks: two
// places with one vector cannot be told apart.
func (c *compiler) cidrVector(blocks []netip.Prefix) string {
	var v []byte
	for _, p := range c.policies {
		for i := range p.Rules {
			for j := range p.Rules[i].Peers {
				if cidr := p.Rules[i].Peers[j].CIDR; cidr != nil && cidr.MatchPods {
					v = append(v, flag(inBlocks(cidr, blocks)))
				}
			}
		}
	}
	return string(v)
}

// apiServers enters the addresses of the API server that belong to no node.
func (b *peerBuilder) apiServers(addrs []netip.Addr) {
	for _, a := range addrs {
		a = a.Unmap()
		if _, taken := b.owner[a]; taken {
			continue
		}
		if inAny(b.c.plan.Ranges, addrPrefix(a)) {
			host, _, _ := b.host(a)
			b.own(a, host, "the API server", diag.Position{})
			continue
		}
		world := plan.Peer{Kind: plan.WorldPeer, Prefix: addrPrefix(a), CIDRs: b.c.atoms.around(addrPrefix(a)), APIServer: true}
		b.own(a, b.intern(world), "the API server", diag.Position{})
	}
}
