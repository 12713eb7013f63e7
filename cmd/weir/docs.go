package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/weir-mesh/weir/docs/codes"
	"github.com/weir-mesh/weir/internal/usage"
)

func (a *app) docsCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "docs [CODE]",
		Short:   "Explain a diagnostic, or list them all",
		Example: "  weir docs WEIR2011",
		Args:    usage.Between(0, 1, "at most one CODE"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			all, err := codes.All()
			if err != nil {
				return nil, cobra.ShellCompDirectiveError
			}
			var out []string
			for _, p := range all {
				out = append(out, p.Code+"\t"+p.Title)
			}
			return out, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				page, err := codes.Lookup(args[0])
				if err != nil {
					return exit(statusUnknown, fmt.Errorf("%w; `weir docs` lists them", err))
				}
				_, err = fmt.Fprint(a.out, page.Markdown)
				return err
			}
			all, err := codes.All()
			if err != nil {
				return err
			}
			for _, p := range all {
				if p.Retired != "" {
					continue
				}
				if _, err := fmt.Fprintf(a.out, "%s  %-7s  %s\n", p.Code, p.Severity, p.Title); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
