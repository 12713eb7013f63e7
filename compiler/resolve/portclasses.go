package resolve

import (
	"slices"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// ports cuts the key space where some slot begins or ends. The port classes are then b.columns, each as the set of
// slots that match it.
func (b *tableBuilder) ports(t *plan.Table) {
	b.columns.reset(b.words)
	current := b.scratch
	b.edges = b.edges[:0]
	for i := range b.chain.slots {
		b.addEdges(i, b.chain.slots[i].ports)
	}
	b.addEdges(b.chain.special.provable, tcpPorts)
	b.addEdges(b.chain.special.waypoint, everyPort)
	slices.Sort(b.edges)
	t.Starts, t.Classes = make([]uint32, 0, len(b.edges)/2+1), make([]uint16, 0, len(b.edges)/2+1)
	at := uint32(0)
	for i := 0; i < len(b.edges); {
		b.emitClass(t, at, current)
		at = uint32(b.edges[i] >> 32)
		for ; i < len(b.edges) && uint32(b.edges[i]>>32) == at; i++ {
			current.flip(int(uint32(b.edges[i])))
		}
	}
	b.emitClass(t, at, current)
	t.NumClasses = b.columns.n
}

// addEdges enters where a slot begins and ends to match; b.scratch holds what matches key 0.
func (b *tableBuilder) addEdges(slot int, in []interval) {
	for _, i := range in {
		if i.first == 0 {
			b.scratch.set(slot)
		} else {
			b.edges = append(b.edges, uint64(i.first)<<32|uint64(slot))
		}
		if i.last+1 < uint32(ir.NumSpaces)<<16 {
			b.edges = append(b.edges, uint64(i.last+1)<<32|uint64(slot))
		}
	}
}

// emitClass ends an interval of ports that starts at a key.
func (b *tableBuilder) emitClass(t *plan.Table, at uint32, current bitset) {
	class := 0
	if b.columns.n < plan.MaxClasses || b.columns.has(current) {
		class, _ = b.columns.intern(current)
	} else {
		// More classes than can be numbered: the rest of the space shares the first, and the finding says that it is denied.
		b.chain.tooLong = true
	}
	if n := len(t.Classes); n > 0 && int(t.Classes[n-1]) == class {
		return
	}
	t.Starts, t.Classes = append(t.Starts, at), append(t.Classes, uint16(class))
}
