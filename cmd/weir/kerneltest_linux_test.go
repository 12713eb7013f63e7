package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-mesh/weir/compiler/analyze"
	"github.com/weir-mesh/weir/compiler/compile"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/project"
	"github.com/weir-mesh/weir/datapath/lab"
	"github.com/weir-mesh/weir/datapath/progrun"
	"github.com/weir-mesh/weir/internal/strict"
)

func shop(t *testing.T) (*compile.Result, []analyze.Test) {
	t.Helper()
	if err := kernelReady(); err != nil {
		strict.Skip(t, err)
	}
	r, err := compile.Compile(t.Context(), compile.Options{Paths: []string{"../../policies/examples/shop"}, Now: time.Now(), EnforceNetworkPolicy: true})
	if err != nil || r.Plan == nil {
		t.Fatalf("compiling the example: %v, %v", err, r.Diagnostics)
	}
	var tests []analyze.Test
	for i := range r.Tests {
		tests = append(tests, testOf(&r.Tests[i]))
	}
	return r, tests
}

// TestKernelAgrees runs the shop's tests and a sample of all flows through the real program.
func TestKernelAgrees(t *testing.T) {
	r, tests := shop(t)
	report, err := testKernel(t.Context(), r, time.Now(), tests)
	if err != nil {
		t.Fatal(err)
	}
	if report.Mismatches != 0 || report.Tests < 2*len(tests) || report.Sampled != maxSampled {
		t.Fatalf("%d packets of tests, %d sampled, %d mismatches:\n%s", report.Tests, report.Sampled, report.Mismatches, strings.Join(report.Text, "\n"))
	}
}

// TestKernelDiffers holds that the comparison finds a program that enforces something else: here the plan of the same
// workloads without one policy's rule.
func TestKernelDiffers(t *testing.T) {
	r, tests := shop(t)
	now := time.Now()
	w, _, err := lab.NewWorld(lab.Source{Policies: r.Policies, Inventory: r.Inventory, Config: r.Config, Now: now}, 1)
	if err != nil {
		t.Fatal(err)
	}
	other := slices.Clone(r.Policies)
	at := slices.IndexFunc(other, func(p ir.Policy) bool { return p.Name == "ledger" })
	other[at].Rules = other[at].Rules[1:]
	x, _, err := lab.NewWorld(lab.Source{Policies: other, Inventory: r.Inventory, Config: r.Config, Now: now}, 1)
	if err != nil {
		t.Fatal(err)
	}
	proj, err := project.Node(x.Plan, x.Plan.Nodes[0].Name, 1)
	if err != nil {
		t.Fatal(err)
	}
	runner, err := progrun.New(proj, now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := runner.Close(); err != nil {
			t.Error(err)
		}
	})
	k := newKernelRun(w.Plan, proj, runner)
	if err := k.run(t.Context(), w, tests); err != nil {
		t.Fatal(err)
	}
	if k.report.Mismatches == 0 || len(k.report.Text) == 0 || !strings.Contains(k.report.Text[0], "shop/ledger") {
		t.Fatalf("%d mismatches: %s", k.report.Mismatches, strings.Join(k.report.Text, "\n"))
	}
	t.Log(k.report.Text[0])
}
