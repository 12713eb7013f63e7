//go:build linux

package progrun_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/datapath"
	"github.com/weir-mesh/weir/datapath/encode"
	"github.com/weir-mesh/weir/datapath/progrun"
)

// kept runs a frame and checks that it passed by what its flow's entry keeps, or that it passed and did not.
func kept(t *testing.T, r *progrun.Runner, h progrun.Hook, endpoint int, f progrun.Frame, want bool) progrun.Result {
	t.Helper()
	got := run(t, r, h, endpoint, f.Bytes(), 0)
	if got.Kept != want {
		t.Errorf("%s: kept %v, want %v", h, got.Kept, want)
	}
	return got
}

// segments are the packets of web's connection to db's port, in turn.
func segments(remote string, port uint16) (syn, synAck, ack, reply progrun.Frame) {
	return out(remote, tcp, progrun.TCPHeader(40000, port, progrun.SYN)), in(remote, tcp, progrun.TCPHeader(port, 40000, progrun.SYN|progrun.ACK)),
		out(remote, tcp, progrun.TCPHeader(40000, port, progrun.ACK)), in(remote, tcp, progrun.TCPHeader(port, 40000, progrun.ACK))
}

// TestKept passes the packets of an established flow by its entry, counted by the rule that allowed it, and has them
// decided once under each generation (S29).
func TestKept(t *testing.T) {
	for _, remote := range []string{db4, db6} {
		t.Run(remote, func(t *testing.T) {
			f := newFixture(1)
			r := start(t, f.Build(), progrun.Options{})
			syn, synAck, ack, reply := segments(remote, 5432)
			kept(t, r, progrun.FromPod, f.web, syn, false)
			if got := kept(t, r, progrun.ToPod, f.web, synAck, true); !got.Reply {
				t.Error("the answer is no reply")
			}
			for range 3 {
				if got := kept(t, r, progrun.FromPod, f.web, ack, true); got.Rule != f.allowRule || got.Reply {
					t.Errorf("%+v", got)
				}
				if got := kept(t, r, progrun.ToPod, f.web, reply, true); !got.Reply || got.Rule != -1 {
					t.Errorf("%+v", got)
				}
			}
			if n := counted(t, r.Objects().RuleCounts, r.Encoded().RuleSlot[f.allowRule]); n != 4 {
				t.Errorf("the rule counted %d packets of its flow's direction, want 4", n)
			}
			if n := counted(t, r.Objects().DropCounts, 0); n != 8 {
				t.Errorf("%d packets counted as passed, want 8", n)
			}

			if err := r.Publish(newFixture(2).Build(), epoch); err != nil {
				t.Fatal(err)
			}
			if got := kept(t, r, progrun.FromPod, f.web, ack, false); uint16(got.Decision) != f.allow {
				t.Errorf("%+v", got)
			}
			kept(t, r, progrun.FromPod, f.web, ack, true)
			kept(t, r, progrun.ToPod, f.web, reply, true)

			if err := r.Publish(newFixture(3).Build(), epoch); err != nil {
				t.Fatal(err)
			}
			kept(t, r, progrun.ToPod, f.web, reply, false)
			kept(t, r, progrun.FromPod, f.web, ack, true)

			next := newFixture(4)
			next.egress.Port(next.db, ir.TCP, 5432, next.deny)
			if err := r.Publish(next.Build(), epoch); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				run(t, r, progrun.FromPod, f.web, ack.Bytes(), datapath.DropPolicy)
				run(t, r, progrun.ToPod, f.web, reply.Bytes(), datapath.DropPolicy)
			}
		})
	}
}

// TestKeptEnds has what opens and what closes a connection decided, and an end remembered.
func TestKeptEnds(t *testing.T) {
	f := newFixture(1)
	r := start(t, f.Build(), progrun.Options{})
	syn, _, ack, reply := segments(db4, 5432)
	kept(t, r, progrun.FromPod, f.web, syn, false)
	kept(t, r, progrun.FromPod, f.web, syn, false)
	kept(t, r, progrun.FromPod, f.web, ack, true)
	const fin = 1
	kept(t, r, progrun.FromPod, f.web, with(ack, func(f *progrun.Frame) { f.Payload = progrun.TCPHeader(40000, 5432, progrun.ACK|fin) }), false)
	kept(t, r, progrun.ToPod, f.web, with(reply, func(f *progrun.Frame) { f.Payload = progrun.TCPHeader(5432, 40000, progrun.ACK|fin) }), false)
	_, e := entry(t, r)
	const closed = 2
	if e.Flags&closed == 0 {
		t.Errorf("flags %#x after both ends closed", e.Flags)
	}
	// What the remote opens from there is no reply.
	run(t, r, progrun.ToPod, f.web, in(db4, tcp, progrun.TCPHeader(5432, 40000, progrun.SYN)).Bytes(), datapath.DropPolicy)
}

// share is the conntrack of the only endpoint, open until the test ends.
func share(t *testing.T, r *progrun.Runner) *ebpf.Map {
	t.Helper()
	m, err := r.Objects().Share(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// entry is the only connection that is tracked.
func entry(t *testing.T, r *progrun.Runner) (k encode.CtKey, v encode.CtValue) {
	t.Helper()
	it := share(t, r).Iterate()
	if !it.Next(&k, &v) {
		t.Fatal("nothing is tracked", it.Err())
	}
	key, value := k, v
	if it.Next(&k, &v) {
		t.Fatal("more than one connection is tracked")
	}
	return key, value
}

// TestKeptIdle does not believe an entry that was idle too long.
func TestKeptIdle(t *testing.T) {
	f := newFixture(1)
	r := start(t, f.Build(), progrun.Options{})
	syn, _, ack, reply := segments(db4, 5432)
	kept(t, r, progrun.FromPod, f.web, syn, false)
	age := func(seconds uint32) {
		t.Helper()
		k, v := entry(t, r)
		v.Seen -= seconds * 2 // a tick is half a second at least
		if err := share(t, r).Put(k, v); err != nil {
			t.Fatal(err)
		}
	}
	age(3600)
	kept(t, r, progrun.ToPod, f.web, reply, true)
	age(3*3600 + 10)
	run(t, r, progrun.ToPod, f.web, reply.Bytes(), datapath.DropPolicy)
	run(t, r, progrun.FromPod, f.web, ack.Bytes(), datapath.DropPolicy)
	kept(t, r, progrun.FromPod, f.web, syn, false)
	kept(t, r, progrun.ToPod, f.web, reply, true)
}

// TestKeptOther gives the entry of one flow to another, as the kernel may while a packet looks at it: the packet does not
// believe it.
func TestKeptOther(t *testing.T) {
	f := newFixture(1)
	r := start(t, f.Build(), progrun.Options{})
	syn, _, ack, _ := segments(db4, 5432)
	kept(t, r, progrun.FromPod, f.web, syn, false)
	k, v := entry(t, r)
	m := share(t, r)
	if err := m.Delete(k); err != nil {
		t.Fatal(err)
	}
	k.RPort, v.Key = 5433, uint32(plan.Key(ir.TCP, 5433)) // which is denied
	if err := m.Put(k, v); err != nil {
		t.Fatal(err)
	}
	run(t, r, progrun.FromPod, f.web, out(db4, tcp, progrun.TCPHeader(40000, 5433, progrun.ACK)).Bytes(), datapath.DropPolicy)
	kept(t, r, progrun.FromPod, f.web, syn, false)
	kept(t, r, progrun.FromPod, f.web, ack, true)
}

// TestKeptExpiry cuts an open flow when its allow ends, within one generation of the plan (S28).
func TestKeptExpiry(t *testing.T) {
	f := newFixture(1)
	r := start(t, f.Build(), progrun.Options{})
	syn, synAck, ack, reply := segments(db4, 7000)
	kept(t, r, progrun.FromPod, f.web, syn, false)
	kept(t, r, progrun.ToPod, f.web, synAck, true)
	if got := kept(t, r, progrun.FromPod, f.web, ack, true); got.Generation != 1 || got.Rule != f.expireRule {
		t.Errorf("%+v", got)
	}
	if err := r.Publish(f.P, time.Unix(2000, 0)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := run(t, r, progrun.ToPod, f.web, reply.Bytes(), datapath.DropPolicy); got.Generation != 1 {
			t.Errorf("%+v", got)
		}
		run(t, r, progrun.FromPod, f.web, ack.Bytes(), datapath.DropPolicy)
	}
}

// TestKeptOwnNode tells a socket of the node from what is forwarded with the node's address, packet by packet: their
// connections have one key (S5).
func TestKeptOwnNode(t *testing.T) {
	f := newFixture(1)
	r := start(t, f.Build(), progrun.Options{})
	for _, c := range []struct {
		name   string
		port   uint16
		socket bool
	}{{"a socket's", 8081, true}, {"forwarded", 8082, false}} {
		t.Run(c.name, func(t *testing.T) {
			packet := func(flags uint8, socket bool) progrun.Result {
				t.Helper()
				got, err := r.Packet(progrun.ToPod, f.web, in(node4, tcp, progrun.TCPHeader(40000, c.port, flags)).Bytes(), socket)
				if err != nil {
					t.Fatal(err)
				}
				return got
			}
			if got := packet(progrun.SYN, c.socket); !got.Pass {
				t.Fatalf("%+v", got)
			}
			for range 2 {
				packet(progrun.ACK, c.socket)
				if got := packet(progrun.ACK, c.socket); !got.Kept {
					t.Errorf("%+v", got)
				}
				if got := packet(progrun.ACK, !c.socket); got.Drop != datapath.DropPolicy {
					t.Errorf("the other's packet: %+v", got)
				}
			}
			// The answers are the opener's.
			kept(t, r, progrun.FromPod, f.web, out(node4, tcp, progrun.TCPHeader(c.port, 40000, progrun.ACK)), false)
		})
	}
}

// TestKeptHome tells what came back to its pod by its own interface from what has the same addresses and did not (S6).
func TestKeptHome(t *testing.T) {
	f := newFixture(1)
	r := start(t, f.Build(), progrun.Options{})
	home := func(port uint16) {
		t.Helper()
		got, err := r.Hairpin(f.web, in(node4, tcp, progrun.TCPHeader(40000, port, progrun.ACK)).Bytes())
		if err != nil || !got.Pass || got.Kept {
			t.Errorf("back home: %+v, %v", got, err)
		}
	}
	forwarded := in(node4, tcp, progrun.TCPHeader(40000, 9999, progrun.ACK))
	for range 2 {
		home(9999)
		run(t, r, progrun.ToPod, f.web, forwarded.Bytes(), datapath.DropPolicy)
	}
	// A flow that was allowed, and is not any more, is not opened by what comes home in between.
	allowed := in(node4, tcp, progrun.TCPHeader(40000, 8082, progrun.ACK))
	kept(t, r, progrun.ToPod, f.web, in(node4, tcp, progrun.TCPHeader(40000, 8082, progrun.SYN)), false)
	kept(t, r, progrun.ToPod, f.web, allowed, true)
	home(8082)
	kept(t, r, progrun.ToPod, f.web, allowed, false)
	kept(t, r, progrun.ToPod, f.web, allowed, true)
	next := newFixture(2)
	next.ingress.Port(next.translated, ir.TCP, 8082, next.deny)
	if err := r.Publish(next.Build(), epoch); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		run(t, r, progrun.ToPod, f.web, allowed.Bytes(), datapath.DropPolicy)
		home(8082)
	}
}

// TestKeptPacket covers what is in the packet alone, on a flow that is established: nothing of it passes by the entry.
func TestKeptPacket(t *testing.T) {
	f := newFixture(1)
	group := f.Peer(plan.WorldPeer, "239.1.1.0/24")
	f.Address("239.1.1.0/24", group)
	f.ingress.Port(group, ir.UDP, 53, f.allow)
	r := start(t, f.Build(), progrun.Options{})
	const later = 185

	syn, _, ack, reply := segments(db4, 5432)
	kept(t, r, progrun.FromPod, f.web, syn, false)
	kept(t, r, progrun.FromPod, f.web, ack, true)
	tags := func(n int) func(*progrun.Frame) {
		return func(f *progrun.Frame) {
			for range n {
				f.Tags = append(f.Tags, 0x8100<<16|7)
			}
		}
	}
	kept(t, r, progrun.FromPod, f.web, with(ack, tags(1)), false)
	run(t, r, progrun.FromPod, f.web, with(ack, tags(3)).Bytes(), datapath.DropUnparsed)
	kept(t, r, progrun.FromPod, f.web, with(ack, func(f *progrun.Frame) { f.Options = []byte{1, 1, 1, 0} }), false)
	run(t, r, progrun.FromPod, f.web, with(ack, func(f *progrun.Frame) { f.Options = []byte{131, 3, 4, 0} }).Bytes(), datapath.DropUnparsed)
	run(t, r, progrun.FromPod, f.web, with(ack, func(f *progrun.Frame) { f.Src = netip.MustParseAddr(local4) }).Bytes(), datapath.DropSource)
	run(t, r, progrun.ToPod, f.web, with(reply, func(f *progrun.Frame) { f.Dst = netip.MustParseAddr(local4) }).Bytes(), datapath.DropDestination)
	run(t, r, progrun.FromPod, f.web, with(ack, func(f *progrun.Frame) { f.Fragment, f.FragmentID = later, 7 }).Bytes(), datapath.DropFragment)
	kept(t, r, progrun.ToPod, f.web, in("198.51.100.1", icmp, quote(ack, 3, 4, 28)), false)
	run(t, r, progrun.FromPod, f.web, ack.Bytes()[:14+20+8], datapath.DropMalformed)
	kept(t, r, progrun.FromPod, f.web, ack, true)

	datagram := out(db4, udp, append(progrun.UDPHeader(40000, 53), make([]byte, 56)...))
	kept(t, r, progrun.FromPod, f.web, datagram, false)
	kept(t, r, progrun.FromPod, f.web, datagram, true)
	kept(t, r, progrun.FromPod, f.web, with(datagram, func(f *progrun.Frame) { f.More, f.FragmentID = true, 8 }), false)

	// A group is nobody: neither one to answer to, nor one to ask.
	run(t, r, progrun.ToPod, f.web, in("239.1.1.1", udp, progrun.UDPHeader(4000, 53)).Bytes(), datapath.DropMulticast)
	run(t, r, progrun.FromPod, f.web, out("239.1.1.1", udp, progrun.UDPHeader(53, 4000)).Bytes(), datapath.DropMulticast)
}

// TestKeptOwnAddress gives the pod the address that its flow goes to: an ICMP error about the flow does not make its entry
// one of the new generation, under which nobody else may use the address as a source (S6, S7).
func TestKeptOwnAddress(t *testing.T) {
	f := newFixture(1)
	r := start(t, f.Build(), progrun.Options{})
	syn, _, ack, reply := segments(db4, 5432)
	kept(t, r, progrun.FromPod, f.web, syn, false)
	kept(t, r, progrun.ToPod, f.web, reply, true)
	next := newFixture(2)
	e := &next.P.Endpoints[next.web]
	e.Addrs, e.Peers = append(e.Addrs, netip.MustParseAddr(db4)), append(e.Peers, e.Peers[0])
	if err := r.Publish(next.Build(), epoch); err != nil {
		t.Fatal(err)
	}
	run(t, r, progrun.ToPod, f.web, in("198.51.100.1", icmp, quote(ack, 3, 4, 28)).Bytes(), datapath.DropPolicy)
	run(t, r, progrun.ToPod, f.web, reply.Bytes(), datapath.DropSource)
}
