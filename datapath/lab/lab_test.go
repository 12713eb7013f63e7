//go:build linux

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/datapath/internal/kerneltest"
	"github.com/weir-mesh/weir/internal/strict"
)

// childEnv makes the test binary run a lab, with its states in the folder that it names, until it is killed.
const childEnv = "WEIR_TEST_LAB"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		stateDir = dir
		_, err := Run(context.Background(), shop(), Options{Out: os.Stdout})
		fmt.Println("ended:", err)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// need skips where no lab can run and keeps this test's labs apart from the machine's.
func need(t *testing.T) {
	t.Helper()
	kerneltest.Need(t)
	if err := Check(); err != nil {
		strict.Skip(t, err)
	}
	old := stateDir
	stateDir = t.TempDir()
	t.Cleanup(func() { stateDir = old })
}

// nothingLeft holds that a run left no namespace, pin or state. Links, programs and rules live in the namespaces.
func nothingLeft(t *testing.T, run string) {
	t.Helper()
	for _, pattern := range []string{filepath.Join(netnsDir, namePrefix+run+"-*"), filepath.Join(bpfDir, run), filepath.Join(stateDir, "*")} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			t.Errorf("left behind: %v", found)
		}
	}
}

// TestRun runs a whole lab on one node and on two: no probe's fate differs from the plan's (S1 to S9, S20, S25, S27).
func TestRun(t *testing.T) {
	need(t)
	for _, nodes := range []int{1, 2} {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) {
			var out bytes.Buffer
			r, err := Run(t.Context(), shop(), Options{Nodes: nodes, Out: &out})
			if err != nil {
				t.Fatal(err)
			}
			t.Log("\n" + out.String())
			if r.Failed() || r.Allowed < 20 || r.Denied < 100 {
				t.Errorf("%d allowed, %d denied, %d mismatches", r.Allowed, r.Denied, len(r.Mismatches))
			}
			on := map[int]string{1: "", 2: ` on 2 nodes`}[nodes]
			want := regexp.MustCompile(`^5 workloads in 4 network namespaces` + on + ` · plan [0-9a-f]{4}… · datapath (TCX|clsact), generation 1
[0-9,]+ probes: [0-9,]+ as planned \([0-9,]+ allowed, [0-9,]+ denied\) · 0 mismatches
policy change under 64 open connections: \d+ cut as planned, \d+ kept · 0 packets under two generations
label change under \d+ open connections: \d+ cut as planned, \d+ kept · 0 packets under two generations
$`)
			if !want.MatchString(out.String()) {
				t.Error("the report is not in its form")
			}
			for _, c := range r.Changes {
				if c.Cut == 0 || c.Cut+c.Kept != c.Open || c.Judged < 2*c.Open {
					t.Errorf("%s change: %d cut, %d kept of %d; %d verdicts looked at", c.What, c.Cut, c.Kept, c.Open, c.Judged)
				}
			}
			nothingLeft(t, r.Run)
		})
	}
}

// TestRunFirstPolicy changes the first policy and label that put a datapath at a pod, under open connections: it cuts what
// it denies and nothing else, whoever speaks first, and its first verdicts have names (S29, S31).
func TestRunFirstPolicy(t *testing.T) {
	need(t)
	var out bytes.Buffer
	s := shop()
	s.Policies, s.Config.Enrolled = nil, nil
	r, err := Run(t.Context(), s, Options{Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	if r.Failed() || len(r.Changes) == 0 || r.Changes[0].Cut == 0 || r.Changes[0].Kept == 0 {
		t.Errorf("the report:\n%s", out.String())
	}
}

// TestRunWithBareEndpoints: an endpoint of a service that the lab has no host for is no mismatch.
func TestRunWithBareEndpoints(t *testing.T) {
	need(t)
	var out bytes.Buffer
	r, err := Run(t.Context(), withBare(), Options{Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	if r.Failed() || len(r.LeftOut) != 1 || !strings.Contains(out.String(), "  not probed: 3 × endpoint of a service at an address that nobody in the lab has; the first is service shop/far TCP 80 → 192.0.2.77\n") {
		t.Errorf("the report:\n%s", out.String())
	}
}

// TestMismatch enforces another plan than the one that is expected: the lab must see it, pair by pair.
func TestMismatch(t *testing.T) {
	need(t)
	ctx := t.Context()
	w, _, err := NewWorld(shop(), 1)
	if err != nil {
		t.Fatal(err)
	}
	l, err := start(ctx, w, state{Nodes: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.stop(); err != nil {
			t.Error(err)
		}
		nothingLeft(t, l.state.Run)
	}()
	if err := l.serve(ctx, listen(w)); err != nil {
		t.Fatal(err)
	}
	if err := l.enforce(w.with(func(s *Source) {
		s.Policies[0].Rules = append([]ir.Rule{{Direction: ir.Egress, Action: ir.Deny}}, s.Policies[0].Rules...) // web sends nothing
		s.Policies[3].Rules = []ir.Rule{{Direction: ir.Ingress, Action: ir.Allow}}                               // report takes all
	})); err != nil {
		t.Fatal(err)
	}
	l.world = w
	r := &Result{}
	if _, err := l.probeAll(ctx, r); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	r.verdict(&all)
	for _, want := range []string{`shop/web → shop/cart \(10\.244\.0\.\d+\)  TCP 7070: planned allow, .*; it did not arrive`,
		`shop/web → service shop/cart \(fd77:.*\)  TCP 7070: planned allow, .*; it did not arrive`,
		`node-1 → batch/report \(10\.244\.0\.\d+\)  UDP 7777: planned deny, ingress denies: isolation by NetworkPolicy batch/report; it arrived at batch/report`} {
		if !regexp.MustCompile(want).MatchString(all.String()) {
			t.Errorf("nothing like %s in\n%s", want, all.String())
		}
	}
}

// TestInterrupt ends the context at several moments, as Ctrl-C does.
func TestInterrupt(t *testing.T) {
	need(t)
	for _, after := range []time.Duration{5 * time.Millisecond, 200 * time.Millisecond, time.Second} {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		_, err := Run(ctx, shop(), Options{Out: &bytes.Buffer{}})
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after %s: %v", after, err)
		}
		if found, _ := filepath.Glob(filepath.Join(stateDir, "*")); len(found) > 0 {
			t.Errorf("after %s left behind: %v", after, found)
		}
	}
}

// TestKilled kills a lab with SIGKILL at several moments: the next lab command clears up.
func TestKilled(t *testing.T) {
	need(t)
	for _, after := range []time.Duration{20 * time.Millisecond, 150 * time.Millisecond, time.Second} {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+stateDir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		run := waitForState(t)
		time.Sleep(after)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if found, _ := filepath.Glob(filepath.Join(netnsDir, namePrefix+run+"-*")); len(found) == 0 {
			t.Errorf("killed after %s: nothing was there to clear up", after)
		}
		if err := cleanAbandoned(); err != nil {
			t.Error(err)
		}
		nothingLeft(t, run)
	}
}

func waitForState(t *testing.T) string {
	t.Helper()
	for range 500 {
		if found, _ := filepath.Glob(filepath.Join(stateDir, "*.json")); len(found) == 1 {
			run := strings.TrimSuffix(filepath.Base(found[0]), ".json")
			if spaces, _ := filepath.Glob(filepath.Join(netnsDir, namePrefix+run+"-*")); len(spaces) > 0 {
				return run
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the lab did not begin")
	return ""
}

// TestRunningLabIsLeftAlone holds that clearing up touches only what nobody runs.
func TestRunningLabIsLeftAlone(t *testing.T) {
	need(t)
	s, err := newState(state{Nodes: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := cleanAbandoned(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.name); err != nil {
		t.Errorf("the state of a running lab: %v", err)
	}
	if err := s.clean(); err != nil {
		t.Error(err)
	}
}

// TestLockLeftToAChild: a process that was killed as it started another leaves the lock to that one for a moment. The lab is
// abandoned all the same.
func TestLockLeftToAChild(t *testing.T) {
	need(t)
	gone := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^$")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	s, err := newState(state{Nodes: 1})
	if err != nil {
		t.Fatal(err)
	}
	s.PID = gone.Process.Pid
	if err := s.write(); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(300*time.Millisecond, func() { _ = s.file.Close() })
	if err := cleanAbandoned(); err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, s.Run)
}

// TestHandsOn goes through up, probe and down.
func TestHandsOn(t *testing.T) {
	need(t)
	ctx := t.Context()
	if _, err := Find(); !errors.Is(err, ErrNone) {
		t.Fatalf("before: %v", err)
	}
	if err := Up(ctx, shop(), []string{"shop"}, Options{Out: &bytes.Buffer{}}); err != nil {
		t.Fatal(err)
	}
	s, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	if err := Up(ctx, shop(), nil, Options{Out: &bytes.Buffer{}}); err == nil {
		t.Error("a second lab is up")
	}
	if err := cleanAbandoned(); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		from, to string
		port     plan.PortKey
		want     string
	}{
		{"shop/web", "shop/cart", plan.Key(ir.TCP, 7070), "allowed"},
		{"shop/web", "shop/db", plan.Key(ir.TCP, 5432), "denied"},
		{"outside", "shop/web", plan.Key(ir.TCP, 8080), "allowed"},
		{"shop/cart", "shop/db", echo4, "denied"},
	} {
		var out bytes.Buffer
		ok, err := s.Probe(ctx, shop(), c.from, c.to, c.port, &out)
		if err != nil || !ok || !strings.HasPrefix(out.String(), c.want) {
			t.Errorf("%s → %s: %v %v %s", c.from, c.to, ok, err, out.String())
		}
	}
	changed := shop()
	changed.Policies = changed.Policies[:1]
	if _, err := s.Probe(ctx, changed, "shop/web", "shop/cart", plan.Key(ir.TCP, 7070), &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "changed since") {
		t.Errorf("changed sources: %v", err)
	}
	if err := s.Shell("shop/nobody", []string{"true"}); err == nil || !strings.Contains(err.Error(), "shop/web") {
		t.Errorf("a shell in no pod: %v", err)
	}
	if err := Down(&bytes.Buffer{}); err != nil {
		t.Error(err)
	}
	nothingLeft(t, s.state.Run)
}
