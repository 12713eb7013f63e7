//go:build linux

package progrun_test

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/datapath"
	"github.com/weir-mesh/weir/datapath/encode"
	"github.com/weir-mesh/weir/datapath/internal/world"
	"github.com/weir-mesh/weir/datapath/progrun"
)

// swapWorld is one of two generations in which the same packet is allowed by way of different numbers: whoever mixes a
// step of one with a step of the other ends at the rule "mixed", or nowhere.
func swapWorld(generation uint64) *plan.Projection {
	w := world.New(generation)
	right, mixed := w.Rule("right"), w.Rule("mixed")
	bad, good := w.Simple(plan.Deny, mixed), w.Simple(plan.Allow, right)
	if generation%2 == 1 {
		w.P.Decisions[0], w.P.Decisions[1] = w.P.Decisions[1], w.P.Decisions[0]
		bad, good = good, bad
	}
	t := w.Table(bad)
	w.Pod("a", t, t, web4)
	peers := []uint32{w.Peer(plan.PodPeer, "x"), w.Peer(plan.PodPeer, "y")}
	peer := peers[generation%2]
	w.Address(db4, peer)
	t.Port(peer, ir.TCP, 443, good)
	// The other identity has a row too, and other ports a class.
	t.Port(peers[1-generation%2], ir.TCP, uint16(80+generation%2), good)
	return w.Build()
}

// swapPackets is how many packets a run looks at, at least: 10 million unless the test is short.
func swapPackets(t *testing.T) uint64 {
	n := uint64(10_000_000)
	if s := os.Getenv("WEIR_SWAP_PACKETS"); s != "" {
		v, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		n = v
	}
	if testing.Short() {
		n = 1_000_000
	}
	return n
}

// hammer runs packets on every CPU while swap changes the generation, until at least n went through, and returns how many
// went through and how many of them saw a mix.
func hammer(t *testing.T, r *progrun.Runner, n uint64, swap func() error) (packets, mixed uint64, swaps int) {
	t.Helper()
	context := make([]uint32, 17)
	context[12] = 1 // skb->cb[0]: the first endpoint
	const repeat = 20_000
	var total atomic.Uint64
	var wg sync.WaitGroup
	errs := make(chan error, 4)
	run(t, r, progrun.FromPod, 0, out(db4, tcp, progrun.TCPHeader(40000, 443, progrun.SYN)).Bytes(), 0)
	// Packets that open are decided by the tables each time, the others by what the flow's entry keeps of the generation.
	for _, flags := range []uint8{progrun.SYN, progrun.ACK} {
		frame := out(db4, tcp, progrun.TCPHeader(40000, 443, flags)).Bytes()
		wg.Go(func() {
			for total.Load() < n {
				if _, err := r.Objects().WeirFromPod.Run(&ebpf.RunOptions{Data: frame, Context: context, Repeat: repeat}); err != nil {
					errs <- err
					return
				}
				total.Add(repeat)
			}
		})
	}
	for total.Load() < n && len(errs) == 0 {
		if err := swap(); err != nil {
			errs <- err
			break
		}
		swaps++
	}
	wg.Wait()
	if len(errs) > 0 {
		t.Fatal(<-errs)
	}
	// The kernel's own count: a test run that a signal interrupts starts again.
	for reason := range datapath.NumDrops {
		packets += counted(t, r.Objects().DropCounts, uint32(reason))
	}
	return packets, packets - counted(t, r.Objects().RuleCounts, r.Encoded().RuleSlot[0]), swaps
}

func counted(t *testing.T, m *ebpf.Map, slot uint32) (n uint64) {
	t.Helper()
	var cpus []encode.Count
	if err := m.Lookup(slot, &cpus); err != nil {
		t.Fatal(err)
	}
	for _, c := range cpus {
		n += c.Packets
	}
	return n
}

// TestSwap swaps generations under traffic on every CPU: no packet sees two of them (S32).
func TestSwap(t *testing.T) {
	r := start(t, swapWorld(0), progrun.Options{})
	generation := uint64(0)
	packets, mixed, swaps := hammer(t, r, swapPackets(t), func() error {
		generation++
		return r.Publish(swapWorld(generation), epoch)
	})
	t.Logf("%d of %d packets saw two generations, over %d swaps", mixed, packets, swaps)
	if mixed != 0 || swaps < 10 {
		t.Errorf("%d of %d packets saw two generations, over %d swaps", mixed, packets, swaps)
	}
}

// TestSwapInPlace shows that the measurement sees a mix where there is one: the current generation is overwritten.
func TestSwapInPlace(t *testing.T) {
	r := start(t, swapWorld(0), progrun.Options{})
	var encoded [2][]byte
	for i := range encoded {
		g, err := encode.Encode(encode.Input{Projection: swapWorld(uint64(i)), Rules: r.Encoded().Rules, Epoch: 1,
			Bindings: []encode.Binding{{Slot: 0, Ifindex: 1}}})
		if err != nil {
			t.Fatal(err)
		}
		encoded[i] = g.Bytes
	}
	blob := r.Objects().Blob
	b, err := unix.Mmap(blob.FD(), 0, int(blob.ValueSize()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Munmap(b); err != nil {
			t.Error(err)
		}
	}()
	at, i := 64, 0
	if len(encoded[0]) != len(encoded[1]) {
		t.Fatal(fmt.Errorf("generations of %d and %d bytes", len(encoded[0]), len(encoded[1])))
	}
	packets, mixed, swaps := hammer(t, r, 1_000_000, func() error {
		i++
		copy(b[at:], encoded[i%2])
		return nil
	})
	t.Logf("%d of %d packets saw two generations, over %d writes", mixed, packets, swaps)
	if mixed == 0 {
		t.Error("a generation written in place went unnoticed: the test of swaps proves nothing")
	}
}
