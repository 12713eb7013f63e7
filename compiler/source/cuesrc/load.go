package cuesrc

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-mesh/weir/compiler/diag"
)

// LimitError says that the files could not be judged: evaluation met a limit, or ended without an answer. A
// command that gets it exits with status 2.
type LimitError struct{ Diagnostic diag.Diagnostic }

func (e *LimitError) Error() string { return "could not decide: " + e.Diagnostic.Message }

// Load evaluates the paths in a child process under the options' limits. What is wrong in the files is in the
// bundle's diagnostics. The error is a *LimitError where a limit was met.
func Load(ctx context.Context, o Options) (*Bundle, error) {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Memory == 0 {
		o.Memory = DefaultMemory
	}
	if len(o.Command) == 0 {
		self, err := executable()
		if err != nil {
			return nil, fmt.Errorf("finding this program to evaluate CUE: %w", err)
		}
		o.Command = []string{self, ChildArg}
	}
	c, err := start(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("starting the evaluation of CUE: %w", err)
	}
	return c.wait(ctx, o)
}

// child is a running evaluation.
type child struct {
	cmd    *exec.Cmd
	stdin  io.Closer // kept open: the child ends when it closes
	stderr head
	// current are the files that the child works on, of one folder first.
	current atomic.Pointer[[]string]
	answer  chan answer
}

type answer struct {
	bundle *Bundle
	err    error
}

func start(ctx context.Context, o Options) (*child, error) {
	c := &child{cmd: exec.CommandContext(ctx, o.Command[0], o.Command[1:]...), answer: make(chan answer, 1)}
	c.current.Store(&[]string{})
	c.cmd.Stderr = &c.stderr
	stdin, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	c.stdin = stdin
	go func() {
		// A child that is gone answers with the end of its output; that is the error then.
		_ = gob.NewEncoder(stdin).Encode(request{Paths: o.Paths, Files: o.Files, Memory: o.Memory})
		b, err := receive(stdout, func(files []string) { c.current.Store(&files) })
		c.answer <- answer{b, err}
	}()
	return c, nil
}

// wait returns the child's answer, or ends the child when it meets a limit. In every case the child is gone, and
// the reading of its output has ended, when wait returns.
func (c *child) wait(ctx context.Context, o Options) (*Bundle, error) {
	deadline := time.NewTimer(o.Timeout)
	defer deadline.Stop()
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		select {
		case a := <-c.answer:
			return c.finish(ctx, a, o)
		case <-ctx.Done():
			c.stop()
			return nil, fmt.Errorf("evaluating CUE: %w", ctx.Err())
		case <-deadline.C:
			c.stop()
			return nil, c.limit(CodeTime, fmt.Sprintf("took more than %s (limit --eval-timeout)", o.Timeout))
		case <-tick.C:
			if resident(c.cmd.Process.Pid) > o.Memory {
				c.stop()
				return nil, c.memory(o)
			}
		}
	}
}

// stop kills the child and waits for it.
func (c *child) stop() {
	_ = c.cmd.Process.Kill()
	<-c.answer
	_ = c.stdin.Close()
	_ = c.cmd.Wait()
}

// finish waits for a child that has answered or ended.
func (c *child) finish(ctx context.Context, a answer, o Options) (*Bundle, error) {
	_ = c.stdin.Close()
	err := c.cmd.Wait()
	switch {
	case a.bundle != nil:
		return a.bundle, nil
	case ctx.Err() != nil: // that may be what ended it
		return nil, fmt.Errorf("evaluating CUE: %w", ctx.Err())
	case c.cmd.ProcessState.ExitCode() == exitMemory:
		return nil, c.memory(o)
	case errors.Is(a.err, io.EOF) || errors.Is(a.err, io.ErrUnexpectedEOF):
		return nil, c.limit(CodeCrash, "ended without an answer: "+c.stderr.reason(err))
	}
	return nil, c.limit(CodeCrash, "failed: "+a.err.Error())
}

func (c *child) memory(o Options) error {
	return c.limit(CodeMemory, fmt.Sprintf("took more than %s of memory (limit --eval-memory)", sizeWords(o.Memory)))
}

func (c *child) limit(code diag.Code, what string) error {
	d := diag.Diagnostic{Code: code, Severity: diag.Error, Hint: "nothing is concluded; `weir docs " + string(code) + "` has the ways out"}
	var subject string
	subject, d.Pos.File = inEvaluation(*c.current.Load())
	d.Message = "evaluating " + subject + " " + what
	return &LimitError{d}
}

// maxNamed is how many files a message names.
const maxNamed = 4

// inEvaluation names files that are evaluated together, any of which may be at fault: the one, or their folder.
func inEvaluation(files []string) (subject, at string) {
	switch len(files) {
	case 0:
		return "CUE", ""
	case 1:
		return files[0], files[0]
	}
	at = path.Dir(files[0])
	shown := make([]string, 0, maxNamed)
	for _, f := range files[:min(len(files), maxNamed)] {
		if path.Dir(f) == at {
			f = path.Base(f)
		}
		shown = append(shown, f)
	}
	names := strings.Join(shown, ", ")
	if more := len(files) - len(shown); more > 0 {
		names = fmt.Sprintf("%s and %d more", names, more)
	}
	return names + " together", at
}

func sizeWords(n int64) string {
	for _, u := range []struct {
		size int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.size && n%u.size == 0 {
			return fmt.Sprintf("%d %s", n/u.size, u.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

// head keeps the first bytes that are written to it.
type head struct{ buf bytes.Buffer }

func (h *head) Write(p []byte) (int, error) {
	if room := 4096 - h.buf.Len(); room > 0 {
		h.buf.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// reason is the runtime's own words for the end of a Go program, without its stacks.
func (h *head) reason(exit error) string {
	for line := range strings.Lines(h.buf.String()) {
		for _, start := range []string{"fatal error: ", "panic: "} {
			if rest, ok := strings.CutPrefix(strings.TrimSpace(line), start); ok {
				return truncate(rest)
			}
		}
	}
	if exit == nil {
		return "no reason given"
	}
	return exit.Error()
}

// executable is this program, even if its file was replaced since it started.
func executable() (string, error) {
	const self = "/proc/self/exe"
	if _, err := os.Stat(self); err == nil {
		return self, nil
	}
	return os.Executable()
}
