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

// run is the program; it returns the exit status.
func run() int {
	if len(os.Args) == 2 && os.Args[1] == cuesrc.ChildArg {
		return cuesrc.ChildMain(os.Stdin, os.Stdout)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv}
	return a.main(ctx, os.Args)
}
