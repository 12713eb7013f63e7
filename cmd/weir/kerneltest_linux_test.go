package main

import (
	"os"
	"path/filepath"
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
	if report.LeftOut[noAddress] == 0 { // of the world, the part that is 169.254.169.254
		t.Errorf("nothing is left out for want of an address: %v", report.LeftOut)
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

// edges is two pods of which one may send anything anywhere, so that nothing but S6 stops multicast.
const edges = `
{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: z, labels: {app: a}}, spec: {nodeName: n1, containers: [{name: c, image: i}]}, status: {phase: Running, podIP: 10.1.0.1}}
---
{apiVersion: v1, kind: Pod, metadata: {name: b, namespace: z}, spec: {nodeName: n1, containers: [{name: c, image: i}]}, status: {phase: Running, podIP: 10.1.0.2}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: np, namespace: z}, spec: {podSelector: {matchLabels: {app: a}}, policyTypes: [Ingress, Egress],
  ingress: [{from: [{ipBlock: {cidr: 224.0.0.0/4}}, {podSelector: {}}]}], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}, {ipBlock: {cidr: 255.255.255.255/32}}, {ipBlock: {cidr: 224.0.0.0/4}}]}]}}
`

// TestKernelLeavesOut: what no veth sees is left out and counted, by reason; what goes to a multicast or broadcast address, or
// comes from one, is not.
func TestKernelLeavesOut(t *testing.T) {
	if err := kernelReady(); err != nil {
		strict.Skip(t, err)
	}
	file := filepath.Join(t.TempDir(), "edges.yaml")
	if err := os.WriteFile(file, []byte(edges), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := compile.Compile(t.Context(), compile.Options{Paths: []string{file}, Now: time.Now(), EnforceNetworkPolicy: true})
	if err != nil || r.Plan == nil {
		t.Fatalf("compiling: %v, %v", err, r.Diagnostics)
	}
	flow := func(from, to string) analyze.Test {
		return analyze.Test{Name: from + " " + to, From: from, To: to, Port: analyze.Port{Space: ir.UDP, Number: 5353}}
	}
	sample, err := testKernel(t.Context(), r, time.Now(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, reason := range []string{toItself, noPort, notTheTable} {
		if sample.LeftOut[reason] == 0 {
			t.Errorf("the sample leaves out nothing %s", reason)
		}
	}
	for _, c := range []struct {
		test analyze.Test
		run  int
		left string
	}{
		{flow("z/a", "z/b"), 1, ""}, // b has no programs
		{flow("z/a", "z/a"), 0, toItself},
		{flow("z/a", "224.0.0.251"), 1, ""},
		{flow("z/a", "255.255.255.255"), 1, ""},
		{flow("224.0.0.251", "z/a"), 1, ""},
		{flow("255.255.255.255", "z/a"), 1, ""},
		{flow("127.0.0.1", "z/a"), 1, ""},
		{flow("z/b", "8.8.8.8"), 0, noVeth},
	} {
		report, err := testKernel(t.Context(), r, time.Now(), []analyze.Test{c.test})
		if err != nil {
			t.Fatal(err)
		}
		if report.Mismatches != 0 || report.Tests != c.run {
			t.Errorf("%s: %d packets, %d mismatches: %v", c.test.Name, report.Tests, report.Mismatches, report.Text)
		}
		for reason, n := range report.LeftOut {
			want := sample.LeftOut[reason]
			if reason == c.left {
				want++
			}
			if n != want {
				t.Errorf("%s: left out %d, want %d %s", c.test.Name, n, want, reason)
			}
		}
		if c.left != "" && report.LeftOut[c.left] == 0 {
			t.Errorf("%s is not counted: %v", c.test.Name, report.LeftOut)
		}
		var out strings.Builder
		if err := report.text(&out, analyze.Style{}); err != nil || c.left != "" && !strings.Contains(out.String(), " "+c.left+"\n") {
			t.Errorf("%s: %v\n%s", c.test.Name, err, out.String())
		}
	}
}
