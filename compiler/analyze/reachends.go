package analyze

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/weir-mesh/weir/compiler/plan"
)

// endKind is what sort of thing stands at one end of a row.
type endKind uint8

const (
	podsEnd endKind = iota
	worldEnd
	// hostEnd, apiServerEnd and ownNodeEnd are nodes, as pods see them (S5); an apiServerEnd may lie outside the cluster.
	hostEnd
	apiServerEnd
	ownNodeEnd
)

// families are address families: bit 0 is IPv4, bit 1 IPv6.
type families uint8

const bothFamilies families = 3

// of are the families that an end's family stands for.
func (f family) families() families { return [...]families{bothFamilies, 1, 2}[f] }

// reachEnd is one line's end: a workload, or something that is no pod.
type reachEnd struct {
	name string
	kind endKind
	// parts are what an answer may tell apart.
	parts    []part
	families families
	// class is one number for all ends whose parts are alike.
	class int
	// nodes are those of its pods, sorted.
	nodes []string
	// hosts are the addresses of an end that is nodes.
	hosts []end
	// pods is how many pods the end is: one talks to itself anyway (S6).
	pods int
	// alike are the pods of an end that stands for many.
	alike []string
	// touched is what was not understood and may touch its pods (S33); empty for nothing.
	touched string
}

// part is pods of an end, or nodes, or a block, that no answer tells apart: they have the same identities, and lie on nodes
// that are alike.
type part struct {
	key string
	// names are the pods, ns/name, or the nodes, or the block.
	names []string
	// peers are its identities by family. It has several of one family where its address is not known yet (S4), or where
	// it has several.
	peers [2][]plan.PeerIndex
	// own are, of nodes, the identities that they have to their own pods (S5).
	own [2][]plan.PeerIndex
	// class is the class of the nodes that it is or is on.
	class nodeClass
	// count is how many pods or nodes it is.
	count int
	nodes []string // of pods
	// node says that it is nodes, unplaced that its pods have no address yet.
	node, unplaced bool
}

// nodeClass is a class of nodes with the same identities; the API server's are one each.
type nodeClass int

const (
	// notScheduled is the class of a pod's node that is not known yet.
	notScheduled nodeClass = iota - 1
	// noAddress is that of nodes of which no address is known.
	noAddress
)

// manyAlike is how many pods without an owner, and which no rule can tell apart, have lines of their own: each of a few
// is somebody's; many, with a line for every two of them, are noise.
const manyAlike = 8

// ends lists, by name, workloads and the rest: nodes, the API server, and each block of the world that some rule tells apart.
// Pods that share their node's network are the node (S1).
func (r *reacher) ends() []reachEnd {
	l := &endList{at: map[string]int{}}
	classes := r.nodeClasses()
	r.podEnds(l, classes)
	held := [2]func(plan.PeerIndex) bool{holders(r.plan, 0), holders(r.plan, 1)}
	for i := range r.plan.Peers {
		p := &r.plan.Peers[i]
		if p.Kind != plan.WorldPeer || plan.IsMulticastBlock(p.Prefix) { // S6: nothing gets to a group
			continue
		}
		family := familyIndex(p.Prefix.Addr())
		peer, ok := heldBy(r.plan, held[family], plan.PeerIndex(i))
		if !ok {
			continue
		}
		block := part{names: []string{p.Prefix.String()}, count: 1}
		block.peers[family] = []plan.PeerIndex{peer}
		switch {
		case p.APIServer:
			block.key = p.Prefix.String()
			l.add(apiServer, apiServerEnd).with(block)
		case p.Prefix.Bits() == 0:
			l.add("world", worldEnd).with(block)
		default:
			l.add(p.Prefix.String(), worldEnd).with(block)
		}
	}
	r.nodeEnds(l, classes)
	r.classify(l)
	slices.SortFunc(l.ends, func(a, b reachEnd) int { return cmp.Compare(a.name, b.name) })
	return l.ends
}

// holders tells which identities of the world have an address of a family: a block that others take whole has none.
func holders(p *plan.Plan, family int) func(plan.PeerIndex) bool {
	ranges := worldRanges(p, family)
	has := make([]bool, len(p.Peers))
	for i := range ranges {
		has[ranges[i].peer] = true
	}
	return func(i plan.PeerIndex) bool { return ranges == nil || has[i] }
}

// heldBy is the identity that a block's rows tell of: its own, or, where others take the block whole, that of the largest of
// them, and the rows say which of the others are not let through like that one. It is false where there is none.
func heldBy(p *plan.Plan, held func(plan.PeerIndex) bool, block plan.PeerIndex) (found plan.PeerIndex, ok bool) {
	of := &p.Peers[block]
	if held(block) {
		return block, true
	}
	for i := range p.Peers {
		in := &p.Peers[i]
		if of.APIServer || in.Kind != plan.WorldPeer || in.APIServer || plan.IsMulticastBlock(in.Prefix) || !of.Prefix.Overlaps(in.Prefix) ||
			in.Prefix.Bits() <= of.Prefix.Bits() || !held(plan.PeerIndex(i)) {
			continue
		}
		if !ok || in.Prefix.Bits() < p.Peers[found].Prefix.Bits() {
			found, ok = plan.PeerIndex(i), true
		}
	}
	return found, ok
}

// classify completes the ends once all of their parts are known.
func (r *reacher) classify(l *endList) {
	classes := map[string]int{}
	for i := range l.ends {
		e := &l.ends[i]
		if e.hosts != nil {
			e.alike = r.inNetworkOf(e)
		}
		slices.Sort(e.nodes)
		e.nodes = slices.Compact(e.nodes)
		var key strings.Builder
		slices.SortFunc(e.parts, func(a, b part) int { return cmp.Compare(a.key, b.key) })
		_, _ = fmt.Fprint(&key, e.kind)
		for j := range e.parts {
			p := &e.parts[j]
			slices.Sort(p.nodes)
			p.nodes = slices.Compact(p.nodes)
			for f := range p.peers {
				if p.peers[f] != nil {
					e.families |= 1 << f
				}
			}
			_, _ = fmt.Fprint(&key, p.peers, p.own, p.class, p.unplaced, min(p.count, 2))
		}
		if _, ok := classes[key.String()]; !ok {
			classes[key.String()] = len(classes)
		}
		e.class = classes[key.String()]
	}
}

// familyIndex is an address's place in arrays by family.
func familyIndex(a netip.Addr) int { return int(addrFamily(a) - v4) }

// endList collects ends by name.
type endList struct {
	ends []reachEnd
	at   map[string]int
}

// add returns the end of a name; the pointer is good until the next call.
func (l *endList) add(name string, kind endKind) *reachEnd {
	i, ok := l.at[name]
	if !ok {
		i = len(l.ends)
		l.at[name] = i
		l.ends = append(l.ends, reachEnd{name: name, kind: kind})
	}
	return &l.ends[i]
}

// with adds a part, or joins it with the one that has its key.
func (e *reachEnd) with(p part) {
	i := slices.IndexFunc(e.parts, func(q part) bool { return q.key == p.key })
	if i < 0 {
		e.parts = append(e.parts, p)
		return
	}
	q := &e.parts[i]
	for _, name := range p.names {
		if !slices.Contains(q.names, name) {
			q.names = append(q.names, name)
			q.count += p.count
		}
	}
	q.nodes = append(q.nodes, p.nodes...)
	for f := range p.peers {
		q.peers[f], q.own[f] = addPeers(q.peers[f], p.peers[f]), addPeers(q.own[f], p.own[f])
	}
}

func addPeers(to, peers []plan.PeerIndex) []plan.PeerIndex {
	for _, p := range peers {
		if !slices.Contains(to, p) {
			to = append(to, p)
		}
	}
	return to
}

func (r *reacher) podEnds(l *endList, classes map[string]nodeClass) {
	alike := r.alike()
	for i := range r.plan.Endpoints {
		ep := &r.plan.Endpoints[i]
		if ep.HostNetwork {
			continue
		}
		name, pods := r.names.Label(int32(i)), alike[likeness(ep)]
		if len(pods) > manyAlike {
			name = fmt.Sprintf("%s and %d more like it", pods[0], len(pods)-1)
		}
		e := l.add(name, podsEnd)
		e.touched = cmp.Or(e.touched, ep.Touched)
		e.nodes = append(e.nodes, ep.Node)
		if len(pods) > manyAlike {
			e.alike = pods
		}
		p := r.podPart(ep, classes)
		e.pods += p.count
		e.with(p)
	}
}

// podPart is the part of an end that one pod is.
func (r *reacher) podPart(ep *plan.Endpoint, classes map[string]nodeClass) part {
	p := part{names: []string{ep.Namespace + "/" + ep.Name}, class: notScheduled, count: max(1, int(ep.Replicas)), nodes: []string{ep.Node}, unplaced: len(ep.Addrs) == 0}
	if ep.Node != "" {
		p.class = classes[ep.Node] // or noAddress
	}
	for j, peer := range ep.Peers {
		of := r.names.declared.families()
		if j < len(ep.Addrs) {
			of = addrFamily(ep.Addrs[j]).families()
		}
		for f := range p.peers {
			if of&(1<<f) != 0 {
				p.peers[f] = addPeers(p.peers[f], []plan.PeerIndex{peer})
			}
		}
	}
	p.key = fmt.Sprint(p.peers, p.class, p.unplaced)
	return p
}

// nodeClasses finds the classes of nodes by name.
func (r *reacher) nodeClasses() map[string]nodeClass {
	keys := map[string]string{}
	for i := range r.names.hosts.addrs {
		n := &r.names.hosts.addrs[i]
		key := fmt.Sprint(addrFamily(n.addr), n.host, n.own, ";")
		if r.plan.Peers[n.host].APIServer || n.node == "" {
			key += n.node + n.addr.String()
		}
		keys[n.title()] += key
	}
	out, of := map[string]nodeClass{}, map[string]nodeClass{}
	for i := range r.names.hosts.addrs { // in their order
		name := r.names.hosts.addrs[i].title()
		key := keys[name]
		if _, ok := of[key]; !ok {
			of[key] = noAddress + 1 + nodeClass(len(of))
		}
		out[name] = of[key]
	}
	return out
}

// title is a node's name, or its address where it has none.
func (n *nodeAddr) title() string {
	switch {
	case n.node != "":
		return n.node
	case n.addr.IsValid():
		return n.addr.String()
	}
	return "a node of which no address is known"
}

// nodeEnds adds the nodes under the names that they have to a pod: its own node, the API server's, all others.
func (r *reacher) nodeEnds(l *endList, classes map[string]nodeClass) {
	x := r.names.hosts
	for _, e := range x.ends(func(*plan.Peer) bool { return true }) {
		n := e.node
		p := part{names: []string{n.title()}, class: classes[n.title()], count: 1, node: true}
		p.key = fmt.Sprint(p.class)
		for f := range p.peers {
			if e.family.families()&(1<<f) == 0 {
				continue
			}
			p.peers[f] = []plan.PeerIndex{n.host}
			if n.own != 0 {
				p.own[f] = []plan.PeerIndex{n.own}
			}
		}
		if n.own != 0 {
			own := l.add("own-node", ownNodeEnd)
			own.hosts = append(own.hosts, e)
			own.with(p)
		}
		name, kind := "host", hostEnd
		if r.plan.Peers[n.host].APIServer {
			name, kind = apiServer, apiServerEnd
		}
		if x.exists(e) {
			to := l.add(name, kind)
			to.hosts = append(to.hosts, e)
			to.with(p)
		}
	}
}

// inNetworkOf names the workloads in the network of an end's nodes: they have no lines of their own (S1).
func (r *reacher) inNetworkOf(e *reachEnd) []string {
	var out []string
	for i := range r.plan.Endpoints {
		ep := &r.plan.Endpoints[i]
		if !ep.HostNetwork {
			continue
		}
		here := len(ep.Addrs) == 0 && e.name != apiServer
		for _, h := range e.hosts {
			here = here || h.node != nil && slices.Contains(ep.Addrs, h.node.addr)
		}
		if name := r.names.Label(int32(i)); here && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// likeness is a key that pods without an owner share when no rule can tell them apart; "" for other pods.
func likeness(e *plan.Endpoint) string {
	if !strings.HasPrefix(e.Workload, "Pod/") || e.HostNetwork {
		return ""
	}
	return e.Namespace + fmt.Sprint(e.Peers, e.Touched)
}

// alike lists the pods without an owner by likeness, in order.
func (r *reacher) alike() map[string][]string {
	out := map[string][]string{}
	for i := range r.plan.Endpoints {
		if key := likeness(&r.plan.Endpoints[i]); key != "" {
			out[key] = append(out[key], r.names.Label(int32(i)))
		}
	}
	for _, pods := range out {
		slices.Sort(pods)
	}
	return out
}

// sources are the identities that connections from a part of one end to one of another come from, in a family. Those of a
// node are its pods' own node's, or another's: the line of the nodes is about the other ones, as each pod's own node has its
// own.
func (r *reacher) sources(a *reachEnd, u, v *part, family int) []plan.PeerIndex {
	if !u.node {
		return u.peers[family]
	}
	own, other := r.meet(u, v)
	var out []plan.PeerIndex
	if own && a.kind != hostEnd {
		out = append(out, u.own[family]...)
	}
	if other && a.kind != ownNodeEnd {
		out = append(out, u.peers[family]...)
	}
	return out
}

// meet says whether some node of a part is that of some pod of another, and whether some node is not; see nodeIndex.meets.
func (r *reacher) meet(nodes, pods *part) (own, other bool) {
	none := len(r.names.hosts.named) == 0
	switch {
	case nodes.class == noAddress:
		return none || pods.class == noAddress, none
	case pods.class == notScheduled:
		return true, true
	case pods.class == nodes.class:
		return true, nodes.count > 1
	}
	return false, true
}

// apiServer is the end that the API server is.
const apiServer = "kube-apiserver"

// wider is the end that holds another: world its blocks, a block the blocks in it, the nodes the API server where it is on
// one.
func (e *reachEnd) wider(ends []reachEnd) string {
	switch {
	case e.name == apiServer && e.hosts != nil:
		return "host"
	case e.name == apiServer:
		return e.blocks(ends)[0]
	}
	own, err := netip.ParsePrefix(e.name)
	if err != nil {
		return e.name
	}
	return smallestBlock(ends, own, own.Bits()-1)
}

// blocks are the smallest blocks that hold the API server's addresses outside the cluster, or world; all of them first, if one
// does.
func (e *reachEnd) blocks(ends []reachEnd) []string {
	var out []string
	for i := range e.parts {
		for _, name := range e.parts[i].names {
			if block, err := netip.ParsePrefix(name); err == nil && !slices.Contains(out, smallestBlock(ends, block, block.Bits())) {
				out = append(out, smallestBlock(ends, block, block.Bits()))
			}
		}
	}
	if len(out) != 1 {
		out = append([]string{"world"}, out...)
	}
	return out
}

// smallestBlock is the smallest block of at most so many bits among the ends that holds another, or world.
func smallestBlock(ends []reachEnd, own netip.Prefix, most int) string {
	out, bits := "world", -1
	for i := range ends {
		p, err := netip.ParsePrefix(ends[i].name)
		if err == nil && p.Bits() <= most && p.Bits() > bits && p.Contains(own.Addr()) {
			out, bits = ends[i].name, p.Bits()
		}
	}
	return out
}

// partsOf lists, by end, those that it holds, wider ones first.
func partsOf(widerOf map[string]string) map[string][]string {
	depth := func(name string) int {
		n := 0
		for ; widerOf[name] != "" && widerOf[name] != name; name = widerOf[name] {
			n++
		}
		return n
	}
	out := map[string][]string{}
	for name := range widerOf {
		for w, at := widerOf[name], name; w != "" && w != at; w, at = widerOf[w], w {
			out[w] = append(out[w], name)
		}
	}
	for w := range out {
		slices.SortFunc(out[w], func(a, b string) int { return cmp.Or(cmp.Compare(depth(a), depth(b)), cmp.Compare(a, b)) })
	}
	return out
}

// holds reports whether one of some ends holds another.
func holds(ends []string, name string, widerOf map[string]string) bool {
	for w, at := widerOf[name], name; w != "" && w != at; w, at = widerOf[w], w {
		if slices.Contains(ends, w) {
			return true
		}
	}
	return false
}
