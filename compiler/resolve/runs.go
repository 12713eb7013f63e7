package resolve

import (
	"math/bits"
	"math/rand/v2"
	"slices"
)

// runs numbers distinct runs of words of one length in the order in which they are first met. It is used again from
// table to table, and holds no pointer for a run, so that the collector has nothing to look at.
type runs struct {
	width int
	// words holds the runs one after the other.
	words []uint64
	n     int
	// places is a hash table with open addressing: a run's number plus one, 0 where it is free.
	places []int32
	// seed keeps the collisions out of reach of who writes policies.
	seed uint64
}

// minPlaces is where a hash table starts: a power of two.
const minPlaces = 64

func newRuns() runs { return runs{seed: rand.Uint64()} }

// reset empties the set for runs of another length.
func (r *runs) reset(width int) {
	r.width, r.n, r.words = width, 0, r.words[:0]
	r.places = slices.Grow(r.places[:0], minPlaces)[:minPlaces]
	clear(r.places)
}

// run returns the i-th run.
func (r *runs) run(i int) []uint64 { return r.words[i*r.width : (i+1)*r.width] }

// intern returns the number of a run, and whether it is new; a copy is kept.
func (r *runs) intern(run []uint64) (number int, fresh bool) {
	if 2*r.n >= len(r.places) {
		r.grow()
	}
	at := r.find(run)
	if p := r.places[at]; p != 0 {
		return int(p) - 1, false
	}
	r.words = append(r.words, run...)
	r.n++
	r.places[at] = int32(r.n)
	return r.n - 1, true
}

// has reports whether a run is there.
func (r *runs) has(run []uint64) bool { return r.places[r.find(run)] != 0 }

// find returns the place that holds a run, or the free one where it belongs.
func (r *runs) find(run []uint64) int {
	h := r.seed
	for _, w := range run {
		hi, lo := bits.Mul64(h^w, 0x9e3779b97f4a7c15)
		h = hi ^ lo
	}
	mask := len(r.places) - 1
	at := int(h) & mask
	for r.places[at] != 0 && !slices.Equal(r.run(int(r.places[at])-1), run) {
		at = (at + 1) & mask
	}
	return at
}

func (r *runs) grow() {
	n := 2 * len(r.places)
	r.places = slices.Grow(r.places[:0], n)[:n]
	clear(r.places)
	for i := range r.n {
		r.places[r.find(r.run(i))] = int32(i + 1)
	}
}
