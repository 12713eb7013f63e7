//go:build linux

package progrun_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/datapath/encode"
	"github.com/weir-mesh/weir/datapath/internal/world"
	"github.com/weir-mesh/weir/datapath/progrun"
)

// large is a node with policies × 2 tables, identities and rules a policy.
func large(generation uint64, policies, identities, rules int) *plan.Projection {
	w := world.New(generation)
	deny := w.Simple(plan.Deny, -1)
	var tables []*world.Table
	for range policies {
		tables = append(tables, w.Table(deny), w.Table(deny))
	}
	for i := range policies {
		w.Pod(fmt.Sprint("pod ", i), tables[2*i], tables[2*i+1], netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}).String())
	}
	first := uint32(len(w.P.Peers))
	for i := range identities {
		w.Address(netip.AddrFrom4([4]byte{10, 2, byte(i >> 8), byte(i)}).String(), w.Peer(plan.PodPeer, fmt.Sprint("peer ", i)))
	}
	for i, t := range tables {
		for j := range rules {
			r := w.Simple(plan.Allow, w.Rule(fmt.Sprint("rule ", i, " ", j)))
			t.Port(first+uint32((i*31+j*7)%identities), ir.TCP, uint16(1000+j%500), r)
		}
	}
	return w.Build()
}

// BenchmarkPacket is a whole packet of an established flow at the pod's veth, by BPF_PROG_TEST_RUN.
func BenchmarkPacket(b *testing.B) {
	for _, identities := range []int{100, 10_000} {
		b.Run(fmt.Sprint(identities, " identities"), func(b *testing.B) {
			p := large(1, 1, identities, 100)
			r := start(b, p, progrun.Options{})
			f := progrun.Frame{Src: p.Endpoints[0].Addrs[0], Dst: netip.MustParseAddr("10.2.0.7"), Proto: tcp, Payload: progrun.TCPHeader(40000, 1001, progrun.SYN)}
			context := make([]uint32, 17)
			context[12] = 1
			run(b, r, progrun.FromPod, 0, f.Bytes(), 0)
			f.Payload = progrun.TCPHeader(40000, 1001, progrun.ACK)
			if got := run(b, r, progrun.FromPod, 0, f.Bytes(), 0); !got.Kept {
				b.Fatal("the flow's decision is not kept")
			}
			b.ResetTimer()
			if _, err := r.Objects().WeirFromPod.Run(&ebpf.RunOptions{Data: f.Bytes(), Context: context, Repeat: uint32(b.N)}); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkSwap swaps generations of 64 policies: encoding apart, publishing apart.
func BenchmarkSwap(b *testing.B) {
	p := large(1, 32, 10_000, 50)
	r := start(b, p, progrun.Options{})
	var in encode.Input
	in.Projection, in.Now, in.Rules = p, 1000, r.Encoded().Rules
	for i := range p.Endpoints {
		in.Bindings = append(in.Bindings, encode.Binding{Slot: uint32(i), Ifindex: uint32(i) + 1})
	}
	var encoding, publishing time.Duration
	b.ResetTimer()
	for range b.N {
		in.Epoch++
		at := time.Now()
		g, err := encode.Encode(in)
		if err != nil {
			b.Fatal(err)
		}
		encoding += time.Since(at)
		at = time.Now()
		if err := r.Objects().Publish(g); err != nil {
			b.Fatal(err)
		}
		publishing += time.Since(at)
	}
	b.ReportMetric(float64(encoding.Milliseconds())/float64(b.N), "ms-encode/op")
	b.ReportMetric(float64(publishing.Microseconds())/float64(b.N)/1000, "ms-publish/op")
	b.ReportMetric(float64(len(r.Encoded().Bytes)), "bytes")
}
