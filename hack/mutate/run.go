package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// suite is a package's other tests: they are run for what no trial noticed.
type suite struct {
	name, pkg string
	args      []string
	timeout   time.Duration
	bin, dir  string
	// reached are the mutants that make a difference to some value in it.
	reached map[int]bool
}

// suites are in the order in which a mutant meets them, the slow one last.
func suites() []*suite {
	return []*suite{
		{name: "compiler/plan", pkg: "./compiler/plan"},
		{name: "test/oracle, examples", pkg: "./test/oracle", args: []string{"-test.skip=TestPlanEqualsSemantics|TestMutants|TestOrderMeansNothing|TestIncrementalDecidesAlike|TestProjectionSaysTheSame|TestBroadSets"}},
		{name: "compiler/resolve", pkg: "./compiler/resolve", args: []string{"-test.skip=TestIncrementalEqualsCold"}},
		{name: "compiler/resolve, changes", pkg: "./compiler/resolve", args: []string{"-test.run=TestIncrementalEqualsCold"}},
	}
}

// testAll tries each mutant until something notices it.
func testAll(ctx context.Context, o *options, all []*suite, mutants []*mutant) error {
	oracle := all[slices.IndexFunc(all, func(s *suite) bool { return s.pkg == "./test/oracle" })]
	t := &trials{bin: oracle.bin, dir: oracle.dir, pairs: o.pairs}
	start := time.Now()
	if err := t.cover(ctx, o.parallel); err != nil {
		return err
	}
	for _, s := range all {
		if err := s.cover(ctx, filepath.Dir(s.bin)); err != nil {
			return err
		}
	}
	fmt.Fprintf(os.Stderr, "%d trials and %d suites pass without a mutant; run in %s\n", len(t.names), len(all), time.Since(start).Round(time.Second))
	ctx, cancel := context.WithTimeout(ctx, o.budget)
	defer cancel()
	for _, m := range mutants {
		if m.state != notCompiled {
			m.state = survived
		}
	}
	steps := []struct {
		name string
		work func(next func() int, progress func()) error
	}{
		{"quick trials", func(next func() int, progress func()) error { return t.try(ctx, mutants, next, true, progress) }},
		{"other tests", func(next func() int, progress func()) error {
			for i := next(); i < len(mutants); i = next() {
				if m := mutants[i]; m.state == survived {
					progress()
					m.judge(ctx, all)
				}
			}
			return nil
		}},
		{"other trials", func(next func() int, progress func()) error { return t.try(ctx, mutants, next, false, progress) }},
	}
	for _, step := range steps {
		var tried atomic.Int64
		left := count(mutants, survived)
		progress := func() {
			if n := tried.Add(1); n%200 == 0 {
				fmt.Fprintf(os.Stderr, "%s: %d of %d mutants in %s\n", step.name, n, left, time.Since(start).Round(time.Second))
			}
		}
		if err := each(o.parallel, func(next func() int) error { return step.work(next, progress) }); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "%s: %d of %d mutants are left after %s\n", step.name, count(mutants, survived), len(mutants), time.Since(start).Round(time.Second))
	}
	return nil
}

// each runs work in parallel; next counts from 0, and gives each number to one of them.
func each(parallel int, work func(next func() int) error) error {
	var at atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, parallel)
	for w := range parallel {
		wg.Go(func() { errs[w] = work(func() int { return int(at.Add(1)) - 1 }) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func count(mutants []*mutant, s state) int {
	n := 0
	for _, m := range mutants {
		if m.state == s {
			n++
		}
	}
	return n
}

// judge runs the suites that reach a mutant until one fails.
func (m *mutant) judge(ctx context.Context, all []*suite) {
	for _, s := range all {
		if !s.reached[m.id] {
			continue
		}
		m.suites++
		fails, _ := s.run(ctx, "WEIR_MUTANT="+strconv.Itoa(m.id))
		if ctx.Err() != nil {
			m.state = untested
			return
		}
		if fails {
			m.state, m.by = killed, s.name
			return
		}
	}
}

// cover runs a suite without a mutant, to learn its time and which mutants make a difference in it.
func (s *suite) cover(ctx context.Context, work string) error {
	seen := filepath.Join(work, strings.ReplaceAll(s.name, "/", "_")+".seen")
	s.timeout = time.Hour
	start := time.Now()
	if fails, out := s.run(ctx, "WEIR_MUTANT=-1", "WEIR_MUTANTS_SEEN="+seen); fails {
		return fmt.Errorf("the tests of %s fail without any mutant:\n%s", s.name, out)
	}
	s.timeout = 10*time.Since(start) + 10*time.Second
	raw, err := os.ReadFile(seen)
	if err != nil {
		return fmt.Errorf("what the tests of %s reach: %w", s.name, err)
	}
	s.reached = map[int]bool{}
	for ; len(raw) >= 4; raw = raw[4:] {
		s.reached[int(binary.LittleEndian.Uint32(raw))] = true
	}
	return nil
}

// run runs a suite; a run that does not end, or takes too much memory, fails too.
func (s *suite) run(ctx context.Context, env ...string) (fails bool, out []byte) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	// 6 GB of address space: Go's heap reserves more than it uses.
	shell := append([]string{"-c", `ulimit -v 6000000; exec "$0" "$@"`, s.bin, "-test.failfast", "-test.timeout=" + s.timeout.String()}, s.args...)
	cmd := exec.CommandContext(ctx, "/bin/sh", shell...)
	cmd.Dir = s.dir
	cmd.Env = append(append(os.Environ(), "GOMAXPROCS=1", "GOGC=400"), env...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	return err != nil && (errors.As(err, &exit) || ctx.Err() != nil), out
}
