//go:build linux

package datapath_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/weir-mesh/weir/datapath"
	"github.com/weir-mesh/weir/datapath/internal/netlab"
)

func close(t testing.TB, d *datapath.Datapath) {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

var modes = []datapath.AttachMode{datapath.TCX, datapath.Clsact}

// TestSockets enforces by real sockets, reads back, and opens again on uninstall (S5, S6).
func TestSockets(t *testing.T) {
	for _, mode := range modes {
		t.Run(string(mode), func(t *testing.T) {
			n := newNode(t, mode)
			d := n.open()
			defer close(t, d)
			p := n.projection(1, true, 0)
			n.expect(n.a.NS(), net.JoinHostPort(b4, "8081"), true) // nothing is enforced yet
			a := n.apply(d, p)
			if !slices.Equal(a.Attached, []string{"shop/a", "shop/b"}) || a.Epoch != 1 || len(a.Missing) != 0 {
				t.Errorf("applied %+v", a)
			}
			n.enforced()

			diff, err := d.Verify(p)
			if err != nil || len(diff) != 0 {
				t.Errorf("verify: %v, %v", diff, err)
			}
			if diff, err = d.Verify(n.projection(1, false, 0)); err != nil || len(diff) == 0 {
				t.Errorf("another policy verifies: %v", err)
			}
			s, err := d.State()
			if err != nil {
				t.Fatal(err)
			}
			if s.Mode != mode || s.Generation != 1 || len(s.Endpoints) != 2 || !s.Endpoints[1].Ingress || !s.Endpoints[1].Egress || s.Endpoints[1].Name != "shop/b" {
				t.Errorf("state %+v", s)
			}
			c, err := d.Counters()
			if err != nil {
				t.Fatal(err)
			}
			if c.Rules[0].Packets == 0 || c.Rules[1].Packets == 0 || c.NoRule.Packets == 0 || c.Drops[datapath.DropPolicy].Packets == 0 || c.Passed.Bytes == 0 {
				t.Errorf("counters %+v", c)
			}

			r, err := datapath.Uninstall(n.opts)
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(r.Interfaces)
			if !slices.Equal(r.Interfaces, []string{n.a.Interface, n.b.Interface}) || r.Pins == 0 {
				t.Errorf("removed %+v", r)
			}
			n.expect(n.a.NS(), net.JoinHostPort(b4, "8081"), true)
			if s, err := datapath.Inspect(n.opts); err != nil || s.Loaded {
				t.Errorf("after uninstall: %+v, %v", s, err)
			}
		})
	}
}

// TestTakeOver restarts under a flood of denied packets, from each way of attaching to each: none may pass.
func TestTakeOver(t *testing.T) {
	t.Run("clsact", func(t *testing.T) { takeOver(t, datapath.Clsact) })
	t.Run("both", func(t *testing.T) { takeOver(t, modes...) })
}

func takeOver(t *testing.T, modes ...datapath.AttachMode) {
	n := newNode(t, modes[0])
	d := n.open()
	n.apply(d, n.projection(1, true, 0))
	f := n.flood()
	for range 3 {
		for _, mode := range modes {
			close(t, d) // as a kill does: nothing is detached
			n.opts.Attach = mode
			d = n.open()
			n.enforced()
			n.apply(d, n.projection(1, true, 0))
		}
	}
	n.checkFlood(f)
	s, err := datapath.Inspect(n.opts)
	if err != nil || s.Mode != datapath.Clsact || s.Generation != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	close(t, d)
}

// TestGenerations swaps generations under an open connection (S29), refuses older ones and lets a decision expire (S28).
func TestGenerations(t *testing.T) {
	n := newNode(t, datapath.Auto)
	d := n.open()
	defer close(t, d)
	n.apply(d, n.projection(2, true, 0))
	c, err := netlab.Dial(t.Context(), n.a.NS(), net.JoinHostPort(b4, "8080"), waitAllowed)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	n.apply(d, n.projection(3, true, 0))
	if err := netlab.Echo(c, waitAllowed); err != nil {
		t.Errorf("an allowed connection was cut: %v", err)
	}
	n.apply(d, n.projection(4, false, 0))
	if err := netlab.Echo(c, waitDenied); err == nil {
		t.Error("a connection outlived its rule (S29)")
	}
	if _, err := d.Apply(n.projection(3, true, 0), time.Unix(1000, 0)); !errors.Is(err, datapath.ErrOlderGeneration) {
		t.Errorf("an older generation: %v", err)
	}
	if _, err := d.Apply(n.projection(4, true, 0), time.Unix(1000, 0)); !errors.Is(err, datapath.ErrOlderGeneration) {
		t.Errorf("the same generation with another content: %v", err)
	}
	n.expect(n.a.NS(), net.JoinHostPort(b4, "8080"), false)
}

// TestExpiry lets an allow end by the node's own clock (S28).
func TestExpiry(t *testing.T) {
	n := newNode(t, datapath.Auto)
	netlab.Listen(t, n.b.NS(), ":8082")
	d := n.open()
	defer close(t, d)
	n.apply(d, n.projection(1, true, 0))
	n.expect(n.a.NS(), net.JoinHostPort(b4, "8082"), true)
	next, ok := d.NextExpiry()
	if !ok || next.Unix() != 5000 {
		t.Fatalf("next expiry %v, %v", next, ok)
	}
	if a, err := d.Advance(next.Add(-time.Second)); a != nil || err != nil {
		t.Errorf("advanced too early: %+v, %v", a, err)
	}
	n.expect(n.a.NS(), net.JoinHostPort(b4, "8082"), true)
	a, err := d.Advance(next)
	if err != nil || a.Epoch != 2 || a.Generation != 1 {
		t.Fatalf("%+v, %v", a, err)
	}
	n.expect(n.a.NS(), net.JoinHostPort(b4, "8082"), false)
	if _, ok := d.NextExpiry(); ok {
		t.Error("something still expires")
	}
}

// TestSevered deletes and recreates a veth: the old link is dead, Apply makes another.
func TestSevered(t *testing.T) {
	for _, mode := range modes {
		t.Run(string(mode), func(t *testing.T) {
			n := newNode(t, mode)
			d := n.open()
			defer close(t, d)
			p := n.projection(1, true, 0)
			n.apply(d, p)
			n.b.Disconnect()
			if a := n.apply(d, p); !slices.Equal(a.Missing, []string{"shop/b"}) {
				t.Errorf("applied %+v", a)
			}
			n.b.Connect()
			if diff, err := d.Verify(p); err != nil || len(diff) == 0 {
				t.Errorf("a new interface verifies: %v", err)
			}
			if a := n.apply(d, p); !slices.Equal(a.Attached, []string{"shop/b"}) {
				t.Errorf("applied %+v", a)
			}
			n.enforced()
			if diff, err := d.Verify(p); err != nil || len(diff) != 0 {
				t.Errorf("verify: %v, %v", diff, err)
			}
		})
	}
}

// TestGrow applies a generation that needs larger maps, under a flood of denied packets.
func TestGrow(t *testing.T) {
	for _, mode := range modes {
		t.Run(string(mode), func(t *testing.T) {
			n := newNode(t, mode)
			d := n.open()
			n.apply(d, n.projection(1, true, 0))
			n.enforced()
			before, err := d.Counters()
			if err != nil {
				t.Fatal(err)
			}
			f := n.flood()
			a := n.apply(d, n.projection(2, true, 40_000))
			if !a.Grown {
				t.Errorf("applied %+v", a)
			}
			n.enforced()
			after, err := d.Counters()
			if err != nil || after.Rules[0].Packets <= before.Rules[0].Packets {
				t.Errorf("counters of a rule that stays: %+v, then %+v, %v", before.Rules[0], after.Rules[0], err)
			}
			close(t, d)
			d = n.open()
			defer close(t, d)
			n.enforced()
			if a := n.apply(d, n.projection(3, true, 0)); a.Grown || a.Epoch != 3 {
				t.Errorf("applied %+v", a)
			}
			n.enforced()
			n.checkFlood(f)
		})
	}
}

// TestGrowFails keeps what there is when larger maps cannot be pinned, and gives no epoch twice: entries of conntrack may
// have been judged under the one that came to nothing (S29).
func TestGrowFails(t *testing.T) {
	n := newNode(t, datapath.Auto)
	d := n.open()
	n.apply(d, n.projection(1, true, 0))
	obstacle := filepath.Join(n.opts.Root, datapath.Layout, "next_blob")
	if err := os.MkdirAll(filepath.Join(obstacle, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if a, err := d.Apply(n.projection(2, true, 40_000), time.Unix(1000, 0)); err == nil {
		t.Errorf("applied %+v", a)
	}
	n.enforced()
	if s, err := d.State(); err != nil || s.Generation != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	if err := os.RemoveAll(obstacle); err != nil {
		t.Fatal(err)
	}
	if a := n.apply(d, n.projection(2, true, 40_000)); !a.Grown || a.Epoch != 3 {
		t.Errorf("applied %+v", a)
	}
	n.enforced()
	close(t, d)
	d = n.open()
	defer close(t, d)
	if s, err := d.State(); err != nil || s.Generation != 2 || s.Epoch != 3 {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestEvents sees a new flow, a denied one and their names.
func TestEvents(t *testing.T) {
	n := newNode(t, datapath.Auto)
	d := n.open()
	defer close(t, d)
	n.apply(d, n.projection(1, true, 0))
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan *datapath.Event, 1000)
	done := make(chan error, 1)
	go func() { done <- d.Events(ctx, func(e *datapath.Event) { got <- e }) }()
	n.expect(n.a.NS(), net.JoinHostPort(b4, "8080"), true)
	n.expect(n.a.NS(), net.JoinHostPort(b4, "8081"), false)
	var opened, denied *datapath.Event
	for opened == nil || denied == nil {
		select {
		case e := <-got:
			if e.Endpoint != "shop/b" {
				continue
			}
			switch e.Kind {
			case datapath.NewFlow:
				opened = e
			case datapath.DeniedFlow:
				denied = e
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("opened %+v, denied %+v", opened, denied)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if opened.FromPod || opened.RuleName != "b.cue:3" || opened.PeerName != "shop/a" || opened.Local.String() != "10.1.0.3:8080" || opened.Remote.Addr().String() != a4 || opened.Generation != 1 {
		t.Errorf("new flow %+v", opened)
	}
	if denied.Drop != datapath.DropPolicy || denied.Rule != -1 || denied.Local.Port() != 8081 || time.Since(denied.Time).Abs() > time.Minute {
		t.Errorf("denied flow %+v", denied)
	}
}
