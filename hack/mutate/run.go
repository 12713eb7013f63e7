package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// suite is a test binary and how it is run for a mutant: the cheapest that finds most comes first.
type suite struct {
	name, pkg string
	args      func(*options) []string
	timeout   time.Duration
	bin, dir  string
}

func suites() []*suite {
	property := func(pairs int) []string {
		return []string{"-test.run=TestPlanEqualsSemantics", "-oracle.shrink=false", "-oracle.pairs=" + strconv.Itoa(pairs)}
	}
	return []*suite{
		{name: "resolve", pkg: "./compiler/resolve", timeout: 120 * time.Second, args: func(*options) []string { return nil }},
		{name: "plan", pkg: "./compiler/plan", timeout: 60 * time.Second, args: func(*options) []string { return nil }},
		{name: "oracle, other tests", pkg: "./test/oracle", timeout: 60 * time.Second, args: func(*options) []string { return []string{"-test.skip=TestPlanEqualsSemantics|TestMutants"} }},
		{name: "oracle", pkg: "./test/oracle", timeout: 180 * time.Second, args: func(o *options) []string { return append(property(o.pairs), "-oracle.seed=100000") }},
	}
}

// loopTest is added to the oracle's tests: it tries many mutants in one process, with the evaluator's answers kept.
//
//go:embed mutants_test.go.txt
var loopTest string

// compileError is a position in what the compiler prints.
var compileError = regexp.MustCompile(`^(\S+\.go):(\d+):(?:(\d+):)? (.*)$`)

// build writes the mutated files and builds the test binaries. Mutants that do not compile are left out, and the rest
// is built again.
func build(ctx context.Context, root, work string, sources []*source) ([]*suite, error) {
	for round := 0; ; round++ {
		overlay := map[string]string{}
		for i, s := range sources {
			file := filepath.Join(work, fmt.Sprintf("%d_%s", i, filepath.Base(s.path)))
			if err := os.WriteFile(file, []byte(rewrite(s)), 0o600); err != nil {
				return nil, err
			}
			overlay[s.path] = file
			helper := filepath.Join(work, s.pkg+"_mutants.go")
			if err := os.WriteFile(helper, fmt.Appendf(nil, helpers, s.pkg), 0o600); err != nil {
				return nil, err
			}
			overlay[filepath.Join(filepath.Dir(s.path), "zz_mutants.go")] = helper
		}
		loop := filepath.Join(work, "mutants_test.go")
		if err := os.WriteFile(loop, []byte(loopTest), 0o600); err != nil {
			return nil, err
		}
		overlay[filepath.Join(root, "test/oracle/zz_mutants_test.go")] = loop
		raw, err := json.Marshal(map[string]any{"Replace": overlay})
		if err != nil {
			return nil, err
		}
		file := filepath.Join(work, "overlay.json")
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			return nil, err
		}
		out, err := goBuild(ctx, root, file, sources)
		if err != nil {
			if round == 20 || !dropBroken(sources, out) {
				return nil, fmt.Errorf("building the mutants: %w\n%s", err, out)
			}
			continue
		}
		return testBinaries(ctx, root, work, file)
	}
}

func goBuild(ctx context.Context, root, overlay string, sources []*source) ([]byte, error) {
	args := []string{"build", "-gcflags=-e", "-overlay", overlay}
	seen := map[string]bool{}
	for _, s := range sources {
		if dir := filepath.Dir(s.path); !seen[dir] {
			seen[dir] = true
			args = append(args, dir)
		}
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	return cmd.CombinedOutput()
}

func testBinaries(ctx context.Context, root, work, overlay string) ([]*suite, error) {
	all := suites()
	for _, s := range all {
		s.bin = filepath.Join(work, strings.ReplaceAll(strings.TrimPrefix(s.pkg, "./"), "/", "_")+".test")
		s.dir = filepath.Join(root, s.pkg)
		if _, err := os.Stat(s.bin); err == nil {
			continue
		}
		cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", s.bin, s.pkg)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("building the tests of %s: %w\n%s", s.pkg, err, out)
		}
	}
	// A package without tests has no binary.
	return slices.DeleteFunc(all, func(s *suite) bool { _, err := os.Stat(s.bin); return err != nil }), nil
}

// dropBroken marks the mutants on lines that the compiler complains about, and says whether there were any.
func dropBroken(sources []*source, out []byte) bool {
	any := false
	for line := range bytes.Lines(out) {
		m := compileError.FindStringSubmatch(strings.TrimSpace(string(line)))
		if m == nil {
			continue
		}
		n, _ := strconv.Atoi(m[2])
		column, _ := strconv.Atoi(m[3])
		for _, s := range sources {
			if strings.HasSuffix(m[1], filepath.Base(s.path)) {
				any = s.drop(n, column) || any
			}
		}
	}
	return any
}

// drop leaves out the mutant that stands nearest before a place in the rewritten file, or all of its line.
func (s *source) drop(line, column int) bool {
	text := strings.Split(rewrite(s), "\n")[line-1]
	numbers := regexp.MustCompile(`mut\w*(?:\[[\w.]*\])?\((\d+)`).FindAllStringSubmatchIndex(text, -1)
	nearest := -1
	for _, at := range numbers {
		if at[0] <= column+1 || nearest < 0 {
			nearest, _ = strconv.Atoi(text[at[2]:at[3]])
		}
	}
	any := false
	for _, m := range s.mutants {
		if m.state != notCompiled && (m.id == nearest || nearest < 0 && m.line == line) {
			m.state, any = notCompiled, true
		}
	}
	return any
}

// testAll runs the suites for each mutant until one fails.
func testAll(ctx context.Context, o *options, all []*suite, mutants []*mutant) error {
	oracle := all[len(all)-1]
	all = slices.DeleteFunc(all, func(s *suite) bool { return !o.suites.MatchString(s.name) })
	for _, s := range all {
		if fails, out := s.fails(ctx, o, 0); fails {
			return fmt.Errorf("the suite %q fails without any mutant:\n%s", s.name, out)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, o.budget)
	defer cancel()
	l := &loop{bin: oracle.bin, dir: oracle.dir, pairs: o.pairs}
	if err := l.sound(ctx); err != nil {
		return err
	}
	each(o.parallel, func(next func() int) { l.run(ctx, mutants, next) })
	fmt.Fprintf(os.Stderr, "first pass: %d of %d noticed\n", count(mutants, killed), len(mutants))
	each(o.parallel, func(next func() int) {
		for i := next(); i < len(mutants); i = next() {
			m := mutants[i]
			if m.state == survived {
				m.state = try(ctx, o, all, m)
			}
			if m.state == survived || o.verbose {
				fmt.Printf("%-12s %s  %s\n", m.state, m.place(), m.what)
			}
		}
	})
	return nil
}

// each runs work in parallel; next counts from 0, and gives each number to one of them.
func each(parallel int, work func(next func() int)) {
	var at atomic.Int64
	var wg sync.WaitGroup
	for range parallel {
		wg.Go(func() { work(func() int { return int(at.Add(1)) - 1 }) })
	}
	wg.Wait()
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

func try(ctx context.Context, o *options, all []*suite, m *mutant) state {
	if equivalent(m) != "" {
		return excused
	}
	for _, s := range all {
		if fails, _ := s.fails(ctx, o, m.id); fails {
			if ctx.Err() != nil {
				return untested
			}
			return killed
		}
	}
	return survived
}

// fails runs a suite under a mutant; a run that does not end, or takes too much memory, fails too.
func (s *suite) fails(ctx context.Context, o *options, id int) (bool, []byte) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	args := append([]string{"-test.failfast", "-test.timeout=" + s.timeout.String()}, s.args(o)...)
	// 6 GB of address space: Go's heap reserves more than it uses.
	shell := append([]string{"-c", `ulimit -v 6000000; exec "$0" "$@"`, s.bin}, args...)
	cmd := exec.CommandContext(ctx, "/bin/sh", shell...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "WEIR_MUTANT="+strconv.Itoa(id), "GOMAXPROCS=1", "GOGC=400")
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	return err != nil && (errors.As(err, &exit) || ctx.Err() != nil), out
}
