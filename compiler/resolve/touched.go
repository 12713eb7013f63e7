package resolve

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

func newTouched(c *compiler) *touched {
	b := &touched{namespace: map[string][]int32{}, setsByNamespace: map[string][]int32{}, setsByLabel: map[label][]int32{},
		policies: map[string][]int32{}, alike: map[string]int32{}, memberOf: make([][]int32, len(c.plan.Peers)), members: make([][]int32, len(c.plan.Subjects)), backends: map[string]bool{}, objects: map[ir.NamespacedName]bool{}}
	for i := range c.in.Inventory.Services {
		for _, port := range c.in.Inventory.Services[i].Ports {
			for _, back := range port.Backends {
				b.backends[back.Pod.String()], b.backends[back.Addr.Unmap().String()] = true, true
			}
		}
	}
	for s := range c.plan.PeerSets {
		b.addSet(c, int32(s))
	}
	for i := range c.plan.Peers {
		p := &c.plan.Peers[i]
		if p.Kind == plan.PodPeer {
			b.namespace[p.Namespace] = append(b.namespace[p.Namespace], int32(i))
		}
		if p.Subject >= 0 {
			b.members[p.Subject] = append(b.members[p.Subject], int32(i))
		}
	}
	for i, p := range c.policies {
		b.addPolicy(p, int32(i))
	}
	for i := range c.plan.Peers {
		b.remember(int32(i))
	}
	for i := range c.plan.Subjects {
		b.register(c, int32(i))
	}
	return b
}

// objectKey names an object: kind, namespace and name.
func objectKey(p *ir.Policy) ir.NamespacedName {
	return ir.NamespacedName{Namespace: p.Kind + "/" + p.Namespace, Name: p.Name}
}

func (b *touched) addPolicy(p *ir.Policy, i int32) {
	b.objects[objectKey(p)] = true
	if ns := p.Subject.Namespace; ns != "" {
		b.policies[ns] = append(b.policies[ns], i)
	} else {
		b.anywhere = append(b.anywhere, i)
	}
}

// addSet indexes a set by its members and by what an identity needs to be in it.
func (b *touched) addSet(c *compiler, s int32) {
	bitset(c.plan.PeerSets[s].Bits).each(func(p int) { b.memberOf[p] = append(b.memberOf[p], s) })
	if c.sets.parts[s].inverted {
		b.inverted = append(b.inverted, s)
	}
	b.children, b.tables, b.dead = append(b.children, nil), append(b.tables, nil), append(b.dead, 0)
	d := &c.sets.defs[s]
	b.local = append(b.local, d.special == nil && !slices.ContainsFunc(d.peers, func(p ir.Peer) bool { return p.Pods == nil || p.Pods.Namespace == "" }) ||
		d.special != nil && d.base != anyPeer && b.local[d.base])
	switch {
	case d.special != nil && d.base != anyPeer:
		b.children[d.base] = append(b.children[d.base], s)
	case d.special != nil:
		b.setsAlways = append(b.setsAlways, s)
	default:
		for i := range d.peers {
			b.addPeer(&d.peers[i], s)
		}
	}
}

func (b *touched) addPeer(p *ir.Peer, s int32) {
	if p.CIDR != nil && !p.CIDR.MatchPods {
		return // only parts of the world are in it, and those ask the part around them
	}
	if p.Pods == nil {
		b.setsAlways = append(b.setsAlways, s)
		return
	}
	if ns := p.Pods.Namespace; ns != "" {
		b.setsByNamespace[ns] = append(b.setsByNamespace[ns], s)
		return
	}
	for which, sel := range [2]ir.LabelSelector{p.Pods.Pods, p.Pods.Namespaces} {
		for _, r := range sel {
			if r.Op == ir.In {
				for _, v := range r.Values {
					l := label{which == 1, r.Key, v}
					b.setsByLabel[l] = append(b.setsByLabel[l], s)
				}
				return
			}
		}
	}
	b.setsAlways = append(b.setsAlways, s)
}

// setsOf returns the sets that hold an identity, in order.
func (b *touched) setsOf(c *compiler, i int) []int32 {
	p := &c.plan.Peers[i]
	one := newPeerIndex(c.plan.Peers[i : i+1])
	seen := map[int32]bool{}
	var out []int32
	var ask func(s int32)
	ask = func(s int32) {
		if seen[s] {
			return
		}
		seen[s] = true
		if c.sets.defs[s].eval(one, nil).has(0) {
			out = append(out, s)
			for _, child := range b.children[s] {
				ask(child)
			}
		}
	}
	each := func(sets []int32) {
		for _, s := range sets {
			ask(s)
		}
	}
	if p.Kind == plan.WorldPeer {
		b.worldSets(c, i, ask)
	} else {
		each(b.setsAlways)
	}
	each(b.setsByNamespace[p.Namespace])
	for k, v := range p.Labels {
		each(b.setsByLabel[label{false, k, v}])
	}
	for k, v := range p.NamespaceLabels {
		each(b.setsByLabel[label{true, k, v}])
	}
	slices.Sort(out)
	return out
}

// worldSets asks a part of the world about the sets of the part around it, which it was cut from. The new block's own
// sets do not exist yet: they are built with the block's identity in place.
func (b *touched) worldSets(c *compiler, i int, ask func(int32)) {
	for _, s := range b.memberOf[b.around(c, i)] {
		ask(s)
	}
}

// around finds the part of the world that a part was cut from.
func (b *touched) around(c *compiler, i int) plan.PeerIndex {
	p := &c.plan.Peers[i]
	for bits := p.Prefix.Bits() - 1; bits >= 0; bits-- {
		if at, ok := c.plan.Addresses.Prefixes[netip.PrefixFrom(p.Prefix.Addr(), bits).Masked()]; ok {
			return at
		}
	}
	return 0
}

// remember keeps one identity for each choice of sets that span namespaces.
func (b *touched) remember(i int32) {
	if k := b.spanning(i); k != "" {
		if _, ok := b.alike[k]; !ok {
			b.alike[k] = i
		}
	}
}

// spanning writes the sets that hold an identity and are not confined to namespaces.
func (b *touched) spanning(i int32) string {
	var key []byte
	for _, s := range b.memberOf[i] {
		if !b.local[s] {
			key = binary.LittleEndian.AppendUint32(key, uint32(s))
		}
	}
	return string(key)
}

// selecting returns the policies that select an identity, in the order in which they are asked.
func (b *touched) selecting(c *compiler, i int) []int32 {
	p := &c.plan.Peers[i]
	if p.Kind != plan.PodPeer {
		return nil
	}
	var out []int32
	one := newPeerIndex(c.plan.Peers[i : i+1])
	for _, list := range [2][]int32{b.policies[p.Namespace], b.anywhere} {
		for _, k := range list {
			if one.selector(&c.policies[k].Subject).has(0) {
				out = append(out, k)
			}
		}
	}
	slices.SortFunc(out, func(x, y int32) int { return comparePolicies(c.policies[x], c.policies[y]) })
	return out
}

// register enters a subject's sides by the sets that their tables ask for.
func (b *touched) register(c *compiler, at int32) {
	var sides [ir.NumDirections]*sideRef
	for d, t := range c.plan.Subjects[at].Tables {
		sides[d] = &sideRef{subject: at, direction: ir.Direction(d)}
		for _, s := range t.PeerSets {
			b.tables[s] = append(b.tables[s], sides[d])
		}
	}
	b.sides = append(b.sides, sides)
}

// asking returns the sides whose tables ask for one of some sets, each once, without those that are gone.
func (b *touched) asking(sets []int32) (out []*sideRef) {
	seen := map[*sideRef]struct{}{}
	for _, s := range sets {
		for _, side := range b.tables[s] {
			if _, again := seen[side]; !again && !side.dead {
				seen[side] = struct{}{}
				out = append(out, side)
			}
		}
	}
	return out
}

// bury counts a side that is gone under each set that its table asked for, and clears a list that is mostly gone.
func (b *touched) bury(sets []int32) {
	for _, s := range sets {
		if b.dead[s]++; 2*b.dead[s] > len(b.tables[s]) {
			b.tables[s] = slices.DeleteFunc(b.tables[s], func(r *sideRef) bool { return r.dead })
			b.dead[s] = 0
		}
	}
}

// leastDifference returns the sets in which an identity differs from the other one that it is most like, as far as
// tables go: one of its namespace, or the part of the world around it.
func (b *touched) leastDifference(c *compiler, i int) []int32 {
	p := &c.plan.Peers[i]
	var candidates []int32
	switch p.Kind {
	case plan.PodPeer:
		candidates = b.namespace[p.Namespace]
		if k, ok := b.alike[b.spanning(int32(i))]; ok {
			candidates = append(slices.Clip(candidates), k)
		}
	case plan.WorldPeer:
		candidates = []int32{int32(b.around(c, i))}
	}
	best, cost := b.memberOf[i], -1
	for _, k := range candidates {
		diff := difference(b.memberOf[i], b.memberOf[k])
		n := 0
		for _, s := range diff {
			n += len(b.tables[s])
		}
		if cost < 0 || n < cost {
			best, cost = diff, n
		}
	}
	if cost < 0 {
		best = nil
		for s := range b.tables {
			best = append(best, int32(s)) // like nobody: ask every table
		}
	}
	return best
}

// difference returns what is in one of two ascending lists only.
func difference(a, b []int32) []int32 {
	var out []int32
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] == b[0]:
			a, b = a[1:], b[1:]
		case a[0] < b[0]:
			out, a = append(out, a[0]), a[1:]
		default:
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}
