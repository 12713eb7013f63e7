package lab

import (
	"cmp"
	"context"
	"fmt"
	"io"
)

// Options of Run.
type Options struct {
	// Nodes is 1 or 2; 0 is 1.
	Nodes int
	// Connections are held open while policies and labels change; 0 is 64.
	Connections int
	// Out gets the report.
	Out io.Writer
}

// Run builds the lab, sends the probes, changes a policy and a label under open connections, reports, and takes
// everything away again, also when the context ends.
func Run(ctx context.Context, s Source, o Options) (r *Result, err error) {
	if err := Check(); err != nil {
		return nil, err
	}
	o.Nodes, o.Connections = cmp.Or(o.Nodes, 1), cmp.Or(o.Connections, 64)
	w, _, err := NewWorld(s, o.Nodes)
	if err != nil {
		return nil, err
	}
	l, err := start(ctx, w, state{Nodes: o.Nodes})
	if err != nil {
		return nil, err
	}
	defer func() {
		if serr := l.stop(); serr != nil && err == nil {
			err = fmt.Errorf("taking the lab away: %w", serr)
		}
	}()
	if err := l.serve(ctx, listen(w)); err != nil {
		return nil, err
	}
	r = &Result{Run: l.state.Run, Workloads: workloads(w), Namespaces: l.podNamespaces(), Digest: w.Plan.DecisionDigest,
		Mismatches: []Mismatch{}, Changes: []Change{}}
	st, err := l.datapaths[0].State()
	if err != nil {
		return nil, err
	}
	r.Mode = st.Mode
	r.header(o.Out, len(l.network.nodes), l.generation)
	passed, err := l.probeAll(ctx, r)
	if err != nil {
		return nil, err
	}
	r.verdict(o.Out)
	if err := l.changes(ctx, o, r, passed); err != nil {
		return nil, err
	}
	return r, nil
}

func workloads(w *World) int {
	seen := map[string]bool{}
	for i := range w.Plan.Endpoints {
		e := &w.Plan.Endpoints[i]
		seen[e.Namespace+" "+e.Workload] = true
	}
	return len(seen)
}

func (l *lab) podNamespaces() int {
	n := 0
	for _, s := range l.network.pods {
		if s != nil {
			n++
		}
	}
	return n
}

// probeAll sends all probes and returns those that went through and were meant to.
func (l *lab) probeAll(ctx context.Context, r *Result) (passed []probe, err error) {
	probes := l.world.probes()
	fates, err := l.servers.shoot(ctx, probes)
	if err != nil {
		return nil, fmt.Errorf("probing: %w", err)
	}
	r.Probes, r.Untried, r.LeftOut = len(probes), l.world.untried(), l.world.leftOut()
	for i := range probes {
		if fates[i].arrived {
			r.Allowed++
		} else {
			r.Denied++
		}
		if m := l.world.judge(&probes[i], fates[i]); m != nil {
			r.Mismatches = append(r.Mismatches, *m)
		} else if fates[i].arrived {
			passed = append(passed, probes[i])
		}
	}
	sortMismatches(r.Mismatches)
	return passed, nil
}
