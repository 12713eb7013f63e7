package resolve

import (
	"math/bits"
	"slices"

	"github.com/weir-mesh/weir/compiler/plan"
)

// fill decides every cell. Rows that are alike become one.
func (b *tableBuilder) fill(t *plan.Table) {
	n := t.NumClasses
	b.lines.reset(wordsFor(n * cellBits))
	b.decided.reset(b.words)
	if b.simple {
		b.painter.begin(b, n)
	}
	b.unknown()
	b.newLine()
	b.lines.intern(b.line)
	for i := range b.rows {
		b.newLine()
		if slots := b.rows[i].slots; b.simple {
			b.fillSimple(slots, n)
		} else {
			b.fillAny(slots, n)
		}
		at, _ := b.lines.intern(b.line)
		t.Rows.Of[i] = uint32(at)
	}
	t.Cells = b.allCells(n)
}

// cellBits is the size of a cell. A line is a row's cells, four to a word.
const cellBits = 16

func (b *tableBuilder) newLine() { b.line = emptied(b.line, b.lines.width) }

func (b *tableBuilder) putCell(class int, d uint16) {
	b.line[class>>2] |= uint64(d) << (class & 3 << 4)
}

// allCells returns the cells of every line.
func (b *tableBuilder) allCells(n int) []uint16 {
	out := make([]uint16, b.lines.n*n)
	for i := range b.lines.n {
		line, cells := b.lines.run(i), out[i*n:(i+1)*n]
		for class := range cells {
			cells[class] = uint16(line[class>>2] >> (class & 3 << 4))
		}
	}
	return out
}

// fillAny decides the cells of a row one by one.
func (b *tableBuilder) fillAny(r bitset, n int) {
	for class := range n {
		b.putCell(class, b.decide(b.shared(r, class)))
	}
}

// shared returns the slots that a row and a port class share.
func (b *tableBuilder) shared(r bitset, class int) bitset {
	for i, w := range b.columns.run(class) {
		b.scratch[i] = r[i] & w
	}
	return b.scratch
}

// fillSimple decides the cells of a row by the first slots that match.
func (b *tableBuilder) fillSimple(r bitset, n int) {
	for class, k := range b.painter.paint(r)[:n] {
		d := b.fast[k]
		if d == undecided {
			d = int32(b.add(b.judge(b.shared(r, class))))
			b.fast[k] = d
		}
		b.putCell(class, uint16(d))
	}
}

// painter finds the first slot of each layer that matches, for all port classes of a row at once: it goes through the
// row's slots, and each takes the classes that no earlier one has taken.
type painter struct {
	slots, split, provable int
	words                  int
	// classes are, by slot, the port classes that it matches; left are those that are not yet taken.
	classes, left bitset
	keys          []int32
}

func (p *painter) begin(b *tableBuilder, n int) {
	p.slots, p.split, p.provable = len(b.chain.slots), b.split, b.chain.special.provable
	p.words = wordsFor(n)
	p.classes = emptied(p.classes, (p.slots+specials)*p.words)
	for class := range n {
		bitset(b.columns.run(class)).each(func(slot int) { p.of(slot).set(class) })
	}
	p.keys = slices.Grow(p.keys[:0], n)[:n]
}

// of returns the port classes that a slot matches.
func (p *painter) of(slot int) bitset { return p.classes[slot*p.words : (slot+1)*p.words] }

// paint returns, by port class, a number for the first slot of each layer that matches, or that none does, and for
// whether both ends can prove who they are.
func (p *painter) paint(r bitset) []int32 {
	mesh := p.slots - p.split + 1
	none := int32(p.split*mesh+mesh-1) << 1
	for i := range p.keys {
		p.keys[i] = none
	}
	p.layer(r, 0, p.split, mesh<<1)
	p.layer(r, p.split, p.slots, 1<<1)
	if r.has(p.provable) {
		p.of(p.provable).each(func(class int) { p.keys[class]++ })
	}
	return p.keys
}

// layer enters the first slot of [from, to) that matches: how far it is from the end, times weight, is taken off.
func (p *painter) layer(r bitset, from, to, weight int) {
	p.left = emptied(p.left, p.words)
	for i := range p.left {
		p.left[i] = ^uint64(0)
	}
	for i := from >> 6; i < len(r); i++ {
		w := r[i]
		if i == from>>6 {
			w &^= 1<<(from&63) - 1
		}
		for ; w != 0; w &= w - 1 {
			slot := i<<6 + bits.TrailingZeros64(w)
			if slot >= to {
				return
			}
			p.take(slot, int32((to-slot)*weight))
		}
	}
}

// take gives a slot the port classes that it matches and that are left.
func (p *painter) take(slot int, off int32) {
	for i, w := range p.of(slot) {
		hit := w & p.left[i]
		p.left[i] &^= hit
		for ; hit != 0; hit &= hit - 1 {
			p.keys[i<<6+bits.TrailingZeros64(hit)] -= off
		}
	}
}
