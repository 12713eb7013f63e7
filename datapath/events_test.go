//go:build linux

package datapath_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-mesh/weir/datapath"
)

// watch collects the datapath's events until stop, which returns those that a table decided.
func (n *node) watch(d *datapath.Datapath) (stop func() []datapath.Event) {
	ctx, cancel := context.WithCancel(n.t.Context())
	var decided []datapath.Event
	var wg sync.WaitGroup
	wg.Go(func() {
		err := d.Events(ctx, func(e *datapath.Event) {
			if e.Decision >= 0 {
				decided = append(decided, *e)
			}
		})
		if err != nil {
			n.t.Error(err)
		}
	})
	return func() []datapath.Event {
		cancel()
		wg.Wait()
		return decided
	}
}

// TestEventsNamed sends packets to endpoints while they are attached, and while their rule goes: each verdict names its
// endpoint and peer, and the rule that it had then (S31).
func TestEventsNamed(t *testing.T) {
	n := newNode(t, datapath.Auto)
	n.opts.EventRate, n.opts.EventBytes = 1<<20, 1<<24 // none is lost
	d := n.open()
	defer close(t, d)
	stop := n.watch(d)
	f := n.flood()
	time.Sleep(10 * time.Millisecond)
	n.apply(d, n.projection(1, true, 100_000)) // large, so that it takes its time
	time.Sleep(10 * time.Millisecond)
	p := n.projection(2, true, 100_000)
	p.Endpoints = p.Endpoints[:1] // b goes
	n.apply(d, p)
	time.Sleep(10 * time.Millisecond)
	f.stop()
	of := map[string]int{}
	for _, e := range stop() {
		of[e.Endpoint+" "+e.Kind.String()]++
		if strings.HasPrefix(e.Endpoint, "slot ") || e.PeerName == "" || e.Kind == datapath.NewFlow && e.RuleName == "" {
			t.Fatalf("an event without its names: %+v", e)
		}
	}
	if of["shop/a new"] == 0 || of["shop/b denied"] == 0 {
		t.Errorf("events of endpoints: %v", of)
	}
}

// TestEventsTakenOver reads the events of a generation that another process published: endpoints have names at once,
// rules when the first projection is applied.
func TestEventsTakenOver(t *testing.T) {
	n := newNode(t, datapath.Auto)
	d := n.open()
	n.apply(d, n.projection(1, true, 0))
	close(t, d)
	d = n.open()
	defer close(t, d)
	n.enforced()
	stop := n.watch(d)
	time.Sleep(50 * time.Millisecond)
	before := stop()
	n.enforced()
	n.apply(d, n.projection(2, true, 0))
	stop = n.watch(d)
	time.Sleep(50 * time.Millisecond)
	after := stop()
	if len(before) == 0 || len(after) == 0 {
		t.Fatalf("%d events before, %d after", len(before), len(after))
	}
	for _, e := range before {
		if e.Endpoint != "shop/a" && e.Endpoint != "shop/b" || e.Generation != 1 {
			t.Errorf("before the first projection: %+v", e)
		}
	}
	for _, e := range after {
		if e.Generation != 1 || e.Kind == datapath.NewFlow && e.RuleName == "" {
			t.Errorf("after it: %+v", e)
		}
	}
}
