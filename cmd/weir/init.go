package main

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/weir-mesh/weir/internal/plain"
	"github.com/weir-mesh/weir/internal/usage"
	"github.com/weir-mesh/weir/policies"
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

// file is one that init writes.
type file struct {
	name string
	text []byte
}

// packageFiles are the template, and the part of the baseline that any workload needs (S18), in the template's package.
func packageFiles() ([]file, error) {
	var files []file
	read := func(from embed.FS, pattern string, rewrite func(name, text string) file) error {
		names, err := fs.Glob(from, pattern)
		if err != nil {
			return err
		}
		for _, name := range names {
			b, err := from.ReadFile(name)
			if err != nil {
				return err
			}
			files = append(files, rewrite(path.Base(name), string(b)))
		}
		return nil
	}
	err := errors.Join(
		read(policies.Baseline, "baseline/*", func(name, text string) file {
			_, text, _ = strings.Cut(text, "package baseline\n")
			return file{"platform-" + name, []byte("// Of the baseline that ships with Weir: what the platform needs of every workload.\npackage policies\n" + text)}
		}),
		read(templates, "template/*", func(name, text string) file { return file{name, []byte(text)} }))
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return files, err
}

// init writes the package. It never writes over a file.
func (a *app) init(dir string) error {
	if dir == "" {
		return exit(statusUnknown, errors.New("DIR is empty: name a folder, or leave it out for this one"))
	}
	files, err := packageFiles()
	if err != nil {
		return err
	}
	for _, f := range files {
		switch _, err := os.Lstat(filepath.Join(dir, f.name)); {
		case err == nil:
			return exit(statusUnknown, fmt.Errorf("%s is there already: init writes into a folder without it", filepath.Join(dir, f.name)))
		case !errors.Is(err, fs.ErrNotExist):
			return exit(statusUnknown, fmt.Errorf("looking for what is there already: %w", err))
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return exit(statusUnknown, err)
	}
	for _, f := range files {
		to := filepath.Join(dir, f.name)
		if err := os.WriteFile(to, f.text, 0o644); err != nil {
			return exit(statusUnknown, err)
		}
		if _, err := fmt.Fprintln(a.out, plain.Line(to)); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(a.out, "next: weir check %[1]s && weir test %[1]s\n", shellWord(plain.Line(dir)))
	return err
}

// shellWord quotes what a shell would not take for one word.
func shellWord(s string) string {
	special := func(r rune) bool {
		return !strings.ContainsRune("-_./+@,:", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}
	if !strings.ContainsFunc(s, special) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
