//go:build !linux

package datapath

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/weir-mesh/weir/compiler/plan"
)

// Datapath is an open handle on the kernel's datapath; outside Linux there is none.
type Datapath struct{}

// Probe says why this process cannot run the datapath here.
func Probe() error {
	return errors.New("the datapath needs Linux 6.1 or later; this is " + runtime.GOOS)
}

// Open fails: the kernel is Linux's.
func Open(Options) (*Datapath, error) { return nil, Probe() }

// Apply cannot be reached.
func (*Datapath) Apply(*plan.Projection, time.Time) (*Applied, error) { return nil, Probe() }

// Advance cannot be reached.
func (*Datapath) Advance(time.Time) (*Applied, error) { return nil, Probe() }

// NextExpiry cannot be reached.
func (*Datapath) NextExpiry() (time.Time, bool) { return time.Time{}, false }

// State cannot be reached.
func (*Datapath) State() (*State, error) { return nil, Probe() }

// Verify cannot be reached.
func (*Datapath) Verify(*plan.Projection) ([]Difference, error) { return nil, Probe() }

// Counters cannot be reached.
func (*Datapath) Counters() (*Counters, error) { return nil, Probe() }

// Events cannot be reached.
func (*Datapath) Events(context.Context, func(*Event)) error { return Probe() }

// Close does nothing.
func (*Datapath) Close() error { return nil }

// Uninstall fails: the kernel is Linux's.
func Uninstall(Options) (*Removed, error) { return nil, Probe() }

// Inspect fails: the kernel is Linux's.
func Inspect(Options) (*State, error) { return nil, Probe() }

// ErrOlderGeneration is returned for a projection that is older than what the kernel holds.
var ErrOlderGeneration = errors.New("older generation")
