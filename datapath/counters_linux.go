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
	rules, err := sums(d.objects.RuleCounts)
	if err != nil {
		return nil, err
	}
	c.NoRule = rules[0]
	if d.p == nil {
		return c, nil
	}
	c.Rules = make([]Counter, len(d.p.Rules))
	for i := range c.Rules {
		c.Rules[i] = rules[d.g.RuleSlot[i]].plus(d.base[d.p.Rules[i].ID])
	}
	return c, nil
}

// sums reads all counters of a map, in batches.
func sums(m *ebpf.Map) ([]Counter, error) {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, fmt.Errorf("counting CPUs: %w", err)
	}
	all := make([]Counter, m.MaxEntries())
	const batch = 1024
	keys, counts := make([]uint32, batch), make([]encode.Count, batch*cpus)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := m.BatchLookup(&cursor, keys, counts, nil)
		last := errors.Is(err, ebpf.ErrKeyNotExist) // nothing follows this batch
		if err != nil && !last {
			return nil, fmt.Errorf("reading the counters of rules: %w", err)
		}
		for i, k := range keys[:n] {
			for _, c := range counts[i*cpus : (i+1)*cpus] {
				all[k] = all[k].plus(Counter(c))
			}
		}
		if last {
			return all, nil
		}
	}
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
	if len(slots) == 0 {
		return nil
	}
	if _, err := d.objects.RuleCounts.BatchUpdate(slots, make([]encode.Count, len(slots)*cpus), nil); err != nil {
		return fmt.Errorf("clearing the counters of %d new rules: %w", len(slots), err)
	}
	return nil
}

// keepCounts remembers what rules counted in maps that were replaced.
func (d *Datapath) keepCounts(old *load.Objects) error {
	if d.held == nil {
		return nil
	}
	rules, err := sums(old.RuleCounts)
	if err != nil {
		return err
	}
	for id, slot := range d.held.Rules {
		d.base[id] = d.base[id].plus(rules[slot])
	}
	return nil
}
