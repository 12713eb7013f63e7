package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/datapath"
)

// A connection on which nothing came for the time of drain is cut, and may bring what was sent before for as long as
// patience: the servers of a slow machine are behind. Then connections are looked at for the time of watch.
const (
	drain    = 150 * time.Millisecond
	patience = 10 * time.Second
	watch    = 600 * time.Millisecond
)

// changes changes a policy and then a label under open connections.
func (l *lab) changes(ctx context.Context, o Options, r *Result, passed []probe) error {
	h, err := l.servers.hold(ctx, passed, o.Connections)
	if err != nil {
		return err
	}
	defer h.stop()
	if len(h.files) == 0 {
		fmt.Fprintln(o.Out, "no change under open connections: the plan allows no TCP connection to hold open")
		return nil
	}
	open := make([]bool, len(h.files))
	for i := range open {
		open[i] = true
	}
	for _, kind := range []string{"policy", "label"} {
		candidates := policyChanges
		if kind == "label" {
			candidates = labelChanges
		}
		next, detail, cut := best(l.world, h, open, candidates)
		if cut == 0 {
			fmt.Fprintf(o.Out, "%s change under open connections: none decides over one of them\n", kind)
			continue
		}
		c, err := l.change(ctx, h, open, next)
		if err != nil {
			return fmt.Errorf("changing a %s: %w", kind, err)
		}
		c.What, c.Detail = kind, detail
		c.print(o.Out)
		r.Changes = append(r.Changes, *c)
	}
	return nil
}

// candidate is a change that may be made.
type candidate struct {
	detail string
	change func(*Source)
}

// best picks the change that cuts some of the open connections and keeps others, as near to half as there is.
func best(w *World, h *held, open []bool, candidates func(*World, *held, []bool) []candidate) (next *World, detail string, cut int) {
	score := -1
	for _, c := range candidates(w, h, open) {
		x := w.with(c.change)
		n, kept := 0, 0
		for i := range h.probes {
			switch {
			case !open[i]:
			case passes(x, &h.probes[i]):
				kept++
			default:
				n++
			}
		}
		if n > 0 && min(n, kept) > score {
			next, detail, cut, score = x, c.detail, n, min(n, kept)
		}
	}
	return next, detail, cut
}

func passes(w *World, p *probe) bool {
	now := *p
	now.targets = p.expect(w)
	return now.mustPass()
}

// touched are the pods at either end of open connections.
func touched(h *held, open []bool) []int {
	var out []int
	for i := range h.probes {
		if !open[i] {
			continue
		}
		for _, x := range []host{h.probes[i].from, h.probes[i].targets[0].at} {
			if x.kind == podHost {
				out = append(out, x.index)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func podOf(w *World, endpoint int) *inventory.Pod {
	e := &w.Plan.Endpoints[endpoint]
	i := slices.IndexFunc(w.Inventory.Pods, func(p inventory.Pod) bool { return p.Namespace == e.Namespace && p.Name == e.Name })
	return &w.Inventory.Pods[i]
}

// policyChanges close one pod's ingress by an admin policy that comes before all others.
func policyChanges(w *World, h *held, open []bool) []candidate {
	var out []candidate
	for _, i := range touched(h, open) {
		p := podOf(w, i)
		subject := ir.Selector{Namespace: p.Namespace}
		for _, k := range slices.Sorted(maps.Keys(p.Labels)) {
			subject.Pods = append(subject.Pods, ir.Requirement{Key: k, Op: ir.In, Values: []string{p.Labels[k]}})
		}
		deny := ir.Policy{Kind: "ClusterMeshPolicy", Name: "lab-change", Layer: ir.Mesh, Tier: ir.Admin, Priority: math.MinInt32, Subject: subject,
			Rules: []ir.Rule{{Direction: ir.Ingress, Action: ir.Deny, Name: "lab change"}}}
		out = append(out, candidate{"a policy now denies ingress of " + shown(p.Namespace+"/"+p.Name), func(s *Source) { s.Policies = append(s.Policies, deny) }})
	}
	return out
}

// labelChanges give one label of one running pod another value.
func labelChanges(w *World, h *held, open []bool) []candidate {
	var out []candidate
	for _, i := range touched(h, open) {
		p := podOf(w, i)
		for _, k := range slices.Sorted(maps.Keys(p.Labels)) {
			out = append(out, candidate{fmt.Sprintf("%s now has the label %s=lab-change", shown(p.Namespace+"/"+p.Name), shown(k)), func(s *Source) {
				q := &s.Inventory.Pods[slices.IndexFunc(s.Inventory.Pods, func(x inventory.Pod) bool { return x.Namespace == p.Namespace && x.Name == p.Name })]
				q.Labels = maps.Clone(q.Labels)
				q.Labels[k] = "lab-change"
			}})
		}
	}
	return out
}

// change enforces the next world under the open connections and looks at what became of them.
func (l *lab) change(ctx context.Context, h *held, open []bool, next *World) (*Change, error) {
	before := l.generation
	stop, events := l.watchEvents(ctx)
	flood := l.flood(next)
	time.Sleep(5 * beat)
	err := l.enforce(next)
	time.Sleep(drain)
	flood()
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	cut := make([]bool, len(h.probes))
	for i := range cut {
		cut[i] = open[i] && !passes(next, &h.probes[i])
	}
	err = h.settle(ctx, cut)
	var arrives, returns []bool
	if err == nil {
		arrives, returns, err = h.alive(ctx, watch)
	}
	if serr := stop(); err == nil {
		err = serr
	}
	if err != nil {
		return nil, err
	}
	c := &Change{Mismatches: []Mismatch{}}
	for i := range h.probes {
		if open[i] {
			c.Open++
			c.settle(next, &h.probes[i], arrives[i], returns[i])
			open[i] = passes(next, &h.probes[i])
		}
	}
	c.Judged, c.Mixed = l.mixed(*events, before)
	return c, nil
}

// settle compares one connection with the plan.
func (c *Change) settle(w *World, p *probe, arrives, returns bool) {
	pass := passes(w, p)
	switch {
	case pass && arrives && returns:
		c.Kept++
	case !pass && !arrives:
		c.Cut++
	default:
		m := Mismatch{From: w.sourceName(p.from, p.src), To: p.to, Port: portName(p.key), Planned: "cut", Seen: "it goes on"}
		if pass {
			m.Planned, m.Seen = "kept", "it is cut"
		}
		c.Mismatches = append(c.Mismatches, m)
	}
}

// watchEvents collects the nodes' events until stop.
func (l *lab) watchEvents(ctx context.Context) (stop func() error, events *[]datapath.Event) {
	ctx, cancel := context.WithCancel(ctx)
	events = &[]datapath.Event{}
	errs := make([]error, len(l.datapaths))
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i, d := range l.datapaths {
		wg.Go(func() {
			errs[i] = d.Events(ctx, func(e *datapath.Event) {
				mu.Lock()
				*events = append(*events, *e)
				mu.Unlock()
			})
		})
	}
	return func() error {
		cancel()
		wg.Wait()
		for _, err := range errs {
			if err != nil {
				return fmt.Errorf("watching verdicts: %w", err)
			}
		}
		return nil
	}, events
}

// flood sends datagrams over new flows, between all pods, until it is stopped: each is judged, and its verdict must be
// that of one generation.
func (l *lab) flood(w *World) (stop func()) {
	var probes []probe
	for _, p := range w.probes() {
		if p.key.Space() == ir.UDP && p.from.kind == podHost {
			probes = append(probes, p)
		}
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for g := range 2 {
		wg.Go(func() {
			for i := g; len(probes) > 0; i++ {
				select {
				case <-done:
					return
				default:
				}
				p := &probes[i%len(probes)]
				if f, err := l.network.space(p.from).dial(unix.SOCK_DGRAM, p.src, p.dst, time.Now().Add(time.Second)); err == nil {
					_, _ = f.Write([]byte("weir"))
					_ = f.Close()
				}
			}
		})
	}
	return func() {
		close(done)
		wg.Wait()
	}
}
