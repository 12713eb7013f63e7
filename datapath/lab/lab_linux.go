package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/project"
	"github.com/weir-mesh/weir/datapath"
)

// ErrCannot says that this machine or this user cannot run a lab; its text is the one thing that is missing.
type ErrCannot struct{ Reason error }

func (e *ErrCannot) Error() string { return e.Reason.Error() }
func (e *ErrCannot) Unwrap() error { return e.Reason }

// Check says what this machine lacks, in one sentence, or returns nil. It looks before anything is made.
func Check() error {
	if err := datapath.Probe(); err != nil {
		return &ErrCannot{err}
	}
	if os.Geteuid() != 0 {
		return &ErrCannot{errors.New("the lab makes network namespaces and needs root (or CAP_SYS_ADMIN); run it with sudo")}
	}
	if _, err := findNft(); err != nil {
		return &ErrCannot{err}
	}
	return nil
}

// lab is a network with a datapath on each node.
type lab struct {
	state      *state
	world      *World
	network    *network
	datapaths  []*datapath.Datapath
	servers    *servers
	generation uint64
	// projections are what was applied, by generation and node.
	projections map[uint64][]*plan.Projection
}

// start builds all of it and enforces the world's plan. What it has made when it fails is taken away again.
func start(ctx context.Context, w *World, s state) (_ *lab, err error) {
	if err := cleanAbandoned(); err != nil {
		return nil, fmt.Errorf("clearing up after a lab that was killed: %w", err)
	}
	l := &lab{world: w, projections: map[uint64][]*plan.Projection{}}
	if l.state, err = newState(s); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.stop())
		}
	}()
	if l.network, err = buildNetwork(ctx, w, l.state.prefix()); err != nil {
		return nil, err
	}
	for i, n := range l.network.nodes {
		d, err := datapath.Open(datapath.Options{Root: l.state.root(w.Plan.Nodes[i].Name), NetNS: n.path(), AllFlows: true, EventRate: 1 << 20, EventBytes: 1 << 22})
		if err != nil {
			return nil, fmt.Errorf("opening the datapath of %s: %w", n.name, err)
		}
		l.datapaths = append(l.datapaths, d)
	}
	return l, l.enforce(w)
}

// enforce makes a world's plan the nodes' next generation.
func (l *lab) enforce(w *World) error {
	l.generation++
	for i := range l.datapaths {
		p, err := project.Node(w.Plan, w.Plan.Nodes[i].Name, l.generation)
		if err != nil {
			return err
		}
		l.nameInterfaces(w, p)
		l.projections[l.generation] = append(l.projections[l.generation], p)
	}
	for i, d := range l.datapaths {
		a, err := d.Apply(l.projections[l.generation][i], w.Now)
		if err != nil {
			return fmt.Errorf("enforcing generation %d on %s: %w", l.generation, w.Plan.Nodes[i].Name, err)
		}
		if len(a.Missing) > 0 {
			return fmt.Errorf("enforcing generation %d on %s: no interface for %v", l.generation, w.Plan.Nodes[i].Name, a.Missing)
		}
	}
	l.world = w
	return nil
}

func (l *lab) nameInterfaces(w *World, p *plan.Projection) {
	place := map[string]int{}
	for i := range w.Plan.Endpoints {
		place[endpointName(&w.Plan.Endpoints[i])] = i
	}
	for i := range p.Endpoints {
		p.Endpoints[i].Interface = podLink(place[p.Endpoints[i].Name])
	}
}

// letGo ends this process's part and leaves the lab standing.
func (l *lab) letGo() error {
	var err error
	if l.servers != nil {
		l.servers.stop()
		l.servers = nil
	}
	for _, d := range l.datapaths {
		err = errors.Join(err, d.Close())
	}
	l.datapaths = nil
	if l.network != nil {
		l.network.leave()
		l.network = nil
	}
	return err
}

// stop takes everything away, also when the context has ended.
func (l *lab) stop() error {
	return errors.Join(l.letGo(), l.state.clean())
}

// serve starts the servers.
func (l *lab) serve(ctx context.Context, ports map[host][]plan.PortKey) error {
	run, err := strconv.ParseUint(l.state.Run, 16, 32)
	if err != nil {
		return fmt.Errorf("reading the run's id: %w", err)
	}
	l.servers, err = startServers(ctx, l.network, uint32(run), ports)
	return err
}
