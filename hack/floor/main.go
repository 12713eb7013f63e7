// Command floor boots Debian's kernels in an emulator and runs the datapath's tests on them, as root: it shows that the
// kernel floor that the documents state holds, on amd64 and on arm64, and that a kernel below it is refused.
//
// The machine has a kernel, its modules, `ip` and `nft` of the same Debian release, and one process of ours (hack/floor/init)
// in a memory file system; it has no disk and no network.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// machine is what is booted: a Debian release's kernel for an architecture.
type machine struct {
	arch   string // as Go and Debian call it
	kernel string
	release
}

// release is a Debian release and what its kernel is to Weir.
type release struct {
	name string
	// refused is a kernel below the floor: each command has to say so.
	refused bool
	// tcx says that the kernel has TCX, which came with 6.6.
	tcx bool
}

// releases are the Debian releases by their kernel.
var releases = map[string]release{
	"5.10": {name: "bullseye", refused: true},
	"6.1":  {name: "bookworm"},
	"6.12": {name: "trixie", tcx: true},
}

type options struct {
	machines []machine
	timeout  time.Duration
	// run and only narrow what is run: the tests, and the jobs by name.
	run  string
	only *regexp.Regexp
}

func main() { os.Exit(command()) }

// command returns the exit code: 1 when something failed on a kernel, 2 when that could not be found out.
func command() int {
	o, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	failed := false
	for i := range o.machines {
		switch err := o.machines[i].test(ctx, o); {
		case errors.Is(err, errFailed):
			failed = true
		case err != nil:
			fmt.Fprintln(os.Stderr, "floor:", err)
			return 2
		}
	}
	if failed {
		return 1
	}
	return 0
}

func parse(args []string) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("floor", flag.ExitOnError)
	archs := f.String("arch", "amd64,arm64", "of amd64 and arm64")
	kernels := f.String("kernels", "6.1,5.10", "Debian's, of 5.10, 6.1 and 6.12")
	f.DurationVar(&o.timeout, "timeout", 2*time.Hour, "for one machine")
	f.StringVar(&o.run, "run", "", "run only the tests that match this `regexp`")
	only := f.String("only", "", "run only the jobs whose name matches this `regexp`")
	_ = f.Parse(args) // it ends the program itself
	for k := range strings.SplitSeq(*kernels, ",") {
		r, ok := releases[k]
		if !ok {
			return nil, fmt.Errorf("-kernels %s: 5.10, 6.1 and 6.12, with commas between", *kernels)
		}
		for arch := range strings.SplitSeq(*archs, ",") {
			if emulators[arch].command == "" {
				return nil, fmt.Errorf("-arch %s: amd64 and arm64, with a comma between", *archs)
			}
			o.machines = append(o.machines, machine{arch: arch, kernel: k, release: r})
		}
	}
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		return nil, fmt.Errorf("-only: %w", err)
	}
	return o, nil
}

// errFailed says that something ran and did not end as it has to; it is printed already.
var errFailed = errors.New("failed")

// test boots a machine and runs its jobs there.
func (m *machine) test(ctx context.Context, o *options) error {
	dir, err := filepath.Abs(filepath.Join(".cache", "floor", m.name+"-"+m.arch))
	if err != nil {
		return err
	}
	root := filepath.Join(dir, "root")
	if err := m.fetch(ctx, dir, root); err != nil {
		return err
	}
	kernel, modules, err := m.kernelOf(ctx, root)
	if err != nil {
		return err
	}
	a := &archive{}
	if err := m.fill(ctx, a, dir, root, modules, o); err != nil {
		return err
	}
	initramfs := filepath.Join(dir, "initramfs")
	if err := a.write(initramfs); err != nil {
		return err
	}
	return m.boot(ctx, kernel, initramfs, o)
}
