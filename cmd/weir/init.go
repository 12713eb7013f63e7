package main

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/weir-mesh/weir/internal/plain"
	"github.com/weir-mesh/weir/internal/usage"
)

// templates is the package that init writes.
//
//go:embed template
var templates embed.FS

func (a *app) initCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "init [DIR]",
		Short: "Write a small policy package that checks and tests green",
		Args:  usage.Between(0, 1, "at most one DIR"),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			return a.init(dir)
		},
	}
}

// init writes the template's files. It never writes over a file.
func (a *app) init(dir string) error {
	names, err := fs.Glob(templates, "template/*")
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(dir, filepath.Base(name))); !errors.Is(err, fs.ErrNotExist) {
			return exit(statusUnknown, fmt.Errorf("%s is there already: init writes into a folder without it", filepath.Join(dir, filepath.Base(name))))
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return exit(statusUnknown, err)
	}
	for _, name := range names {
		b, err := templates.ReadFile(name)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, filepath.Base(name))
		if err := os.WriteFile(to, b, 0o644); err != nil {
			return exit(statusUnknown, err)
		}
		if _, err := fmt.Fprintln(a.out, plain.Line(to)); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(a.out, "next: weir check %[1]s && weir test %[1]s\n", plain.Line(dir))
	return err
}
