package main

import (
	"bytes"
	"context"
	"encoding/binary"
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

// suite is the tests of a package: they are run for what no quick trial noticed.
type suite struct {
	pkg string
	// but are the tests that are left out: the properties, which are asked as trials.
	but      *regexp.Regexp
	bin, dir string
	tests    []*test
}

// test is a top-level test of a suite.
type test struct {
	suite   *suite
	name    string
	cost    time.Duration
	reached idSet
}

// suites are in the order in which a mutant meets them.
func suites() []*suite {
	return []*suite{
		{pkg: "./compiler/plan"},
		{pkg: "./compiler/resolve"},
		{pkg: "./test/oracle", but: regexp.MustCompile(`^(TestPlanEqualsSemantics|TestMutants|TestOrderMeansNothing|TestIncrementalDecidesAlike|TestProjectionSaysTheSame|TestBroadSets)$`)},
		{pkg: "./compiler/analyze"},
	}
}

// slowest is the processor time of a test from which it is left out: what only it would notice counts as survived. From dear
// on it is asked late.
const (
	slowest = 20 * time.Second
	dear    = 300 * time.Millisecond
)

func (s *suite) name() string { return strings.TrimPrefix(s.pkg, "./") }

func (t *test) full() string { return t.suite.name() + " " + t.name }

// runner tries mutants.
type runner struct {
	trials *trials
	suites []*suite
	tests  map[string]*test // by full name
	known  *results
	mu     sync.Mutex
	// noticed counts, by function, what noticed its mutants.
	noticed map[string]map[string]int
}

// testAll tries each mutant until something notices it: those first that were noticed before, those last that survived.
func testAll(ctx context.Context, o *options, all []*suite, known *results, mutants []*mutant) error {
	oracle := all[slices.IndexFunc(all, func(s *suite) bool { return s.pkg == "./test/oracle" })]
	r := &runner{trials: &trials{bin: oracle.bin, dir: oracle.dir, pairs: o.pairs}, suites: all, known: known, tests: map[string]*test{},
		noticed: map[string]map[string]int{}}
	start := time.Now()
	if err := r.trials.cover(ctx, o.parallel, known); err != nil {
		return err
	}
	if err := r.cover(ctx, o.parallel); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d trials and %d tests pass without a mutant; run in %s\n", len(r.trials.names), len(r.tests), time.Since(start).Round(time.Second))
	ctx, cancel := context.WithTimeout(ctx, o.budget)
	defer cancel()
	var left []*mutant
	for _, m := range mutants {
		if m.state == untested {
			left = append(left, m)
		}
		if by := known.hints[m.key]; by != "" && by != nobody {
			r.count(m, by)
		}
	}
	slices.SortStableFunc(left, func(a, b *mutant) int {
		return rankHint(known.hints[a.key]) - rankHint(known.hints[b.key])
	})
	fmt.Fprintf(os.Stderr, "%d of %d mutants are known, %d to try\n", len(mutants)-len(left), len(mutants), len(left))
	for _, thorough := range []bool{false, true} {
		var tried atomic.Int64
		err := each(o.parallel, func(next func() int) error {
			var p *process
			defer func() { p.stop() }()
			for i := next(); i < len(left) && ctx.Err() == nil; i = next() {
				if left[i].state != untested {
					continue
				}
				if err := r.one(ctx, &p, left[i], thorough); err != nil {
					return err
				}
				if n := tried.Add(1); n%200 == 0 {
					fmt.Fprintf(os.Stderr, "%d tried in %s, thoroughly %t\n", n, time.Since(start).Round(time.Second), thorough)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// rankHint puts mutants that a trial noticed before those that a test did, those of which nothing is known after them, and
// last those that survived.
func rankHint(by string) int {
	switch {
	case by == nobody:
		return 3
	case by == "":
		return 2
	case strings.Contains(by, "/"):
		return 1
	default:
		return 0
	}
}

// one tries a mutant: with the likeliest and quickest trials and the quick tests, or, thoroughly, with the other tests and with
// other trials for some time.
func (r *runner) one(ctx context.Context, p **process, m *mutant, thorough bool) error {
	trials, others := r.order(m)
	if thorough {
		trials = others
	}
	steps := []func() (string, error){
		func() (string, error) { return r.trials.try(ctx, p, m.id, trials) },
		func() (string, error) { return r.judge(ctx, m, thorough) },
	}
	if thorough || strings.Contains(r.known.hints[m.key], "/") {
		slices.Reverse(steps)
	}
	for _, step := range steps {
		by, err := step()
		if err != nil && ctx.Err() == nil {
			return err
		}
		if by != "" && ctx.Err() == nil {
			m.state, m.by = killed, by
			r.count(m, by)
			r.known.keep(m)
			return nil
		}
	}
	if thorough && ctx.Err() == nil { // else it was not tested
		m.state = survived
		r.known.keep(m)
		fmt.Fprintf(os.Stderr, "survived: %s  %s\n", m.place(), m.what)
	}
	return nil
}

func (r *runner) count(m *mutant, by string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := m.file + ":" + m.function
	if r.noticed[at] == nil {
		r.noticed[at] = map[string]int{}
	}
	r.noticed[at][by]++
}

// likely lists what noticed the mutant before, then what noticed most of its function's.
func (r *runner) likely(m *mutant) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	counts := r.noticed[m.file+":"+m.function]
	own := r.known.hints[m.key]
	var out []string
	for by := range counts {
		out = append(out, by)
	}
	slices.SortFunc(out, func(a, b string) int {
		switch {
		case a == own:
			return -1
		case b == own:
			return 1
		case counts[a] != counts[b]:
			return counts[b] - counts[a]
		}
		return strings.Compare(a, b)
	})
	return out
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

// judge runs the tests that reach a mutant until one fails, and says which: the two likeliest alone, then those of each
// package together, the dear ones or the others.
func (r *runner) judge(ctx context.Context, m *mutant, dearOnes bool) (by string, err error) {
	first := 0
	for _, name := range r.likely(m) {
		if t := r.tests[name]; t != nil && t.reached.has(m.id) && t.cost < dear != dearOnes {
			if by := t.suite.run(ctx, m.id, []*test{t}); by != "" {
				return by, nil
			}
			if first++; first == 2 {
				break
			}
		}
	}
	for _, s := range r.suites {
		var reaching []*test
		for _, t := range s.tests {
			if t.reached.has(m.id) && t.cost < dear != dearOnes {
				reaching = append(reaching, t)
			}
		}
		if len(reaching) == 0 {
			continue
		}
		if by := s.run(ctx, m.id, reaching); by != "" {
			return by, nil
		}
	}
	return "", nil
}

// cover runs each test alone without a mutant, to learn its time and which mutants make a difference in it.
func (r *runner) cover(ctx context.Context, parallel int) error {
	var all []*test
	for _, s := range r.suites {
		if err := s.list(ctx); err != nil {
			return err
		}
		all = append(all, s.tests...)
	}
	err := each(parallel, func(next func() int) error {
		for i := next(); i < len(all); i = next() {
			if err := all[i].cover(ctx, r.known); err != nil {
				return err
			}
		}
		return nil
	})
	for _, s := range r.suites {
		s.tests = slices.DeleteFunc(s.tests, func(t *test) bool {
			if t.cost > slowest {
				fmt.Fprintf(os.Stderr, "left out: %s takes %s\n", t.full(), t.cost.Round(time.Second))
			}
			return t.cost > slowest
		})
		for _, t := range s.tests {
			r.tests[t.full()] = t
		}
	}
	return err
}

// list finds the tests of a suite.
func (s *suite) list(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, s.bin, "-test.list", "^(Test|Fuzz|Example)")
	cmd.Dir = s.dir
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("listing the tests of %s: %w", s.pkg, err)
	}
	for name := range strings.FieldsSeq(string(out)) {
		if s.but == nil || !s.but.MatchString(name) {
			s.tests = append(s.tests, &test{suite: s, name: name})
		}
	}
	return nil
}

func (t *test) cover(ctx context.Context, known *results) error {
	if rec, ok := known.covered[t.full()]; ok {
		t.cost, t.reached = rec.Cost, rec.Reached
		return nil
	}
	seen := filepath.Join(filepath.Dir(t.suite.bin), strings.ReplaceAll(t.full(), "/", "_")+".seen")
	cmd := t.suite.command(ctx, []*test{t}, time.Hour, "WEIR_MUTANT=-1", "WEIR_MUTANTS_SEEN="+seen)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s fails without any mutant:\n%s", t.full(), out)
	}
	t.cost = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	raw, err := os.ReadFile(seen)
	if err != nil && !errors.Is(err, os.ErrNotExist) { // a test that meets no mutant writes none
		return fmt.Errorf("what %s reaches: %w", t.full(), err)
	}
	for ; len(raw) >= 4; raw = raw[4:] {
		t.reached.add(int(binary.LittleEndian.Uint32(raw)))
	}
	known.write(record{Covered: t.full(), Cost: t.cost, Reached: t.reached})
	return nil
}

// command runs some tests within some processor time.
func (s *suite) command(ctx context.Context, tests []*test, limit time.Duration, env ...string) *exec.Cmd {
	names := make([]string, len(tests))
	for i, t := range tests {
		names[i] = t.name
	}
	// 6 GB of address space: Go's heap reserves more than it uses.
	script := fmt.Sprintf(`ulimit -v 6000000; ulimit -t %d; exec "$0" "$@"`, int(limit.Seconds()))
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", script, s.bin, "-test.failfast", "-test.timeout=0", "-test.run=^("+strings.Join(names, "|")+")$")
	cmd.Dir = s.dir
	cmd.Env = append(append(os.Environ(), "GOMAXPROCS=1", "GOGC=400"), env...)
	cmd.WaitDelay = time.Second
	return cmd
}

var failed = regexp.MustCompile(`(?m)^--- FAIL: (\S+)`)

// run says which of some tests notices a mutant; a run that does not end, or takes too much memory, notices it too.
func (s *suite) run(ctx context.Context, mutant int, tests []*test) (by string) {
	cost := time.Duration(0)
	for _, t := range tests {
		cost += t.cost
	}
	limit := 4*cost + 4*time.Second
	inTime, cancel := context.WithTimeout(ctx, 20*limit) // for one that waits for ever
	defer cancel()
	out, err := s.command(inTime, tests, limit, "WEIR_MUTANT="+strconv.Itoa(mutant)).CombinedOutput()
	var exit *exec.ExitError
	if ctx.Err() != nil || err == nil || !errors.As(err, &exit) && inTime.Err() == nil {
		return ""
	}
	if m := failed.FindSubmatch(bytes.TrimSpace(out)); m != nil {
		return s.name() + " " + string(m[1])
	}
	if len(tests) == 1 {
		return tests[0].full()
	}
	return s.name()
}
