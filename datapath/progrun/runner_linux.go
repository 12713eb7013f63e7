package progrun

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"time"

	"github.com/cilium/ebpf"

	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/datapath"
	"github.com/weir-mesh/weir/datapath/encode"
	"github.com/weir-mesh/weir/datapath/load"
)

// Runner holds programs loaded for one projection.
type Runner struct {
	objects *load.Objects
	p       *plan.Projection
	g       *encode.Generation
	shares  []*ebpf.Map
	netns   uint32
}

// New loads the programs and publishes the projection to them. Endpoints need no interfaces.
func New(p *plan.Projection, now time.Time) (*Runner, error) { return NewWith(p, now, Options{}) }

// NewWith is New with options.
func NewWith(p *plan.Projection, now time.Time, o Options) (*Runner, error) {
	if err := datapath.Probe(); err != nil {
		return nil, err
	}
	if len(p.Endpoints) > load.MaxEndpoints {
		return nil, fmt.Errorf("running packets: %d endpoints, a node holds at most %d", len(p.Endpoints), load.MaxEndpoints)
	}
	r := &Runner{p: p, netns: o.NetNS}
	g, err := encode.Encode(r.input(p, now))
	if err != nil {
		return nil, err
	}
	entries := o.Shares
	if entries == 0 {
		entries = 1024
	}
	r.objects, err = load.New(load.Config{
		Blob: load.BlobFor(len(g.Bytes)), Rules: 1 << bits.Len(uint(g.Root.RulesN)), ConntrackEntries: entries,
		EventBytes: 1 << 16, Testing: true,
	}, nil)
	if err != nil {
		return nil, err
	}
	if err := r.setUp(g, o.Shares != 0); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Runner) setUp(g *encode.Generation, own bool) error {
	for i := range r.p.Endpoints {
		if own || i == 0 {
			m, err := r.objects.NewShare()
			if err != nil {
				return err
			}
			r.shares = append(r.shares, m)
		}
		if err := r.objects.SetShare(uint32(i), r.shares[len(r.shares)-1]); err != nil {
			return err
		}
	}
	r.g = g
	return r.objects.Publish(g)
}

// input binds endpoint i to slot i and to a made-up interface, which the programs read from the packet's control block.
func (r *Runner) input(p *plan.Projection, now time.Time) encode.Input {
	in := encode.Input{Projection: p, Now: now.Unix(), Epoch: 1}
	if r.g != nil {
		in.Rules, in.Epoch = r.g.Rules, r.g.Root.Epoch+1
	}
	for i := range p.Endpoints {
		in.Bindings = append(in.Bindings, encode.Binding{Slot: uint32(i), Ifindex: ifindex(i), NetNS: r.netns})
	}
	return in
}

func ifindex(endpoint int) uint32 { return uint32(endpoint) + 1 }

// Publish makes another projection, of the same endpoints, the current generation; connections stay tracked.
func (r *Runner) Publish(p *plan.Projection, now time.Time) error {
	if len(p.Endpoints) > len(r.p.Endpoints) {
		return fmt.Errorf("publishing generation %d: %d endpoints, loaded for %d", p.Generation, len(p.Endpoints), len(r.p.Endpoints))
	}
	g, err := encode.Encode(r.input(p, now))
	if err != nil {
		return err
	}
	if err := r.objects.Publish(g); err != nil {
		return fmt.Errorf("publishing generation %d: %w", p.Generation, err)
	}
	r.p, r.g = p, g
	return nil
}

// Objects are the loaded programs, for tests and benchmarks that look closer.
func (r *Runner) Objects() *load.Objects { return r.objects }

// Encoded is the current generation.
func (r *Runner) Encoded() *encode.Generation { return r.g }

// Reset forgets all connections, so that one flow's state does not answer for another.
func (r *Runner) Reset() error {
	for _, m := range r.shares {
		var k encode.CtKey
		var keys []encode.CtKey
		var v encode.CtValue
		it := m.Iterate()
		for it.Next(&k, &v) {
			keys = append(keys, k)
		}
		if err := it.Err(); err != nil {
			return fmt.Errorf("reading conntrack: %w", err)
		}
		for _, k := range keys {
			if err := m.Delete(k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
				return fmt.Errorf("forgetting a connection: %w", err)
			}
		}
	}
	return nil
}

// Flow builds the first packet of a flow of the endpoint (a place in Projection.Endpoints) and runs it at the hook, as
// if no connection were tracked.
func (r *Runner) Flow(h Hook, endpoint int, f Flow) (Result, error) {
	fr, err := f.frame(h)
	if err != nil {
		return Result{}, err
	}
	res, err := r.Packet(h, endpoint, fr.Bytes(), f.OwnSocket)
	if err != nil {
		return Result{}, err
	}
	return res, r.forget(endpoint, &f, fr)
}

// forget removes the entries that the flow's first packet may have made.
func (r *Runner) forget(endpoint int, f *Flow, fr *Frame) error {
	m := r.shares[min(endpoint, len(r.shares)-1)]
	k := encode.CtKey{Local: f.Local.As16(), Remote: f.Remote.As16(), Proto: fr.Proto}
	tries := []encode.CtKey{k, k}
	switch fr.Proto {
	case protoTCP, protoUDP, protoSCTP:
		tries[0].LPort, tries[0].RPort = f.LocalPort, f.RemotePort
		tries = tries[:1]
	case protoICMP, protoICMPv6:
		tries[0].LPort, tries[1].RPort = echoID, echoID
	}
	for _, k := range tries {
		if err := m.Delete(k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("forgetting a connection: %w", err)
		}
	}
	return nil
}

// skb is the start of the kernel's struct __sk_buff, which a test run takes as context.
type skb struct {
	Len, PktType, Mark, Queue, Protocol   uint32
	VlanPresent, VlanTCI, VlanProto, Prio uint32
	IngressIfindex, Ifindex, TCIndex      uint32
	CB                                    [5]uint32
}

// Packet runs a whole Ethernet frame at the hook; conntrack applies.
func (r *Runner) Packet(h Hook, endpoint int, frame []byte, ownSocket bool) (Result, error) {
	if endpoint < 0 || endpoint >= len(r.p.Endpoints) {
		return Result{}, fmt.Errorf("running a packet: endpoint %d of %d", endpoint, len(r.p.Endpoints))
	}
	in := uint32(1<<16 + 1) // some other interface
	if ownSocket {
		in = 0
	}
	return r.run(h, frame, &skb{IngressIfindex: in, CB: [5]uint32{ifindex(endpoint)}})
}

// Hairpin runs a frame that left the endpoint through its veth and comes back to it (S6).
func (r *Runner) Hairpin(endpoint int, frame []byte) (Result, error) {
	return r.run(ToPod, frame, &skb{IngressIfindex: ifindex(endpoint), CB: [5]uint32{ifindex(endpoint)}})
}

// Unknown runs a frame on an interface that is no endpoint's.
func (r *Runner) Unknown(h Hook, frame []byte) (Result, error) {
	return r.run(h, frame, &skb{CB: [5]uint32{1 << 20}})
}

func (r *Runner) run(h Hook, frame []byte, ctx *skb) (Result, error) {
	prog := r.objects.WeirFromPod
	if h == ToPod {
		prog = r.objects.WeirToPod
	}
	action, err := prog.Run(&ebpf.RunOptions{Data: frame, Context: ctx})
	if err != nil {
		return Result{}, fmt.Errorf("running a packet of %d bytes %s: %w", len(frame), h, err)
	}
	var e encode.Event
	b, err := r.objects.Last.LookupBytes(uint32(0))
	if err != nil {
		return Result{}, fmt.Errorf("reading the last packet's result: %w", err)
	}
	if _, err := binary.Decode(b, binary.LittleEndian, &e); err != nil {
		return Result{}, fmt.Errorf("reading the last packet's result: %w", err)
	}
	return r.result(action, &e)
}

const (
	actUnspec = 0xffffffff
	actShot   = 2
)

func (r *Runner) result(action uint32, e *encode.Event) (Result, error) {
	res := Result{Pass: action == actUnspec, Drop: datapath.Drop(e.Drop), Rule: -1, AuditRule: -1,
		Parsed: e.Key != encode.NoValue, Peer: e.Peer, Generation: e.Generation, Epoch: e.Epoch, Reply: e.Reply != 0, Kept: e.Kept != 0}
	if res.Parsed {
		res.Port = plan.PortKey(e.Key)
	}
	if !res.Pass && action != actShot || res.Pass != (res.Drop == datapath.NotDropped) {
		return Result{}, fmt.Errorf("the program answered %d with reason %q", int32(action), res.Drop)
	}
	if res.Kept {
		res.Rule = r.rule(e.Rule)
	}
	if int(e.Decision) >= len(r.p.Decisions) {
		return res, nil
	}
	res.Decided, res.Decision = true, e.Decision
	res.Verdict, res.Audit = plan.Verdict(e.Verdict), plan.Verdict(e.AuditVerdict)
	res.Rule, res.AuditRule = r.rule(e.Rule), r.rule(e.AuditRule)
	return res, nil
}

func (r *Runner) rule(slot uint32) int32 {
	if int(slot) >= len(r.g.RuleOf) {
		return -1
	}
	return r.g.RuleOf[slot]
}

// Close frees the programs.
func (r *Runner) Close() error {
	var errs []error
	for _, m := range r.shares {
		errs = append(errs, m.Close())
	}
	return errors.Join(append(errs, r.objects.Close())...)
}
