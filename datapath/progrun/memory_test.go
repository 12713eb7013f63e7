//go:build linux

package progrun_test

import (
	"testing"

	"github.com/weir-mesh/weir/datapath"
	"github.com/weir-mesh/weir/datapath/progrun"
)

// TestMemory adds up the maps of a node with 10,000 identities and 100 endpoints of policies of their own.
func TestMemory(t *testing.T) {
	p := large(1, 100, 10_000, 50)
	r := start(t, p, progrun.Options{Shares: datapath.DefaultConntrackEntries})
	info, err := share(t, r).Info()
	if err != nil {
		t.Fatal(err)
	}
	n, _ := info.Memlock()
	total := n * uint64(len(p.Endpoints))
	for name, m := range r.Objects().Maps() {
		if info, err = m.Info(); err != nil {
			t.Fatal(err)
		}
		n, _ := info.Memlock()
		t.Logf("%s: %d KiB", name, n>>10)
		total += n
	}
	t.Logf("with conntrack: %d MiB", total>>20)
	if total > 64<<20 {
		t.Errorf("the maps take %d MiB: at most 64", total>>20)
	}
}
