package resolve

import "math/bits"

// bitset is a set of small numbers. Its words are the plan's PeerSet.Bits and the rows' rule sets, so the loops
// over cells work on the words themselves.
type bitset []uint64

func newBitset(n int) bitset { return make(bitset, wordsFor(n)) }

// wordsFor is how many words n bits take.
func wordsFor(n int) int { return (n + 63) / 64 }

// emptied returns an empty set of some words, in the same memory where it has room.
func emptied[S ~[]uint64](b S, words int) S {
	if cap(b) < words {
		return make(S, words, words+words/2)
	}
	b = b[:words]
	clear(b)
	return b
}

func (b bitset) set(i int)      { b[i>>6] |= 1 << (i & 63) }
func (b bitset) has(i int) bool { return b[i>>6]&(1<<(i&63)) != 0 }

// put adds a member, growing the set where it is too short.
func (b *bitset) put(i int) {
	for len(*b) <= i>>6 {
		*b = append(*b, 0)
	}
	b.set(i)
}

func (b bitset) or(o bitset) {
	for i, w := range o {
		b[i] |= w
	}
}

// and keeps what is in o too; o may be shorter.
func (b bitset) and(o bitset) {
	n := min(len(b), len(o))
	for i, w := range o[:n] {
		b[i] &= w
	}
	clear(b[n:])
}

func (b bitset) andNot(o bitset) {
	for i, w := range o {
		b[i] &^= w
	}
}

func (b bitset) flip(i int) { b[i>>6] ^= 1 << (i & 63) }

func (b bitset) clone() bitset { return append(bitset(nil), b...) }

// each calls f with the members, ascending.
func (b bitset) each(f func(int)) {
	for i, w := range b {
		for ; w != 0; w &= w - 1 {
			f(i<<6 + bits.TrailingZeros64(w))
		}
	}
}

// count returns how many members there are.
func (b bitset) count() int {
	n := 0
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}
