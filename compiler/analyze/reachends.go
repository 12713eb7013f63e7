package analyze

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/weir-mesh/weir/compiler/plan"
)

// reachEnd is one line's end: a workload, or something that is no pod.
type reachEnd struct {
	name  string
	peers []plan.PeerIndex
	// class is one number for all ends with the same identities.
	class int
	// nodes are those of its pods, sorted.
	nodes []string
	pod   bool
	// hosts are the addresses of an end that is nodes; ownNode says that each counts for its own pods only.
	hosts   []end
	ownNode bool
	// endpoints are its pods.
	endpoints []int32
	// pods is how many pods the end is: one talks to itself anyway (S6).
	pods int
	// alike are the pods of an end that stands for many.
	alike []string
	// touched is what was not understood and may touch its pods (S33); empty for nothing.
	touched string
}

// manyAlike is how many pods without an owner, and which no rule can tell apart, have lines of their own: each of a few
// is somebody's; many, with a line for every two of them, are noise.
const manyAlike = 8

// ends lists, by name, workloads and the rest: nodes, the API server, and each block of the world that some rule tells apart.
// Pods that share their node's network are the node (S1).
func (r *reacher) ends() []reachEnd {
	l := &endList{at: map[string]int{}}
	r.podEnds(l)
	for i := range r.plan.Peers {
		p := &r.plan.Peers[i]
		switch {
		case p.Kind == plan.WorldPeer && p.APIServer:
			l.add(apiServer, plan.PeerIndex(i))
		case p.Kind == plan.WorldPeer && p.Prefix.Bits() == 0:
			l.add("world", plan.PeerIndex(i))
		case p.Kind == plan.WorldPeer:
			l.add(p.Prefix.String(), plan.PeerIndex(i))
		}
	}
	r.nodeEnds(l)
	classes := map[string]int{}
	for i := range l.ends {
		e := &l.ends[i]
		if e.hosts != nil {
			e.alike = r.inNetworkOf(e)
		}
		slices.Sort(e.nodes)
		e.nodes = slices.Compact(e.nodes)
		key := fmt.Sprint(e.peers)
		if _, ok := classes[key]; !ok {
			classes[key] = len(classes)
		}
		e.class = classes[key]
	}
	slices.SortFunc(l.ends, func(a, b reachEnd) int { return cmp.Compare(a.name, b.name) })
	return l.ends
}

// endList collects ends by name.
type endList struct {
	ends []reachEnd
	at   map[string]int
}

// add adds an identity to the end of a name; the pointer is good until the next call.
func (l *endList) add(name string, p plan.PeerIndex) *reachEnd {
	i, ok := l.at[name]
	if !ok {
		i = len(l.ends)
		l.at[name] = i
		l.ends = append(l.ends, reachEnd{name: name})
	}
	if e := &l.ends[i]; !slices.Contains(e.peers, p) {
		e.peers = append(e.peers, p)
	}
	return &l.ends[i]
}

func (r *reacher) podEnds(l *endList) {
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
		for j, p := range ep.Peers {
			e := l.add(name, p)
			e.pod = true
			e.touched = cmp.Or(e.touched, ep.Touched)
			if j == 0 {
				e.nodes = append(e.nodes, ep.Node)
				e.endpoints = append(e.endpoints, int32(i))
				e.pods += max(1, int(ep.Replicas))
			}
			if len(pods) > manyAlike {
				e.alike = pods
			}
		}
	}
}

// nodeEnds adds the nodes under the names that they have to a pod: its own node, the API server's, all others.
func (r *reacher) nodeEnds(l *endList) {
	x := r.names.hosts
	for _, e := range x.ends(func(*plan.Peer) bool { return true }) {
		if e.node.own != 0 {
			own := l.add("own-node", e.node.own)
			own.ownNode, own.hosts = true, append(own.hosts, e)
		}
		name := "host"
		if r.plan.Peers[e.node.host].APIServer {
			name = apiServer
		}
		if x.exists(e) {
			to := l.add(name, e.node.host)
			to.hosts = append(to.hosts, e)
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

// sources are the identities that an end's connections to one of another end's come from. Those of a node are its pods' own
// node's, or another's: the line of the nodes is about the other ones, as each pod's own node has its own.
func (r *reacher) sources(a, b *reachEnd, d plan.PeerIndex) []plan.PeerIndex {
	if a.hosts == nil || !b.pod {
		return a.peers
	}
	var out []plan.PeerIndex
	add := func(p plan.PeerIndex) {
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	for _, e := range a.hosts {
		found := r.names.hosts.sources(e.node, b.endpoints, d)
		if found.own != plan.None && a.name != "host" {
			add(e.node.own)
		}
		if found.other != plan.None && !a.ownNode {
			add(e.node.host)
		}
	}
	for _, p := range a.peers {
		if r.plan.Peers[p].Kind == plan.WorldPeer { // the API server, outside the cluster
			add(p)
		}
	}
	return out
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
		return "world"
	}
	own, err := netip.ParsePrefix(e.name)
	if err != nil {
		return e.name
	}
	out, bits := "world", -1
	for i := range ends {
		p, err := netip.ParsePrefix(ends[i].name)
		if err == nil && p.Bits() < own.Bits() && p.Bits() > bits && p.Contains(own.Addr()) {
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
