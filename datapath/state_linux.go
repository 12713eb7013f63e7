package datapath

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"

	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/datapath/encode"
	"github.com/weir-mesh/weir/datapath/load"
)

// State reads back what the kernel holds.
func (d *Datapath) State() (*State, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := stateOf(d.pins, d.opts.NetNS, d.objects.Maps())
	if err == nil {
		s.Mode = d.mode
	}
	return s, err
}

// Inspect reads back what is pinned under the root without taking it over.
func Inspect(o Options) (*State, error) {
	if err := Probe(); err != nil {
		return nil, err
	}
	p := pinsAt(o.Root)
	maps, err := p.openMaps(mapNames)
	if err != nil {
		return nil, err
	}
	if maps["blob"] == nil || maps["conntrack"] == nil {
		return &State{}, closeMaps(maps)
	}
	s, err := stateOf(p, o.NetNS, maps)
	return s, errors.Join(err, closeMaps(maps))
}

func stateOf(p pins, ns string, maps map[string]*ebpf.Map) (*State, error) {
	b, err := load.Current(maps["blob"])
	if err != nil || b == nil {
		return &State{}, err
	}
	h, err := encode.Read(b)
	if err != nil {
		return nil, err
	}
	s := &State{Loaded: true, Generation: h.Root.Generation, Epoch: h.Root.Epoch, DecisionDigest: h.Meta.DecisionDigest,
		NodeDigest: h.Meta.NodeDigest, Node: h.Meta.Node, JudgedAt: time.Unix(int64(h.Root.JudgedAt), 0),
		Peers: h.Meta.Peers, Addresses: h.Meta.Addresses, Tables: h.Meta.Tables, Decisions: int(h.Root.DecisionsN),
		Bytes: len(b), Capacity: int(maps["blob"].ValueSize())}
	err = inNetNS(ns, func() (err error) {
		s.Endpoints, s.Mode, err = endpointStates(p, h)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s, s.measure(maps, h)
}

func endpointStates(p pins, h *encode.Held) (es []EndpointState, mode AttachMode, err error) {
	ways := map[AttachMode]attacher{TCX: tcx{p}, Clsact: clsact{}}
	for _, e := range h.Endpoints {
		s := EndpointState{Name: e.Name, Slot: int(e.Slot), Ifindex: int(e.Ifindex), Addrs: e.Addrs}
		if e.Ifindex != 0 {
			s.Interface = interfaceName(s.Ifindex)
			for m, w := range ways {
				on, err := w.attached(s.Ifindex)
				if err != nil {
					return nil, "", err
				}
				if on[ingress] || on[egress] {
					mode = m
				}
				s.Ingress, s.Egress = s.Ingress || on[ingress], s.Egress || on[egress]
			}
		}
		es = append(es, s)
	}
	return es, mode, nil
}

// measure adds up the memory that the kernel accounts for the maps.
func (s *State) measure(maps map[string]*ebpf.Map, h *encode.Held) error {
	for name, m := range maps {
		n, err := memory(m)
		if err != nil {
			return fmt.Errorf("measuring the map %s: %w", name, err)
		}
		s.MapsBytes += n
	}
	for _, e := range h.Endpoints {
		var m *ebpf.Map
		err := maps["conntrack"].Lookup(e.Slot, &m)
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("measuring the conntrack of %s: %w", e.Name, err)
		}
		n, err := memory(m)
		if err := errors.Join(err, m.Close()); err != nil {
			return fmt.Errorf("measuring the conntrack of %s: %w", e.Name, err)
		}
		s.ConntrackMapsBytes += n
	}
	s.MapsBytes += s.ConntrackMapsBytes
	return nil
}

func memory(m *ebpf.Map) (uint64, error) {
	info, err := m.Info()
	if err != nil {
		return 0, err
	}
	n, _ := info.Memlock()
	return n, nil
}

// Verify compares what the kernel holds with what the projection says, table by table; none differs when they agree.
func (d *Datapath) Verify(p *plan.Projection) ([]Difference, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	b, err := d.objects.Current()
	if err != nil {
		return nil, err
	}
	if b == nil {
		return []Difference{{"generation", fmt.Sprint(p.Generation), "none"}}, nil
	}
	var diff []Difference
	err = inNetNS(d.opts.NetNS, func() (err error) {
		diff, err = d.verify(p, b)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("verifying generation %d: %w", p.Generation, err)
	}
	return diff, nil
}

func (d *Datapath) verify(p *plan.Projection, have []byte) (diff []Difference, err error) {
	held, err := encode.Read(have)
	if err != nil {
		return nil, err
	}
	add := func(what string, want, have any) {
		if want != have {
			diff = append(diff, Difference{what, fmt.Sprint(want), fmt.Sprint(have)})
		}
	}
	add("generation", p.Generation, held.Root.Generation)
	add("decision digest", p.DecisionDigest, held.Meta.DecisionDigest)
	add("node digest", p.NodeDigest, held.Meta.NodeDigest)
	f, err := find(p, held)
	if err != nil {
		return nil, err
	}
	bindings, _, err := bind(p, f.ends, held)
	if err != nil {
		return nil, err
	}
	full, err := withOwn(p)
	if err != nil {
		return nil, err
	}
	g, err := encode.Encode(encode.Input{Projection: full, Bindings: bindings, Rules: held.Rules,
		Now: int64(held.Root.JudgedAt), Epoch: held.Root.Epoch})
	if err != nil {
		return nil, err
	}
	for _, s := range g.Compare(have) {
		diff = append(diff, Difference{s.Name, "as the projection says", "something else"})
	}
	for i, end := range f.ends {
		if end.index == 0 {
			continue
		}
		on, err := d.attach.attached(end.index)
		if err != nil {
			return nil, err
		}
		for h := range on {
			add(fmt.Sprintf("program of %s, %s", p.Endpoints[i].Name, hook(h)), "attached", map[bool]string{true: "attached", false: "missing"}[on[h]])
		}
	}
	return diff, nil
}
