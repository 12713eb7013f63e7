package resolve

import (
	"runtime"
	"sync/atomic"
	"testing"
)

// TestShare does each piece once, on as many goroutines as are allowed and worth it.
func TestShare(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	for _, c := range []struct{ workers, n, each, want int }{
		{3, 0, 4, 1}, {3, 1, 4, 1}, {3, 7, 4, 1}, {3, 8, 4, 2}, {3, 100, 4, 3}, {1, 100, 4, 1}, {0, 1000, 1, 4},
	} {
		comp := &compiler{in: Input{Workers: c.workers}}
		begun := atomic.Int32{}
		done := make([]atomic.Int32, c.n)
		comp.share(c.n, c.each, func() func(int) {
			begun.Add(1)
			return func(i int) { done[i].Add(1) }
		})
		if int(begun.Load()) != c.want {
			t.Errorf("%d pieces, %d each, %d workers: %d began, want %d", c.n, c.each, c.workers, begun.Load(), c.want)
		}
		for i := range done {
			if n := done[i].Load(); n != 1 {
				t.Errorf("%d pieces, %d each: piece %d was done %d times", c.n, c.each, i, n)
			}
		}
	}
}
