package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-mesh/weir/compiler/compile"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/datapath/lab"
	"github.com/weir-mesh/weir/internal/plain"
	"github.com/weir-mesh/weir/internal/usage"
)

// labCommand runs the mesh in network namespaces of this machine.
func (a *app) labCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "Run the mesh on this machine, with the real datapath",
		Long: `A lab is a network namespace a workload, the real datapath at each one's veth, and services translated as
kube-proxy does. Nothing outside the lab's own namespaces is touched.`,
		Args: usage.Verb,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.labRunCommand(), a.labUpCommand(), a.labShellCommand(), a.labProbeCommand(), a.labDownCommand())
	return cmd
}

func nodesFlag(cmd *cobra.Command) *int {
	return cmd.Flags().Int("nodes", 1, "nodes, 1 or 2, with a routed hop between them")
}

func (a *app) labRunCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "run [PATH...]",
		Short:   "Send a packet over every connection that could be, and compare with the plan",
		Example: "  weir lab run policies/examples/shop\n  weir lab run --nodes 2 policies/examples/shop",
	}
	nodes := nodesFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := lab.Check(); err != nil {
			return err
		}
		src, err := a.labSource(cmd.Context(), args)
		if err != nil {
			return err
		}
		out := plain.Writer(a.out)
		if a.flags.output == "json" {
			out = io.Discard // the result says it all at the end
		}
		r, err := lab.Run(cmd.Context(), src, lab.Options{Nodes: *nodes, Out: out})
		switch {
		case errors.Is(err, context.Canceled):
			return exit(statusUnknown, errors.New("interrupted; the lab is taken away"))
		case err != nil:
			return err
		}
		if a.flags.output == "json" {
			if err := writeJSON(a.out, r); err != nil {
				return err
			}
		}
		if r.Failed() {
			return exit(statusWrong, nil)
		}
		return nil
	}
	a.outputFlag(cmd, "text", "json")
	return cmd
}

// labSource compiles what the paths name for the lab.
func (a *app) labSource(ctx context.Context, args []string) (lab.Source, error) {
	o, err := a.options(args)
	if err != nil {
		return lab.Source{}, err
	}
	o.EnforceNetworkPolicy = true
	r, err := a.loadWith(ctx, o)
	if err != nil {
		return lab.Source{}, err
	}
	return lab.Source{Policies: r.Policies, Inventory: r.Inventory, Config: r.Config, Now: o.Now}, nil
}

func (a *app) labUpCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "up [PATH...]", Short: "Build a lab and leave it standing"}
	nodes := nodesFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := lab.Check(); err != nil {
			return err
		}
		paths := a.paths(args)
		if len(paths) == 0 {
			paths = []string{"."}
		}
		if slices.Contains(paths, compile.Stdin) {
			return errors.New("lab up takes files and folders, not -: lab probe reads them once more")
		}
		src, err := a.labSource(cmd.Context(), args)
		if err != nil {
			return err
		}
		return lab.Up(cmd.Context(), src, paths, lab.Options{Nodes: *nodes, Out: plain.Writer(a.out)})
	}
	return cmd
}

func (a *app) labShellCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "shell NAME [-- COMMAND...]",
		Short:   "Run a shell, or a command, in a pod's network namespace",
		Example: "  weir lab shell shop/checkout\n  weir lab shell outside -- ping -c 1 10.244.0.3",
		Args:    usage.Between(1, math.MaxInt, "the NAME of a pod, a node, or outside"),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := lab.Find()
			if err != nil {
				return err
			}
			return s.Shell(args[0], a.shellCommand(args[1:]))
		},
	}
	cmd.Flags().SetInterspersed(false) // what follows NAME is the command's
	return cmd
}

// shellCommand is the command that follows NAME, with or without the -- of kubectl exec; without one, the user's shell.
func (a *app) shellCommand(args []string) []string {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) > 0 {
		return args
	}
	if shell := a.env("SHELL"); shell != "" {
		return []string{shell}
	}
	return []string{"/bin/sh"}
}

func (a *app) labProbeCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "probe FROM TO PORT",
		Short:   "Send real probes from one pod to another and compare with the plan",
		Long:    "FROM and TO are namespace/name of a pod, a node, or outside. PORT is a number (TCP), TCP/8443, UDP/53, SCTP/3868 or icmp.",
		Example: "  weir lab probe shop/checkout shop/payments 8443",
		Args:    usage.Between(3, 3, "FROM, TO and PORT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := portArgument(args[2])
			if err != nil {
				return err
			}
			s, err := lab.Find()
			if err != nil {
				return err
			}
			src, err := a.labSource(cmd.Context(), nearer(s.Paths))
			if err != nil {
				return err
			}
			ok, err := s.Probe(cmd.Context(), src, args[0], args[1], key, plain.Writer(a.out))
			if err == nil && !ok {
				return exit(statusWrong, nil)
			}
			return err
		},
	}
}

func (a *app) labDownCommand() *cobra.Command {
	return &cobra.Command{Use: "down", Short: "Take the lab away, and what killed labs left", Args: usage.None,
		RunE: func(*cobra.Command, []string) error { return lab.Down(plain.Writer(a.out)) }}
}

// nearer writes paths as seen from the working folder, for positions that read well.
func nearer(paths []string) []string {
	out := slices.Clone(paths)
	wd, err := os.Getwd()
	for i := range out {
		if rel, rerr := filepath.Rel(wd, out[i]); err == nil && rerr == nil && len(rel) < len(out[i]) {
			out[i] = rel
		}
	}
	return out
}

// portArgument reads "8443", "UDP/53" or "icmp"; a bare number is TCP (S13).
func portArgument(s string) (plan.PortKey, error) {
	if strings.EqualFold(s, "icmp") {
		return plan.Key(ir.ICMPv4, 8<<8), nil
	}
	protocol, number, ok := strings.Cut(s, "/")
	if !ok {
		protocol, number = "TCP", s
	}
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%s is no port: write 8443, UDP/53, SCTP/3868 or icmp", s)
	}
	for _, space := range []ir.Space{ir.TCP, ir.UDP, ir.SCTP} {
		if strings.EqualFold(space.String(), protocol) {
			return plan.Key(space, uint16(n)), nil
		}
	}
	return 0, fmt.Errorf("%s is no port: write 8443, UDP/53, SCTP/3868 or icmp", s)
}
