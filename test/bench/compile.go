//go:build linux

package main

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/weir-mesh/weir/compiler/resolve"
	"github.com/weir-mesh/weir/test/workload"
)

// compileRounds is how often each cold compile is repeated.
const compileRounds = 3

func compileSection(ctx context.Context, r *report) error {
	for _, c := range []struct {
		policies, identities int
		seconds              float64
		mib                  uint64
	}{{10_000, 1_000, 1.0, 1024}, {10_000, 10_000, 3.0, 0}} {
		g := workload.New(1, c.identities)
		in := resolve.Input{Policies: g.Policies(c.policies), Inventory: g.Inventory(), Config: workload.Config(), Now: time.Unix(1_700_000_000, 0)}
		var seconds spread
		var peak uint64
		for range compileRounds {
			if err := ctx.Err(); err != nil {
				return err
			}
			runtime.GC()
			stop := watchHeap(&peak)
			t := time.Now()
			resolve.Compile(in)
			seconds = append(seconds, since(t, time.Second))
			stop()
		}
		what := fmt.Sprintf("%d policies x %d identities, all subjects, cold", c.policies, c.identities)
		r.target(what, seconds.format("%.2f", "s"), fmt.Sprintf("%.1f s", c.seconds), seconds.median() <= c.seconds)
		value := fmt.Sprintf("%d MiB of heap at its highest", peak>>20)
		if c.mib > 0 {
			r.target("", value, fmt.Sprintf("%d MiB", c.mib), peak>>20 <= c.mib)
		} else {
			r.line("", value)
		}
	}
	return changes(ctx, r)
}

// watchHeap records the largest heap until it is stopped.
func watchHeap(peak *uint64) func() {
	var done atomic.Bool
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		var m runtime.MemStats
		for !done.Load() {
			runtime.ReadMemStats(&m)
			*peak = max(*peak, m.HeapInuse)
			time.Sleep(20 * time.Millisecond)
		}
	}()
	return func() { done.Store(true); <-finished }
}

// changes measures one more identity and one more policy at 10,000 by 10,000.
func changes(ctx context.Context, r *report) error {
	const n, pods, policies = 10_000, 2_000, 400
	g := workload.New(1, n)
	inc := resolve.NewIncremental(resolve.Input{Policies: g.Policies(n), Inventory: g.Inventory(), Config: workload.Config(), Now: time.Unix(1_700_000_000, 0)})
	inc.AddPolicy(g.Policy()) // builds the indexes, once
	quick := 0
	var each spread
	for i := range pods {
		p := g.Pod(i%(n/20), 20+i%3, fmt.Sprintf("app-%d", i%7)) // some of a new app, all of a new service account
		p.Name, p.ServiceAccount = fmt.Sprintf("added-%d", i), "added"
		p.Addrs = []netip.Addr{netip.AddrFrom4([4]byte{10, 250, byte(i >> 8), byte(i)})}
		t := time.Now()
		if inc.AddPod(p) {
			quick++
		}
		each = append(each, since(t, time.Microsecond))
	}
	r.target("one more identity, 10,000 x 10,000, mean", fmt.Sprintf("%.0f us (median %.0f, highest %.0f), %d of %d quick", mean(each), each.median(),
		each.sorted()[len(each)-1], quick, pods), "200 us", mean(each) <= 200)
	if err := ctx.Err(); err != nil {
		return err
	}
	quick, each = 0, nil
	for range policies {
		p := g.Policy()
		t := time.Now()
		if inc.AddPolicy(p) {
			quick++
		}
		each = append(each, since(t, time.Millisecond))
	}
	r.target("one more policy, 10,000 x 10,000, mean", fmt.Sprintf("%.2f ms (median %.2f, highest %.2f), %d of %d quick", mean(each), each.median(),
		each.sorted()[len(each)-1], quick, policies), "5 ms", mean(each) <= 5)
	return nil
}

func mean(s spread) float64 {
	sum := 0.0
	for _, v := range s {
		sum += v
	}
	return sum / float64(len(s))
}
