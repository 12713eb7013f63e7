package lab

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/weir-mesh/weir/datapath"
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

// Result is what a run found.
type Result struct {
	Workloads, Namespaces int
	Digest                string
	Mode                  datapath.AttachMode
	Probes                int
	// Allowed and Denied are the probes' fates as seen.
	Allowed, Denied int
	Mismatches      []Mismatch
	Changes         []Change
}

// Failed says that the wire and the plan disagree somewhere.
func (r *Result) Failed() bool {
	if len(r.Mismatches) > 0 {
		return true
	}
	for i := range r.Changes {
		if len(r.Changes[i].Mismatches) > 0 || r.Changes[i].Mixed > 0 {
			return true
		}
	}
	return false
}

// Run builds the lab, sends the probes, changes a policy and a label under open connections, reports, and takes
// everything away again, also when the context ends.
func Run(ctx context.Context, s Source, o Options) (r *Result, err error) {
	if err := Check(); err != nil {
		return nil, err
	}
	o.Nodes, o.Connections = max(o.Nodes, 1), orDefault(o.Connections, 64)
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
	r = &Result{Workloads: workloads(w), Namespaces: l.podNamespaces(), Digest: w.Plan.DecisionDigest}
	st, err := l.datapaths[0].State()
	if err != nil {
		return nil, err
	}
	r.Mode = st.Mode
	r.header(o.Out, l)
	passed, err := l.probeAll(ctx, r)
	if err != nil {
		return nil, err
	}
	r.body(o.Out)
	if err := l.changes(ctx, o, r, passed); err != nil {
		return nil, err
	}
	return r, nil
}

func orDefault(n, d int) int {
	if n == 0 {
		return d
	}
	return n
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
	r.Probes = len(probes)
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

func (r *Result) header(w io.Writer, l *lab) {
	on := ""
	if n := len(l.network.nodes); n > 1 {
		on = fmt.Sprintf(" on %d nodes", n)
	}
	fmt.Fprintf(w, "%s in %s%s · plan %s · datapath %s, generation %d\n", count(r.Workloads, "workload"), count(r.Namespaces, "network namespace"), on,
		shortDigest(r.Digest), modeName(r.Mode), l.generation)
}

func (r *Result) body(w io.Writer) {
	fmt.Fprintf(w, "%s: %s as planned (%s allowed, %s denied) · %s\n", count(r.Probes, "probe"), thousands(r.Probes-len(r.Mismatches)),
		thousands(r.Allowed), thousands(r.Denied), mismatches(len(r.Mismatches)))
	for i := range r.Mismatches {
		fmt.Fprintf(w, "  %s\n", r.Mismatches[i].String())
	}
}

func mismatches(n int) string {
	if n == 1 {
		return "1 mismatch"
	}
	return thousands(n) + " mismatches"
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return thousands(n) + " " + what + "s"
}

// thousands prints 5580 as 5,580.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func modeName(m datapath.AttachMode) string {
	if m == datapath.TCX {
		return "TCX"
	}
	return strings.ToLower(string(m))
}
