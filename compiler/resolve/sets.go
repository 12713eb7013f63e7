package resolve

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// anyPeer stands for the set of all identities but the unknown one; it splits no table and is not interned.
const anyPeer = int32(-1)

// interval is a range of port keys, both ends included.
type interval struct{ first, last uint32 }

// everyPort covers all six spaces.
var everyPort = []interval{{0, uint32(ir.NumSpaces)<<16 - 1}}

// tcpPorts covers TCP.
var tcpPorts = []interval{{0, 1<<16 - 1}}

// match is what one alternative of a rule matches: identities and ports. A rule with named ports on egress has one
// for each number that the name stands for.
type match struct {
	set   int32
	ports []interval
	// names are the named ports of an ingress rule: the numbers are the subject's own.
	names []portName
}

// setInterner holds the plan's peer sets by content.
type setInterner struct {
	byKey              map[string]int32
	defs               []setDef
	matches            [][]match // by rule
	enrolled, waypoint int32
	// parts are, by set, the smaller of its members and the others; inverted says that it is the others.
	parts []part
	broad broadClasses
}

// broadFrom is the size of a part from which a set is broad: tables do not visit its members.
const broadFrom = 256

// broadClasses are the classes of identities that the broad sets tell apart. There are few broad sets and few
// classes, so a table asks each class once instead of each identity.
type broadClasses struct {
	// place is, by set, its place among the broad sets, or -1.
	place []int32
	// of is the class of each identity; size counts a class's identities; classes are their memberships by place.
	of      []int32
	size    []int32
	classes runs
	// sets are the broad sets by place.
	sets []int32
	bits bitset // one identity's memberships, while it is classified
}

// setDef says what is in a set, for any index of identities: a union of peers, or the part of another set (or of
// all) that also lies in a special one.
type setDef struct {
	peers   []ir.Peer
	base    int32
	special func(*peerIndex) bitset
}

func enrolledPods(x *peerIndex) bitset { return x.enrolled }
func servedPods(x *peerIndex) bitset   { return x.waypoint }

// eval returns the set's members in an index; base is what the index holds of the base set, nil for all.
func (d *setDef) eval(x *peerIndex, base bitset) bitset {
	if d.special == nil {
		union := x.none()
		for i := range d.peers {
			union.or(x.peer(&d.peers[i]))
		}
		return union
	}
	out := x.whole(d.special(x))
	if base != nil {
		out.and(base)
	}
	return out
}

// part is what a table visits to tell the members of a set from the others.
type part struct {
	peers    []int32
	inverted bool
}

// buildSets computes what each rule matches.
func (c *compiler) buildSets() {
	c.sets.byKey = map[string]int32{}
	c.sets.enrolled = c.intern("enrolled", setDef{base: anyPeer, special: enrolledPods})
	c.sets.waypoint = c.intern("waypoint", setDef{base: anyPeer, special: servedPods})
	c.numbers = c.namedNumbers()
	for i := range c.policies {
		c.matchRules(i)
	}
	c.buildParts()
	c.buildBroad()
}

// matchRules computes what a policy's rules match; policies come in the order of their places.
func (c *compiler) matchRules(i int) {
	pol := c.policies[i]
	for j := range pol.Rules {
		k := int(c.ruleBase[i]) + j
		c.plan.Rules[k].PeerSet = c.peerSet(&pol.Rules[j])
		c.sets.matches = append(c.sets.matches, c.ruleMatches(pol, &pol.Rules[j], c.plan.Rules[k].PeerSet))
	}
}

// buildBroad finds the classes of the broad sets.
func (c *compiler) buildBroad() {
	b := &c.sets.broad
	b.place = make([]int32, len(c.sets.parts))
	for i := range c.sets.parts {
		b.place[i] = -1
		if len(c.sets.parts[i].peers) > broadFrom {
			b.place[i] = int32(len(b.sets))
			b.sets = append(b.sets, int32(i))
		}
	}
	b.of = make([]int32, 1, len(c.plan.Peers)) // the unknown peer is in no class
	b.bits = newBitset(len(b.sets))
	b.classes = newRuns()
	b.classes.reset(len(b.bits))
	for p := 1; p < len(c.plan.Peers); p++ {
		c.classify(p)
	}
}

// classify puts an identity into its class.
func (c *compiler) classify(peer int) {
	b := &c.sets.broad
	clear(b.bits)
	for at, s := range b.sets {
		if c.plan.PeerSets[s].Has(plan.PeerIndex(peer)) {
			b.bits.set(at)
		}
	}
	class, fresh := b.classes.intern(b.bits)
	if fresh {
		b.size = append(b.size, 0)
	}
	b.of = append(b.of, int32(class))
	b.size[class]++
}

// buildParts lists the smaller part of each set; the unknown peer is in neither.
func (c *compiler) buildParts() {
	c.sets.parts = make([]part, len(c.plan.PeerSets))
	for i := range c.plan.PeerSets {
		c.sets.parts[i] = c.part(c.plan.PeerSets[i].Bits)
	}
}

func (c *compiler) part(in bitset) (p part) {
	if 2*in.count() > len(c.plan.Peers) {
		others := c.index.whole(c.index.all)
		others.andNot(in)
		in, p.inverted = others, true
	}
	p.peers = make([]int32, 0, in.count())
	in.each(func(i int) { p.peers = append(p.peers, int32(i)) })
	return p
}

func (c *compiler) intern(key string, d setDef) int32 {
	if i, ok := c.sets.byKey[key]; ok {
		return i
	}
	i := int32(len(c.plan.PeerSets))
	c.sets.byKey[key] = i
	c.sets.defs = append(c.sets.defs, d)
	var base bitset
	if d.special != nil && d.base != anyPeer {
		base = c.plan.PeerSets[d.base].Bits
	}
	c.plan.PeerSets = append(c.plan.PeerSets, plan.PeerSet{ID: hashBytes("peers", []byte(key)), Bits: d.eval(c.index, base)})
	return i
}

// peerSet returns the set of a rule's peers as the rule writes them.
func (c *compiler) peerSet(r *ir.Rule) int32 {
	if r.Peers == nil {
		return anyPeer
	}
	return c.intern(peersKey(r.Peers), setDef{base: anyPeer, peers: r.Peers})
}

// peersKey writes a union of peers in one form, whatever their order.
func peersKey(peers []ir.Peer) string {
	if len(peers) == 1 {
		return string(peers[0].AppendCanonical(nil))
	}
	parts := make([]string, len(peers))
	for i := range peers {
		parts[i] = string(peers[i].AppendCanonical(nil))
	}
	slices.Sort(parts)
	return strings.Join(slices.Compact(parts), "|")
}

// within returns the part of a set that also lies in a special one.
func (c *compiler) within(set int32, key string, special func(*peerIndex) bitset) int32 {
	name := "any"
	if set != anyPeer {
		name = c.plan.PeerSets[set].ID.String()
	}
	return c.intern(key+" of "+name, setDef{base: set, special: special})
}

// ruleMatches takes a rule apart. A mesh allow that asks for authentication matches TCP between enrolled endpoints
// only (S18), a layer-7 rule TCP only (S13).
func (c *compiler) ruleMatches(pol *ir.Policy, r *ir.Rule, set int32) []match {
	var m match
	var out []match
	needsAuth := pol.Layer == ir.Mesh && r.Action == ir.Allow && !r.Plaintext
	if needsAuth {
		set = c.within(set, "enrolled", enrolledPods)
	}
	m.set, m.ports = set, everyPort
	if r.Ports != nil {
		m.ports = nil
	}
	for _, p := range r.Ports {
		switch name := (portName{p.Name, p.Space}); {
		case p.Name == "":
			m.ports = append(m.ports, interval{uint32(plan.Key(p.Space, p.First)), uint32(plan.Key(p.Space, p.Last))})
		case r.Direction == ir.Ingress:
			m.names = append(m.names, name)
		default:
			for _, n := range c.numbers[name] {
				k := uint32(plan.Key(p.Space, n))
				holders := c.within(set, fmt.Sprintf("port %s/%s=%d", p.Name, p.Space, n),
					func(x *peerIndex) bitset { return x.holders(name, n) })
				out = append(out, match{set: holders, ports: []interval{{k, k}}})
			}
		}
	}
	if m.ports != nil || m.names != nil {
		out = append(out, m)
	}
	if needsAuth || r.HTTP != nil {
		for i := range out {
			out[i].ports = intersect(out[i].ports, tcpPorts[0])
			out[i].names = slices.DeleteFunc(out[i].names, func(n portName) bool { return n.space != ir.TCP })
		}
	}
	for i := range out {
		out[i].ports = merge(out[i].ports)
	}
	return out
}

// namedNumbers lists the numbers that each named port stands for on some identity.
func (c *compiler) namedNumbers() map[portName][]uint16 {
	out := map[portName][]uint16{}
	for i := range c.plan.Peers {
		for _, n := range c.plan.Peers[i].NamedPorts {
			name := portName{n.Name, n.Space}
			out[name] = append(out[name], n.Number)
		}
	}
	for k := range out {
		slices.Sort(out[k])
		out[k] = slices.Compact(out[k])
	}
	return out
}

func intersect(in []interval, by interval) []interval {
	var out []interval
	for _, i := range in {
		if f, l := max(i.first, by.first), min(i.last, by.last); f <= l {
			out = append(out, interval{f, l})
		}
	}
	return out
}

// merge sorts intervals and joins those that touch.
func merge(in []interval) []interval {
	if len(in) < 2 {
		return in
	}
	in = slices.Clone(in)
	slices.SortFunc(in, func(a, b interval) int { return int(int64(a.first) - int64(b.first)) })
	out := in[:1]
	for _, i := range in[1:] {
		if last := &out[len(out)-1]; i.first <= last.last+1 {
			last.last = max(last.last, i.last)
		} else {
			out = append(out, i)
		}
	}
	return out
}
