//go:build linux

package progrun_test

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/weir-mesh/weir/datapath"
	"github.com/weir-mesh/weir/datapath/progrun"
)

// TestReplies lets replies pass by their connection and nothing else (S29): a lost entry never opens.
func TestReplies(t *testing.T) {
	f := newFixture(1)
	r := start(t, f.Build(), progrun.Options{})
	for _, c := range []struct {
		name            string
		remote          string
		proto           uint8
		request, answer []byte
		not             []byte // looks alike, and is no answer
	}{
		{"TCP", db4, tcp, progrun.TCPHeader(40000, 5432, progrun.SYN), progrun.TCPHeader(5432, 40000, progrun.SYN|progrun.ACK), progrun.TCPHeader(5432, 40001, progrun.ACK)},
		{"TCP, IPv6", db6, tcp, progrun.TCPHeader(40000, 5432, progrun.SYN), progrun.TCPHeader(5432, 40000, progrun.ACK), progrun.TCPHeader(5432, 40000, progrun.SYN)},
		{"UDP", db4, udp, progrun.UDPHeader(40000, 53), progrun.UDPHeader(53, 40000), progrun.UDPHeader(54, 40000)},
		{"SCTP", db4, sctp, progrun.SCTPHeader(40000, 3868, 1), progrun.SCTPHeader(3868, 40000, 2), progrun.SCTPHeader(3868, 40000, 1)},
		{"echo", db4, icmp, progrun.ICMPHeader(8, 0, 9), progrun.ICMPHeader(0, 0, 9), progrun.ICMPHeader(8, 0, 9)},
		{"another echo", db4, icmp, progrun.ICMPHeader(8, 0, 9), progrun.ICMPHeader(0, 0, 9), progrun.ICMPHeader(0, 0, 10)},
		{"echo, IPv6", db6, icmp6, progrun.ICMPHeader(128, 0, 9), progrun.ICMPHeader(129, 0, 9), progrun.ICMPHeader(128, 0, 9)},
		{"GRE", db4, 47, make([]byte, 8), make([]byte, 8), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := r.Reset(); err != nil {
				t.Fatal(err)
			}
			answer := in(c.remote, c.proto, c.answer)
			run(t, r, progrun.ToPod, f.web, answer.Bytes(), datapath.DropPolicy)
			run(t, r, progrun.FromPod, f.web, out(c.remote, c.proto, c.request).Bytes(), 0)
			if got := run(t, r, progrun.ToPod, f.web, answer.Bytes(), 0); !got.Reply {
				t.Error("not passed as a reply")
			}
			if c.not != nil {
				run(t, r, progrun.ToPod, f.web, in(c.remote, c.proto, c.not).Bytes(), datapath.DropPolicy)
			}
			if err := r.Reset(); err != nil {
				t.Fatal(err)
			}
			run(t, r, progrun.ToPod, f.web, answer.Bytes(), datapath.DropPolicy)
		})
	}
}

// TestGenerationChange cuts replies of a connection that the new generation denies, in both roles, and keeps the others
// (S29).
func TestGenerationChange(t *testing.T) {
	f := newFixture(1)
	r := start(t, f.Build(), progrun.Options{})
	asked, answered := out(db4, tcp, progrun.TCPHeader(40000, 5432, progrun.SYN)), in(db4, tcp, progrun.TCPHeader(5432, 40000, progrun.ACK))
	served, reply := in(db4, tcp, progrun.TCPHeader(40000, 8080, progrun.SYN)), out(db4, tcp, progrun.TCPHeader(8080, 40000, progrun.ACK))
	kept, keptAnswer := out(db4, udp, progrun.UDPHeader(40000, 53)), in(db4, udp, progrun.UDPHeader(53, 40000))
	run(t, r, progrun.FromPod, f.web, asked.Bytes(), 0)
	run(t, r, progrun.ToPod, f.web, served.Bytes(), 0)
	run(t, r, progrun.FromPod, f.web, kept.Bytes(), 0)

	same := newFixture(2)
	if err := r.Publish(same.Build(), epoch); err != nil {
		t.Fatal(err)
	}
	first := run(t, r, progrun.ToPod, f.web, answered.Bytes(), 0)
	second := run(t, r, progrun.ToPod, f.web, answered.Bytes(), 0)
	if !first.Decided || second.Decided {
		t.Errorf("a reply is judged once per generation: %v, then %v", first.Decided, second.Decided)
	}
	run(t, r, progrun.FromPod, f.web, reply.Bytes(), 0)

	next := newFixture(3)
	next.egress.Port(next.db, 0, 5432, next.deny)
	next.ingress.Port(next.db, 0, 8080, next.deny)
	if err := r.Publish(next.Build(), epoch); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		run(t, r, progrun.ToPod, f.web, answered.Bytes(), datapath.DropPolicy)
		run(t, r, progrun.FromPod, f.web, reply.Bytes(), datapath.DropPolicy)
	}
	run(t, r, progrun.FromPod, f.web, asked.Bytes(), datapath.DropPolicy)
	run(t, r, progrun.ToPod, f.web, keptAnswer.Bytes(), 0)

	// Open again: the entry remembers who opened, so both directions pass by the original's tuple.
	again := newFixture(4)
	if err := r.Publish(again.Build(), epoch); err != nil {
		t.Fatal(err)
	}
	run(t, r, progrun.ToPod, f.web, answered.Bytes(), 0)
	run(t, r, progrun.FromPod, f.web, with(asked, func(f *progrun.Frame) { f.Payload = progrun.TCPHeader(40000, 5432, progrun.ACK) }).Bytes(), 0)
}

// TestCutStaysCut denies a flow that a pod serves while the pod may open connections to the client: the pod's next
// packet is no new flow, and does not let the client in again as its answerer (S29).
func TestCutStaysCut(t *testing.T) {
	f := newFixture(1)
	r := start(t, f.Build(), progrun.Options{})
	served := in(db4, tcp, progrun.TCPHeader(40000, 8080, progrun.SYN))
	data := in(db4, tcp, progrun.TCPHeader(40000, 8080, progrun.ACK))
	reply := out(db4, tcp, progrun.TCPHeader(8080, 40000, progrun.ACK))
	run(t, r, progrun.ToPod, f.web, served.Bytes(), 0)
	run(t, r, progrun.FromPod, f.web, reply.Bytes(), 0)

	next := newFixture(2)
	next.ingress.Port(next.db, 0, 8080, next.deny)
	next.egress.Port(next.db, 0, 40000, next.allow)
	if err := r.Publish(next.Build(), epoch); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		run(t, r, progrun.ToPod, f.web, data.Bytes(), datapath.DropPolicy)
		run(t, r, progrun.FromPod, f.web, reply.Bytes(), datapath.DropPolicy)
	}
	// A connection that the pod opens from the same port is another one.
	run(t, r, progrun.FromPod, f.web, out(db4, tcp, progrun.TCPHeader(8080, 40000, progrun.SYN)).Bytes(), 0)
	run(t, r, progrun.ToPod, f.web, data.Bytes(), 0)
}

// TestHairpin sends a pod's connection to itself through its service: it comes back by the pod's own veth with the
// node's address as its source, and the answer goes to the node (S6).
func TestHairpin(t *testing.T) {
	f := newFixture(1)
	r := start(t, f.Build(), progrun.Options{})
	answer := out(node4, tcp, progrun.TCPHeader(9999, 40000, progrun.ACK))
	run(t, r, progrun.FromPod, f.web, answer.Bytes(), datapath.DropPolicy)
	run(t, r, progrun.ToPod, f.web, in(node4, tcp, progrun.TCPHeader(40000, 9999, progrun.SYN)).Bytes(), datapath.DropPolicy)
	got, err := r.Hairpin(f.web, in(node4, tcp, progrun.TCPHeader(40000, 9999, progrun.SYN)).Bytes())
	if err != nil || got.Drop != 0 {
		t.Fatalf("back home: %v, %v", got.Drop, err)
	}
	run(t, r, progrun.FromPod, f.web, answer.Bytes(), 0)
	if err := r.Publish(newFixture(2).Build(), epoch); err != nil {
		t.Fatal(err)
	}
	run(t, r, progrun.FromPod, f.web, answer.Bytes(), 0)
}

// TestExpiry judges by the moment of the encoding (S28).
func TestExpiry(t *testing.T) {
	f := newFixture(1)
	r := start(t, f.Build(), progrun.Options{})
	frame := out(db4, tcp, progrun.TCPHeader(40000, 7000, progrun.SYN))
	for _, c := range []struct {
		second int64
		want   datapath.Drop
	}{{1999, 0}, {2000, datapath.DropPolicy}} {
		if err := r.Publish(f.P, time.Unix(c.second, 0)); err != nil {
			t.Fatal(err)
		}
		got := run(t, r, progrun.FromPod, f.web, frame.Bytes(), c.want)
		if uint16(got.Decision) != f.expiring {
			t.Errorf("decision %d, want %d", got.Decision, f.expiring)
		}
	}
}

// TestShares floods one endpoint's conntrack: only its own connections may be forgotten.
func TestShares(t *testing.T) {
	f := newFixture(1)
	const entries = 512
	r := start(t, f.Build(), progrun.Options{Shares: entries})
	victim := 1 // shop/local
	request := with(out(world4, tcp, progrun.TCPHeader(40000, 443, progrun.SYN)), func(f *progrun.Frame) { f.Src = netip.MustParseAddr(local4) })
	answer := with(request, func(f *progrun.Frame) {
		f.Src, f.Dst, f.Payload = f.Dst, f.Src, progrun.TCPHeader(443, 40000, progrun.ACK)
	})
	mine, mineAnswer := out(world4, tcp, progrun.TCPHeader(40000, 443, progrun.SYN)), in(world4, tcp, progrun.TCPHeader(443, 40000, progrun.ACK))
	run(t, r, progrun.FromPod, victim, request.Bytes(), 0)
	run(t, r, progrun.FromPod, f.web, mine.Bytes(), 0)
	frame := mine.Bytes()
	for i := range 8 * entries {
		binary.BigEndian.PutUint16(frame[34:], uint16(i))
		if _, err := r.Packet(progrun.FromPod, f.web, frame, false); err != nil {
			t.Fatal(err)
		}
	}
	run(t, r, progrun.ToPod, victim, answer.Bytes(), 0)
	// The flooder's own connection is forgotten, and its answers are closed, not open.
	run(t, r, progrun.ToPod, f.web, mineAnswer.Bytes(), datapath.DropPolicy)
}

// TestClosed reuses the ports of a connection that has ended, from the other side.
func TestClosed(t *testing.T) {
	f := newFixture(1)
	r := start(t, f.Build(), progrun.Options{})
	run(t, r, progrun.FromPod, f.web, out(db4, tcp, progrun.TCPHeader(8080, 5432, progrun.SYN)).Bytes(), 0)
	run(t, r, progrun.ToPod, f.web, in(db4, tcp, progrun.TCPHeader(5432, 8080, progrun.RST)).Bytes(), 0)
	// The remote's own connection from 5432 to our 8080 is allowed, and is now the connection of these ports.
	run(t, r, progrun.ToPod, f.web, in(db4, tcp, progrun.TCPHeader(5432, 8080, progrun.SYN)).Bytes(), 0)
	if got := run(t, r, progrun.FromPod, f.web, out(db4, tcp, progrun.TCPHeader(8080, 5432, progrun.ACK)).Bytes(), 0); !got.Reply {
		t.Error("the answer is not a reply of the new connection")
	}
}
