//go:build linux

package load_test

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/datapath"
	"github.com/weir-mesh/weir/datapath/encode"
	"github.com/weir-mesh/weir/datapath/internal/kerneltest"
	"github.com/weir-mesh/weir/datapath/internal/world"
	"github.com/weir-mesh/weir/datapath/load"
	"github.com/weir-mesh/weir/datapath/progrun"
)

const (
	pod  = "10.1.0.2"
	peer = "10.2.0.9"
	slot = 0
	key  = 1 // what stands for the interface
)

func objects(t *testing.T, rate uint32) *load.Objects {
	t.Helper()
	return objectsOf(t, load.Config{Blob: 1 << 20, Rules: 16, ConntrackEntries: 64, EventBytes: 1 << 16, EventRate: rate, Testing: true})
}

func objectsOf(t *testing.T, c load.Config) *load.Objects {
	t.Helper()
	kerneltest.Need(t)
	o, err := load.New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := o.AddShare(slot); err != nil {
		t.Fatal(err)
	}
	return o
}

func generation(t *testing.T) *encode.Generation {
	t.Helper()
	w := world.New(1)
	deny, allow := w.Simple(plan.Deny, -1), w.Simple(plan.Allow, w.Rule("a"))
	table := w.Table(deny)
	w.Pod("a", table, table, pod)
	w.Address(peer, w.Peer(plan.PodPeer, "b"))
	table.Port(2, ir.TCP, 443, allow)
	g, err := encode.Encode(encode.Input{Projection: w.Build(), Epoch: 1, Bindings: []encode.Binding{{Slot: slot, Ifindex: key}}})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// send runs a packet of the pod and returns why it was dropped.
func send(t *testing.T, o *load.Objects, port uint16) datapath.Drop {
	t.Helper()
	return sendTCP(t, o, port, progrun.SYN)
}

func sendTCP(t *testing.T, o *load.Objects, port uint16, flags uint8) datapath.Drop {
	t.Helper()
	f := progrun.Frame{Src: netip.MustParseAddr(pod), Dst: netip.MustParseAddr(peer), Proto: 6, Payload: progrun.TCPHeader(40000, port, flags)}
	context := make([]uint32, 17)
	context[12] = key // skb->cb[0]
	if _, err := o.WeirFromPod.Run(&ebpf.RunOptions{Data: f.Bytes(), Context: context}); err != nil {
		t.Fatal(err)
	}
	b, err := o.Last.LookupBytes(uint32(0))
	if err != nil {
		t.Fatal(err)
	}
	var e encode.Event
	if _, err := binary.Decode(b, binary.LittleEndian, &e); err != nil {
		t.Fatal(err)
	}
	return datapath.Drop(e.Drop)
}

// section returns a part of a generation for writing.
func section(t *testing.T, g *encode.Generation, name string) []byte {
	t.Helper()
	for _, s := range g.Sections {
		if s.Name == name {
			return g.Bytes[s.Off : s.Off+s.Len]
		}
	}
	t.Fatalf("no section %q in %v", name, g.Sections)
	return nil
}

func fill(b []byte) {
	for i := range b {
		b[i] = 0xff
	}
}

// TestBroken publishes nothing, and then generations with a part destroyed: whatever can't be found denies.
func TestBroken(t *testing.T) {
	o := objects(t, 0)
	if drop := send(t, o, 443); drop != datapath.DropNoGeneration {
		t.Errorf("without a generation: %s", drop)
	}
	if b, err := o.Current(); b != nil || err != nil {
		t.Errorf("current: %d bytes, %v", len(b), err)
	}
	for _, c := range []struct {
		name    string
		destroy func(*encode.Generation)
		want    datapath.Drop
	}{
		{"whole", func(*encode.Generation) {}, datapath.NotDropped},
		{"another layout", func(g *encode.Generation) { g.Bytes[4]++ }, datapath.DropNoGeneration},
		{"no magic", func(g *encode.Generation) { g.Bytes[0]++ }, datapath.DropNoGeneration},
		{"cells", func(g *encode.Generation) { fill(section(t, g, "table 0, cells")) }, datapath.DropMissing},
		{"rows", func(g *encode.Generation) { fill(section(t, g, "table 0, rows")) }, datapath.DropMissing},
		{"port pages", func(g *encode.Generation) { fill(section(t, g, "port pages")) }, datapath.DropMissing},
		{"port classes", func(g *encode.Generation) { fill(section(t, g, "port classes")) }, datapath.DropMissing},
		{"decisions", func(g *encode.Generation) { fill(section(t, g, "decisions")) }, datapath.DropPolicy},
		{"endpoints", func(g *encode.Generation) { fill(section(t, g, "endpoints")) }, datapath.DropNoEndpoint},
		{"the endpoint's tables", func(g *encode.Generation) { fill(section(t, g, "endpoints")[12+64:]) }, datapath.DropMissing},
		{"interfaces", func(g *encode.Generation) { fill(section(t, g, "interfaces")) }, datapath.DropNoEndpoint},
		// The address is then unknown, which is denied by the tables.
		{"addresses", func(g *encode.Generation) { fill(section(t, g, "IPv4 addresses")) }, datapath.DropPolicy},
		{"whole again", func(*encode.Generation) {}, datapath.NotDropped},
	} {
		g := generation(t)
		c.destroy(g)
		if err := o.Publish(g); err != nil {
			t.Fatal(err)
		}
		if drop := send(t, o, 443); drop != c.want {
			t.Errorf("%s: %s, want %s", c.name, drop, c.want)
		}
	}
	big := generation(t)
	big.Bytes = make([]byte, 1<<19)
	if err := o.Publish(big); !errors.Is(err, load.ErrFull) {
		t.Errorf("a generation of half the blob: %v", err)
	}
}

// TestEventRate bounds events and counts what it suppresses.
func TestEventRate(t *testing.T) {
	const rate, packets = 5, 200
	o := objects(t, rate)
	if err := o.Publish(generation(t)); err != nil {
		t.Fatal(err)
	}
	for range packets {
		if drop := send(t, o, 444); drop != datapath.DropPolicy {
			t.Fatal(drop)
		}
	}
	var budgets []encode.Budget
	if err := o.EventBudget.Lookup(uint32(0), &budgets); err != nil {
		t.Fatal(err)
	}
	var lost uint64
	for _, b := range budgets {
		lost += b.Lost
	}
	// The packets took a few seconds at most, on every CPU.
	if sent := packets - lost; lost == 0 || sent > rate*uint64(len(budgets))*10 {
		t.Errorf("%d of %d events suppressed at %d a second", lost, packets, rate)
	}
}

// TestEventsAgain judges a flow of which nobody knows who opened over and over: it is new once.
func TestEventsAgain(t *testing.T) {
	o := objectsOf(t, load.Config{Blob: 1 << 20, Rules: 16, ConntrackEntries: 64, EventBytes: 1 << 16, EventRate: 1000, AllFlows: true, Testing: true})
	r, err := ringbuf.NewReader(o.Events)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	for epoch := range uint64(3) {
		w := world.New(1)
		allow := w.Table(w.Simple(plan.Allow, -1))
		w.Pod("a", allow, allow, pod)
		w.Address(peer, w.Peer(plan.PodPeer, "b"))
		g, err := encode.Encode(encode.Input{Projection: w.Build(), Epoch: epoch + 1, Bindings: []encode.Binding{{Slot: slot, Ifindex: key}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := o.Publish(g); err != nil {
			t.Fatal(err)
		}
		for _, flags := range []uint8{progrun.ACK, progrun.ACK | progrun.FIN} {
			if drop := sendTCP(t, o, 443, flags); drop != datapath.NotDropped {
				t.Fatal(drop)
			}
		}
	}
	r.SetDeadline(time.Now())
	events := 0
	for {
		rec, err := r.Read()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		var e encode.Event
		if _, err := binary.Decode(rec.RawSample, binary.LittleEndian, &e); err != nil {
			t.Fatal(err)
		}
		if events++; e.Kind != uint8(datapath.NewFlow) || e.Epoch != 1 {
			t.Errorf("event %+v", e)
		}
	}
	if events != 1 {
		t.Errorf("%d events of one flow", events)
	}
}

// TestTicks compares the programs' ticks, which come from the kernel's jiffies and its frequency of them, with the clock.
func TestTicks(t *testing.T) {
	o := objects(t, 0)
	if err := o.Publish(generation(t)); err != nil {
		t.Fatal(err)
	}
	seen := func() uint32 {
		if drop := send(t, o, 443); drop != datapath.NotDropped {
			t.Fatal(drop)
		}
		m, err := o.Share(slot)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = m.Close() }()
		var k encode.CtKey
		var v encode.CtValue
		if it := m.Iterate(); !it.Next(&k, &v) {
			t.Fatal("nothing is tracked", it.Err())
		}
		return v.Seen
	}
	from, at := seen(), time.Now()
	time.Sleep(3 * time.Second)
	ticks, passed := float64(seen()-from), time.Since(at).Seconds()
	if ticks < passed-1.5 || ticks > 2*passed+1.5 {
		t.Errorf("%.0f ticks in %.2f s: a tick is half a second to a second", ticks, passed)
	}
}
