//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// commandsSection times the built command line: bin/weir, which `make bench` builds first.
func commandsSection(ctx context.Context, r *report) (err error) {
	dir, err := os.MkdirTemp("", "weirbench")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var seconds spread
	for range 5 {
		s, _, err := check(ctx, "policies/examples/shop")
		if err != nil {
			return err
		}
		seconds = append(seconds, s)
	}
	r.target("weir check policies/examples/shop", seconds.format("%.2f", "s"), "under 0.5 s", seconds.median() < 0.5)
	for _, c := range []struct {
		n       int
		seconds float64
		mib     int64
	}{{1_000, 3, 0}, {10_000, 25, 1024}} {
		at := filepath.Join(dir, fmt.Sprint(c.n))
		if err := writePolicies(at, c.n); err != nil {
			return err
		}
		s, kib, err := check(ctx, at)
		if err != nil {
			return err
		}
		r.target(fmt.Sprintf("weir check, %d policies in CUE", c.n), fmt.Sprintf("%.1f s", s), fmt.Sprintf("under %.0f s", c.seconds), s < c.seconds)
		if c.mib > 0 {
			r.target("", fmt.Sprintf("%d MiB resident in one process at most", kib>>10), fmt.Sprintf("%d MiB", c.mib), kib>>10 <= c.mib)
		}
	}
	if err := comprehension(ctx, r, filepath.Join(dir, "comprehension"), 10_000); err != nil {
		return err
	}
	return flows(ctx, r, dir)
}

// comprehension times n policies that one comprehension makes, which are evaluated together.
func comprehension(ctx context.Context, r *report, dir string, n int) error {
	if err := writePolicies(dir, 0); err != nil {
		return err
	}
	text := fmt.Sprintf(`package bench

import "list"

for i in list.Range(0, %d, 1) {
	meshPolicies: "ns-\(rem(i, 50))/p\(i)": spec: {
		owner: "team-\(rem(i, 7))"
		subject: matchLabels: app: "app-\(rem(i, 5))"
		ingress: [{
			action: "allow"
			from: [{pods: matchLabels: app: "app-\(rem(i+1, 5))"}, {namespaces: matchLabels: team: "team-\(rem(i, 9))"}]
			ports: [{port: 1024 + i, protocol: "TCP"}]
		}]
	}
}
`, n)
	if err := os.WriteFile(filepath.Join(dir, "all.cue"), []byte(text), 0o644); err != nil {
		return err
	}
	s, kib, err := check(ctx, dir)
	if err != nil {
		return err
	}
	r.line(fmt.Sprintf("weir check, %d policies from one comprehension", n), fmt.Sprintf("%.1f s", s))
	r.line("", fmt.Sprintf("%d MiB resident in one process at most", kib>>10))
	return nil
}

// flows times a million questions.
func flows(ctx context.Context, r *report, dir string) error {
	const lines = 1_000_000
	froms := []string{"web/frontend", "shop/checkout", "shop/payments", "203.0.113.7", "ops/report", "shop/orders"}
	tos := []string{"shop/checkout", "shop/payments", "shop/ledger", "shop/orders", "web/frontend"}
	var b strings.Builder
	for i := range lines {
		fmt.Fprintf(&b, "{\"from\":%q,\"to\":%q,\"protocol\":\"TCP\",\"port\":%d}\n", froms[i%len(froms)], tos[i/7%len(tos)], []int{7000, 8443, 7443, 8080, 1 + i%65535}[i%5])
	}
	file := filepath.Join(dir, "flows.jsonl")
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "bin/weir", "explain", "-f", "policies/examples/shop", "--flows", file)
	out, err := os.Create(filepath.Join(dir, "answers.jsonl"))
	if err != nil {
		return err
	}
	cmd.Stdout = out
	var log strings.Builder
	cmd.Stderr = &log
	t := time.Now()
	if err := errors.Join(cmd.Run(), out.Close()); err != nil {
		return fmt.Errorf("explaining flows: %w: %s", err, log.String())
	}
	s := since(t, time.Second)
	r.target("weir explain --flows, a million lines", fmt.Sprintf("%.1f s", s), "under 10 s", s < 10)
	return nil
}

// check runs weir check and returns seconds and the largest resident size of it and its children, in KiB.
func check(ctx context.Context, path string) (float64, int64, error) {
	cmd := exec.CommandContext(ctx, "bin/weir", "check", path)
	var before, after syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &before); err != nil {
		return 0, 0, err
	}
	t := time.Now()
	out, err := cmd.CombinedOutput()
	s := since(t, time.Second)
	if err != nil {
		return 0, 0, fmt.Errorf("weir check %s: %w: %s", path, err, out)
	}
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &after); err != nil {
		return 0, 0, err
	}
	return s, after.Maxrss, nil
}

// writePolicies writes n policies of 50 namespaces, a file a namespace, with the workloads that they select.
func writePolicies(dir string, n int) error {
	const namespaces = 50
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	files := map[string]string{"mesh.cue": "package bench\n\nimport \"weir.dev/schemas/v1alpha1\"\n\nv1alpha1.#Bundle\n\nmeshConfigs: default: spec: trustDomain: \"example.org\"\n"}
	var pods strings.Builder
	for ns := range namespaces {
		var b strings.Builder
		b.WriteString("package bench\n")
		for i := ns; i < n; i += namespaces {
			fmt.Fprintf(&b, `
meshPolicies: "ns-%d/p%d": spec: {
	owner: "team-%d"
	subject: matchLabels: app: "app-%d"
	ingress: [{
		action: "allow"
		from: [{pods: matchLabels: app: "app-%d"}, {namespaces: matchLabels: team: "team-%d"}]
		ports: [{port: %d, protocol: "TCP"}]
	}]
}
`, ns, i, i%7, i%5, (i+1)%5, i%9, 1024+i)
		}
		files[fmt.Sprintf("ns%02d.cue", ns)] = b.String()
		fmt.Fprintf(&pods, "apiVersion: v1\nkind: Namespace\nmetadata: {name: ns-%d, labels: {weir.dev/mesh: enabled, team: team-%d}}\n---\n", ns, ns%9)
		for app := range 5 {
			fmt.Fprintf(&pods, "apiVersion: v1\nkind: Pod\nmetadata: {name: app-%d, namespace: ns-%d, labels: {app: app-%d}}\nspec: {containers: [{name: c, image: c}]}\n---\n", app, ns, app)
		}
	}
	files["workloads.yaml"] = pods.String()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
