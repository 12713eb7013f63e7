package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// trials are what the property tests check: properties of random worlds. Each is run once without a mutant to learn
// which mutants make a difference to any value in it; a mutant is tried with those only, until one notices it.
type trials struct {
	bin, dir string
	pairs    int
	names    []string
	place    map[string]int
	cost     []time.Duration
	reached  []idSet // by trial, the mutants
}

// A mutant is tried with the quickest trials for quickTime, before the tests, and with others for otherTime, after them:
// what they would cost without it, in processor time. The others are chosen by lot, the same on each run.
const (
	quickTime = 800 * time.Millisecond
	otherTime = 5 * time.Second
)

// likeliest is how many trials are asked first because they noticed mutants of the same function.
const likeliest = 30

// patience is how long any answer may take before the process is given up; it ends itself much earlier.
const patience = 10 * time.Minute

// process is one running test binary; at is the trial that it began last.
type process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
	at    string
}

func (t *trials) start(ctx context.Context) (*process, error) {
	shell := []string{"-c", `ulimit -v 8000000; exec "$0" "$@"`, t.bin, "-test.run=^TestMutants$", "-test.timeout=0", "-oracle.pairs=" + strconv.Itoa(t.pairs)}
	p := &process{cmd: exec.CommandContext(ctx, "/bin/sh", shell...), lines: make(chan string, 1)}
	p.cmd.Dir = t.dir
	p.cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=300", "GOMEMLIMIT=4GiB")
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
	p.at = ""
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
			switch {
			case len(fields) > 0 && slices.Contains(words, fields[0]):
				return fields, nil
			case len(fields) == 2 && fields[0] == "at":
				p.at = fields[1]
			case strings.Contains(line, "without any mutant"):
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
	t.place = map[string]int{}
	answer, err := p.ask("list", "trial", "listed")
	for ; err == nil && answer[0] == "trial"; answer, err = p.answer("trial", "listed") {
		t.place[answer[1]] = len(t.names)
		t.names = append(t.names, answer[1])
	}
	t.cost, t.reached = make([]time.Duration, len(t.names)), make([]idSet, len(t.names))
	return err
}

// cover runs every trial without a mutant. One that fails then is an error.
func (t *trials) cover(ctx context.Context, parallel int, known *results) error {
	if err := t.list(ctx); err != nil {
		return err
	}
	return each(parallel, func(next func() int) error {
		var p *process
		defer func() { p.stop() }()
		for i := next(); i < len(t.names); i = next() {
			if i%500 == 499 {
				fmt.Fprintf(os.Stderr, "%d of %d trials run without a mutant\n", i+1, len(t.names))
			}
			if rec, ok := known.covered[t.names[i]]; ok {
				t.cost[i], t.reached[i] = rec.Cost, rec.Reached
				continue
			}
			if p == nil {
				var err error
				if p, err = t.start(ctx); err != nil {
					return err
				}
			}
			answer, err := p.ask("cover "+t.names[i], "covered")
			if err == nil {
				err = t.covered(i, answer[2:])
			}
			if err != nil {
				return fmt.Errorf("%s: %w", t.names[i], err)
			}
			known.write(record{Covered: t.names[i], Cost: t.cost[i], Reached: t.reached[i]})
		}
		return nil
	})
}

// covered enters a trial's processor time in microseconds and the mutants that make a difference in it.
func (t *trials) covered(i int, words []string) error {
	for j, word := range words {
		n, err := strconv.Atoi(word)
		switch {
		case err != nil:
			return err
		case j == 0:
			t.cost[i] = time.Duration(n) * time.Microsecond
		default:
			t.reached[i].add(n)
		}
	}
	return nil
}

// order lists the trials that a mutant makes a difference in: the likeliest and the quickest, and others.
func (r *runner) order(m *mutant) (quick, others []string) {
	t := r.trials
	var likely, rest []int
	for _, name := range r.likely(m) {
		if i, ok := t.place[name]; ok && t.reached[i].has(m.id) {
			likely = append(likely, i)
		}
	}
	for i := range t.names {
		if t.reached[i].has(m.id) && !slices.Contains(likely, i) {
			rest = append(rest, i)
		}
	}
	slices.SortStableFunc(rest, func(a, b int) int { return cmp.Compare(t.cost[a], t.cost[b]) })
	all := slices.Concat(likely[:min(likeliest, len(likely))], rest)
	n := t.within(quickTime, all)
	quick, rest = t.limited(all[:n]), all[n:]
	rand.New(rand.NewPCG(1, uint64(m.id))).Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	return quick, t.limited(rest[:t.within(otherTime, rest)])
}

// within is how many trials of a list some processor time is enough for; one, whatever it costs.
func (t *trials) within(limit time.Duration, list []int) int {
	for n, i := range list {
		if limit -= t.cost[i]; limit < 0 {
			return max(1, n)
		}
	}
	return len(list)
}

// limited names trials with the milliseconds of processor time that each may take: one that never ends is noticed.
func (t *trials) limited(list []int) (names []string) {
	for _, i := range list {
		names = append(names, fmt.Sprintf("%s@%d", t.names[i], 20*t.cost[i].Milliseconds()+1500))
	}
	return names
}

// try feeds a mutant to a process, and starts a new one when it dies; it returns the trial that noticed it. A mutant that
// ends its process without a word is tried a second time, in a process of its own.
func (t *trials) try(ctx context.Context, p **process, id int, names []string) (by string, err error) {
	for attempt := 0; len(names) > 0 && ctx.Err() == nil; attempt++ {
		if *p == nil {
			if *p, err = t.start(ctx); err != nil {
				return "", err
			}
		}
		answer, err := (*p).ask(fmt.Sprintf("try %d %s", id, strings.Join(names, " ")), "noticed", "ended", "survived")
		if err == nil && answer[0] == "survived" {
			return "", nil
		}
		if err == nil && answer[0] == "noticed" {
			return answer[2], nil
		}
		at := (*p).at
		(*p).stop()
		*p = nil
		if err == nil {
			return answer[2], nil // it took too long
		}
		if attempt == 1 {
			return cmp.Or(at, "its own end"), nil
		}
		if i := slices.IndexFunc(names, func(n string) bool { return strings.HasPrefix(n, at+"@") }); i > 0 {
			names = names[i:]
		}
	}
	return "", nil
}
