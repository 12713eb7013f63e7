package resolve

import "testing"

// TestRuns numbers runs that differ in one word only, across several growths, and uses the set again for another length.
func TestRuns(t *testing.T) {
	r := newRuns()
	for _, width := range []int{1, 3} {
		r.reset(width)
		for round := range 2 {
			for i := range 1000 {
				run := make([]uint64, width)
				run[width-1] = uint64(i) << 40
				if r.has(run) != (round > 0) {
					t.Fatalf("width %d, run %d, round %d: has says %t", width, i, round, r.has(run))
				}
				if n, fresh := r.intern(run); n != i || fresh != (round == 0) {
					t.Fatalf("width %d, run %d, round %d: number %d, new %t", width, i, round, n, fresh)
				}
			}
		}
		if len(r.places) < 2*r.n {
			t.Errorf("width %d: %d places for %d runs: more than half are taken", width, len(r.places), r.n)
		}
		if r.n != 1000 || len(r.words) != 1000*width {
			t.Errorf("width %d: %d runs in %d words", width, r.n, len(r.words))
		}
	}
}
