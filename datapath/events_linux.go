package datapath

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/datapath/encode"
)

// names are what the numbers in the events of one epoch stand for. They are known before a packet can be judged under it,
// so that no event comes before its names (S31).
type names struct {
	epoch     uint64
	endpoints map[uint32]string // by slot
	peers     []plan.ProjectedPeer
	rules     []plan.ProjectedRule
	ruleOf    []int32 // by slot
}

func namesOf(p *plan.Projection, g *encode.Generation, bs []encode.Binding) *names {
	n := &names{epoch: g.Root.Epoch, endpoints: map[uint32]string{}, peers: p.Peers, rules: p.Rules, ruleOf: g.RuleOf}
	for i, b := range bs {
		n.endpoints[b.Slot] = p.Endpoints[i].Name
	}
	return n
}

// namesHeld are those of a generation that another process published: the kernel holds the endpoints' names, and the
// rules' ids, which the rules given tell.
func namesHeld(h *encode.Held, rules []plan.ProjectedRule) *names {
	n := &names{epoch: h.Root.Epoch, endpoints: map[uint32]string{}, rules: rules, ruleOf: slices.Repeat([]int32{-1}, int(h.Root.RulesN))}
	for _, e := range h.Endpoints {
		n.endpoints[e.Slot] = e.Name
	}
	for i := range rules {
		if slot, ok := h.Rules[rules[i].ID]; ok {
			n.ruleOf[slot] = int32(i)
		}
	}
	return n
}

// learn makes the names of an epoch known, beside those of the generation held: its events may be unread yet.
func (d *Datapath) learn(n *names) {
	known := []*names{n}
	if have := d.names.Load(); have != nil && d.held != nil {
		for _, o := range *have {
			if o.epoch == d.held.Root.Epoch {
				known = append(known, o)
			}
		}
	}
	d.names.Store(&known)
}

// namesAt are the names of an epoch; nil when it is too long ago.
func (d *Datapath) namesAt(epoch uint64) *names {
	if known := d.names.Load(); known != nil {
		for _, n := range *known {
			if n.epoch == epoch {
				return n
			}
		}
	}
	return nil
}

// Events calls f for each event until the context ends; it then returns nil. One caller at a time.
func (d *Datapath) Events(ctx context.Context, f func(*Event)) error {
	d.mu.Lock()
	r, err := ringbuf.NewReader(d.objects.Events)
	d.mu.Unlock()
	if err != nil {
		return fmt.Errorf("opening the events: %w", err)
	}
	// Closing is what ends a Read that waits.
	stop := context.AfterFunc(ctx, func() { _ = r.Close() })
	defer func() {
		if stop() {
			_ = r.Close()
		}
	}()
	var rec ringbuf.Record
	for {
		err := r.ReadInto(&rec)
		if errors.Is(err, ringbuf.ErrClosed) && ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading an event: %w", err)
		}
		var e encode.Event
		if _, err := binary.Decode(rec.RawSample, binary.LittleEndian, &e); err != nil {
			return fmt.Errorf("reading an event: %w", err)
		}
		f(d.event(&e))
	}
}

// event gives the numbers the names that they have in the event's own generation.
func (d *Datapath) event(e *encode.Event) *Event {
	v := &Event{
		Time: sinceBoot(e.Time), Kind: EventKind(e.Kind), FromPod: e.FromPod != 0, Verdict: plan.Allow, Drop: Drop(e.Drop),
		Decision: -1, Rule: -1, AuditRule: -1, AuditVerdict: plan.Verdict(e.AuditVerdict), Peer: e.Peer,
		Protocol: e.Proto, Generation: e.Generation, Epoch: e.Epoch,
		Endpoint: "slot " + strconv.Itoa(int(e.Slot)),
	}
	if e.Family != 0 {
		v.Local = netip.AddrPortFrom(netip.AddrFrom16(e.Local).Unmap(), e.LocalPort)
		v.Remote = netip.AddrPortFrom(netip.AddrFrom16(e.Remote).Unmap(), e.RemotePort)
	}
	if v.Parsed = e.Key != encode.NoValue; v.Parsed {
		v.Port = plan.PortKey(e.Key)
	}
	if v.Drop != NotDropped {
		v.Verdict = plan.Deny
	}
	if e.Decision != encode.NoValue {
		v.Decision = int32(e.Decision)
	}
	n := d.namesAt(e.Epoch)
	if n == nil {
		return v
	}
	if name, ok := n.endpoints[e.Slot]; ok {
		v.Endpoint = name
	}
	if int(e.Peer) < len(n.peers) {
		v.PeerName = n.peers[e.Peer].Name
	}
	if e.Decision != encode.NoValue {
		v.Rule, v.RuleName = n.rule(e.Rule)
		v.AuditRule, v.AuditRuleName = n.rule(e.AuditRule)
	}
	return v
}

func (n *names) rule(slot uint32) (int32, string) {
	if int(slot) >= len(n.ruleOf) || n.ruleOf[slot] < 0 {
		return -1, ""
	}
	return n.ruleOf[slot], n.rules[n.ruleOf[slot]].Name
}

// sinceBoot turns the kernel's boot clock into wall time.
func sinceBoot(ns uint64) time.Time {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return time.Now()
	}
	return time.Now().Add(time.Duration(int64(ns) - now.Nano()))
}
