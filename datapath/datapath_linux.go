package datapath

import (
	"context"
	"errors"
	"time"

	"github.com/weir-mesh/weir/compiler/plan"
)

var errSkeleton = errors.New("the datapath is being built")

// Datapath is an open handle on what is pinned under a root. Its methods may be used by one goroutine at a time,
// except Events.
type Datapath struct{}

// Open takes over what is pinned under the root, or makes it: it mounts the BPF file system when it is missing, loads
// the programs and puts them in place of those that are attached, without a moment in which none is. What the kernel
// holds goes on deciding until Apply.
func Open(o Options) (*Datapath, error) { return nil, errSkeleton }

// Apply makes the projection the kernel's generation: it finds the endpoints' interfaces, publishes tables and
// addresses in one step, attaches what is new, recreates severed links and detaches what is gone. An older generation
// than the kernel's is refused with ErrOlderGeneration. now is the moment that expiry is judged at (S28).
func (d *Datapath) Apply(p *plan.Projection, now time.Time) (*Applied, error) {
	return nil, errSkeleton
}

// Advance replaces decisions that have expired by what holds after them (S28); it does nothing, and returns nil,
// before NextExpiry. It needs an Apply in this process.
func (d *Datapath) Advance(now time.Time) (*Applied, error) { return nil, errSkeleton }

// NextExpiry is when Advance next has something to do; ok is false when nothing expires.
func (d *Datapath) NextExpiry() (t time.Time, ok bool) { return time.Time{}, false }

// State reads back what the kernel holds.
func (d *Datapath) State() (*State, error) { return nil, errSkeleton }

// Verify compares what the kernel holds with what the projection says, table by table; none differs when they agree.
func (d *Datapath) Verify(p *plan.Projection) ([]Difference, error) { return nil, errSkeleton }

// Counters reads the counters.
func (d *Datapath) Counters() (*Counters, error) { return nil, errSkeleton }

// Events calls f for each event until the context ends; it then returns nil. One caller at a time.
func (d *Datapath) Events(ctx context.Context, f func(*Event)) error { return errSkeleton }

// Close lets go of the handles. What is pinned and attached stays, and goes on deciding.
func (d *Datapath) Close() error { return nil }

// Uninstall detaches and unpins everything under the root and says what is then open. Nothing pinned is no error.
func Uninstall(o Options) (*Removed, error) { return nil, errSkeleton }

// Inspect reads back what is pinned under the root without taking it over.
func Inspect(o Options) (*State, error) { return nil, errSkeleton }

// ErrOlderGeneration is returned for a projection that is older than what the kernel holds, or of the same generation
// with another content.
var ErrOlderGeneration = errors.New("older generation")
