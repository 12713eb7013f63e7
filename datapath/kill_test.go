//go:build linux

package datapath_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/datapath"
	"github.com/weir-mesh/weir/datapath/internal/kerneltest"
)

// childEnv makes the test binary play an agent: its value is the options and the projections to apply in turn.
const childEnv = "WEIR_TEST_AGENT"

type childInput struct {
	Options     datapath.Options
	Projections []*plan.Projection
}

func TestMain(m *testing.M) {
	if in := os.Getenv(childEnv); in != "" {
		if err := child(in); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// child applies its projections over and over until it is killed.
func child(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var in childInput
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	d, err := datapath.Open(in.Options)
	if err != nil {
		return err
	}
	for generation := in.Projections[0].Generation; ; {
		for _, p := range in.Projections {
			p.Generation, p.NodeDigest = generation, fmt.Sprint(generation)
			if _, err := d.Apply(p, time.Unix(1000, 0)); err != nil {
				return err
			}
			fmt.Println("applied", generation)
			generation++
		}
	}
}

// TestKill kills an agent at many moments, with SIGKILL: while it loads, attaches, swaps and exchanges its maps for larger
// ones. No denied packet passes, what is allowed goes on passing, and the next agent takes over.
func TestKill(t *testing.T) {
	for _, mode := range modes {
		t.Run(string(mode), func(t *testing.T) {
			n := newNode(t, mode)
			d := n.open()
			n.apply(d, n.projection(1, true, 0))
			close(t, d)
			f := n.flood()
			generation := uint64(2)
			for round := range 12 {
				last, err := n.runAndKill(generation, round)
				if err != nil {
					t.Fatal(err)
				}
				s, err := datapath.Inspect(n.opts)
				if err != nil {
					t.Fatal(err)
				}
				// The kernel holds what was reported, or the next one whose report the kill cut off; a kill while maps
				// are exchanged may leave the pinned one a generation behind.
				if s.Generation+1 < last {
					t.Errorf("the kernel holds generation %d, the agent had applied %d", s.Generation, last)
				}
				generation = max(last, s.Generation) + 1
			}
			t.Logf("%d generations", generation)
			if generation < 8 { // one at least in every second round
				t.Errorf("the agents applied only %d generations", generation)
			}
			n.enforced()
			n.checkFlood(f)
			d = n.open()
			defer close(t, d)
			n.enforced()
			p := n.projection(generation, true, 0)
			n.apply(d, p)
			n.enforced()
			if diff, err := d.Verify(p); err != nil || len(diff) != 0 {
				t.Errorf("verify: %v, %v", diff, err)
			}
		})
	}
}

// runAndKill runs an agent and kills it, in even rounds while it starts, in odd ones after its first swaps; it returns the
// last generation that it reported.
func (n *node) runAndKill(generation uint64, round int) (last uint64, err error) {
	in := childInput{Options: n.opts, Projections: []*plan.Projection{n.projection(generation, true, 0), n.projection(generation, true, 2000)}}
	b, err := json.Marshal(in)
	if err != nil {
		return 0, err
	}
	file := filepath.Join(n.t.TempDir(), "agent.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(n.t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+file)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	after := time.Minute
	if round%2 == 0 {
		after = time.Duration(round) * 20 * time.Millisecond
	}
	kill := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	for s := bufio.NewScanner(out); s.Scan(); {
		if strings.HasPrefix(s.Text(), "error:") {
			err = fmt.Errorf("agent: %s", s.Text())
		}
		if _, scanErr := fmt.Sscanf(s.Text(), "applied %d", &last); scanErr == nil && round%2 == 1 && last == generation {
			kill.Reset(time.Duration(round*7) * time.Millisecond)
		}
	}
	_ = cmd.Wait() // killed: that is the point
	return last, err
}

// TestLayouts refuses a layout that it does not know and what lies there instead of a link.
func TestLayouts(t *testing.T) {
	kerneltest.Need(t)
	root := fmt.Sprintf("/sys/fs/bpf/weir-layout-%d", os.Getpid())
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	if err := os.MkdirAll(root+"/v9", 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := datapath.Open(datapath.Options{Root: root})
	if err == nil || !strings.Contains(err.Error(), "layout v9") {
		t.Errorf("another layout: %v", err)
	}
	if _, err := datapath.Open(datapath.Options{Root: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "not on a BPF file system") {
		t.Errorf("an ordinary folder: %v", err)
	}
	if r, err := datapath.Uninstall(datapath.Options{Root: root + "/none"}); err != nil || r.Pins != 0 {
		t.Errorf("nothing to uninstall: %+v, %v", r, err)
	}
}
