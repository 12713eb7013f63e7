//go:build linux

package progrun_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/datapath"
	"github.com/weir-mesh/weir/datapath/internal/kerneltest"
	"github.com/weir-mesh/weir/datapath/internal/netlab"
	"github.com/weir-mesh/weir/datapath/progrun"
)

// The ports of web's connections, which are open when the packets are run: db opened the one to web's 8080, web the one to
// db's 5432; the node and web have the same ones. Nothing has a socket at the last.
const (
	servedPort, servedFrom = 8080, 50001
	askedPort, askedFrom   = 5432, 50002
	nodeFrom               = 50003
	nobodys                = 50004
)

// sockets are web's, db's and the node's, in one namespace, and its number among the namespaces that the test's own knows.
func sockets(t *testing.T) (path string, netns uint32) {
	t.Helper()
	kerneltest.Need(t)
	path = netlab.New(t).Node()
	if err := netlab.In(path, func() error { return openSockets(t) }); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	const any = -1
	if err := netlink.SetNetNsIdByFd(int(f.Fd()), any); err != nil {
		t.Fatal(err)
	}
	id, err := netlink.GetNetNsIdByFd(int(f.Fd()))
	if err != nil || id < 0 {
		t.Fatal(id, err)
	}
	return path, uint32(id) + 1
}

func openSockets(t *testing.T) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	for _, a := range []string{web4 + "/32", web6 + "/128", db4 + "/32", db6 + "/128"} {
		addr, err := netlink.ParseAddr(a)
		if err == nil {
			addr.Flags = unix.IFA_F_NODAD
			err = netlink.AddrAdd(lo, addr)
		}
		if err != nil {
			return err
		}
	}
	listeners := map[netip.AddrPort]net.Listener{}
	for _, c := range []struct {
		server, client string
		port, from     uint16
	}{{web4, db4, servedPort, servedFrom}, {web6, db6, servedPort, servedFrom}, {db4, web4, askedPort, askedFrom}, {db6, web6, askedPort, askedFrom},
		{web4, node4, servedPort, nodeFrom}, {web6, node6, servedPort, nodeFrom}, {node4, web4, askedPort, nodeFrom}, {node6, web6, askedPort, nodeFrom}} {
		at := netip.AddrPortFrom(netip.MustParseAddr(c.server), c.port)
		l := listeners[at]
		if l == nil {
			var lc net.ListenConfig
			lc.SetMultipathTCP(false)
			if l, err = lc.Listen(t.Context(), "tcp", at.String()); err != nil {
				return err
			}
			listeners[at] = l
			t.Cleanup(func() { _ = l.Close() })
		}
		d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(c.client), c.from))}
		client, err := d.DialContext(t.Context(), "tcp", at.String())
		for deadline := time.Now().Add(5 * time.Second); errors.Is(err, unix.ENETUNREACH) && time.Now().Before(deadline); {
			time.Sleep(10 * time.Millisecond) // the kernel routes a new IPv6 address a moment later
			client, err = d.DialContext(t.Context(), "tcp", at.String())
		}
		if err != nil {
			return err
		}
		server, aerr := l.Accept()
		t.Cleanup(func() { _ = errors.Join(client.Close(), server.Close()) })
		if aerr != nil {
			return aerr
		}
	}
	return nil
}

// pair are packets of the middle of a connection: web's and db's.
func pair(remote string, local, other uint16) (ours, theirs progrun.Frame) {
	return out(remote, tcp, progrun.TCPHeader(local, other, progrun.ACK)), in(remote, tcp, progrun.TCPHeader(other, local, progrun.ACK))
}

const either = 32 // CT_EITHER

// opened is a world that says what db may open to web and web to db: nothing, or everything.
func opened(generation uint64, egress, ingress bool) *fixture {
	f := newFixture(generation)
	answer := map[bool]uint16{true: f.allow, false: f.deny}
	f.egress.All(f.db, answer[egress])
	f.ingress.All(f.db, answer[ingress])
	return f
}

// TestOpener runs packets of the middle of connections that no entry tells of: web's sockets say who opened, and whoever
// speaks first, the connection is judged by its opener's direction alone (S29).
func TestOpener(t *testing.T) {
	_, netns := sockets(t)
	r := start(t, opened(1, false, false).Build(), progrun.Options{NetNS: netns})
	generation := uint64(1)
	publish := func(t *testing.T, egress, ingress bool) *fixture {
		t.Helper()
		generation++
		f := opened(generation, egress, ingress)
		if err := errors.Join(r.Publish(f.Build(), epoch), r.Reset()); err != nil {
			t.Fatal(err)
		}
		return f
	}
	for _, c := range []struct {
		name        string
		local, port uint16
		ingress     bool // the direction in which it was opened
	}{{"web serves", servedPort, servedFrom, true}, {"web asked", askedFrom, askedPort, false}} {
		for _, remote := range []string{db4, db6} {
			t.Run(c.name+" "+remote, func(t *testing.T) {
				ours, theirs := pair(remote, c.local, c.port)
				original, reply := progrun.FromPod, progrun.ToPod
				frames := map[progrun.Hook][]byte{progrun.FromPod: ours.Bytes(), progrun.ToPod: theirs.Bytes()}
				key := plan.Key(ir.TCP, c.port)
				if c.ingress {
					original, reply, key = reply, original, plan.Key(ir.TCP, c.local)
				}
				for _, first := range []progrun.Hook{original, reply} {
					f := publish(t, !c.ingress, c.ingress)
					got := run(t, r, first, f.web, frames[first], 0)
					if got.Reply != (first == reply) || got.Port != key || got.Rule != f.allowRule || got.Kept {
						t.Errorf("the first packet: %+v", got)
					}
					if _, e := entry(t, r); e.Dir != map[bool]uint8{false: 0, true: 1}[c.ingress] || e.Key != uint32(key) || e.Flags != 0 {
						t.Errorf("the entry: %+v", e)
					}
					for _, h := range []progrun.Hook{original, reply} {
						if got := run(t, r, h, f.web, frames[h], 0); !got.Kept || got.Reply != (h == reply) {
							t.Errorf("the next one %s: %+v", h, got)
						}
					}

					// The next generation allows the other direction alone, under the entry and, once it is lost, without.
					generation++
					if err := r.Publish(opened(generation, c.ingress, !c.ingress).Build(), epoch); err != nil {
						t.Fatal(err)
					}
					for range 2 {
						for range 2 {
							if got := run(t, r, first, f.web, frames[first], datapath.DropPolicy); got.Port != key {
								t.Errorf("denied: %+v", got)
							}
							run(t, r, original, f.web, frames[original], datapath.DropPolicy)
						}
						if err := r.Reset(); err != nil {
							t.Fatal(err)
						}
					}
					run(t, r, reply, f.web, frames[reply], datapath.DropPolicy)
					var k, v []byte
					if share(t, r).Iterate().Next(&k, &v) {
						t.Error("a denied packet made an entry")
					}
				}
			})
		}
	}
}

// TestOpenerOwnNode has web speak first to a socket of its own node: that it is one can't be seen from web's packet, which
// counts as one to a translated source until the node's own comes (S5).
func TestOpenerOwnNode(t *testing.T) {
	f := newFixture(1)
	f.ingress.Port(f.socket, ir.TCP, servedPort, f.allow)
	f.egress.Port(f.host, ir.TCP, askedPort, f.allow)
	_, netns := sockets(t)
	r := start(t, f.Build(), progrun.Options{NetNS: netns})
	for _, remote := range []string{node4, node6} {
		ours, theirs := pair(remote, servedPort, nodeFrom)
		run(t, r, progrun.FromPod, f.web, ours.Bytes(), datapath.DropPolicy)
		for _, kept := range []bool{false, true} {
			if got, err := r.Packet(progrun.ToPod, f.web, theirs.Bytes(), true); err != nil || !got.Pass || got.Kept != kept {
				t.Errorf("the node's packet: %+v, %v", got, err)
			}
		}
		if got := run(t, r, progrun.FromPod, f.web, ours.Bytes(), 0); !got.Reply {
			t.Errorf("the answer: %+v", got)
		}

		// What web asked the node for is web's flow, whatever answers.
		ours, theirs = pair(remote, nodeFrom, askedPort)
		if got, err := r.Packet(progrun.ToPod, f.web, theirs.Bytes(), true); err != nil || !got.Pass || !got.Reply {
			t.Errorf("the node's answer: %+v, %v", got, err)
		}
		if got := run(t, r, progrun.FromPod, f.web, ours.Bytes(), 0); !got.Kept {
			t.Errorf("web's packet: %+v", got)
		}
	}
}

// TestOpenerListens runs a packet to a port on which web listens and has no connection: who completes a handshake that
// the kernel answered by a cookie has no socket yet.
func TestOpenerListens(t *testing.T) {
	_, theirs := pair(db4, servedPort, nobodys)
	f := opened(1, false, true)
	_, netns := sockets(t)
	r := start(t, f.Build(), progrun.Options{NetNS: netns})
	run(t, r, progrun.ToPod, f.web, theirs.Bytes(), 0)
	f = opened(2, true, false)
	if err := errors.Join(r.Publish(f.Build(), epoch), r.Reset()); err != nil {
		t.Fatal(err)
	}
	run(t, r, progrun.ToPod, f.web, theirs.Bytes(), datapath.DropPolicy)
}

// TestOpenerUnknown runs packets of connections of which nobody knows who opened, because web's namespace is not known or
// has no such socket: both directions have to allow, under each generation.
func TestOpenerUnknown(t *testing.T) {
	_, known := sockets(t)
	for _, c := range []struct {
		name        string
		netns       uint32
		local, port uint16
	}{{"no namespace", 0, servedPort, servedFrom}, {"a namespace that is gone", 1 << 20, servedPort, servedFrom}, {"no socket", known, nobodys, nobodys}} {
		r := start(t, opened(1, true, true).Build(), progrun.Options{NetNS: c.netns})
		generation := uint64(1)
		const web = 0
		hooks := []progrun.Hook{progrun.FromPod, progrun.ToPod}
		for _, remote := range []string{db4, db6} {
			t.Run(c.name+" "+remote, func(t *testing.T) {
				ours, theirs := pair(remote, c.local, c.port)
				frames := map[progrun.Hook][]byte{progrun.FromPod: ours.Bytes(), progrun.ToPod: theirs.Bytes()}
				for _, h := range hooks {
					if err := r.Reset(); err != nil {
						t.Fatal(err)
					}
					if got := run(t, r, h, web, frames[h], 0); got.Reply {
						t.Errorf("taken for a reply: %+v", got)
					}
					if _, e := entry(t, r); e.Flags != either {
						t.Errorf("the entry: %+v", e)
					}
					for _, next := range hooks {
						if got := run(t, r, next, web, frames[next], 0); !got.Kept {
							t.Errorf("%s after %s: %+v", next, h, got)
						}
					}
				}
				for _, first := range hooks {
					for _, deny := range []struct{ egress, ingress bool }{{true, false}, {false, true}} {
						for _, open := range []bool{false, true} {
							generation++
							f := opened(generation, !deny.egress || open, !deny.ingress || open)
							if err := r.Publish(f.Build(), epoch); err != nil {
								t.Fatal(err)
							}
							want := map[bool]datapath.Drop{false: datapath.DropPolicy, true: 0}[open]
							for range 2 {
								run(t, r, first, web, frames[first], want)
								run(t, r, 1-first, web, frames[1-first], want)
							}
						}
					}
				}
			})
		}
	}
}

// TestOpenerElsewhere does not ask the namespace that the packet is in, the node's, when the pod's is not known.
func TestOpenerElsewhere(t *testing.T) {
	path, _ := sockets(t)
	f := opened(1, false, true)
	r := start(t, f.Build(), progrun.Options{})
	ours, _ := pair(db4, servedPort, servedFrom)
	err := netlab.In(path, func() error {
		got, err := r.Packet(progrun.FromPod, f.web, ours.Bytes(), false)
		if got.Drop != datapath.DropPolicy {
			t.Errorf("%+v", got)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestOpenerLearnt follows a connection whose opener becomes known by one that opens it anew, and one that is quoted in an
// ICMP error before it is judged again.
func TestOpenerLearnt(t *testing.T) {
	f := opened(1, true, true)
	r := start(t, f.Build(), progrun.Options{})
	ours, theirs := pair(db4, servedPort, servedFrom)
	run(t, r, progrun.ToPod, f.web, theirs.Bytes(), 0)
	unreachable := in("198.51.100.1", icmp, quote(ours, 3, 4, 28)).Bytes()
	run(t, r, progrun.ToPod, f.web, unreachable, 0)
	if err := r.Publish(opened(2, false, true).Build(), epoch); err != nil {
		t.Fatal(err)
	}
	run(t, r, progrun.ToPod, f.web, unreachable, datapath.DropPolicy)

	if err := r.Publish(opened(3, false, true).Build(), epoch); err != nil {
		t.Fatal(err)
	}
	run(t, r, progrun.ToPod, f.web, theirs.Bytes(), datapath.DropPolicy)
	run(t, r, progrun.ToPod, f.web, in(db4, tcp, progrun.TCPHeader(servedFrom, servedPort, progrun.SYN)).Bytes(), 0)
	run(t, r, progrun.ToPod, f.web, theirs.Bytes(), 0)
	run(t, r, progrun.FromPod, f.web, ours.Bytes(), 0)
	if _, e := entry(t, r); e.Flags != 0 {
		t.Errorf("the entry: %+v", e)
	}
}
