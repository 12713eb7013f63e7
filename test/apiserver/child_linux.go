package apiserver

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// child is a process that ends with this one, however this one ends.
type child struct {
	process *os.Process
	log     string
	done    chan struct{}
	// err is what Wait said; it is there once done is closed.
	err error
}

// run starts a program whose output goes to a file, and which is killed when the context ends. The kernel kills it when
// the thread that started it ends, so a goroutine keeps that thread until the program has ended.
func run(ctx context.Context, log, path string, args ...string) (*child, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", path, err)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdout, cmd.Stderr = out, out
	// A group of its own: Ctrl-C is for the test, which then ends it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	c := &child{log: log, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		_ = out.Close()
		c.process = cmd.Process
		started <- err
		if err == nil {
			c.err = cmd.Wait()
			close(c.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", path, err)
	}
	return c, nil
}

// kill ends the program and waits until it is gone. What it holds in memory is lost.
func (c *child) kill() {
	_ = c.process.Kill()
	<-c.done
}

// ended returns an error with the last of the program's output once the program is gone.
func (c *child) ended() error {
	select {
	case <-c.done:
		text, _ := os.ReadFile(c.log)
		return fmt.Errorf("%w; its last words:\n%s", c.err, text[max(0, len(text)-2000):])
	default:
		return nil
	}
}
