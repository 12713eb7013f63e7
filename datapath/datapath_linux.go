package datapath

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cilium/ebpf"

	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/datapath/encode"
	"github.com/weir-mesh/weir/datapath/load"
)

// Datapath is an open handle on what is pinned under a root. It is safe for concurrent use.
type Datapath struct {
	opts Options
	pins pins
	mode AttachMode
	// attach is the way in use, other the one that is not.
	attach, other attacher

	mu      sync.Mutex
	objects *load.Objects
	// held is what the kernel holds, nil before the first generation.
	held *encode.Held
	// epoch is the last that a generation was given, published or not: none is given twice, as entries of conntrack
	// believe what was found under theirs (S29).
	epoch uint64
	// p and g are what this process applied last.
	p *plan.Projection
	g *encode.Generation
	// closed are interfaces at which the programs are for no endpoint.
	closed []int
	// base are the counts of rules from before the maps grew.
	base map[plan.ID]Counter
	// names is what events are told by: of the generation held, and of the one that is being published.
	names atomic.Pointer[[]*names]
}

// mapNames are the maps that are pinned.
var mapNames = []string{"blob", "conntrack", "rule_counts", "drop_counts", "events", "event_budget"}

const (
	initialBlob  = 1 << 20
	initialRules = 1 << 10
)

func (o Options) config(blob, rules uint32) load.Config {
	c := load.Config{Blob: blob, Rules: rules, ConntrackEntries: o.ConntrackEntries, EventBytes: o.EventBytes,
		EventRate: o.EventRate, AllFlows: o.AllFlows}
	if c.ConntrackEntries == 0 {
		c.ConntrackEntries = DefaultConntrackEntries
	}
	if c.EventBytes == 0 {
		c.EventBytes = DefaultEventBytes
	}
	if c.EventRate == 0 {
		c.EventRate = DefaultEventRate
	}
	return c
}

// Open takes over what is pinned under the root, or makes it: it mounts the BPF file system when it is missing, loads
// the programs and puts them in place of those that are attached, without a moment in which none is. What the kernel
// holds goes on deciding until Apply.
func Open(o Options) (*Datapath, error) {
	if err := Probe(); err != nil {
		return nil, err
	}
	d := &Datapath{opts: o, pins: pinsAt(o.Root), base: map[plan.ID]Counter{}}
	if err := d.chooseMode(); err != nil {
		return nil, err
	}
	if err := d.pins.prepare(); err != nil {
		return nil, err
	}
	if err := d.load(); err != nil {
		return nil, err
	}
	if err := d.takeOver(); err != nil {
		return nil, errors.Join(err, d.objects.Close())
	}
	return d, nil
}

func (d *Datapath) chooseMode() error {
	d.mode, d.attach, d.other = TCX, tcx{d.pins}, clsact{}
	if d.opts.Attach == Clsact || d.opts.Attach == Auto && !haveTCX() {
		d.mode, d.attach, d.other = Clsact, clsact{}, tcx{d.pins}
	}
	if d.mode == TCX && !haveTCX() {
		return errors.New("attaching by TCX needs Linux 6.6 or later, and this kernel has none: attach by clsact")
	}
	return nil
}

// load loads the programs onto the pinned maps, and pins the maps that are new.
func (d *Datapath) load() error {
	pinned, err := d.pins.openMaps(mapNames)
	if err != nil {
		return err
	}
	d.objects, err = load.New(d.opts.config(initialBlob, initialRules), pinned)
	if err := errors.Join(err, closeMaps(pinned)); err != nil {
		if errors.Is(err, ebpf.ErrMapIncompatible) {
			return fmt.Errorf("%s holds maps of another build; uninstall it with the program that made it: %w", d.pins.dir, err)
		}
		return err
	}
	for name, m := range d.objects.Maps() {
		if pinned[name] == nil {
			if err := d.pins.pinMap(name, m); err != nil {
				return errors.Join(err, d.objects.Close())
			}
		}
	}
	return d.readHeld()
}

// readHeld reads what the kernel holds.
func (d *Datapath) readHeld() error {
	b, err := d.objects.Current()
	if err != nil || b == nil {
		return err
	}
	h, err := encode.Read(b)
	if err != nil {
		return err
	}
	d.held, d.epoch = h, h.Root.Epoch
	d.learn(namesHeld(h, nil))
	return nil
}

func (d *Datapath) programs() [2]*ebpf.Program {
	return [2]*ebpf.Program{ingress: d.objects.WeirFromPod, egress: d.objects.WeirToPod}
}

// takeOver puts this process's programs in the place of those that an earlier one attached.
func (d *Datapath) takeOver() error {
	interfaces, err := d.ours()
	if err != nil {
		return err
	}
	return inNetNS(d.opts.NetNS, func() error {
		for _, ifindex := range interfaces {
			if interfaceName(ifindex) == "" {
				// The interface is gone, and with it the traffic: what is left of the attachment can go.
				if err := d.detachBoth(ifindex); err != nil {
					return err
				}
				continue
			}
			if err := d.replace(ifindex); err != nil {
				return err
			}
		}
		return nil
	})
}

// replace attaches the chosen way and only then takes away the other way's: there is always one.
func (d *Datapath) replace(ifindex int) error {
	if err := d.attach.attach(ifindex, d.programs()); err != nil {
		return err
	}
	return d.other.detach(ifindex)
}

func (d *Datapath) detachBoth(ifindex int) error {
	return errors.Join(d.attach.detach(ifindex), d.other.detach(ifindex))
}

// ours are the interfaces at which something of ours may be attached: pinned links, closed ones, and the endpoints held.
func (d *Datapath) ours() ([]int, error) {
	links, err := d.pins.pinnedLinks()
	if err != nil {
		return nil, err
	}
	all := slices.Clone(d.closed)
	for ifindex := range links {
		all = append(all, ifindex)
	}
	if d.held == nil {
		return all, nil
	}
	for _, e := range d.held.Endpoints {
		if _, pinned := links[int(e.Ifindex)]; !pinned && e.Ifindex != 0 {
			all = append(all, int(e.Ifindex))
		}
	}
	return all, nil
}

// grow replaces the maps that are too small for a generation, and the programs with them: new ones with larger maps,
// that already hold the generation, take the place of the old ones interface by interface.
func (d *Datapath) grow(g *encode.Generation) error {
	rules := max(d.objects.Config().Rules, uint32(1)<<bits.Len32(g.Root.RulesN*2-1))
	blob := max(d.objects.Config().Blob, load.BlobFor(len(g.Bytes)))
	reuse := d.objects.Maps()
	delete(reuse, "blob")
	delete(reuse, "rule_counts")
	next, err := load.New(d.opts.config(blob, rules), reuse)
	if err != nil {
		return fmt.Errorf("making room for %d bytes and %d rules: %w", len(g.Bytes), g.Root.RulesN, err)
	}
	err = next.Publish(g)
	// Pinned before any program reads them: whoever takes over after a crash goes on from their epoch.
	for _, name := range []string{"rule_counts", "blob"} {
		if err == nil {
			err = d.pins.pinMap(name, next.Maps()[name])
		}
	}
	if err != nil {
		return errors.Join(err, next.Close())
	}
	old := d.objects
	d.objects = next
	err = inNetNS(d.opts.NetNS, func() error { return d.attachAll(g) })
	return errors.Join(err, d.keepCounts(old), old.Close())
}

// attachAll puts the current programs at every interface of the generation and at what is attached besides.
func (d *Datapath) attachAll(g *encode.Generation) error {
	held, err := encode.Read(g.Bytes)
	if err != nil {
		return err
	}
	interfaces, err := d.ours()
	if err != nil {
		return err
	}
	done := map[int]bool{0: true}
	for _, e := range held.Endpoints {
		interfaces = append(interfaces, int(e.Ifindex))
	}
	for _, ifindex := range interfaces {
		if done[ifindex] || interfaceName(ifindex) == "" {
			continue
		}
		done[ifindex] = true
		if err := d.replace(ifindex); err != nil {
			return err
		}
	}
	return nil
}

// Close lets go of the handles. What is pinned and attached stays, and goes on deciding.
func (d *Datapath) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.objects.Close()
}
