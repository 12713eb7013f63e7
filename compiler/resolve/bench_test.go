package resolve_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"github.com/weir-mesh/weir/compiler/resolve"
	"github.com/weir-mesh/weir/test/workload"
)

func benchInput(policies, identities int) (resolve.Input, *workload.Generator) {
	g := workload.New(1, identities)
	return resolve.Input{Policies: g.Policies(policies), Inventory: g.Inventory(), Config: workload.Config(), Now: now}, g
}

// BenchmarkCold compiles the workload of docs/benchmarks.md.
func BenchmarkCold(b *testing.B) {
	for _, identities := range []int{1_000, 10_000} {
		b.Run(fmt.Sprintf("10000x%d", identities), func(b *testing.B) {
			in, _ := benchInput(10_000, identities)
			b.ReportAllocs()
			for b.Loop() {
				resolve.Compile(in)
			}
		})
	}
}

// BenchmarkAddPod adds identities to 10,000 policies by 10,000 identities.
func BenchmarkAddPod(b *testing.B) {
	const n = 10_000
	in, g := benchInput(n, n)
	inc := resolve.NewIncremental(in)
	inc.AddPolicy(g.Policy()) // builds the indexes
	runtime.GC()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		p := g.Pod(i%(n/20), 20+i%3, fmt.Sprintf("app-%d", i%7))
		p.Name, p.ServiceAccount = fmt.Sprintf("added-%d", i), fmt.Sprintf("added-%d", i/2000)
		p.Addrs = []netip.Addr{netip.AddrFrom4([4]byte{10, 200 + byte(i>>16), byte(i >> 8), byte(i)})}
		inc.AddPod(p)
		i++
	}
}
