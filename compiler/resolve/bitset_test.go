package resolve

import (
	"slices"
	"testing"
)

// members makes a set with room for n.
func members(n int, in ...int) bitset {
	b := newBitset(n)
	for _, i := range in {
		b.set(i)
	}
	return b
}

func (b bitset) list() (out []int) {
	b.each(func(i int) { out = append(out, i) })
	return out
}

func TestBitset(t *testing.T) {
	for n, want := range map[int]int{0: 0, 1: 1, 63: 1, 64: 1, 65: 2, 128: 2, 129: 3} {
		if got := wordsFor(n); got != want {
			t.Errorf("%d bits: %d words, want %d", n, got, want)
		}
	}
	var grown bitset
	grown.put(64)
	grown.put(3)
	if !slices.Equal(grown, bitset{1 << 3, 1}) {
		t.Errorf("put gives %x", grown)
	}
	a, b := members(200, 0, 63, 64, 127, 130), members(128, 63, 100, 127)
	if got := a.list(); !slices.Equal(got, []int{0, 63, 64, 127, 130}) || a.count() != 5 {
		t.Errorf("%v, %d of them", got, a.count())
	}
	if !a.has(63) || a.has(62) || a.has(65) || !a.has(130) {
		t.Errorf("has is wrong about %v", a.list())
	}
	for name, c := range map[string]struct {
		change func(bitset)
		want   []int
	}{
		"or":           {func(x bitset) { x.or(b) }, []int{0, 63, 64, 100, 127, 130}},
		"and, shorter": {func(x bitset) { x.and(b) }, []int{63, 127}},
		"and, longer":  {func(x bitset) { x.and(members(300, 63, 130, 299)) }, []int{63, 130}},
		"andNot":       {func(x bitset) { x.andNot(b) }, []int{0, 64, 130}},
		"flip":         {func(x bitset) { x.flip(64); x.flip(65) }, []int{0, 63, 65, 127, 130}},
	} {
		x := a.clone()
		c.change(x)
		if !slices.Equal(x.list(), c.want) || a.count() != 5 {
			t.Errorf("%s: %v, want %v; the first is now %v", name, x.list(), c.want, a.list())
		}
	}
}

// TestEmptied uses memory again where it has room, and leaves room to grow by half where not.
func TestEmptied(t *testing.T) {
	b := bitset{1, 2, 3, 4}
	if got := emptied(b, 4); &got[0] != &b[0] || !slices.Equal(got, bitset{0, 0, 0, 0}) {
		t.Errorf("four words in four: %x", got)
	}
	if got := emptied(b[:1], 2); &got[0] != &b[0] || len(got) != 2 {
		t.Errorf("two words in four: %x", got)
	}
	if got := emptied(b, 6); len(got) != 6 || cap(got) != 9 {
		t.Errorf("six words: %d of %d", len(got), cap(got))
	}
}
