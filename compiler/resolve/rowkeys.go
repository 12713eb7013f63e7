package resolve

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/weir-mesh/weir/compiler/plan"
)

// rowKeys finds the row keys that the identities have in a table. A key is a run of words, most significant bit
// first in the order of bytes, so that words compare as the keys' bytes do.
type rowKeys struct {
	keys runs
	base []uint64 // the key of who is in no part
	diff []uint64
	// sig is what an identity's key differs in from base, by identity; visited are those with a part in it.
	sig     []uint64
	mark    []bool
	visited []int32
	// met counts, by broad class, the identities that were visited; class holds the classes' differences.
	met   []int32
	class []uint64
}

// keyBit returns the word and the bit of a table's i-th set in a key: eight sets to a byte, lowest bit first.
func keyBit(i int) (word int, bit uint64) { return i >> 6, 1 << (i&63 ^ 56) }

// keyWidth is a key's length in bytes.
func keyWidth(sets int) int { return max(1, (sets+7)/8) }

// find collects the keys in k.keys. Of the broad sets it asks the classes of identities; of the others it visits the
// smaller part, whose keys differ from the rest's.
func (k *rowKeys) find(c *compiler, sets []int32) {
	stride := max(1, wordsFor(len(sets)))
	k.keys.reset(stride)
	k.base, k.diff = emptied(k.base, stride), emptied(k.diff, stride)
	k.size(len(c.plan.Peers), stride)
	k.classes(&c.sets.broad, sets, stride)
	for i, s := range sets {
		if c.sets.broad.place[s] < 0 {
			k.visit(&c.sets.parts[s], i, stride)
		}
	}
	k.emit(&c.sets.broad, stride)
	for _, p := range k.visited {
		k.mark[p] = false
		clear(k.sig[int(p)*stride : (int(p)+1)*stride])
	}
	k.visited = k.visited[:0]
}

// size makes room for every identity; all is zero between two tables.
func (k *rowKeys) size(peers, stride int) {
	k.sig, k.mark = atLeast(k.sig, stride*peers), atLeast(k.mark, peers)
}

// atLeast returns what is all zero with a length of n or more: s where it is long enough.
func atLeast[T any](s []T, n int) []T {
	if len(s) >= n {
		return s
	}
	return make([]T, n+n/8)
}

// visit enters the smaller part of the table's i-th set.
func (k *rowKeys) visit(p *part, i, stride int) {
	word, bit := keyBit(i)
	if p.inverted {
		k.base[word] |= bit
	}
	for _, peer := range p.peers {
		if !k.mark[peer] {
			k.mark[peer] = true
			k.visited = append(k.visited, peer)
		}
		k.sig[int(peer)*stride+word] |= bit
	}
}

// classes writes the broad classes' part of a key.
func (k *rowKeys) classes(b *broadClasses, sets []int32, stride int) {
	n := b.classes.n
	k.class, k.met = emptied(k.class, n*stride), slices.Grow(k.met[:0], n)[:n]
	clear(k.met)
	for i, s := range sets {
		at := b.place[s]
		if at < 0 {
			continue
		}
		word, bit := keyBit(i)
		for class := range n {
			if bitset(b.classes.run(class)).has(int(at)) {
				k.class[class*stride+word] |= bit
			}
		}
	}
}

// emit enters the keys of the identities that were visited, and of the classes that hold others.
func (k *rowKeys) emit(b *broadClasses, stride int) {
	for _, p := range k.visited {
		class := int(b.of[p])
		k.met[class]++
		k.add(k.sig[int(p)*stride:][:stride], k.class[class*stride:][:stride])
	}
	for class := range k.met {
		if k.met[class] < b.size[class] {
			k.add(k.class[class*stride:][:stride], nil)
		}
	}
}

func (k *rowKeys) add(a, b []uint64) {
	for i := range k.diff {
		k.diff[i] = k.base[i] ^ a[i]
	}
	for i := range b {
		k.diff[i] ^= b[i]
	}
	k.keys.intern(k.diff)
}

// findRows finds the table's rows, in the order of their keys, and the slots of each. The unknown peer's row, which
// has no key, is not among them.
func (b *tableBuilder) findRows(t *plan.Table) {
	b.rowKeys.find(b.c, t.PeerSets)
	keys := &b.rowKeys.keys
	b.rows = b.rows[:0]
	for i := range keys.n {
		b.rows = append(b.rows, row{key: int32(i)})
	}
	slices.SortFunc(b.rows, func(x, y row) int { return slices.Compare(keys.run(int(x.key)), keys.run(int(y.key))) })
	always := b.setMasks(t.PeerSets)
	b.slab = slices.Grow(b.slab[:0], len(b.rows)*b.words)[:len(b.rows)*b.words]
	for i := range b.rows {
		r := &b.rows[i]
		r.slots = b.slab[i*b.words : (i+1)*b.words]
		copy(r.slots, always)
		for w, word := range keys.run(int(r.key)) {
			for ; word != 0; word &= word - 1 {
				set := w<<6 + bits.TrailingZeros64(word) ^ 56
				r.slots.or(b.masks[set*b.words:][:b.words])
			}
		}
	}
	b.writeKeys(t)
}

// setMasks finds the slots that each of the table's sets matches, and those that match whoever it is.
func (b *tableBuilder) setMasks(sets []int32) (always bitset) {
	b.masks = emptied(b.masks, (len(sets)+1)*b.words)
	always = b.masks[len(sets)*b.words:]
	put := func(slot int, set int32) {
		if set == anyPeer {
			always.set(slot)
		} else if at := slices.Index(sets, set); at >= 0 {
			b.masks[at*b.words:].set(slot)
		}
	}
	for i := range b.chain.slots {
		put(i, b.chain.slots[i].set)
	}
	put(b.chain.special.provable, b.c.sets.enrolled)
	put(b.chain.special.waypoint, b.c.sets.waypoint)
	return always
}

// writeKeys enters the keys of the rows into the table.
func (b *tableBuilder) writeKeys(t *plan.Table) {
	r := &t.Rows
	r.Width = keyWidth(len(t.PeerSets))
	r.Keys = make([]byte, 0, len(b.rows)*r.Width+8)
	r.Of = make([]uint32, len(b.rows))
	for i := range b.rows {
		for _, word := range b.rowKeys.keys.run(int(b.rows[i].key)) {
			r.Keys = binary.BigEndian.AppendUint64(r.Keys, word)
		}
		r.Keys = r.Keys[:(i+1)*r.Width]
	}
}
