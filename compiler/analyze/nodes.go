package analyze

import (
	"net/netip"
	"slices"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// nodeAddr is an address of a node, with the two identities that it has as a source (S5): one to the node's own pods, one
// to all others.
type nodeAddr struct {
	// addr is not valid for a node of which no address is known.
	addr netip.Addr
	// node is its name; empty where only the address is known, as the API server's may be. There is no own identity then.
	node      string
	host, own plan.PeerIndex
}

// nodeIndex knows the nodes of a plan.
type nodeIndex struct {
	plan *plan.Plan
	// addrs are the nodes' addresses in order; unknown stands for nodes of which none is known.
	addrs   []nodeAddr
	unknown nodeAddr
	// named holds the names of nodes of which an address is known.
	named map[string]bool
	// pods are, by identity, the pods that have it.
	pods [][]int32
}

func newNodeIndex(p *plan.Plan) *nodeIndex {
	x := &nodeIndex{plan: p, named: map[string]bool{}, pods: make([][]int32, len(p.Peers))}
	at := map[netip.Addr]nodeAddr{}
	for i := range p.Nodes {
		n := &p.Nodes[i]
		for j, a := range n.Addrs {
			at[a.Unmap()] = nodeAddr{node: n.Name, own: n.Own[j]}
		}
	}
	for a, i := range p.Addresses.Exact { // without those that two claim: they are nobody's (S3)
		if p.Peers[i].Kind == plan.HostPeer {
			n := at[a]
			n.addr, n.host = a, i
			if n.node != "" {
				x.named[n.node] = true
			}
			x.addrs = append(x.addrs, n)
		}
	}
	slices.SortFunc(x.addrs, func(a, b nodeAddr) int { return a.addr.Compare(b.addr) })
	for i := range p.Peers {
		if q := &p.Peers[i]; len(q.CIDRs) == 0 && !q.APIServer {
			switch q.Kind {
			case plan.HostPeer:
				x.unknown.host = plan.PeerIndex(i)
			case plan.OwnHostPeer:
				x.unknown.own = plan.PeerIndex(i)
			}
		}
	}
	for i := range p.Endpoints {
		for _, peer := range p.Endpoints[i].Peers {
			if n := len(x.pods[peer]); p.Peers[peer].Kind == plan.PodPeer && (n == 0 || x.pods[peer][n-1] != int32(i)) {
				x.pods[peer] = append(x.pods[peer], int32(i))
			}
		}
	}
	return x
}

// at returns the node that has an address, nil where none has.
func (x *nodeIndex) at(a netip.Addr) *nodeAddr {
	if i, ok := slices.BinarySearchFunc(x.addrs, a, func(n nodeAddr, a netip.Addr) int { return n.addr.Compare(a) }); ok {
		return &x.addrs[i]
	}
	return nil
}

// ends are the addresses of nodes as ends, and last the end that stands for nodes without a known one.
func (x *nodeIndex) ends(want func(*plan.Peer) bool) []end {
	var out []end
	for i := range x.addrs {
		if n := &x.addrs[i]; want(&x.plan.Peers[n.host]) {
			out = append(out, n.end())
		}
	}
	if want(&x.plan.Peers[x.unknown.host]) {
		out = append(out, x.unknown.end())
	}
	return out
}

func (n *nodeAddr) end() end {
	f := anyFamily
	if n.addr.IsValid() {
		f = addrFamily(n.addr)
	}
	return end{End: plan.NewEnd(n.host), family: f, node: n}
}

// exists reports whether an end stands for a node of the inventory, or, where it has none with an address, for any.
func (x *nodeIndex) exists(e end) bool {
	return e.node == nil || e.node.addr.IsValid() || len(x.named) == 0
}

// meets says whether connections from a node's address to a pod, in an address family, can be those of the pod's own node,
// and whether they can be another's. Both can be where the pod has no node yet.
func (x *nodeIndex) meets(n *nodeAddr, e *plan.Endpoint) (own, other bool) {
	switch {
	case !n.addr.IsValid():
		return len(x.named) == 0 || e.Node != "" && !x.named[e.Node], len(x.named) == 0
	case n.node == "":
		return false, true
	case e.Node == "":
		return true, true
	}
	return n.node == e.Node, n.node != e.Node
}

// sources are the identities that a node's address can have as a source of connections to pods, each with one of them.
type sources struct {
	own, other int32 // the pod, or plan.None
}

func (x *nodeIndex) sources(n *nodeAddr, pods []int32, peer plan.PeerIndex) sources {
	s := sources{plan.None, plan.None}
	for _, i := range pods {
		e := &x.plan.Endpoints[i]
		if !hasPeer(e, peer, n.addr) {
			continue
		}
		own, other := x.meets(n, e)
		if own && s.own == plan.None {
			s.own = i
		}
		if other && s.other == plan.None {
			s.other = i
		}
		if s.own != plan.None && s.other != plan.None {
			break
		}
	}
	return s
}

// hasPeer reports whether a pod has the identity, at an address of the family of another address where that is valid.
func hasPeer(e *plan.Endpoint, peer plan.PeerIndex, a netip.Addr) bool {
	if !a.IsValid() || len(e.Addrs) == 0 {
		return slices.Contains(e.Peers, peer)
	}
	for i, p := range e.Peers {
		if p == peer && addrFamily(e.Addrs[i]) == addrFamily(a) {
			return true
		}
	}
	return false
}

// podsAt lists the pods that a target's end stands for.
func (n *Names) podsAt(t *Target, d end) []int32 {
	if d.Frontend >= 0 || n.plan.Peers[d.Peer].Kind != plan.PodPeer {
		return nil
	}
	if t.Endpoints == nil {
		return n.hosts.pods[d.Peer]
	}
	return t.Endpoints
}

// fromNode adds the flows from a node's end to a target's. A pod sees its own node with another identity (S5); the entity
// own-node is that one, host and cluster are all others.
func (n *Names) fromNode(flows []plan.Flow, q Question, s, d end, k plan.PortKey) []plan.Flow {
	own := s.node.own != 0 && q.From.Entity != ir.Host && q.From.Entity != ir.Cluster
	other := q.From.Entity != ir.OwnNode
	add := func(peer plan.PeerIndex, pod int32) {
		f := plan.Flow{Src: s.End, Dst: d.End, Port: k}
		f.Src.Peer, f.Dst.Endpoint = peer, pod
		flows = addFlow(flows, f)
	}
	if pods := n.podsAt(q.To, d); len(pods) > 0 {
		found := n.hosts.sources(s.node, pods, d.Peer)
		if own && found.own != plan.None {
			add(s.node.own, found.own)
		}
		if other && found.other != plan.None {
			add(s.node.host, found.other)
		}
		return flows
	}
	switch {
	case !n.hosts.exists(s):
	case other:
		add(s.node.host, d.Endpoint)
	case own && d.Frontend >= 0 && n.hosts.behind(s.node, d.Frontend):
		add(s.node.own, d.Endpoint)
	}
	return flows
}

// behind reports whether a pod behind a service's port is one of a node's own; of a service with none, any node may ask.
func (x *nodeIndex) behind(n *nodeAddr, frontend int32) bool {
	backends := x.plan.Frontends[frontend].Backends
	return len(backends) == 0 || slices.ContainsFunc(backends, func(b plan.Backend) bool {
		if b.Endpoint < 0 {
			return false
		}
		own, _ := x.meets(n, &x.plan.Endpoints[b.Endpoint])
		return own
	})
}

// text names the nodes that an identity stands for at the other end of a connection, at most three.
func (x *nodeIndex) text(peer plan.PeerIndex, other plan.End) string {
	at := ""
	if other.Endpoint >= 0 {
		at = x.plan.Endpoints[other.Endpoint].Node
	}
	own := x.plan.Peers[peer].Kind == plan.OwnHostPeer
	var names []string
	for i := range x.addrs {
		n := &x.addrs[i]
		switch {
		case own && (n.own != peer || n.node == "" || at != "" && n.node != at), !own && (n.host != peer || n.node == at && at != ""):
			continue
		}
		if name := x.label(n); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	switch {
	case len(names) == 0 && own && at != "":
		names = []string{at}
	case len(names) == 0:
		names = []string{"a node"}
	}
	if own {
		return someOf(names) + ", the pod's own node"
	}
	return someOf(names)
}

// onlyOwn reports whether all known nodes are the own ones of pods.
func (x *nodeIndex) onlyOwn(pods []int32) bool {
	return len(pods) > 0 && !slices.ContainsFunc(x.addrs, func(n nodeAddr) bool {
		return slices.ContainsFunc(pods, func(i int32) bool { return x.plan.Endpoints[i].Node != n.node })
	})
}

// label is a node's name, with the address where the node's addresses are told apart, or the address where it has no name.
func (x *nodeIndex) label(n *nodeAddr) string {
	if n.node == "" {
		return n.addr.String()
	}
	for i := range x.addrs {
		if o := &x.addrs[i]; o.node == n.node && (o.own != n.own || o.host != n.host) {
			return n.node + " " + n.addr.String()
		}
	}
	return n.node
}
