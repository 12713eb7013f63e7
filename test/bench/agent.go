//go:build linux

package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

// agentSection runs the test that starts the real agent with a real plan on real veths and reads its memory.
func agentSection(ctx context.Context, r *report) error {
	out, err := exec.CommandContext(ctx, "go", "test", "-count=1", "-run", "^TestMemory$", "-v", "./datapath/agent").CombinedOutput()
	if err != nil {
		return fmt.Errorf("measuring the agent: %w: %s", err, out)
	}
	m := regexp.MustCompile(`(\d+ identities, \d+ tables, \d+ decisions): resident ([\d.]+) MB, after a second plan ([\d.]+) MB; maps ([\d.]+) MB`).FindSubmatch(out)
	if m == nil {
		return fmt.Errorf("measuring the agent: no figures in %q", out)
	}
	var mb [3]float64
	for i := range mb {
		if mb[i], err = strconv.ParseFloat(string(m[i+2]), 64); err != nil {
			return err
		}
	}
	r.line("the agent's plan", string(m[1]))
	r.target("resident, and after a second plan", fmt.Sprintf("%.1f MB, %.1f MB", mb[0], mb[1]), "40 MB", max(mb[0], mb[1]) <= 40)
	r.target("maps", fmt.Sprintf("%.1f MB", mb[2]), "64 MB", mb[2] <= 64)
	return nil
}
