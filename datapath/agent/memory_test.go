//go:build linux

package agent_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/weir-mesh/weir/compiler/project"
	"github.com/weir-mesh/weir/compiler/resolve"
	"github.com/weir-mesh/weir/datapath"
	"github.com/weir-mesh/weir/datapath/internal/kerneltest"
	"github.com/weir-mesh/weir/datapath/internal/netlab"
	"github.com/weir-mesh/weir/test/workload"
)

// The bounds of an agent at 10,000 identities, with 100 pods and the 100 policies that select them on its node.
const (
	maxResident = 40 << 20
	maxMaps     = 64 << 20
)

func TestMemory(t *testing.T) {
	kerneltest.Need(t)
	const identities, policies, local = 10_000, 10_000, 100
	g := workload.New(1, identities)
	inv := g.Inventory()
	for i := range local {
		inv.Pods[i].Node = "node-1"
	}
	compiled, diags := resolve.Compile(resolve.Input{Policies: g.Policies(policies), Inventory: inv, Config: workload.Config(), Now: time.Now()})
	if diags.HasErrors() {
		t.Fatal(diags[0])
	}
	p, err := project.Node(compiled, "node-1", 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Endpoints) != local {
		t.Fatalf("%d endpoints", len(p.Endpoints))
	}
	n := &node{t: t, lab: netlab.New(t), file: filepath.Join(t.TempDir(), "plan.json"), root: fmt.Sprintf("/sys/fs/bpf/weir-agent-memory-%d", os.Getpid())}
	t.Cleanup(func() {
		if _, err := datapath.Uninstall(n.options()); err != nil {
			t.Error(err)
		}
	})
	n.write(p)
	a := n.start()
	a.await(`"applied a plan" generation=1`)
	first := resident(t, a.cmd.Process.Pid)
	p.Generation = 2
	p.NodeDigest = "two"
	n.write(p)
	a.await(`"applied a plan" generation=2`)
	_, metrics := a.get("/metrics")
	second := resident(t, a.cmd.Process.Pid)
	m := regexp.MustCompile(`(?m)^weir_map_bytes (\S+)`).FindStringSubmatch(metrics)
	if m == nil {
		t.Fatal("no weir_map_bytes")
	}
	maps, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d identities, %d tables, %d decisions: resident %.1f MB, after a second plan %.1f MB; maps %.1f MB", len(p.Peers), len(p.Tables), len(p.Decisions),
		mb(first), mb(second), maps/(1<<20))
	if max(first, second) > maxResident || maps > maxMaps {
		t.Errorf("more than %d MB resident or %d MB of maps", maxResident>>20, maxMaps>>20)
	}
}

func mb(n int) float64 { return float64(n) / (1 << 20) }

// resident is a process's resident memory when it is at rest: the least of a few seconds, in which it gives back what
// it can.
func resident(t *testing.T, pid int) int {
	t.Helper()
	least := 0
	for range 6 {
		time.Sleep(500 * time.Millisecond)
		if now := residentNow(t, pid); least == 0 || now < least {
			least = now
		}
	}
	return least
}

func residentNow(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(b)
	kb, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}
