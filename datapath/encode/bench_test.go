package encode

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/datapath/internal/world"
)

// BenchmarkEncode encodes a node of 64 endpoints with tables of their own.
func BenchmarkEncode(b *testing.B) {
	for _, identities := range []int{1000, 10_000} {
		w := world.New(1)
		deny := w.Simple(plan.Deny, -1)
		var tables []*world.Table
		for i := range 64 {
			tables = append(tables, w.Table(deny), w.Table(deny))
			w.Pod(fmt.Sprint("pod ", i), tables[2*i], tables[2*i+1], netip.AddrFrom4([4]byte{10, 1, 0, byte(i)}).String())
		}
		first := uint32(len(w.P.Peers))
		for i := range identities {
			w.Address(netip.AddrFrom4([4]byte{10, 2, byte(i >> 8), byte(i)}).String(), w.Peer(plan.PodPeer, fmt.Sprint("peer ", i)))
		}
		for i, t := range tables {
			for j := range 20 {
				t.Port(first+uint32((i*31+j*7)%identities), ir.TCP, uint16(1000+(i+j)%500), w.Simple(plan.Allow, w.Rule(fmt.Sprint("rule ", i, " ", j))))
			}
		}
		p := w.Build()
		b.Run(fmt.Sprint(identities, " identities"), func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				if _, err := Encode(input(p)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
