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

// property is something that holds of every world. What breaks the compiler in many small ways (hack/mutate) asks the
// properties of the same worlds as the tests do, with the same flows.
type property struct {
	name   string
	first  uint64 // seed
	worlds int
	flows  int // of each world
	// plain says that three worlds of four have no layer 7 and no API server, so that changes take the quick paths.
	plain bool
	world func(*gen) *world
	check func(w *world, flows []flow) error
}

func properties() []property {
	return []property{
		{name: "decides", first: *seedFlag, worlds: (*pairsFlag + flowsPerWorld - 1) / flowsPerWorld, flows: flowsPerWorld, world: (*gen).world, check: decidesAll},
		{name: "grows", first: 2_000_000, worlds: 2 * sameWorlds, flows: 20, plain: true, world: (*gen).world, check: growsAlike},
		{name: "ordered", first: 1_000_000, worlds: sameWorlds, world: (*gen).world, check: orderMeansNothing},
		{name: "projects", first: 3_000_000, worlds: sameWorlds, world: (*gen).world, check: projectsTheSame},
		{name: "broad", first: 4_000_000, worlds: 10, flows: 200, plain: true, world: (*gen).broad, check: growsAlike},
	}
}

// make makes a world and its flows.
func (p *property) make(seed uint64) (*world, []flow) {
	g := newGen(seed)
	g.plain = p.plain && seed%4 != 0
	w := p.world(g)
	var flows []flow
	for range p.flows {
		flows = append(flows, g.flow())
	}
	return w, flows
}

// decidesAll compares a world's plan with the evaluator on all flows.
func decidesAll(w *world, flows []flow) error {
	c, err := compile(w)
	if err != nil {
		return err
	}
	if err := c.checkPlan(); err != nil {
		return err
	}
	for _, f := range flows {
		if _, err := c.checkAll(f); err != nil {
			return err
		}
	}
	return nil
}

// checkAll checks a flow's answer and what was found about it.
func (c *compiled) checkAll(f flow) ([]verdict, error) {
	want, err := c.check(f)
	if err != nil {
		return want, err
	}
	return want, c.checkFindings(want[0])
}

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
		small := smallest(w, flow{}, err, func(w *world, _ flow) error { return decidesAll(w, nil) })
		return fmt.Errorf("seed %d: %w\n%s", seed, small.err, small.w)
	}
	for range flowsPerWorld {
		f := g.flow()
		want, err := c.checkAll(f)
		if err != nil {
			small := smallest(w, f, err, decides)
			return fmt.Errorf("seed %d: plan and semantics disagree: %w\nflow %s\n%s", seed, small.err, small.w.tellFlow(small.f), small.w)
		}
		cov.count(c, f, want)
	}
	return nil
}

// smallest shrinks a failure, if that is asked for.
func smallest(w *world, f flow, err error, check func(*world, flow) error) failure {
	if !*shrinkFlag {
		return failure{w, f, err}
	}
	return shrink(w, f, err, check)
}
