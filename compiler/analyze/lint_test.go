package analyze

import (
	"testing"

	"github.com/weir-mesh/weir/compiler/resolve"
	load "github.com/weir-mesh/weir/test/workload"
)

// BenchmarkLint looks for findings in the compile benchmark's workload.
func BenchmarkLint(b *testing.B) {
	g := load.New(1, 1000)
	inv := g.Inventory()
	p, _ := resolve.Compile(resolve.Input{Policies: g.Policies(10_000), Inventory: inv, Config: load.Config(), Now: now})
	n, err := NewNames(p)
	if err != nil {
		b.Fatal(err)
	}
	found := 0
	for b.Loop() {
		found = len(Lint(n))
	}
	b.ReportMetric(float64(found), "findings")
}
