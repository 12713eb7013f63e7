//go:build linux

package datapath_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/datapath"
	"github.com/weir-mesh/weir/datapath/internal/kerneltest"
	"github.com/weir-mesh/weir/datapath/internal/netlab"
	"github.com/weir-mesh/weir/datapath/internal/world"
)

// node is a lab with the pods a and b and what the datapath is told about them: b's port 8080 is open to a, 8081 to the
// node's own sockets, nothing else is.
type node struct {
	t    testing.TB
	lab  *netlab.Lab
	a, b *netlab.Pod
	opts datapath.Options
}

const (
	a4, a6 = "10.1.0.2", "fd00:1::2"
	b4, b6 = "10.1.0.3", "fd00:1::3"
)

func newNode(t testing.TB, mode datapath.AttachMode) *node {
	t.Helper()
	return newNodeOn(t, mode, func(*netlab.Lab) {})
}

// newNodeOn makes the node on a lab that is made ready first.
func newNodeOn(t testing.TB, mode datapath.AttachMode, ready func(*netlab.Lab)) *node {
	t.Helper()
	kerneltest.Need(t)
	if mode == datapath.TCX {
		kerneltest.NeedTCX(t)
	}
	n := &node{t: t, lab: netlab.New(t)}
	ready(n.lab)
	n.a, n.b = n.lab.Pod(a4, a6), n.lab.Pod(b4, b6)
	n.opts = datapath.Options{Root: fmt.Sprintf("/sys/fs/bpf/weir-test-%d-%d", os.Getpid(), time.Now().UnixNano()),
		NetNS: n.lab.Node(), Attach: mode, AllFlows: true, ConntrackEntries: 1024}
	t.Cleanup(func() {
		if _, err := datapath.Uninstall(n.opts); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(n.opts.Root); !os.IsNotExist(err) {
			t.Errorf("%s is left behind", n.opts.Root)
		}
	})
	for _, addr := range []string{":8080", ":8081"} {
		netlab.Listen(t, n.b.NS(), addr)
	}
	netlab.Listen(t, n.lab.Node(), ":9000")
	return n
}

// projection is the node's; open says whether b's port 8080 is open to a. Rules are padded to the given number.
func (n *node) projection(generation uint64, open bool, padding int) *plan.Projection {
	w := world.New(generation)
	rule, own := w.Rule("b.cue:3"), w.Rule("b.cue:5")
	for i := range padding {
		w.Rule(fmt.Sprint("padding ", i))
	}
	deny, allow, node := w.Simple(plan.Deny, -1), w.Simple(plan.Allow, rule), w.Simple(plan.Allow, own)
	expiring := w.Decision(plan.ProjectedDecision{Verdict: plan.Allow, Rule: rule, AuditVerdict: plan.Allow, AuditRule: rule, NotAfter: 5000, Then: uint32(deny)})
	egress, ingress := w.Table(allow), w.Table(deny)
	egressA := w.Table(deny)
	_, a := w.Pod("shop/a", egressA, ingress, a4, a6)
	_, b := w.Pod("shop/b", egress, ingress, b4, b6)
	host, socket, translated := w.Peer(plan.HostPeer, "host"), w.Peer(plan.OwnHostPeer, "own-node"), w.Peer(plan.TranslatedPeer, "translated")
	w.Address(netlab.Node4, translated, world.Own(socket, host))
	w.Address(netlab.Node6, translated, world.Own(socket, host))
	egressA.All(b, allow).Port(host, ir.TCP, 9000, allow)
	if open {
		ingress.Port(a, ir.TCP, 8080, allow)
	}
	ingress.Port(a, ir.TCP, 8082, expiring).Port(socket, ir.TCP, 8081, node).Port(a, ir.UDP, 5000, allow)
	w.P.DecisionDigest = fmt.Sprint("open ", open, padding)
	p := w.Build()
	p.Endpoints[0].Interface, p.Endpoints[1].Interface = n.a.Interface, n.b.Interface
	return p
}

func (n *node) open() *datapath.Datapath {
	n.t.Helper()
	d, err := datapath.Open(n.opts)
	if err != nil {
		n.t.Fatal(err)
	}
	return d
}

func (n *node) apply(d *datapath.Datapath, p *plan.Projection) *datapath.Applied {
	n.t.Helper()
	a, err := d.Apply(p, time.Unix(1000, 0))
	if err != nil {
		n.t.Fatal(err)
	}
	return a
}

const (
	waitAllowed = 3 * time.Second
	waitDenied  = 250 * time.Millisecond
)

// reaches dials and reports whether a connection comes about, and carries data.
func reaches(ctx context.Context, ns, addr string, want bool) error {
	wait := waitDenied
	if want {
		wait = waitAllowed
	}
	c, err := netlab.Dial(ctx, ns, addr, wait)
	if err == nil {
		err = netlab.Echo(c, wait)
		_ = c.Close()
	}
	if want && err != nil {
		return fmt.Errorf("%s from %s: not reached: %w", addr, ns, err)
	}
	if !want && err == nil {
		return fmt.Errorf("%s from %s: reached, and must not be", addr, ns)
	}
	return nil
}

func (n *node) expect(ns, addr string, want bool) {
	n.t.Helper()
	if err := reaches(n.t.Context(), ns, addr, want); err != nil {
		n.t.Error(err)
	}
}

// enforced checks the lab's policy by real connections.
func (n *node) enforced() {
	n.t.Helper()
	n.expect(n.a.NS(), net.JoinHostPort(b4, "8080"), true)
	n.expect(n.a.NS(), net.JoinHostPort(b6, "8080"), true)
	n.expect(n.a.NS(), net.JoinHostPort(b4, "8081"), false)
	n.expect(n.a.NS(), net.JoinHostPort(b6, "8081"), false)
	n.expect(n.lab.Node(), net.JoinHostPort(b4, "8081"), true) // S5
	n.expect(n.lab.Node(), net.JoinHostPort(b4, "8080"), false)
	n.expect(n.a.NS(), net.JoinHostPort(netlab.Node4, "9000"), true)
	n.expect(n.a.NS(), net.JoinHostPort(netlab.Node6, "9000"), true)
}

// flood sends UDP packets from a to b's denied port until stopped, and counts what arrives there.
type flood struct {
	sent, arrived atomic.Uint64
	stop          func()
}

func (n *node) flood() *flood {
	n.t.Helper()
	f := &flood{}
	var lc net.ListenConfig
	var in, out net.PacketConn
	if err := netlab.In(n.b.NS(), func() (err error) { in, err = lc.ListenPacket(n.t.Context(), "udp4", b4+":5001"); return err }); err != nil {
		n.t.Fatal(err)
	}
	if err := netlab.In(n.a.NS(), func() (err error) { out, err = lc.ListenPacket(n.t.Context(), "udp4", a4+":0"); return err }); err != nil {
		n.t.Fatal(err)
	}
	done := make(chan struct{}, 2)
	go func() {
		defer func() { done <- struct{}{} }()
		b := make([]byte, 64)
		for {
			if _, _, err := in.ReadFrom(b); err != nil {
				return
			}
			f.arrived.Add(1)
		}
	}()
	to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(b4 + ":5001"))
	go func() {
		defer func() { done <- struct{}{} }()
		for {
			if _, err := out.WriteTo([]byte("flood"), to); err != nil {
				return
			}
			if f.sent.Add(1)%64 == 0 {
				time.Sleep(time.Millisecond) // leave the machine to the tests
			}
		}
	}()
	f.stop = func() {
		_ = out.Close()
		time.Sleep(20 * time.Millisecond)
		_ = in.Close()
		<-done
		<-done
	}
	return f
}

func (n *node) checkFlood(f *flood) {
	n.t.Helper()
	f.stop()
	if f.arrived.Load() != 0 || f.sent.Load() < 1000 {
		n.t.Errorf("%d of %d denied packets arrived", f.arrived.Load(), f.sent.Load())
	}
	n.t.Logf("0 of %d denied packets arrived", f.sent.Load())
}
