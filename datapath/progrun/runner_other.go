//go:build !linux

package progrun

import (
	"time"

	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/datapath"
)

// Runner holds programs loaded for one projection; outside Linux there is none.
type Runner struct{}

// New fails: the kernel is Linux's.
func New(*plan.Projection, time.Time) (*Runner, error) { return nil, datapath.Probe() }

// NewWith fails: the kernel is Linux's.
func NewWith(*plan.Projection, time.Time, Options) (*Runner, error) { return nil, datapath.Probe() }

// Publish cannot be reached.
func (*Runner) Publish(*plan.Projection, time.Time) error { return datapath.Probe() }

// Reset cannot be reached.
func (*Runner) Reset() error { return datapath.Probe() }

// Flow cannot be reached.
func (*Runner) Flow(Hook, int, Flow) (Result, error) { return Result{}, datapath.Probe() }

// Packet cannot be reached.
func (*Runner) Packet(Hook, int, []byte, bool) (Result, error) { return Result{}, datapath.Probe() }

// Hairpin cannot be reached.
func (*Runner) Hairpin(int, []byte) (Result, error) { return Result{}, datapath.Probe() }

// Unknown cannot be reached.
func (*Runner) Unknown(Hook, []byte) (Result, error) { return Result{}, datapath.Probe() }

// Close does nothing.
func (*Runner) Close() error { return nil }
