package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/weir-mesh/weir/compiler/analyze"
	"github.com/weir-mesh/weir/internal/plain"
)

func (a *app) reachCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reach [PATH...]",
		Short: "List what may talk to what",
		Long: `Reach lists every connection that some rule or default lets through: from whom, to whom, on which ports, with which
requests, and how it is authenticated.

A line holds for every pod of a workload and over both address families, but for what it says: "(only NAME)" beside an
end, "over IPv4" before the ports. What audit would change has lines of its own, which say so; one that is denied now
and would then be allowed is there as "denied". -o json has fields for all of this: fromOnly, toOnly, family, audit,
denied.

Pods without an owner that no rule can tell apart are one line where there are more than eight of them; -o json names
them (fromPods, toPods). -o lines lists every pair of workloads, one a line: FROM => TO : PORTS. It is what any pod may,
over any family; what that form has no word for is said on stderr.`,
		Example: "  weir reach policies/\n  weir reach -o svg policies/ > reach.svg",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.reach(cmd.Context(), args) },
	}
	a.outputFlag(cmd, "table", "lines", "json", "csv", "md", "dot", "svg")
	return cmd
}

func (a *app) reach(ctx context.Context, args []string) error {
	r, err := a.load(ctx, args)
	if err != nil {
		return err
	}
	for _, d := range nothingRead(r) { // an empty list would say that nothing may talk
		if _, err := fmt.Fprintln(a.err, plain.Line(d.Error())); err != nil {
			return err
		}
	}
	n, err := a.names(r)
	if err != nil {
		return err
	}
	if err = a.writeReach(ctx, n); ctx.Err() != nil {
		return exit(statusUnknown, errors.New("interrupted"))
	}
	return err
}

// writeReach lists the pairs in the format that was asked for.
func (a *app) writeReach(ctx context.Context, n *analyze.Names) error {
	if a.flags.output == "lines" {
		return a.reachLines(ctx, n)
	}
	done := a.progress("looking at every pair")
	rows, err := n.Reach(ctx)
	done()
	if err != nil {
		return err
	}
	switch a.flags.output {
	case "json":
		return analyze.ReachJSON(ctx, a.out, rows)
	case "csv":
		return analyze.ReachCSV(ctx, a.out, rows)
	case "md":
		return analyze.ReachMarkdown(ctx, a.out, rows)
	case "dot":
		return analyze.ReachDot(ctx, a.out, rows)
	case "svg":
		return analyze.ReachSVG(ctx, a.out, rows)
	}
	st, err := a.style(a.out)
	if err != nil {
		return err
	}
	return analyze.ReachTable(ctx, a.out, rows, st)
}

// reachLines writes the lines form, and on stderr what it can't say.
func (a *app) reachLines(ctx context.Context, n *analyze.Names) error {
	unsaid, err := analyze.ReachLines(ctx, a.out, n)
	for _, text := range unsaid {
		if _, err := fmt.Fprintln(a.err, "note: "+text+": reach without -o lines says which"); err != nil {
			return err
		}
	}
	return err
}
