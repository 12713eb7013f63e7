package datapath

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/weir-mesh/weir/datapath/encode"
	"github.com/weir-mesh/weir/datapath/load"
)

// Counters reads the counters.
func (d *Datapath) Counters() (*Counters, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := &Counters{Drops: map[Drop]Counter{}}
	for r := range NumDrops {
		n, err := sum(d.objects.DropCounts, uint32(r))
		if err != nil {
			return nil, err
		}
		if r == NotDropped {
			c.Passed = n
		} else if n != (Counter{}) {
			c.Drops[r] = n
		}
	}
	var budgets []encode.Budget
	if err := d.objects.EventBudget.Lookup(uint32(0), &budgets); err != nil {
		return nil, fmt.Errorf("reading the lost events: %w", err)
	}
	for _, b := range budgets {
		c.EventsLost += b.Lost
	}
	var err error
	if c.NoRule, err = sum(d.objects.RuleCounts, 0); err != nil {
		return nil, err
	}
	if d.p == nil {
		return c, nil
	}
	c.Rules = make([]Counter, len(d.p.Rules))
	for i := range c.Rules {
		n, err := sum(d.objects.RuleCounts, d.g.RuleSlot[i])
		if err != nil {
			return nil, err
		}
		c.Rules[i] = n.plus(d.base[d.p.Rules[i].ID])
	}
	return c, nil
}

func (c Counter) plus(d Counter) Counter {
	return Counter{c.Packets + d.Packets, c.Bytes + d.Bytes}
}

// sum adds up a counter's CPUs.
func sum(m *ebpf.Map, place uint32) (Counter, error) {
	var counts []encode.Count
	if err := m.Lookup(place, &counts); err != nil {
		return Counter{}, fmt.Errorf("reading counter %d: %w", place, err)
	}
	var c Counter
	for _, n := range counts {
		c.Packets += n.Packets
		c.Bytes += n.Bytes
	}
	return c, nil
}

// clearCounts sets the counters of slots that get a new rule to 0.
func (d *Datapath) clearCounts(slots []uint32) error {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return fmt.Errorf("counting CPUs: %w", err)
	}
	for _, s := range slots {
		if err := d.objects.RuleCounts.Put(s, make([]encode.Count, cpus)); err != nil {
			return fmt.Errorf("clearing the counter of rule slot %d: %w", s, err)
		}
	}
	return nil
}

// keepCounts remembers what rules counted in maps that were replaced.
func (d *Datapath) keepCounts(old *load.Objects) error {
	if d.held == nil {
		return nil
	}
	var errs []error
	for id, slot := range d.held.Rules {
		n, err := sum(old.RuleCounts, slot)
		errs = append(errs, err)
		d.base[id] = d.base[id].plus(n)
	}
	return errors.Join(errs...)
}
