package datapath

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/datapath/encode"
	"github.com/weir-mesh/weir/datapath/load"
)

// Apply makes the projection the kernel's generation: it finds the endpoints' interfaces, attaches what is new, publishes
// tables and addresses in one step and detaches what is gone. A new pod's interface is closed until the generation that
// knows it is published, never open. An older generation than the kernel's is refused with ErrOlderGeneration. now is the
// moment that expiry is judged at (S28).
func (d *Datapath) Apply(p *plan.Projection, now time.Time) (*Applied, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.refuseOlder(p); err != nil {
		return nil, err
	}
	var a *Applied
	err := inNetNS(d.opts.NetNS, func() (err error) {
		a, err = d.apply(p, now)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("applying generation %d: %w", p.Generation, err)
	}
	return a, nil
}

func (d *Datapath) refuseOlder(p *plan.Projection) error {
	if d.held == nil {
		return nil
	}
	have := d.held.Root.Generation
	switch {
	case p.Generation < have:
		return fmt.Errorf("%w: the kernel holds %d, this is %d", ErrOlderGeneration, have, p.Generation)
	case p.Generation == have && (p.DecisionDigest != d.held.Meta.DecisionDigest || p.NodeDigest != d.held.Meta.NodeDigest):
		return fmt.Errorf("%w: the kernel holds %d with another content; a change needs a new number", ErrOlderGeneration, have)
	}
	return nil
}

func (d *Datapath) apply(p *plan.Projection, now time.Time) (*Applied, error) {
	f, err := find(p, d.held)
	if err != nil {
		return nil, err
	}
	bindings, fresh, err := bind(p, f.ends, d.held)
	if err != nil {
		return nil, err
	}
	full, err := withOwn(p)
	if err != nil {
		return nil, err
	}
	d.epoch++
	in := encode.Input{Projection: full, Bindings: bindings, Now: now.Unix(), Epoch: d.epoch}
	if d.held != nil {
		in.Rules = d.held.Rules
	}
	g, err := encode.Encode(in)
	if err != nil {
		return nil, err
	}
	a := &Applied{Generation: p.Generation, Epoch: in.Epoch, Bytes: len(g.Bytes), Unfound: f.missing}
	for i := range f.missing {
		a.Missing = append(a.Missing, f.missing[i].Name)
	}
	for _, slot := range fresh {
		if err := d.objects.AddShare(slot); err != nil {
			return nil, err
		}
	}
	if err := d.attachNew(p, f, a); err != nil {
		return nil, err
	}
	if d.p == nil && d.held != nil {
		d.learn(namesHeld(d.held, p.Rules))
	}
	d.learn(namesOf(p, g, bindings))
	if err := d.publish(g, a); err != nil {
		return nil, err
	}
	before := d.held
	if d.held, err = encode.Read(g.Bytes); err != nil {
		return nil, err
	}
	d.p, d.g = p, g
	return a, d.dropGone(before, f, a)
}

// publish swaps the generation in, in larger maps when it needs them.
func (d *Datapath) publish(g *encode.Generation, a *Applied) error {
	fits, err := d.objects.Fits(len(g.Bytes))
	if err != nil {
		return err
	}
	if !fits || g.Root.RulesN > d.objects.Config().Rules {
		a.Grown = true
		return d.grow(g)
	}
	if err := d.clearCounts(g.Fresh); err != nil {
		return err
	}
	return d.objects.Publish(g)
}

// bind gives each endpoint its slot: the one that it has, as long as it sits behind the same interface, else one that
// nobody has in the generation before. fresh are the slots that need an empty conntrack.
func bind(p *plan.Projection, ends []hostEnd, held *encode.Held) (bs []encode.Binding, fresh []uint32, err error) {
	type place struct {
		name    string
		ifindex uint32
	}
	had, used := map[place]uint32{}, map[uint32]bool{}
	if held != nil {
		for _, e := range held.Endpoints {
			had[place{e.Name, e.Ifindex}] = e.Slot
			used[e.Slot] = true
		}
	}
	next := uint32(0)
	for i := range p.Endpoints {
		b := encode.Binding{Ifindex: uint32(ends[i].index), NetNS: ends[i].netns}
		slot, ok := had[place{p.Endpoints[i].Name, b.Ifindex}]
		if !ok {
			for used[next] {
				next++
			}
			slot, used[next] = next, true
			fresh = append(fresh, slot)
		}
		if slot >= load.MaxEndpoints {
			return nil, nil, fmt.Errorf("endpoint %s needs slot %d: a node holds at most %d endpoints", p.Endpoints[i].Name, slot, load.MaxEndpoints)
		}
		b.Slot = slot
		bs = append(bs, b)
	}
	return bs, fresh, nil
}

// attachNew attaches to the interfaces at which our programs are not, be it that they are new or that somebody took them
// away.
func (d *Datapath) attachNew(p *plan.Projection, f *found, a *Applied) error {
	for i, end := range f.ends {
		fresh, err := d.attachTo(end.index)
		if err != nil {
			return err
		}
		if fresh {
			a.Attached = append(a.Attached, p.Endpoints[i].Name)
		}
	}
	for _, ifindex := range f.closed { // where no endpoint is known, the programs let nothing pass
		if _, err := d.attachTo(ifindex); err != nil {
			return err
		}
	}
	return nil
}

// attachTo attaches to an interface where our programs are not; 0 is none.
func (d *Datapath) attachTo(ifindex int) (fresh bool, err error) {
	if ifindex == 0 {
		return false, nil
	}
	on, err := d.attach.attached(ifindex)
	if err != nil || on == [2]bool{true, true} {
		return false, err
	}
	return true, d.replace(ifindex)
}

// dropGone detaches from interfaces that are no endpoint's any more and frees the slots that nobody has.
func (d *Datapath) dropGone(before *encode.Held, f *found, a *Applied) error {
	all, err := d.ours()
	if err != nil {
		return err
	}
	names := map[int]string{}
	used := map[uint32]bool{}
	for _, e := range d.held.Endpoints {
		used[e.Slot] = true
	}
	var errs []error
	if before != nil {
		for _, e := range before.Endpoints {
			if !used[e.Slot] {
				errs = append(errs, d.objects.RemoveShare(e.Slot))
			}
			if e.Ifindex != 0 {
				names[int(e.Ifindex)] = e.Name
				all = append(all, int(e.Ifindex))
			}
		}
	}
	d.closed = f.closed
	slices.Sort(all)
	for _, ifindex := range slices.Compact(all) {
		if slices.Contains(f.closed, ifindex) || slices.ContainsFunc(f.ends, func(e hostEnd) bool { return e.index == ifindex }) {
			continue
		}
		errs = append(errs, d.detachBoth(ifindex))
		if name := names[ifindex]; name != "" {
			a.Detached = append(a.Detached, name)
		}
	}
	return errors.Join(errs...)
}

// Advance replaces decisions that have expired by what holds after them (S28); it does nothing, and returns nil, before
// NextExpiry. It needs an Apply in this process.
func (d *Datapath) Advance(now time.Time) (*Applied, error) {
	next, ok := d.NextExpiry()
	if !ok || now.Before(next) {
		return nil, nil
	}
	return d.Apply(d.applied(), now)
}

func (d *Datapath) applied() *plan.Projection {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.p
}

// NextExpiry is when Advance next has something to do; ok is false when nothing expires.
func (d *Datapath) NextExpiry() (t time.Time, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.p == nil {
		return time.Time{}, false
	}
	next := encode.NextExpiry(d.p, int64(d.held.Root.JudgedAt))
	return time.Unix(next, 0), next != 0
}

// ErrOlderGeneration is returned for a projection that is older than what the kernel holds, or of the same generation
// with another content.
var ErrOlderGeneration = errors.New("older generation")
