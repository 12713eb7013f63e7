package agent

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/datapath"
)

// Options of Run.
type Options struct {
	// Plan is the file that holds the node's projection.
	Plan string
	// Node, when set, is the only node whose projection is applied.
	Node string
	// Listen is where metrics and health are served; empty serves none.
	Listen string
	// Datapath says where and how the kernel's part lives.
	Datapath datapath.Options
	// Poll is how often the file is looked at, not negative; 0 is a second.
	Poll time.Duration
	// Grace is how long a pod of the plan may be nowhere on the node before health says so; 0 is DefaultGrace.
	Grace time.Duration
	Log   *slog.Logger
	// Listening, when not nil, is called with the address that is served.
	Listening func(net.Addr)
}

// agent is a running agent.
type agent struct {
	o  Options
	d  *datapath.Datapath
	f  planFile
	mu sync.Mutex
	// status is what health and metrics tell, enforced what this process applied last; mu guards both.
	status   status
	enforced *plan.Projection
	// seen is the loop's alone.
	seen seen
}

// status is what the agent knows about itself.
type status struct {
	// held says that the kernel holds a generation; before the first there is nothing that it could go on enforcing.
	held       bool
	generation uint64
	unfound    []unfound
	// failure is why the file's present content is not enforced; empty when it is.
	failure  string
	applied  uint64
	failures map[string]uint64
}

// Run takes over the kernel's datapath and follows the file until the context ends. It then lets go and leaves the kernel
// enforcing. It returns an error when it cannot begin. The address to listen on is the first thing it takes: an agent that
// cannot have it, because another runs, leaves that one's programs alone.
func Run(ctx context.Context, o Options) (err error) {
	if o.Poll == 0 {
		o.Poll = time.Second
	}
	if o.Grace == 0 {
		o.Grace = DefaultGrace
	}
	var l net.Listener
	if o.Listen != "" {
		if l, err = (&net.ListenConfig{}).Listen(ctx, "tcp", o.Listen); err != nil {
			return fmt.Errorf("serving metrics and health: %w", err)
		}
	}
	d, err := datapath.Open(o.Datapath)
	if err != nil {
		return errors.Join(err, closeListener(l))
	}
	a := &agent{o: o, d: d, f: planFile{path: o.Plan, node: o.Node}, status: status{failures: map[string]uint64{}}, seen: seen{}}
	st, err := d.State()
	if err != nil {
		return errors.Join(err, d.Close(), closeListener(l))
	}
	a.takenOver(st)
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	if l != nil {
		a.serve(ctx, &wg, l)
	}
	wg.Go(func() { a.logFlows(ctx) })
	a.follow(ctx)
	cancel()
	wg.Wait()
	if s := a.read(); s.held {
		a.o.Log.Info("letting go; the kernel goes on enforcing", "generation", s.generation)
	} else {
		a.o.Log.Info("letting go; nothing is enforced")
	}
	return d.Close()
}

// closeListener closes a listener that nobody serves, if there is one.
func closeListener(l net.Listener) error {
	if l == nil {
		return nil
	}
	return l.Close()
}

func (a *agent) takenOver(st *datapath.State) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.status.failure = "no plan was read yet"
	if st.Loaded {
		a.status.held, a.status.generation = true, st.Generation
		for i := range st.Endpoints {
			if e := &st.Endpoints[i]; e.Name != "" && e.Ifindex != 0 {
				a.seen[e.Name] = true
			}
		}
		a.o.Log.Info("took over", "generation", st.Generation, "endpoints", len(st.Endpoints), "mode", st.Mode)
		return
	}
	a.o.Log.Info("started; no generation is in the kernel yet", "mode", st.Mode)
}

// read returns a copy of the status.
func (a *agent) read() status {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.status
	s.unfound = slices.Clone(s.unfound)
	s.failures = map[string]uint64{}
	for k, v := range a.status.failures {
		s.failures[k] = v
	}
	return s
}

// recheck is how often interfaces are looked for when no event came, for pods that have none yet: a pod whose veth is
// found by its route may get the route after the last event of the veth.
const recheck = time.Second

// rarely is how often at least: what does not come is looked for less and less.
const rarely = 16 * recheck

// settled is how long after a plan its garbage, several times what stays, is given back: what read the kernel's copy
// meanwhile (metrics, the old generation) is then done too.
const settled = 500 * time.Millisecond

// follow is the agent's one loop: everything that changes the kernel happens here.
func (a *agent) follow(ctx context.Context) {
	links := a.watchLinks(ctx)
	poll := time.NewTicker(a.o.Poll)
	defer poll.Stop()
	a.load()
	looked, wait := time.Now(), recheck
	tidy := time.After(settled)
	for {
		expiry := a.untilExpiry()
		select {
		case <-ctx.Done():
			return
		case <-tidy:
			debug.FreeOSMemory()
		case <-poll.C:
			if a.f.changed() {
				a.load()
				looked, wait, tidy = time.Now(), recheck, time.After(settled)
			} else if time.Since(looked) > wait && len(a.read().unfound) > 0 {
				looked, wait = time.Now(), min(2*wait, rarely)
				a.again("looking for missing interfaces")
			}
		case <-links:
			looked, wait = time.Now(), recheck
			a.again("interfaces changed")
		case <-expiry:
			a.advance()
		}
	}
}

// load reads the file and applies what is new in it.
func (a *agent) load() {
	p, err := a.f.read()
	if errors.Is(err, errUnchanged) {
		return
	}
	if err != nil {
		a.fail("read", err)
		return
	}
	applied, err := a.d.Apply(p, time.Now())
	if err != nil {
		if errors.Is(err, datapath.ErrOlderGeneration) {
			a.fail("older", err)
			return
		}
		a.f.sum = [sha256.Size]byte{} // the kernel may take it the next time
		a.fail("apply", err)
		return
	}
	a.f.failed = false
	a.mu.Lock()
	a.enforced = p
	a.mu.Unlock()
	a.done("applied a plan", p, applied)
	debug.FreeOSMemory()
}

// fail reports a plan that is not enforced. What the kernel holds stays.
func (a *agent) fail(reason string, err error) {
	a.f.failed = true
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.status.failure == err.Error() {
		return // said once
	}
	a.status.failure = err.Error()
	a.status.failures[reason]++
	if !a.status.held {
		a.o.Log.Error("the plan is not enforced; nothing is enforced yet", "reason", err)
		return
	}
	a.o.Log.Error("the plan is not enforced; the kernel keeps what it holds", "reason", err, "generation", a.status.generation)
}

func (a *agent) done(what string, p *plan.Projection, x *datapath.Applied) {
	a.mu.Lock()
	had := a.status.unfound
	now := a.seen.missed(p, x.Unfound, had, time.Now())
	a.status.held, a.status.generation, a.status.unfound, a.status.failure = true, x.Generation, now, ""
	a.status.applied++
	a.mu.Unlock()
	defer a.tell(now, had)
	a.o.Log.Info(what, "generation", x.Generation, "epoch", x.Epoch, "bytes", x.Bytes, "attached", x.Attached, "detached", x.Detached, "missing", x.Missing)
}

// again applies the same projection to the interfaces that there are now.
func (a *agent) again(why string) {
	a.mu.Lock()
	p := a.enforced
	a.mu.Unlock()
	if p == nil {
		return
	}
	x, err := a.d.Apply(p, time.Now())
	if err != nil {
		a.fail("apply", fmt.Errorf("%s: %w", why, err))
		return
	}
	a.done(why, p, x)
}

// untilExpiry fires when an allow ends (S28). Timers do not count sleep, so a minute is the longest wait.
func (a *agent) untilExpiry() <-chan time.Time {
	next, ok := a.d.NextExpiry()
	if !ok {
		return nil
	}
	return time.After(min(max(time.Until(next), 0), time.Minute))
}

func (a *agent) advance() {
	x, err := a.d.Advance(time.Now())
	switch {
	case err != nil:
		a.fail("expiry", fmt.Errorf("ending what has expired: %w", err))
		time.Sleep(100 * time.Millisecond)
	case x != nil:
		a.mu.Lock()
		p := a.enforced
		a.mu.Unlock()
		a.done("ended what has expired", p, x)
	}
}

// flowAttrs are what the log says of an event; a packet that was not read so far has no port, or no addresses.
func flowAttrs(e *datapath.Event) []any {
	attrs := []any{"kind", e.Kind.String(), "endpoint", e.Endpoint, "fromPod", e.FromPod, "verdict", e.Verdict.String(), "drop", e.Drop.String()}
	if e.Parsed {
		attrs = append(attrs, "port", e.Port.Space().String(), "number", e.Port.Number())
	}
	if e.Local.IsValid() {
		attrs = append(attrs, "local", e.Local, "remote", e.Remote)
	}
	return append(attrs, "peer", e.PeerName, "rule", e.RuleName, "auditRule", e.AuditRuleName, "generation", e.Generation)
}

// logFlows writes the kernel's verdicts, those that the plan asks for, to the log.
func (a *agent) logFlows(ctx context.Context) {
	err := a.d.Events(ctx, func(e *datapath.Event) {
		a.o.Log.Info("flow", flowAttrs(e)...)
	})
	if err != nil {
		a.o.Log.Error("flows are no longer logged", "reason", err)
	}
}
