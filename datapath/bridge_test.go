//go:build linux

package datapath_test

import (
	"slices"
	"testing"
	"time"

	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/datapath"
	"github.com/weir-mesh/weir/datapath/internal/netlab"
)

// unnamed is the projection as it comes from the compiler: no interface is named.
func (n *node) unnamed() *plan.Projection {
	p := n.projection(1, true, 0)
	for i := range p.Endpoints {
		p.Endpoints[i].Interface = ""
	}
	return p
}

// TestBridge finds the veths of pods behind a bridge, and enforces there what it enforces elsewhere.
func TestBridge(t *testing.T) {
	for _, mode := range modes {
		t.Run(string(mode), func(t *testing.T) {
			n := newBridgedNode(t, mode)
			d := n.open()
			defer close(t, d)
			p := n.unnamed()
			if a := n.apply(d, p); !slices.Equal(a.Attached, []string{"shop/a", "shop/b"}) || len(a.Unfound) != 0 {
				t.Fatalf("applied %+v", a)
			}
			n.enforced()
			if diff, err := d.Verify(p); err != nil || len(diff) != 0 {
				t.Errorf("verify: %v, %v", diff, err)
			}
			// A pod without traffic, and one whose veth is made anew.
			n.b.Disconnect()
			a := n.apply(d, p)
			if len(a.Unfound) != 1 || a.Unfound[0].Name != "shop/b" || a.Unfound[0].Why != datapath.Nowhere {
				t.Errorf("applied %+v", a)
			}
			n.b.Connect()
			n.a.IP("neigh flush dev eth0") // its new link-layer address is not known to a
			n.lab.IP("neigh flush dev " + netlab.Bridge)
			if a := n.apply(d, p); !slices.Equal(a.Attached, []string{"shop/b"}) {
				t.Errorf("applied %+v", a)
			}
			n.enforced()
		})
	}
}

// TestBridgeAddressTaken: a pod that gives itself another's address takes no one's programs away, and gets nobody's.
func TestBridgeAddressTaken(t *testing.T) {
	n := newBridgedNode(t, datapath.Auto)
	d := n.open()
	defer close(t, d)
	p := n.unnamed()
	other := n.lab.Pod("10.1.0.9", "fd00:1::9")
	other.IP("addr add " + b4 + "/24 dev eth0")
	a := n.apply(d, p)
	if !slices.Equal(a.Attached, []string{"shop/a"}) || len(a.Unfound) != 1 || a.Unfound[0].Why != datapath.Ambiguous {
		t.Fatalf("two have b's address: %+v", a)
	}
	other.IP("addr del " + b4 + "/24 dev eth0")
	n.apply(d, p)
	n.enforced()
	// What is held stays: whatever the pods' own addresses are, b's programs are at its veth.
	other.IP("addr add " + b4 + "/24 dev eth0")
	n.b.IP("addr del " + b4 + "/24 dev eth0")
	n.b.IP("addr del " + b6 + "/64 dev eth0")
	if a := n.apply(d, p); len(a.Attached)+len(a.Detached)+len(a.Unfound) != 0 {
		t.Errorf("b gave its addresses away: %+v", a)
	}
}

// TestSharedRoute: a route of a whole network to a veth is nobody's own, and an address alone that leads to another's is not
// believed.
func TestSharedRoute(t *testing.T) {
	n := newNode(t, datapath.Auto)
	d := n.open()
	defer close(t, d)
	n.lab.IP("route del " + b4 + "/32 dev " + n.b.Interface)
	n.lab.IP("-6 route del " + b6 + "/128 dev " + n.b.Interface)
	n.lab.IP("route add 10.1.0.0/24 dev " + n.a.Interface)
	p := n.unnamed()
	if a := n.apply(d, p); !slices.Equal(a.Attached, []string{"shop/a", "shop/b"}) || len(a.Unfound) != 0 {
		t.Fatalf("a network's route to a: %+v", a)
	}
	st, err := d.State()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{n.a.Interface, n.b.Interface} {
		if st.Endpoints[i].Interface != want {
			t.Errorf("%s is at %s, want %s", st.Endpoints[i].Name, st.Endpoints[i].Interface, want)
		}
	}
	n.b.Disconnect()
	n.lab.IP("route add " + b4 + "/32 dev " + n.a.Interface)
	a := n.apply(d, p)
	if len(a.Unfound) != 1 || a.Unfound[0].Name != "shop/b" || a.Unfound[0].Why != datapath.Ambiguous || slices.Contains(a.Detached, "shop/a") {
		t.Errorf("b's address is routed to a: %+v", a)
	}
}

// TestNoVeth says of an address that is routed to something else what that is.
func TestNoVeth(t *testing.T) {
	n := newNode(t, datapath.Auto)
	d := n.open()
	defer close(t, d)
	n.b.Disconnect()
	n.lab.IP("link add other0 type bridge")
	n.lab.IP("link set other0 up")
	n.lab.IP("route add " + b4 + "/32 dev other0")
	a := n.apply(d, n.unnamed())
	if len(a.Unfound) != 1 || a.Unfound[0].Why != datapath.NoVeth || a.Unfound[0].Text != "its address "+b4+" is routed to other0, which is of kind bridge and no veth" {
		t.Errorf("applied %+v", a)
	}
}

func newBridgedNode(t testing.TB, mode datapath.AttachMode) *node {
	t.Helper()
	return newNodeOn(t, mode, (*netlab.Lab).UseBridge)
}

// TestBridgeAddress: what the node's own sockets send from its bridge's address is own-node's (S5); the same address in the
// hands of a pod is not, and is no destination that the plan knows.
func TestBridgeAddress(t *testing.T) {
	n := newBridgedNode(t, datapath.Auto)
	d := n.open()
	defer close(t, d)
	p := n.unnamed()
	n.apply(d, p)
	n.expect(n.lab.Node(), b4+":8081", true)
	n.expect(n.lab.Node(), "["+b6+"]:8081", true)
	n.expect(n.lab.Node(), b4+":8080", false)
	n.expect(n.a.NS(), netlab.Gateway4+":9000", false)

	other := n.lab.Pod("10.1.0.9", "fd00:1::9")
	other.IP("addr add " + netlab.Gateway4 + "/32 dev eth0")
	other.IP("route add " + b4 + "/32 dev eth0 src " + netlab.Gateway4)
	begin, stop := time.Now(), n.watch(d) // which reads what came before, too
	n.expect(other.NS(), b4+":8081", false)
	time.Sleep(50 * time.Millisecond)
	seen := 0
	for _, e := range stop() {
		if e.Endpoint == "shop/b" && e.Remote.Addr().String() == netlab.Gateway4 && e.Port.Number() == 8081 && e.Time.After(begin) {
			if seen++; e.Verdict != plan.Deny || e.PeerName != "translated" {
				t.Errorf("a pod with the bridge's address is %s: %s", e.PeerName, e.Verdict)
			}
		}
	}
	if seen == 0 {
		t.Error("b's programs saw nothing of a pod with the bridge's address")
	}
	// An address that comes later is learnt at the next look, and one that goes is forgotten.
	n.lab.IP("addr add 10.1.0.253/24 dev " + netlab.Bridge)
	if diff, err := d.Verify(p); err != nil || len(diff) == 0 {
		t.Errorf("a new address verifies: %v", err)
	}
	n.apply(d, p)
	if diff, err := d.Verify(p); err != nil || len(diff) != 0 {
		t.Errorf("verify: %v, %v", diff, err)
	}
}

// TestBridgeDispute: a pod that has the address of another, which is not there, might be either: it passes nothing.
func TestBridgeDispute(t *testing.T) {
	for _, mode := range modes {
		t.Run(string(mode), func(t *testing.T) {
			n := newBridgedNode(t, mode)
			d := n.open()
			defer close(t, d)
			p := n.unnamed()
			n.b.Disconnect()
			n.a.IP("addr add " + b4 + "/24 dev eth0")
			n.expect(n.a.NS(), netlab.Node4+":9000", true)
			for range 2 {
				if a := n.apply(d, p); len(a.Unfound) != 2 || a.Unfound[0].Text != "it and shop/b are behind the same interface, "+n.a.Interface+", where nothing passes now" {
					t.Errorf("applied %+v", a)
				}
				n.expect(n.a.NS(), netlab.Node4+":9000", false)
			}
			n.a.IP("addr del " + b4 + "/24 dev eth0")
			n.b.Connect()
			n.apply(d, p)
			n.enforced()
		})
	}
}
