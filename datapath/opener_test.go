//go:build linux

package datapath_test

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/datapath"
	"github.com/weir-mesh/weir/datapath/encode"
	"github.com/weir-mesh/weir/datapath/internal/netlab"
	"github.com/weir-mesh/weir/datapath/internal/world"
)

// sides say in which directions pods a and b may talk to each other.
type sides struct{ aEgress, aIngress, bEgress, bIngress bool }

// between is a projection in which nothing but the sides decides between a and b.
func (n *node) between(generation uint64, s sides) *plan.Projection {
	w := world.New(generation)
	deny, allow := w.Simple(plan.Deny, -1), w.Simple(plan.Allow, w.Rule("between"))
	tables := make([]*world.Table, 4)
	for i := range tables {
		tables[i] = w.Table(deny)
	}
	_, a := w.Pod("shop/a", tables[0], tables[1], a4, a6)
	_, b := w.Pod("shop/b", tables[2], tables[3], b4, b6)
	for i, open := range []bool{s.aEgress, s.aIngress, s.bEgress, s.bIngress} {
		if open {
			tables[i].All([]uint32{b, b, a, a}[i], allow)
		}
	}
	w.P.DecisionDigest = fmt.Sprint(s)
	p := w.Build()
	p.Endpoints[0].Interface, p.Endpoints[1].Interface = n.a.Interface, n.b.Interface
	return p
}

// conversation is a connection that a opened to b.
type conversation struct{ a, b net.Conn }

// converse opens a connection from a to a listener of b that stays open.
func (n *node) converse(to string) conversation {
	n.t.Helper()
	var lc net.ListenConfig
	var l net.Listener
	if err := netlab.In(n.b.NS(), func() (err error) { l, err = lc.Listen(n.t.Context(), "tcp", ":0"); return err }); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = l.Close() })
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		n.t.Fatal(err)
	}
	a, err := netlab.Dial(n.t.Context(), n.a.NS(), net.JoinHostPort(to, port), waitAllowed)
	if err != nil {
		n.t.Fatal(err)
	}
	b, aerr := l.Accept()
	if aerr != nil {
		n.t.Fatal(aerr)
	}
	n.t.Cleanup(func() { _ = errors.Join(a.Close(), b.Close()) })
	c := conversation{a, b}
	n.hears(a, b, true)
	n.hears(b, a, true)
	return c
}

// hears says something at one end, and checks whether it arrives at the other.
func (n *node) hears(from, to net.Conn, want bool) {
	n.t.Helper()
	wait := waitDenied
	if want {
		wait = waitAllowed
	}
	if err := errors.Join(from.SetDeadline(time.Now().Add(wait)), to.SetDeadline(time.Now().Add(wait))); err != nil {
		n.t.Error(err)
	}
	_, err := from.Write([]byte{'x'})
	if err == nil {
		_, err = to.Read(make([]byte, 1))
	}
	if (err == nil) != want {
		n.t.Errorf("%s → %s: arrives %v, want %v: %v", from.LocalAddr(), to.LocalAddr(), err == nil, want, err)
	}
}

// speak has both ends of conversations say something.
func (n *node) speak(cs []conversation, serverFirst, want bool) {
	n.t.Helper()
	var wg sync.WaitGroup
	for _, c := range cs {
		from, to := c.a, c.b
		if serverFirst {
			from, to = to, from
		}
		wg.Go(func() {
			n.hears(from, to, want)
			n.hears(to, from, want)
		})
	}
	wg.Wait()
}

// forget empties the endpoints' conntrack, as an eviction does.
func (n *node) forget() {
	n.t.Helper()
	outer, err := ebpf.LoadPinnedMap(filepath.Join(n.opts.Root, datapath.Layout, "conntrack"), nil)
	if err != nil {
		n.t.Fatal(err)
	}
	defer func() { _ = outer.Close() }()
	forgotten := 0
	for slot := range uint32(2) {
		var share *ebpf.Map
		if err := outer.Lookup(slot, &share); err != nil {
			n.t.Fatal(err)
		}
		var keys []encode.CtKey
		var k encode.CtKey
		var v encode.CtValue
		it := share.Iterate()
		for it.Next(&k, &v) {
			keys = append(keys, k)
		}
		err := it.Err()
		for _, k := range keys {
			if derr := share.Delete(k); derr == nil {
				forgotten++
			} else if !errors.Is(derr, ebpf.ErrKeyNotExist) {
				err = errors.Join(err, derr)
			}
		}
		if err := errors.Join(err, share.Close()); err != nil {
			n.t.Fatal(err)
		}
	}
	if forgotten == 0 {
		n.t.Error("nothing was tracked")
	}
}

// TestOpenConnections attaches under open connections, and loses their entries: who opened decides, whoever speaks first
// (S29).
func TestOpenConnections(t *testing.T) {
	type test struct {
		name  string
		sides sides
		goes  bool
	}
	all := sides{true, true, true, true}
	tests := []test{
		{"all open", all, true},
		{"the server's ingress is denied", sides{true, true, true, false}, false},
		{"the client's egress is denied", sides{false, true, true, true}, false},
		{"the server is isolated on egress", sides{true, true, false, true}, true},
		{"the client is isolated on ingress", sides{true, false, true, true}, true},
		{"only the connection's own direction is open", sides{true, false, false, true}, true},
		{"only the other direction is open", sides{false, true, true, false}, false},
	}
	n := newNode(t, datapath.Auto)
	for _, c := range tests {
		for _, serverFirst := range []bool{true, false} {
			name := fmt.Sprintf("%s, the server speaks first: %v", c.name, serverFirst)
			t.Run(name, func(t *testing.T) {
				n := &node{t: t, lab: n.lab, a: n.a, b: n.b, opts: n.opts}
				attached := []conversation{n.converse(b4), n.converse(b6)}
				d := n.open()
				n.apply(d, n.between(1, c.sides))
				n.speak(attached, serverFirst, c.goes)

				n.apply(d, n.between(2, all))
				evicted := []conversation{n.converse(b4), n.converse(b6)}
				n.apply(d, n.between(3, c.sides))
				n.forget()
				n.speak(evicted, serverFirst, c.goes)
				close(t, d)
				if _, err := datapath.Uninstall(n.opts); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// TestOpenConnectionsCut cuts what was picked up in its middle when a later generation denies it, by whichever side's
// packet it was picked up.
func TestOpenConnectionsCut(t *testing.T) {
	n := newNode(t, datapath.Auto)
	cs := []conversation{n.converse(b4), n.converse(b6)}
	d := n.open()
	defer close(t, d)
	n.apply(d, n.between(1, sides{true, true, true, true}))
	n.speak(cs[:1], true, true)
	n.speak(cs[1:], false, true)
	n.apply(d, n.between(2, sides{true, true, true, false}))
	n.speak(cs, true, false)
}

// TestMovedPod learns the pod's namespace when its end of the veth moves there after the programs are attached, as some
// plugins make a pod.
func TestMovedPod(t *testing.T) {
	n := newNode(t, datapath.Auto)
	d := n.open()
	defer close(t, d)
	p := n.between(1, sides{true, false, false, true})
	n.b.Disconnect()
	n.b.Plug()
	n.apply(d, p)
	n.b.Move()
	if diff, err := d.Verify(p); err != nil || len(diff) == 0 {
		t.Errorf("the kernel's endpoint does not differ: %v", err)
	}
	n.apply(d, p)
	if diff, err := d.Verify(p); err != nil || len(diff) != 0 {
		t.Errorf("verify: %v, %v", diff, err)
	}
	c := n.converse(b4)
	n.forget()
	n.speak([]conversation{c}, true, true)
}
