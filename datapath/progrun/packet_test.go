//go:build linux

package progrun_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/datapath"
	"github.com/weir-mesh/weir/datapath/progrun"
)

// IP protocol numbers of these tests.
const (
	icmp, tcp, udp, icmp6, sctp = 1, 6, 17, 58, 132
)

// out and in build a frame from, and to, the pod web.
func out(remote string, proto uint8, payload []byte) progrun.Frame {
	f := progrun.Frame{Src: netip.MustParseAddr(web4), Dst: netip.MustParseAddr(remote), Proto: proto, Payload: payload}
	if f.Dst.Is6() {
		f.Src = netip.MustParseAddr(web6)
	}
	return f
}

func in(remote string, proto uint8, payload []byte) progrun.Frame {
	f := out(remote, proto, payload)
	f.Src, f.Dst = f.Dst, f.Src
	return f
}

func with(f progrun.Frame, change func(*progrun.Frame)) progrun.Frame {
	change(&f)
	return f
}

func arp(sender string) []byte {
	b := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 2, 8, 6}, 0, 1, 8, 0, 6, 4, 0, 1)
	s := netip.MustParseAddr(sender).As4()
	b = append(append(b, 2, 0, 0, 0, 0, 2), s[:]...)
	return append(b, 0, 0, 0, 0, 0, 0, 169, 254, 1, 1)
}

// neighbour builds a neighbour discovery message.
func neighbour(typ uint8, src, dst, target string, hops uint8) progrun.Frame {
	t := netip.MustParseAddr(target).As16()
	return progrun.Frame{Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), Proto: icmp6, Hops: hops,
		Payload: progrun.ICMPHeader(typ, 0, 0, t[:]...)}
}

// run runs a frame and checks its fate.
func run(t testing.TB, r *progrun.Runner, h progrun.Hook, endpoint int, frame []byte, want datapath.Drop) progrun.Result {
	t.Helper()
	got, err := r.Packet(h, endpoint, frame, false)
	if err != nil {
		t.Fatal(err)
	}
	if got.Drop != want {
		t.Errorf("%s: got %q, want %q", h, got.Drop, want)
	}
	return got
}

// TestPackets runs single packets in every shape that the parser knows, or must not (S6, S7).
func TestPackets(t *testing.T) {
	f := newFixture(1)
	r := start(t, f.Build(), progrun.Options{})
	syn := progrun.TCPHeader(40000, 5432, progrun.SYN)
	closed := progrun.TCPHeader(40000, 5433, progrun.SYN)
	tag := func(types ...uint32) func(*progrun.Frame) {
		return func(f *progrun.Frame) {
			for _, t := range types {
				f.Tags = append(f.Tags, t<<16|7)
			}
		}
	}
	options := func(o ...byte) func(*progrun.Frame) { return func(f *progrun.Frame) { f.Options = o } }
	extensions := func(es ...progrun.Extension) func(*progrun.Frame) {
		return func(f *progrun.Frame) { f.Extensions = es }
	}
	hopByHop, destination := progrun.Extension{Type: 0, Data: make([]byte, 8)}, progrun.Extension{Type: 60, Data: make([]byte, 8)}
	routing := func(left byte) progrun.Extension {
		return progrun.Extension{Type: 43, Data: []byte{0, 0, 4, left, 0, 0, 0, 0}}
	}
	long := progrun.Extension{Type: 60, Data: append([]byte{0, 2}, make([]byte, 22)...)}
	ah := progrun.Extension{Type: 51, Data: append([]byte{0, 4}, make([]byte, 22)...)}
	atomic := progrun.Extension{Type: 44, Data: make([]byte, 8)}
	raw := func(f progrun.Frame, change func([]byte) []byte) []byte { return change(f.Bytes()) }
	cut := func(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:len(b)-n] } }
	set := func(at int, v ...byte) func([]byte) []byte {
		return func(b []byte) []byte { copy(b[at:], v); return b }
	}
	bytes := func(f progrun.Frame) []byte { return f.Bytes() }
	const pass = datapath.NotDropped

	for _, c := range []struct {
		name  string
		hook  progrun.Hook
		frame []byte
		want  datapath.Drop
	}{
		{"plain", progrun.FromPod, bytes(out(db4, tcp, syn)), pass},
		{"802.1Q", progrun.FromPod, bytes(with(out(db4, tcp, syn), tag(0x8100))), pass},
		{"802.1Q, denied", progrun.FromPod, bytes(with(out(db4, tcp, closed), tag(0x8100))), datapath.DropPolicy},
		{"QinQ", progrun.FromPod, bytes(with(out(db4, tcp, syn), tag(0x88a8, 0x8100))), pass},
		{"QinQ, IPv6, denied", progrun.FromPod, bytes(with(out(db6, tcp, closed), tag(0x88a8, 0x8100))), datapath.DropPolicy},
		{"three tags", progrun.FromPod, bytes(with(out(db4, tcp, syn), tag(0x88a8, 0x8100, 0x8100))), datapath.DropUnparsed},
		{"IPv4 options", progrun.FromPod, bytes(with(out(db4, tcp, syn), options(1, 1, 7, 5, 4, 0, 0, 0))), pass},
		{"IPv4 options, denied", progrun.FromPod, bytes(with(out(db4, tcp, closed), options(1, 1, 1, 1, 1, 1, 1, 0))), datapath.DropPolicy},
		{"forty bytes of options", progrun.FromPod, bytes(with(out(db4, tcp, syn), options(slices.Repeat([]byte{1}, 40)...))), pass},
		{"loose source route", progrun.FromPod, bytes(with(out(db4, tcp, syn), options(131, 7, 4, 10, 9, 9, 9, 0))), datapath.DropUnparsed},
		{"strict source route behind others", progrun.FromPod, bytes(with(out(db4, tcp, syn), options(1, 137, 7, 4, 10, 9, 9, 9))), datapath.DropUnparsed},
		{"an option longer than the header", progrun.FromPod, bytes(with(out(db4, tcp, syn), options(7, 9, 4, 0))), datapath.DropMalformed},
		{"an option of length 1", progrun.FromPod, bytes(with(out(db4, tcp, syn), options(7, 1, 4, 0))), datapath.DropMalformed},
		{"hop-by-hop and destination options", progrun.FromPod, bytes(with(out(db6, tcp, syn), extensions(hopByHop, destination))), pass},
		{"extensions, denied", progrun.FromPod, bytes(with(out(db6, tcp, closed), extensions(hopByHop, long, ah))), datapath.DropPolicy},
		{"a long header and AH", progrun.FromPod, bytes(with(out(db6, tcp, syn), extensions(long, ah))), pass},
		{"routing header, done", progrun.FromPod, bytes(with(out(db6, tcp, syn), extensions(routing(0)))), pass},
		{"routing header, segments left", progrun.FromPod, bytes(with(out(db6, tcp, syn), extensions(routing(1)))), datapath.DropUnparsed},
		{"atomic fragment", progrun.FromPod, bytes(with(out(db6, tcp, syn), extensions(atomic))), pass},
		{"eight extensions", progrun.FromPod, bytes(with(out(db6, tcp, syn), extensions(slices.Repeat([]progrun.Extension{destination}, 8)...))), pass},
		{"nine extensions", progrun.FromPod, bytes(with(out(db6, tcp, syn), extensions(slices.Repeat([]progrun.Extension{destination}, 9)...))), datapath.DropUnparsed},
		{"no next header", progrun.FromPod, bytes(out(db6, 59, nil)), datapath.DropPolicy},

		{"cut in the IPv4 header", progrun.FromPod, raw(with(out(db4, tcp, syn), tag(0x8100)), cut(22)), datapath.DropMalformed},
		{"cut in the TCP header", progrun.FromPod, raw(out(db4, tcp, syn), cut(8)), datapath.DropMalformed},
		{"length beyond the frame", progrun.FromPod, raw(out(db4, tcp, syn), set(16, 0x40, 0)), datapath.DropMalformed},
		{"length below the header", progrun.FromPod, raw(out(db4, tcp, syn), set(16, 0, 19)), datapath.DropMalformed},
		{"header length 16", progrun.FromPod, raw(out(db4, tcp, syn), set(14, 0x44)), datapath.DropMalformed},
		{"IPv6 under IPv4's ethertype", progrun.FromPod, raw(out(db6, tcp, syn), set(12, 8, 0)), datapath.DropMalformed},
		{"IPv4 under IPv6's ethertype", progrun.FromPod, raw(out(db4, tcp, syn), set(12, 0x86, 0xdd)), datapath.DropMalformed},
		{"IPv6 length beyond the frame", progrun.FromPod, raw(out(db6, tcp, syn), set(18, 0x40, 0)), datapath.DropMalformed},
		{"an IPv4 address in IPv6", progrun.FromPod, raw(out(db6, tcp, syn), set(22, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 0, 2)), datapath.DropMalformed},
		{"a TCP header of 16 bytes", progrun.FromPod, bytes(with(out(db4, tcp, syn), func(f *progrun.Frame) {
			f.Payload = slices.Clone(syn)
			f.Payload[12] = 0x40
		})), datapath.DropMalformed},
		{"LLDP", progrun.FromPod, raw(out(db4, tcp, syn), set(12, 0x88, 0xcc)), datapath.DropEthertype},
		{"MPLS", progrun.ToPod, raw(in(db4, tcp, syn), set(12, 0x88, 0x47)), datapath.DropEthertype},

		{"another source (S7)", progrun.FromPod, bytes(with(out(db4, tcp, syn), func(f *progrun.Frame) { f.Src = netip.MustParseAddr(local4) })), datapath.DropSource},
		{"another IPv6 source (S7)", progrun.FromPod, bytes(with(out(db6, tcp, syn), func(f *progrun.Frame) { f.Src = netip.MustParseAddr("fd00:1::3") })), datapath.DropSource},
		{"a link-local source (S7)", progrun.FromPod, bytes(with(out(db6, tcp, syn), func(f *progrun.Frame) { f.Src = netip.MustParseAddr("fe80::2") })), datapath.DropSource},
		{"another destination", progrun.ToPod, bytes(with(in(db4, tcp, syn), func(f *progrun.Frame) { f.Dst = netip.MustParseAddr(local4) })), datapath.DropDestination},
		{"the pod's address from elsewhere (S6, S7)", progrun.ToPod, bytes(in(web4, tcp, syn)), datapath.DropSource},
		{"to itself (S6)", progrun.FromPod, bytes(out(web4, tcp, closed)), pass},
		{"multicast (S6)", progrun.FromPod, bytes(out("224.0.0.251", udp, progrun.UDPHeader(5353, 5353))), datapath.DropMulticast},
		{"broadcast (S6)", progrun.FromPod, bytes(out("255.255.255.255", udp, progrun.UDPHeader(68, 67))), datapath.DropMulticast},
		{"IPv6 multicast (S6)", progrun.FromPod, bytes(out("ff02::fb", udp, progrun.UDPHeader(5353, 5353))), datapath.DropMulticast},
		{"multicast to the pod (S6)", progrun.ToPod, bytes(with(in(db4, udp, progrun.UDPHeader(1, 1)), func(f *progrun.Frame) { f.Dst = netip.MustParseAddr("239.1.2.3") })), datapath.DropMulticast},
		{"from a multicast address (S6)", progrun.ToPod, bytes(in("224.0.0.251", udp, progrun.UDPHeader(1, 1))), datapath.DropMulticast},
		{"from the broadcast address (S6)", progrun.ToPod, bytes(in("255.255.255.255", udp, progrun.UDPHeader(1, 1))), datapath.DropMulticast},
		{"from an IPv6 multicast address (S6)", progrun.ToPod, bytes(with(in(db6, udp, progrun.UDPHeader(1, 1)), func(f *progrun.Frame) { f.Src = netip.MustParseAddr("ff02::fb") })), datapath.DropMulticast},

		{"ARP (S6)", progrun.FromPod, arp(web4), pass},
		{"an ARP probe (S6)", progrun.FromPod, arp("0.0.0.0"), pass},
		{"ARP for another (S6)", progrun.FromPod, arp(local4), datapath.DropSource},
		{"ARP to the pod (S6)", progrun.ToPod, arp("169.254.1.1"), pass},
		{"ARP to the pod with its address (S6)", progrun.ToPod, arp(web4), datapath.DropSource},
		{"ARP, cut", progrun.FromPod, arp(web4)[:30], datapath.DropMalformed},
		{"solicitation (S6)", progrun.FromPod, bytes(neighbour(135, web6, "ff02::1:ff00:1", "fe80::1", 255)), pass},
		{"solicitation, link-local source (S6)", progrun.FromPod, bytes(neighbour(135, "fe80::9", "ff02::1:ff00:1", "fe80::1", 255)), pass},
		{"duplicate address detection (S6)", progrun.FromPod, bytes(neighbour(135, "::", "ff02::1:ff00:2", web6, 255)), pass},
		{"solicitation from another (S6)", progrun.FromPod, bytes(neighbour(135, "fd00:1::3", "ff02::1:ff00:1", "fe80::1", 255)), datapath.DropSource},
		{"advertisement (S6)", progrun.FromPod, bytes(neighbour(136, web6, "fe80::1", web6, 255)), pass},
		{"advertisement of another's address (S6)", progrun.FromPod, bytes(neighbour(136, web6, "fe80::1", "fd00:1::3", 255)), datapath.DropSource},
		{"a router's advertisement by a pod (S6)", progrun.FromPod, bytes(neighbour(134, "fe80::9", "ff02::1", "::", 255)), datapath.DropSource},
		{"a redirect by a pod (S6)", progrun.FromPod, bytes(neighbour(137, "fe80::9", "ff02::1", "::", 255)), datapath.DropSource},
		{"a redirect to a pod (S6)", progrun.ToPod, bytes(neighbour(137, "fe80::1", web6, "::", 255)), datapath.DropSource},
		{"a solicitation that was forwarded (S6)", progrun.FromPod, bytes(neighbour(135, web6, db6, "fe80::1", 64)), datapath.DropPolicy},
		{"a solicitation that leaves the link (S6)", progrun.FromPod, bytes(neighbour(135, web6, db6, "fe80::1", 255)), datapath.DropPolicy},
		{"solicitation to the pod (S6)", progrun.ToPod, bytes(neighbour(135, "fe80::1", web6, web6, 255)), pass},
		{"solicitation with the pod's address (S6)", progrun.ToPod, bytes(neighbour(135, web6, web6, web6, 255)), datapath.DropSource},

		{"a later fragment alone", progrun.FromPod, bytes(with(out(db4, tcp, make([]byte, 64)), func(f *progrun.Frame) { f.Fragment = 185 })), datapath.DropFragment},
		{"a later IPv6 fragment alone", progrun.FromPod, bytes(with(out(db6, tcp, make([]byte, 64)), func(f *progrun.Frame) { f.Fragment = 185 })), datapath.DropFragment},
		{"a fragment over the TCP flags", progrun.FromPod, bytes(with(out(db4, tcp, make([]byte, 64)), func(f *progrun.Frame) { f.Fragment = 1 })), datapath.DropMalformed},
		{"an IPv6 fragment over the TCP flags", progrun.FromPod, bytes(with(out(db6, tcp, make([]byte, 64)), func(f *progrun.Frame) { f.Fragment = 1 })), datapath.DropMalformed},
		{"a first fragment without its TCP header", progrun.FromPod, bytes(with(out(db4, tcp, make([]byte, 8)), func(f *progrun.Frame) { f.More = true })), datapath.DropMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := r.Reset(); err != nil {
				t.Fatal(err)
			}
			run(t, r, c.hook, f.web, c.frame, c.want)
		})
	}
}

// TestInterfaces covers what depends on where a packet comes from: no endpoint, no generation, itself (S6).
func TestInterfaces(t *testing.T) {
	f := newFixture(1)
	r := start(t, f.Build(), progrun.Options{})
	frame := out(db4, tcp, progrun.TCPHeader(1, 5432, progrun.SYN))
	if got, err := r.Unknown(progrun.FromPod, frame.Bytes()); err != nil || got.Drop != datapath.DropNoEndpoint {
		t.Errorf("unknown interface: %+v, %v", got, err)
	}
	self := in(web4, tcp, progrun.TCPHeader(1, 9, progrun.SYN))
	if got, err := r.Hairpin(f.web, self.Bytes()); err != nil || !got.Pass {
		t.Errorf("back to itself (S6): %+v, %v", got, err)
	}
	if err := r.Objects().RemoveShare(uint32(f.web)); err != nil {
		t.Fatal(err)
	}
	run(t, r, progrun.FromPod, f.web, frame.Bytes(), datapath.DropConntrack)
}

// TestPortTold: what is dropped before any table tells its port, where it was read as far as that, and none where not.
func TestPortTold(t *testing.T) {
	f := newFixture(1)
	r := start(t, f.Build(), progrun.Options{})
	mdl := with(in("fe80::1", icmp6, []byte{143, 0, 0, 0, 0, 0, 0, 0}), func(f *progrun.Frame) { f.Dst = netip.MustParseAddr("ff02::16") })
	for _, c := range []struct {
		name  string
		hook  progrun.Hook
		frame []byte
		drop  datapath.Drop
		port  string
	}{
		{"to a group", progrun.FromPod, out("224.0.0.251", udp, progrun.UDPHeader(4000, 5353)).Bytes(), datapath.DropMulticast, "UDP 5353"},
		{"a listener's report", progrun.ToPod, mdl.Bytes(), datapath.DropMulticast, "ICMPv6 36608"},
		{"another destination", progrun.ToPod, with(in(db4, tcp, progrun.TCPHeader(1, 80, progrun.SYN)), func(f *progrun.Frame) { f.Dst = netip.MustParseAddr(local4) }).Bytes(), datapath.DropDestination, "TCP 80"},
		{"ARP for another", progrun.FromPod, arp(local4), datapath.DropSource, ""},
		{"cut", progrun.FromPod, out(db4, tcp, progrun.TCPHeader(1, 80, progrun.SYN)).Bytes()[:14+20+8], datapath.DropMalformed, ""},
		{"a later fragment alone", progrun.FromPod, with(out(db4, tcp, make([]byte, 64)), func(f *progrun.Frame) { f.Fragment = 185 }).Bytes(), datapath.DropFragment, ""},
	} {
		got := run(t, r, c.hook, f.web, c.frame, c.drop)
		port := ""
		if got.Parsed {
			port = fmt.Sprint(got.Port.Space(), " ", got.Port.Number())
		}
		if port != c.port {
			t.Errorf("%s: told as %q, want %q", c.name, port, c.port)
		}
	}
}

// TestFragments lets later fragments follow their first: by its ports, under the generation of the day (S29).
func TestFragments(t *testing.T) {
	f := newFixture(1)
	r := start(t, f.Build(), progrun.Options{})
	for _, c := range []struct {
		name, remote string
		port         uint16
		want         datapath.Drop
	}{
		{"IPv4", db4, 53, 0}, {"IPv6", db6, 53, 0},
		{"IPv4, denied", db4, 54, datapath.DropPolicy}, {"IPv6, denied", db6, 54, datapath.DropPolicy},
	} {
		t.Run(c.name, func(t *testing.T) {
			first := with(out(c.remote, udp, append(progrun.UDPHeader(4000, c.port), make([]byte, 56)...)), func(f *progrun.Frame) {
				f.More, f.FragmentID = true, 77
			})
			later := with(out(c.remote, udp, make([]byte, 64)), func(f *progrun.Frame) { f.Fragment, f.FragmentID = 8, 77 })
			other := with(later, func(f *progrun.Frame) { f.FragmentID = 78 })
			run(t, r, progrun.FromPod, f.web, first.Bytes(), c.want)
			got := run(t, r, progrun.FromPod, f.web, later.Bytes(), c.want)
			if got.Port.Number() != c.port || got.Port.Space() != ir.UDP {
				t.Errorf("the later fragment was looked up as %s %d", got.Port.Space(), got.Port.Number())
			}
			run(t, r, progrun.FromPod, f.web, other.Bytes(), datapath.DropFragment)
			// The same identification in the other direction is another datagram.
			back := with(in(c.remote, udp, make([]byte, 64)), func(f *progrun.Frame) { f.Fragment, f.FragmentID = 8, 77 })
			run(t, r, progrun.ToPod, f.web, back.Bytes(), datapath.DropFragment)
		})
	}
}

// quote is an ICMP error about a frame: from a router, or from the pod.
func quote(about progrun.Frame, typ, code uint8, n int) []byte {
	b := about.Bytes()[14:]
	return progrun.ICMPHeader(typ, code, 0, b[:min(n, len(b))]...)
}

// TestErrors passes ICMP errors of allowed flows and no others.
func TestErrors(t *testing.T) {
	f := newFixture(1)
	r := start(t, f.Build(), progrun.Options{})
	const router4, router6 = "198.51.100.1", "2001:db8:5::1"
	for _, c := range []struct {
		name         string
		remote       string
		router       string
		proto, error uint8
		typ          uint8
		allowed, not []byte
		quoted       int
	}{
		{"TCP", db4, router4, tcp, icmp, 3, progrun.TCPHeader(40000, 5432, progrun.SYN), progrun.TCPHeader(40001, 5432, progrun.SYN), 28},
		{"UDP, time exceeded", db4, router4, udp, icmp, 11, progrun.UDPHeader(40000, 53), progrun.UDPHeader(40000, 54), 28},
		{"SCTP", db4, router4, sctp, icmp, 3, progrun.SCTPHeader(40000, 3868, 1), progrun.SCTPHeader(40000, 3869, 1), 28},
		{"echo", db4, router4, icmp, icmp, 3, progrun.ICMPHeader(8, 0, 5), progrun.ICMPHeader(8, 0, 6), 28},
		{"TCP, IPv6 too big", db6, router6, tcp, icmp6, 2, progrun.TCPHeader(40000, 5432, progrun.SYN), progrun.TCPHeader(40001, 5432, progrun.SYN), 1000},
		{"echo, IPv6", db6, router6, icmp6, icmp6, 1, progrun.ICMPHeader(128, 0, 5), progrun.ICMPHeader(128, 0, 6), 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			flow, other := out(c.remote, c.proto, c.allowed), out(c.remote, c.proto, c.not)
			about := in(c.router, c.error, quote(flow, c.typ, 1, c.quoted))
			run(t, r, progrun.ToPod, f.web, about.Bytes(), datapath.DropPolicy)
			run(t, r, progrun.FromPod, f.web, flow.Bytes(), 0)
			if got := run(t, r, progrun.ToPod, f.web, about.Bytes(), 0); !got.Reply {
				t.Error("not passed as part of the flow")
			}
			unrelated := in(c.router, c.error, quote(other, c.typ, 1, c.quoted))
			run(t, r, progrun.ToPod, f.web, unrelated.Bytes(), datapath.DropPolicy)
			short := in(c.router, c.error, quote(flow, c.typ, 1, 20))
			run(t, r, progrun.ToPod, f.web, short.Bytes(), datapath.DropPolicy)
			// A quotation that the pod did not send: the addresses are turned round.
			turned := with(flow, func(f *progrun.Frame) { f.Src, f.Dst = f.Dst, f.Src })
			run(t, r, progrun.ToPod, f.web, in(c.router, c.error, quote(turned, c.typ, 1, c.quoted)).Bytes(), datapath.DropPolicy)
		})
	}
	t.Run("by the pod", func(t *testing.T) {
		request := in(db4, tcp, progrun.TCPHeader(40000, 8080, progrun.SYN))
		about := out(db4, icmp, quote(request, 3, 3, 28))
		run(t, r, progrun.FromPod, f.web, about.Bytes(), datapath.DropPolicy)
		run(t, r, progrun.ToPod, f.web, request.Bytes(), 0)
		run(t, r, progrun.FromPod, f.web, about.Bytes(), 0)
		// Sent to somebody else, the same error would be a way out.
		run(t, r, progrun.FromPod, f.web, out("10.2.0.10", icmp, quote(request, 3, 3, 28)).Bytes(), datapath.DropPolicy)
	})
}

// TestLengths cuts frames of every kind at every length: none may pass shorter than whole, none may upset the program.
func TestLengths(t *testing.T) {
	f := newFixture(1)
	r := start(t, f.Build(), progrun.Options{})
	for _, fr := range []progrun.Frame{
		out(db4, tcp, progrun.TCPHeader(1, 5432, progrun.SYN)),
		out(db6, udp, progrun.UDPHeader(1, 53)),
		out(db4, sctp, progrun.SCTPHeader(1, 3868, 1)),
		with(out(db6, tcp, progrun.TCPHeader(1, 5432, progrun.SYN)), func(f *progrun.Frame) {
			f.Extensions = []progrun.Extension{{Type: 0, Data: make([]byte, 8)}}
		}),
	} {
		whole := fr.Bytes()
		// A test run takes no IP frame without an IP header.
		header := 14 + 20
		if fr.Src.Is6() {
			header = 14 + 40
		}
		for n := header; n < len(whole); n++ {
			got, err := r.Packet(progrun.FromPod, f.web, whole[:n], false)
			if err != nil {
				t.Fatal(err)
			}
			if got.Pass {
				t.Errorf("passed %d of %d bytes", n, len(whole))
			}
		}
		run(t, r, progrun.FromPod, f.web, whole, 0)
	}
}

// FuzzPacket throws bytes at both hooks: whatever passes has the pod's address at the pod's end (S7).
func FuzzPacket(f *testing.F) {
	fx := newFixture(1)
	r := start(f, fx.Build(), progrun.Options{})
	for _, fr := range []progrun.Frame{
		out(db4, tcp, progrun.TCPHeader(1, 5432, progrun.SYN)),
		in(db6, tcp, progrun.TCPHeader(1, 8080, progrun.SYN)),
		with(out(db6, udp, progrun.UDPHeader(1, 53)), func(f *progrun.Frame) { f.More = true }),
		with(out(db4, icmp, progrun.ICMPHeader(8, 0, 1)), func(f *progrun.Frame) { f.Options = []byte{1, 1, 1, 0} }),
	} {
		f.Add(fr.Bytes(), true)
		f.Add(fr.Bytes(), false)
	}
	f.Add(arp(web4), true)
	f.Fuzz(func(t *testing.T, frame []byte, fromPod bool) {
		if len(frame) < 14+40 || len(frame) > 1500 {
			return // a test run takes no IP frame without an IP header
		}
		h, at4, at6 := progrun.ToPod, 16, 24
		if fromPod {
			h, at4, at6 = progrun.FromPod, 12, 8
		}
		got, err := r.Packet(h, fx.web, frame, false)
		if err != nil {
			t.Fatal(err)
		}
		if !got.Pass || !got.Decided {
			return
		}
		b, typ := frame[14:], binary.BigEndian.Uint16(frame[12:])
		for typ == 0x8100 || typ == 0x88a8 {
			typ, b = binary.BigEndian.Uint16(b[2:]), b[4:]
		}
		var own bool
		if typ == 0x0800 {
			a, _ := netip.AddrFromSlice(b[at4 : at4+4])
			own = a == netip.MustParseAddr(web4)
		} else {
			a, _ := netip.AddrFromSlice(b[at6 : at6+16])
			own = a == netip.MustParseAddr(web6)
		}
		if !own {
			t.Errorf("%s passed %x", h, frame)
		}
	})
}
