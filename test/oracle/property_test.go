package oracle

import (
	"flag"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	seedFlag   = flag.Uint64("oracle.seed", 1, "first seed of the generated worlds")
	pairsFlag  = flag.Int("oracle.pairs", 120_000, "how many (policy set, flow) pairs to compare; what was exercised is judged from 100,000 on")
	shrinkFlag = flag.Bool("oracle.shrink", true, "shrink a disagreement before it is printed")
)

// flowsPerWorld is how many flows are asked of one world.
const flowsPerWorld = 60

// TestPlanEqualsSemantics compares the compiled plan with the evaluator on random worlds and flows, and insists that
// every sentence of semantics.md that an evaluator can decide was exercised.
func TestPlanEqualsSemantics(t *testing.T) {
	worlds := (*pairsFlag + flowsPerWorld - 1) / flowsPerWorld
	var next atomic.Int64
	var failed atomic.Bool
	var mu sync.Mutex
	var total coverage
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			var own coverage
			for i := int(next.Add(1)) - 1; i < worlds && !failed.Load(); i = int(next.Add(1)) - 1 {
				if err := checkWorld(*seedFlag+uint64(i), &own); err != nil {
					failed.Store(true)
					t.Error(err)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			total.add(&own)
		})
	}
	wg.Wait()
	if failed.Load() {
		return
	}
	t.Logf("%d worlds, %d pairs\n%s", worlds, worlds*flowsPerWorld, total.table())
	if missing := total.missing(); len(missing) > 0 && *pairsFlag >= 100_000 {
		t.Errorf("never exercised: %v", missing)
	}
}

// checkWorld compares the flows of one world; a disagreement comes back shrunk.
func checkWorld(seed uint64, cov *coverage) error {
	g := newGen(seed)
	w := g.world()
	c, err := compile(w)
	if err == nil {
		err = c.checkPlan()
	}
	if err != nil {
		return fmt.Errorf("seed %d: %w\n%s", seed, err, w)
	}
	for range flowsPerWorld {
		f := g.flow()
		want, err := c.check(f)
		if err != nil {
			small := failure{w, f, err}
			if *shrinkFlag {
				small = shrink(w, f, err, decides)
			}
			return fmt.Errorf("seed %d: plan and semantics disagree: %w\nflow %s\n%s", seed, small.err, small.w.tellFlow(small.f), small.w)
		}
		if err := c.checkFindings(want[0]); err != nil {
			return fmt.Errorf("seed %d: %w\nflow %s\n%s", seed, err, w.tellFlow(f), w)
		}
		cov.count(c, f, want)
	}
	return nil
}
