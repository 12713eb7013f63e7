// Command weir checks, compiles, tests and explains mesh policy. It is also kubectl-weir.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/weir-mesh/weir/compiler/source/cuesrc"
)

func main() { os.Exit(run()) }

// endSignals end a verb, which then takes away what it built. SIGHUP is the terminal being closed.
var endSignals = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}

// run is the program; it returns the exit status.
func run() int {
	if len(os.Args) == 2 && os.Args[1] == cuesrc.ChildArg {
		return cuesrc.ChildMain(os.Stdin, os.Stdout)
	}
	ctx, stop := signal.NotifyContext(context.Background(), endSignals...)
	defer stop()
	// A second Ctrl-C ends the program at once: a write may be stuck at a reader that does not read. What a lab then leaves
	// the next lab command takes away.
	context.AfterFunc(ctx, func() { signal.Reset(os.Interrupt) })
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv}
	return a.main(ctx, os.Args)
}
