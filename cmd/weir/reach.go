package main

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-mesh/weir/compiler/analyze"
)

func (a *app) reachCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "reach [PATH...]",
		Short:   "List what may talk to what",
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
	n, err := a.names(r)
	if err != nil {
		return err
	}
	if a.flags.output == "lines" {
		_, err := io.WriteString(a.out, joinLines(analyze.Lines(r.Plan)))
		return err
	}
	done := a.progress("looking at every pair")
	rows, err := n.Reach(ctx)
	done()
	if err != nil {
		return exit(statusUnknown, errors.New("interrupted"))
	}
	switch a.flags.output {
	case "json":
		return analyze.ReachJSON(a.out, rows)
	case "csv":
		return analyze.ReachCSV(a.out, rows)
	case "md":
		return analyze.ReachMarkdown(a.out, rows)
	case "dot":
		return analyze.ReachDot(a.out, rows)
	case "svg":
		return analyze.ReachSVG(a.out, rows)
	}
	st, err := a.style(a.out)
	if err != nil {
		return err
	}
	return analyze.ReachTable(a.out, rows, st)
}

func joinLines(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}
