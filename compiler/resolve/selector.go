package resolve

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// peerIndex answers selectors over all identities at once: a set for each label that identities carry.
type peerIndex struct {
	peers    []plan.Peer
	all      bitset // all but the unknown peer
	enrolled bitset
	waypoint bitset // pods that a waypoint serves
	kinds    [plan.WorldPeer + 1]bitset
	api      bitset
	ns       map[string]bitset
	nsLabel  map[string]map[string]bitset // key → value → pods
	podLabel map[string]map[string]bitset
	account  map[ir.NamespacedName]bitset
	// block holds, for each block of a rule, the identities that lie in it.
	block map[netip.Prefix]bitset
}

func newPeerIndex(peers []plan.Peer) *peerIndex {
	n := len(peers)
	x := &peerIndex{peers: peers, all: newBitset(n), enrolled: newBitset(n), waypoint: newBitset(n), api: newBitset(n),
		ns: map[string]bitset{}, nsLabel: map[string]map[string]bitset{}, podLabel: map[string]map[string]bitset{},
		account: map[ir.NamespacedName]bitset{}, block: map[netip.Prefix]bitset{}}
	for i := range peers {
		x.add(i)
	}
	return x
}

func (x *peerIndex) add(i int) {
	p := &x.peers[i]
	n := len(x.peers)
	x.kinds[p.Kind].put(i)
	if p.Kind != plan.UnknownPeer {
		x.all.put(i)
	}
	if p.APIServer {
		x.api.put(i)
	}
	for _, b := range p.CIDRs {
		setIn(x.block, b, n, i)
	}
	// What is no pod has none of what follows, and no selector matches it.
	setIn(x.ns, p.Namespace, n, i)
	setIn(x.account, ir.NamespacedName{Namespace: p.Namespace, Name: p.ServiceAccount}, n, i)
	setLabels(x.nsLabel, p.NamespaceLabels, n, i)
	setLabels(x.podLabel, p.Labels, n, i)
	if p.Enrolled {
		x.enrolled.put(i)
	}
	if p.Waypoint >= 0 {
		x.waypoint.put(i)
	}
}

// grow enters the identity that was appended last.
func (x *peerIndex) grow(peers []plan.Peer) {
	x.peers = peers
	x.add(len(x.peers) - 1)
}

// none is an empty set that has room for every identity.
func (x *peerIndex) none() bitset { return newBitset(len(x.peers)) }

// whole returns a copy of a set with room for every identity.
func (x *peerIndex) whole(b bitset) bitset {
	out := x.none()
	out.or(b)
	return out
}

func setIn[K comparable](m map[K]bitset, k K, n, i int) {
	b, ok := m[k]
	if !ok {
		b = newBitset(n)
	}
	b.put(i)
	m[k] = b
}

func setLabels(m map[string]map[string]bitset, labels map[string]string, n, i int) {
	for k, v := range labels {
		values := m[k]
		if values == nil {
			values = map[string]bitset{}
			m[k] = values
		}
		setIn(values, v, n, i)
	}
}

// selector returns the pods that a selector matches.
func (x *peerIndex) selector(s *ir.Selector) bitset {
	out := x.whole(x.kinds[plan.PodPeer])
	if s.Namespace != "" {
		if ns, ok := x.ns[s.Namespace]; ok {
			out.and(ns)
		} else {
			return x.none()
		}
	}
	narrow(out, x.nsLabel, s.Namespaces)
	narrow(out, x.podLabel, s.Pods)
	if s.EnrolledOnly {
		out.and(x.enrolled)
	}
	if s.ServiceAccounts != nil {
		accounts := x.none()
		for _, a := range s.ServiceAccounts {
			if b, ok := x.account[a]; ok {
				accounts.or(b)
			}
		}
		out.and(accounts)
	}
	if s.SPIFFE != nil {
		out.clone().each(func(i int) {
			if !matchesSPIFFE(s.SPIFFE, x.peers[i].SPIFFE) {
				out.flip(i)
			}
		})
	}
	return out
}

// narrow keeps what satisfies every requirement; a key that is absent satisfies NotIn and DoesNotExist.
func narrow(out bitset, labels map[string]map[string]bitset, sel ir.LabelSelector) {
	for _, r := range sel {
		values := labels[r.Key]
		union := newBitset(len(out) * 64)
		if r.Op == ir.In || r.Op == ir.NotIn {
			for _, v := range r.Values {
				if b, ok := values[v]; ok {
					union.or(b)
				}
			}
		} else {
			for _, b := range values {
				union.or(b)
			}
		}
		if r.Op == ir.In || r.Op == ir.Exists {
			out.and(union)
		} else {
			out.andNot(union)
		}
	}
}

// peer returns the identities that a peer matches (S15). DNS names match nobody until something learns addresses.
func (x *peerIndex) peer(p *ir.Peer) bitset {
	switch {
	case p.Pods != nil:
		return x.selector(p.Pods)
	case p.CIDR != nil:
		return x.cidr(p.CIDR)
	}
	out := x.none()
	switch p.Entity {
	case ir.World:
		out.or(x.kinds[plan.WorldPeer])
		out.or(x.kinds[plan.TranslatedPeer])
	case ir.Cluster:
		out.or(x.kinds[plan.PodPeer])
		out.or(x.kinds[plan.HostPeer])
		out.or(x.kinds[plan.OwnHostPeer])
	case ir.Host:
		out.or(x.kinds[plan.HostPeer])
		out.or(x.kinds[plan.OwnHostPeer])
	case ir.OwnNode:
		out.or(x.kinds[plan.OwnHostPeer])
	case ir.KubeAPIServer:
		out.or(x.api)
	}
	return out
}

// cidr matches the world outside the ranges, and with matchPods pods and nodes too (S3).
func (x *peerIndex) cidr(c *ir.CIDR) bitset {
	out := x.none()
	out.or(x.block[c.Prefix.Masked()])
	for _, e := range c.Except {
		if b, ok := x.block[e.Masked()]; ok {
			out.andNot(b)
		}
	}
	if !c.MatchPods {
		out.and(x.kinds[plan.WorldPeer])
	}
	return out
}

// holders are the pods on which a named port has the number.
func (x *peerIndex) holders(name portName, number uint16) bitset {
	out := x.none()
	x.kinds[plan.PodPeer].each(func(i int) {
		for _, n := range x.peers[i].NamedPorts {
			if n.Name == name.name && n.Space == name.space && n.Number == number {
				out.set(i)
			}
		}
	})
	return out
}

// inBlocks reports whether an address that lies in exactly these blocks is matched by the CIDR.
func inBlocks(c *ir.CIDR, blocks []netip.Prefix) bool {
	return slices.Contains(blocks, c.Prefix.Masked()) && !slices.ContainsFunc(c.Except, func(e netip.Prefix) bool {
		return slices.Contains(blocks, e.Masked())
	})
}

// selects evaluates a selector for one identity.
func selects(s *ir.Selector, p *plan.Peer) bool {
	return p.Kind == plan.PodPeer && (s.Namespace == "" || s.Namespace == p.Namespace) &&
		satisfies(s.Namespaces, p.NamespaceLabels) && satisfies(s.Pods, p.Labels) && (!s.EnrolledOnly || p.Enrolled) &&
		(s.ServiceAccounts == nil || slices.Contains(s.ServiceAccounts, ir.NamespacedName{Namespace: p.Namespace, Name: p.ServiceAccount})) &&
		(s.SPIFFE == nil || matchesSPIFFE(s.SPIFFE, p.SPIFFE))
}

func satisfies(sel ir.LabelSelector, labels map[string]string) bool {
	for _, r := range sel {
		v, ok := labels[r.Key]
		in := ok && slices.Contains(r.Values, v)
		switch {
		case r.Op == ir.In && !in, r.Op == ir.NotIn && in, r.Op == ir.Exists && !ok, r.Op == ir.DoesNotExist && ok:
			return false
		}
	}
	return true
}

// matchesSPIFFE compares exact ids and patterns with a trailing "/*" (S15). A pod that is not enrolled has no id.
func matchesSPIFFE(patterns []string, id string) bool {
	return id != "" && slices.ContainsFunc(patterns, func(p string) bool {
		if prefix, ok := strings.CutSuffix(p, "*"); ok {
			return strings.HasPrefix(id, prefix) && len(id) > len(prefix)
		}
		return p == id
	})
}
