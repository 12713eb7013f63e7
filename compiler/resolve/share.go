package resolve

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// How many pieces of work are worth a goroutine.
const (
	policiesEach = 256
	subjectsEach = 64
	tablesEach   = 1
)

// workers is how many goroutines may share out work.
func (c *compiler) workers() int {
	if c.in.Workers > 0 {
		return c.in.Workers
	}
	return runtime.GOMAXPROCS(0)
}

// share does the pieces of work from 0 to n-1 on as many goroutines as get some number each, and waits for them. Each
// goroutine begins once.
func (c *compiler) share(n, each int, begin func() (work func(i int))) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(c.workers(), max(1, n/each)) {
		wg.Go(func() {
			work := begin()
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				work(i)
			}
		})
	}
	wg.Wait()
}
