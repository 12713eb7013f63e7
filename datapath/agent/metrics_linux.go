package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/weir-mesh/weir/datapath"
	"github.com/weir-mesh/weir/internal/plain"
)

// The metrics. Counters of packets and bytes are the kernel's own, read at each scrape: they go on while no agent runs.
var (
	descGeneration = prometheus.NewDesc("weir_generation", "Generation of the plan that the kernel enforces.", nil, nil)
	descEpoch      = prometheus.NewDesc("weir_epoch", "Swaps of the kernel's tables since they were made.", nil, nil)
	descEndpoints  = prometheus.NewDesc("weir_endpoints", "Pods of this node in the plan, by whether the programs are attached at both directions of their interface.", []string{"attached"}, nil)
	descUnenforced = prometheus.NewDesc("weir_endpoints_not_enforced", "Pods of this node in the plan of which no interface was found, by reason. Those that are gone, or nowhere for less than the grace, do not make health fail.", []string{"reason"}, nil)
	descMapBytes   = prometheus.NewDesc("weir_map_bytes", "Memory of the kernel's maps.", nil, nil)
	descApplied    = prometheus.NewDesc("weir_plans_applied_total", "Plans, interface changes and expiries applied by this process.", nil, nil)
	descFailures   = prometheus.NewDesc("weir_plan_failures_total", "Plans that were not enforced, by what failed.", []string{"reason"}, nil)
	descUpToDate   = prometheus.NewDesc("weir_plan_enforced", "1 when the plan in the file is what the kernel enforces, for every pod that is known to be there: health's answer.", nil, nil)
	descRulePkts   = prometheus.NewDesc("weir_rule_packets_total", "Packets that a rule decided.", []string{"rule", "id"}, nil)
	descRuleBytes  = prometheus.NewDesc("weir_rule_bytes_total", "Bytes that a rule decided.", []string{"rule", "id"}, nil)
	descNoRule     = prometheus.NewDesc("weir_default_packets_total", "Packets that a default decided.", nil, nil)
	descPassed     = prometheus.NewDesc("weir_passed_packets_total", "Packets that were let through.", nil, nil)
	descPassedB    = prometheus.NewDesc("weir_passed_bytes_total", "Bytes that were let through.", nil, nil)
	descDropped    = prometheus.NewDesc("weir_dropped_packets_total", "Packets that were dropped, by reason.", []string{"reason"}, nil)
	descDroppedB   = prometheus.NewDesc("weir_dropped_bytes_total", "Bytes that were dropped, by reason.", []string{"reason"}, nil)
	descLost       = prometheus.NewDesc("weir_events_lost_total", "Verdicts that were not logged: too many at once.", nil, nil)
)

// Describe says nothing: the metrics' labels follow the plan.
func (a *agent) Describe(chan<- *prometheus.Desc) {}

// Collect reads the kernel.
func (a *agent) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	s := a.read()
	counter(descApplied, s.applied)
	for reason, n := range s.failures {
		counter(descFailures, n, reason)
	}
	upToDate := 0.0
	if s.failure == "" && len(a.overdue(&s, time.Now())) == 0 {
		upToDate = 1
	}
	gauge(descUpToDate, upToDate)
	for _, r := range reasons {
		n := 0
		for i := range s.unfound {
			if s.unfound[i].reason() == r {
				n++
			}
		}
		gauge(descUnenforced, float64(n), r)
	}
	// Reading back copies the generation; a node's memory is its pods'.
	defer debug.FreeOSMemory()
	st, err := a.d.State()
	if err != nil {
		ch <- prometheus.NewInvalidMetric(descGeneration, err)
		return
	}
	gauge(descGeneration, float64(st.Generation))
	gauge(descEpoch, float64(st.Epoch))
	gauge(descMapBytes, float64(st.MapsBytes))
	attached := 0
	for i := range st.Endpoints {
		if st.Endpoints[i].Ingress && st.Endpoints[i].Egress {
			attached++
		}
	}
	gauge(descEndpoints, float64(attached), "yes")
	gauge(descEndpoints, float64(len(st.Endpoints)-attached), "no")
	c, err := a.d.Counters()
	if err != nil {
		ch <- prometheus.NewInvalidMetric(descPassed, err)
		return
	}
	a.collectRules(c, counter)
	counter(descNoRule, c.NoRule.Packets)
	counter(descPassed, c.Passed.Packets)
	counter(descPassedB, c.Passed.Bytes)
	for d := datapath.NotDropped + 1; d < datapath.NumDrops; d++ {
		counter(descDropped, c.Drops[d].Packets, d.String())
		counter(descDroppedB, c.Drops[d].Bytes, d.String())
	}
	counter(descLost, c.EventsLost)
}

// collectRules tells rules by name and id: two rules may share a line.
func (a *agent) collectRules(c *datapath.Counters, counter func(*prometheus.Desc, uint64, ...string)) {
	a.mu.Lock()
	p := a.enforced
	a.mu.Unlock()
	if p == nil || len(c.Rules) != len(p.Rules) {
		return // between two plans; the next scrape has them
	}
	for i := range p.Rules {
		name := plain.Line(p.Rules[i].Name)
		counter(descRulePkts, c.Rules[i].Packets, name, p.Rules[i].ID.String())
		counter(descRuleBytes, c.Rules[i].Bytes, name, p.Rules[i].ID.String())
	}
}

// serve starts the server of metrics and health; it closes the listener when the context ends.
func (a *agent) serve(ctx context.Context, wg *sync.WaitGroup, l net.Listener) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(a)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", a.health)
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	wg.Go(func() {
		defer stop()
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			a.o.Log.Error("metrics and health are no longer served", "reason", err)
		}
	})
	if a.o.Listening != nil {
		a.o.Listening(l.Addr())
	}
	a.o.Log.Info("serving metrics and health", "address", l.Addr().String())
}

// health is 200 while the kernel enforces what the file holds, for every pod that is known to be there, else 503 and the
// reason; what the kernel then still enforces is in the text.
func (a *agent) health(w http.ResponseWriter, _ *http.Request) {
	s, now := a.read(), time.Now()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if s.failure != "" {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprintf(w, "the plan is not enforced: %s\n", plain.Line(s.failure))
		if s.held {
			_, _ = fmt.Fprintf(w, "the kernel enforces generation %d\n", s.generation)
		} else {
			_, _ = fmt.Fprintln(w, "nothing is enforced yet")
		}
		return
	}
	if late := a.overdue(&s, now); len(late) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprintf(w, "%d of the plan's pods are not enforced\n", len(late))
	}
	_, _ = fmt.Fprintf(w, "generation %d\n", s.generation)
	a.writeUnfound(w, &s, now)
}
