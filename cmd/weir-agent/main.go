//go:build linux

// Command weir-agent keeps a node's kernel at the plan: it loads, pins, attaches and swaps what its node's projection
// says, and leaves the kernel enforcing when it ends.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-mesh/weir/datapath"
	"github.com/weir-mesh/weir/datapath/agent"
	"github.com/weir-mesh/weir/internal/plain"
	"github.com/weir-mesh/weir/internal/usage"
)

// version is set by the linker.
var version = "dev"

func main() {
	// The agent works for a moment and then waits: collecting often costs little and keeps a node's memory for its pods.
	debug.SetGCPercent(25)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := usage.Execute(ctx, command(os.Stdout, os.Stderr))
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "weir-agent:", plain.Text(err.Error()))
		os.Exit(2) // it could not begin
	}
}

func command(out, errOut io.Writer) *cobra.Command {
	var o agent.Options
	var attach, format string
	cmd := &cobra.Command{
		Use:           "weir-agent --plan FILE",
		Short:         "Enforce a node's part of the plan in this kernel",
		Long:          "weir-agent enforces the projection in FILE, follows the file, and leaves the kernel enforcing when it ends.",
		Version:       version,
		Args:          usage.Verb,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Plan == "" {
				return errors.New("--plan FILE is missing: it is a node's file of weir compile, nodes/NAME.json")
			}
			if o.Poll <= 0 {
				return fmt.Errorf("--poll %s: it must be more than 0", o.Poll)
			}
			if o.Grace <= 0 {
				return fmt.Errorf("--grace %s: it must be more than 0", o.Grace)
			}
			var err error
			if o.Datapath.Attach, err = attachMode(attach); err != nil {
				return err
			}
			if o.Log, err = logger(errOut, format); err != nil {
				return err
			}
			if err := ready(); err != nil {
				return err
			}
			return agent.Run(cmd.Context(), o)
		},
	}
	cmd.SetFlagErrorFunc(usage.Flags)
	f := cmd.Flags()
	f.StringVar(&o.Plan, "plan", "", "file that holds the node's projection; it is followed")
	f.StringVar(&o.Node, "node", "", "refuse a projection of another node than this")
	f.StringVar(&o.Listen, "listen", "127.0.0.1:9964", "address of /metrics and /healthz; empty for none")
	f.DurationVar(&o.Poll, "poll", time.Second, "how often the file is looked at")
	f.DurationVar(&o.Grace, "grace", agent.DefaultGrace, "how long a pod of the plan may be nowhere on the node before /healthz fails")
	f.StringVar(&attach, "attach", "auto", "how to attach: tcx, clsact or auto, what the kernel has")
	f.StringVar(&format, "log-format", "text", "log format: text or json")
	f.Uint32Var(&o.Datapath.EventRate, "event-rate", 1000, "flows logged in a second and CPU, at most")
	p := cmd.PersistentFlags()
	p.StringVar(&o.Datapath.Root, "root", datapath.DefaultRoot, "folder of pinned maps and links")
	p.StringVar(&o.Datapath.NetNS, "netns", "", "path of the network namespace of the pods' veths (default this one)")
	cmd.AddCommand(uninstall(&o, out))
	return cmd
}

// ready says in one sentence what this machine or user lacks.
func ready() error { return datapath.Probe() }

// attachMode refuses what it does not know: the datapath would take it for TCX, which not every kernel has.
func attachMode(s string) (datapath.AttachMode, error) {
	switch m := datapath.AttachMode(s); m {
	case datapath.TCX, datapath.Clsact, datapath.Auto:
		return m, nil
	case "auto":
		return datapath.Auto, nil
	}
	return "", fmt.Errorf("--attach %s: tcx, clsact or auto", s)
}

func logger(w io.Writer, format string) (*slog.Logger, error) {
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, nil)), nil // which quotes what is not printable
	case "json":
		return slog.New(slog.NewJSONHandler(plain.JSON(w), nil)), nil
	}
	return nil, fmt.Errorf("--log-format %s: text or json", format)
}

func uninstall(o *agent.Options, out io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:   "uninstall",
		Short: "Detach from every pod and unpin everything; says what is open then",
		Args:  usage.None,
		RunE: func(*cobra.Command, []string) error {
			if err := ready(); err != nil {
				return err
			}
			r, err := datapath.Uninstall(o.Datapath)
			if r != nil {
				report(out, r)
			}
			return err
		},
	}
}

func report(out io.Writer, r *datapath.Removed) {
	if r.Pins == 0 && len(r.Interfaces) == 0 {
		fmt.Fprintln(out, "nothing was installed")
		return
	}
	fmt.Fprintf(out, "removed %d pinned maps and links\n", r.Pins)
	if len(r.Interfaces) == 0 {
		fmt.Fprintln(out, "no interface had a program: nothing is open that was closed")
		return
	}
	fmt.Fprintf(out, "open now, Weir enforces nothing there: the pods behind %s\n", strings.Join(r.Interfaces, ", "))
}
