package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"time"
)

// loop tries mutants in processes that keep the evaluator's answers from one to the next. What ends the process, or
// keeps it busy for too long, is noticed too.
type loop struct {
	bin, dir string
	pairs    int
	tried    atomic.Int64
}

// patience is how long one mutant may take before it counts as one that never ends.
const patience = 90 * time.Second

// run feeds mutants to a process, and starts a new one when it dies.
func (l *loop) run(ctx context.Context, mutants []*mutant, next func() int) {
	var p *process
	defer func() { p.stop() }()
	for i := next(); i < len(mutants); i = next() {
		m := mutants[i]
		switch {
		case m.state == notCompiled:
			continue
		case ctx.Err() != nil:
			m.state = untested
			continue
		case equivalent(m) != "":
			m.state = excused
			continue
		}
		if p == nil {
			var err error
			if p, err = l.start(ctx); err != nil {
				fmt.Fprintln(os.Stderr, "mutate:", err)
				m.state = untested
				continue
			}
		}
		noticed, alive := p.ask(m.id)
		if n := l.tried.Add(1); n%100 == 0 {
			fmt.Fprintf(os.Stderr, "first pass: %d tried\n", n)
		}
		m.state = survived
		switch {
		case ctx.Err() != nil:
			m.state = untested
		case noticed || !alive:
			m.state = killed
		}
		if !alive {
			p.stop()
			p = nil
		}
	}
}

// sound insists that without a mutant nothing is noticed.
func (l *loop) sound(ctx context.Context) error {
	p, err := l.start(ctx)
	if err != nil {
		return err
	}
	defer p.stop()
	if noticed, alive := p.ask(0); noticed || !alive {
		return fmt.Errorf("the oracle notices something without any mutant")
	}
	return nil
}

// process is one running test binary.
type process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
}

func (l *loop) start(ctx context.Context) (*process, error) {
	shell := []string{"-c", `ulimit -v 8000000; exec "$0" "$@"`, l.bin, "-test.run=TestMutants", "-test.timeout=0", "-oracle.pairs=" + strconv.Itoa(l.pairs)}
	p := &process{cmd: exec.CommandContext(ctx, "/bin/sh", shell...), lines: make(chan string)}
	p.cmd.Dir = l.dir
	p.cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=400")
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", l.bin, err)
	}
	go func() {
		defer close(p.lines)
		s := bufio.NewScanner(out)
		for s.Scan() {
			p.lines <- s.Text()
		}
	}()
	return p, nil
}

// ask tries one mutant. alive is false when the process is of no more use.
func (p *process) ask(id int) (noticed, alive bool) {
	if _, err := fmt.Fprintln(p.in, id); err != nil {
		return true, false
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				return true, false
			}
			var got int
			if n, _ := fmt.Sscanf(line, "mutant %d %t", &got, &noticed); n == 2 && got == id {
				return noticed, true
			}
		case <-timer.C:
			return true, false
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
