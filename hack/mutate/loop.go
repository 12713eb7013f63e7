package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// trials are what the property tests check: properties of random worlds. Each is run once without a mutant to learn
// which mutants make a difference to any value in it; a mutant is tried with those only, the quickest first, until one
// notices it.
type trials struct {
	bin, dir string
	pairs    int
	names    []string
	cost     []time.Duration
	reached  []map[int]bool // by trial, the mutants
}

// patience is how long any answer may take before the process is given up; it ends itself much earlier.
const patience = 5 * time.Minute

// process is one running test binary.
type process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
}

func (t *trials) start(ctx context.Context) (*process, error) {
	shell := []string{"-c", `ulimit -v 8000000; exec "$0" "$@"`, t.bin, "-test.run=^TestMutants$", "-test.timeout=0", "-oracle.pairs=" + strconv.Itoa(t.pairs)}
	p := &process{cmd: exec.CommandContext(ctx, "/bin/sh", shell...), lines: make(chan string, 1)}
	p.cmd.Dir = t.dir
	p.cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=400", "GOMEMLIMIT=3GiB")
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", t.bin, err)
	}
	go func() {
		defer close(p.lines)
		s := bufio.NewScanner(out)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			p.lines <- s.Text()
		}
	}()
	return p, nil
}

// errDead says that the process answers no more.
var errDead = errors.New("the process ended without an answer")

// ask sends a line and returns the fields of the first line that starts with one of the words.
func (p *process) ask(line string, words ...string) ([]string, error) {
	if _, err := fmt.Fprintln(p.in, line); err != nil {
		return nil, errDead
	}
	return p.answer(words...)
}

func (p *process) answer(words ...string) ([]string, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				return nil, errDead
			}
			fields := strings.Fields(line)
			if len(fields) > 0 && slices.Contains(words, fields[0]) {
				return fields, nil
			}
			if strings.Contains(line, "without any mutant") {
				return nil, errors.New(line)
			}
		case <-timer.C:
			return nil, errDead
		}
	}
}

// stop ends the process and waits for it; how a process ends that is killed says nothing.
func (p *process) stop() {
	if p == nil {
		return
	}
	_ = p.in.Close()
	_ = p.cmd.Process.Kill()
	for range p.lines { // until the reader is done
	}
	_ = p.cmd.Wait()
}

// list asks for the names of all trials.
func (t *trials) list(ctx context.Context) error {
	p, err := t.start(ctx)
	if err != nil {
		return err
	}
	defer p.stop()
	answer, err := p.ask("list", "trial", "listed")
	for ; err == nil && answer[0] == "trial"; answer, err = p.answer("trial", "listed") {
		t.names = append(t.names, answer[1])
	}
	t.cost, t.reached = make([]time.Duration, len(t.names)), make([]map[int]bool, len(t.names))
	return err
}

// cover runs every trial without a mutant. One that fails then is an error.
func (t *trials) cover(ctx context.Context, parallel int) error {
	if err := t.list(ctx); err != nil {
		return err
	}
	return each(parallel, func(next func() int) error {
		p, err := t.start(ctx)
		if err != nil {
			return err
		}
		defer p.stop()
		for i := next(); i < len(t.names); i = next() {
			if i%500 == 499 {
				fmt.Fprintf(os.Stderr, "%d of %d trials run without a mutant\n", i+1, len(t.names))
			}
			answer, err := p.ask("cover "+t.names[i], "covered")
			if err != nil {
				return fmt.Errorf("%s: %w", t.names[i], err)
			}
			numbers := make([]int, 0, len(answer))
			for _, word := range answer[2:] {
				n, err := strconv.Atoi(word)
				if err != nil {
					return fmt.Errorf("%s: %w", t.names[i], err)
				}
				numbers = append(numbers, n)
			}
			t.cost[i] = time.Duration(numbers[0]) * time.Microsecond
			t.reached[i] = map[int]bool{}
			for _, id := range numbers[1:] {
				t.reached[i][id] = true
			}
		}
		return nil
	})
}

// of lists the trials that a mutant makes a difference in, the quickest first, each with the milliseconds of processor
// time that it may take: one that never ends is noticed.
func (t *trials) of(id int) (names []string) {
	var at []int
	for i := range t.names {
		if t.reached[i][id] {
			at = append(at, i)
		}
	}
	slices.SortStableFunc(at, func(a, b int) int { return cmp.Compare(t.cost[a], t.cost[b]) })
	for _, i := range at {
		names = append(names, fmt.Sprintf("%s@%d", t.names[i], 20*t.cost[i].Milliseconds()+1500))
	}
	return names
}

// quickTrials are as many as are tried before the suites are run.
const quickTrials = 300

// try feeds mutants that are alive to a process, and starts a new one when it dies: with the quickest trials, or with
// the others. A mutant that ends its process without a word is tried a second time, in a process of its own.
func (t *trials) try(ctx context.Context, mutants []*mutant, next func() int, quickest bool, progress func()) error {
	var p *process
	defer func() { p.stop() }()
	for i := next(); i < len(mutants); i = next() {
		m := mutants[i]
		if m.state != survived {
			continue
		}
		progress()
		names := t.of(m.id)
		m.trials = len(names)
		if at := min(quickTrials, len(names)); quickest {
			names = names[:at]
		} else {
			names = names[at:]
		}
		if len(names) == 0 {
			continue
		}
		line := fmt.Sprintf("try %d %s", m.id, strings.Join(names, " "))
		for attempt := range 2 {
			if ctx.Err() != nil {
				m.state = untested
				break
			}
			if p == nil {
				var err error
				if p, err = t.start(ctx); err != nil {
					return err
				}
			}
			answer, err := p.ask(line, "noticed", "survived")
			if err == nil && answer[0] == "survived" {
				break
			}
			if err == nil {
				m.state, m.by = killed, answer[2]
				break
			}
			p.stop()
			p = nil
			if attempt == 1 {
				m.state, m.by = killed, "its own end"
			}
		}
		if ctx.Err() != nil {
			m.state = untested
		}
	}
	return nil
}
