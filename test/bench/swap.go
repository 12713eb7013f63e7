//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/project"
	"github.com/weir-mesh/weir/compiler/resolve"
	"github.com/weir-mesh/weir/datapath/progrun"
	"github.com/weir-mesh/weir/test/workload"
)

// swapped is how many endpoints, each with policies of its own, change at once.
const swapped = 64

// twoGenerations compiles a node of n endpoints twice, with one more policy the second time.
func twoGenerations(n int) ([2]*plan.Projection, error) {
	g := workload.New(4, 1000)
	in := resolve.Input{Policies: g.Policies(1000), Inventory: g.Inventory(), Config: workload.Config(), Now: time.Unix(1_700_000_000, 0)}
	in.Inventory.Pods = in.Inventory.Pods[:1000]
	for i := range n {
		in.Inventory.Pods[i].Node = "node"
	}
	var out [2]*plan.Projection
	for i := range out {
		p, _ := resolve.Compile(in)
		var err error
		if out[i], err = project.Node(p, "node", uint64(i+1)); err != nil {
			return out, err
		}
		in.Policies = append(in.Policies, g.Policies(50)...)
	}
	return out, nil
}

func swapSection(ctx context.Context, r *report) (err error) {
	generations, err := twoGenerations(swapped)
	if err != nil {
		return err
	}
	run, err := progrun.New(generations[1], time.Now())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, run.Close()) }()
	var each spread
	for i := range 50 {
		if err := ctx.Err(); err != nil {
			return err
		}
		t := time.Now()
		if err := run.Publish(generations[i%2], time.Now()); err != nil {
			return err
		}
		each = append(each, since(t, time.Millisecond))
	}
	r.target(fmt.Sprintf("a new generation for %d endpoints, encoded, written, published", swapped), each.format("%.2f", "ms"), "20 ms", each.median() <= 20)
	return mixed(ctx, r)
}

// mixed runs the test that swaps under traffic on every CPU; the test counts what the kernel itself counted.
func mixed(ctx context.Context, r *report) error {
	out, err := exec.CommandContext(ctx, "go", "test", "-count=1", "-run", "^TestSwap$", "-v", "./datapath/progrun").CombinedOutput()
	if err != nil {
		return fmt.Errorf("swapping under traffic: %w: %s", err, out)
	}
	m := regexp.MustCompile(`(\d+) of (\d+) packets saw two generations, over (\d+) swaps`).FindSubmatch(out)
	if m == nil {
		return fmt.Errorf("swapping under traffic: no count in %q", out)
	}
	packets, err := strconv.Atoi(string(m[2]))
	if err != nil {
		return err
	}
	r.target("packets that saw two generations", string(m[0]), "0 of at least 10 M", string(m[1]) == "0" && packets >= 10_000_000)
	return nil
}
