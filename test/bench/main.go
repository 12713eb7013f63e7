//go:build linux

// Command bench measures what docs/benchmarks.md promises and prints ratios from one run, each with its spread. It is a
// program, not a test: nothing fails on a slow machine. Every line names its target and says whether it was met.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"
)

// section is a part of the run.
type section struct {
	name string
	what string
	run  func(context.Context, *report) error
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, out, log io.Writer) int {
	sections := []section{
		{"compile", "loaded objects to plan: cold, one more identity, one more policy", compileSection},
		{"decision", "a flow's decision in the kernel, beside two other designs", decisionSection},
		{"swap", "generation swaps, and packets that saw two generations", swapSection},
		{"latency", "request and response over routed veths", latencySection},
		{"commands", "weir check on the example, on 1,000 and on 10,000 policies", commandsSection},
		{"agent", "memory of the agent and its maps, 10,000 identities and 100 local pods", agentSection},
	}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(log)
	only := fs.String("only", "", "comma-separated sections to run; empty runs all")
	if err := fs.Parse(args); err != nil {
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r := &report{out: out}
	code := 0
	for _, s := range sections {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), s.name) {
			continue
		}
		fmt.Fprintf(out, "\n%s: %s\n", s.name, s.what)
		if err := s.run(ctx, r); err != nil {
			if errors.Is(err, context.Canceled) {
				return 2
			}
			fmt.Fprintf(log, "bench: %s: %v\n", s.name, err)
			code = 2
		}
	}
	fmt.Fprintf(out, "\n%d targets met, %d not met\n", r.met, r.missed)
	return code
}

// report prints measurements.
type report struct {
	out         io.Writer
	met, missed int
}

// line prints a measurement without a target.
func (r *report) line(what, value string) { fmt.Fprintf(r.out, "  %-58s %s\n", what, value) }

// target prints a measurement beside its target.
func (r *report) target(what, value, target string, met bool) {
	verdict := "met"
	if met {
		r.met++
	} else {
		r.missed++
		verdict = "NOT MET"
	}
	fmt.Fprintf(r.out, "  %-58s %s   target %s: %s\n", what, value, target, verdict)
}

// spread holds repeated measurements of one thing.
type spread []float64

func (s spread) sorted() spread {
	out := slices.Clone(s)
	slices.Sort(out)
	return out
}

func (s spread) median() float64 { return s.sorted()[len(s)/2] }

// format prints median and range with a unit.
func (s spread) format(f, unit string) string {
	o := s.sorted()
	return fmt.Sprintf(f+" %s ("+f+" to "+f+")", o.median(), unit, o[0], o[len(o)-1])
}

func since(t time.Time, unit time.Duration) float64 { return float64(time.Since(t)) / float64(unit) }
