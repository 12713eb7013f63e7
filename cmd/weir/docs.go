package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/weir-mesh/weir/docs/codes"
)

func (a *app) docsCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "docs [CODE]",
		Short:   "Explain a diagnostic, or list them all",
		Example: "  weir docs WEIR2011",
		Args:    cobra.MaximumNArgs(1),
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
					return exit(statusUnknown, fmt.Errorf("%w: `weir docs` lists them", err))
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

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(a.out, "weir %s (%s, %s/%s)\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

// version is the module's version as the Go tool recorded it: a tag, or a pseudo-version of the commit.
func version() string {
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
		return b.Main.Version
	}
	return "(devel)"
}
