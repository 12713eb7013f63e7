package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/weir-mesh/weir/compiler/analyze"
	"github.com/weir-mesh/weir/compiler/source/cuesrc"
	"github.com/weir-mesh/weir/internal/plain"
	"github.com/weir-mesh/weir/internal/usage"
)

// The exit statuses.
const (
	statusWrong   = 1 // the input was read and is wrong, or a test failed
	statusUnknown = 2 // Weir could not tell
)

// app is one run of the program.
type app struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) string
	flags    flags
}

// flags are those that every verb shares.
type flags struct {
	files      []string
	namespace  namespaceName
	given      func(name string) bool // whether a flag was
	strict     bool
	lenient    bool
	color      string
	output     string
	now        string
	evalTime   positiveTime
	evalMemory byteSize
}

// exitError ends the program with a status; what is to be said has been said when err is nil.
type exitError struct {
	status int
	err    error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// exit returns an error that ends the program with a status.
func exit(status int, err error) error { return &exitError{status, err} }

// main runs a command line and returns the exit status.
func (a *app) main(ctx context.Context, args []string) int {
	root := a.rootCommand(programName(args[0]))
	root.SetArgs(args[1:])
	err := usage.Execute(ctx, root)
	if err == nil {
		return 0
	}
	var e *exitError
	status := statusUnknown
	if errors.As(err, &e) {
		status = e.status
	}
	if e == nil || e.err != nil {
		_, _ = fmt.Fprintf(a.err, "weir: %s\n", plain.Text(strings.TrimSpace(err.Error())))
	}
	return status
}

// programName is how usage lines name the program: as a kubectl plugin, "kubectl weir".
func programName(arg0 string) string {
	if strings.HasPrefix(strings.TrimSuffix(filepath.Base(arg0), ".exe"), "kubectl-") {
		return "kubectl weir"
	}
	return "weir"
}

func (a *app) rootCommand(name string) *cobra.Command {
	root := &cobra.Command{
		Use:   "weir",
		Short: "Mesh policy in CUE, compiled to the kernel",
		Long: `Weir compiles mesh policy, written in CUE or as Kubernetes objects, into one plan, and tests, explains and
enforces that plan.

Exit status: 0 clean; 1 the input is wrong, or a test failed; 2 Weir could not tell.`,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: name},
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       buildVersion(),
		Args:          usage.Verb,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate(versionLine())
	root.SetFlagErrorFunc(usage.Flags)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	a.flags.namespace = "default"
	a.flags.evalTime, a.flags.evalMemory = positiveTime(cuesrc.DefaultTimeout), byteSize(cuesrc.DefaultMemory)
	p := root.PersistentFlags()
	a.flags.given = p.Changed
	p.StringArrayVarP(&a.flags.files, "file", "f", nil, "file or folder to read, .cue, .yaml or .json, or - for stdin (repeatable; default .)")
	p.VarP(&a.flags.namespace, "namespace", "n", "namespace of objects that name none")
	p.BoolVar(&a.flags.strict, "strict", false, "warnings fail, too")
	p.BoolVar(&a.flags.lenient, "lenient", false, "go on where a kind is not understood; what it may touch is unknown")
	p.StringVar(&a.flags.color, "color", "auto", "colour: auto, always or never")
	p.StringVar(&a.flags.now, "now", "", "judge expiry at this time, for example 2027-01-31T18:00:00Z (default the clock)")
	p.Var(&a.flags.evalTime, "eval-timeout", "how long CUE may be evaluated, more than 0")
	p.Var(&a.flags.evalMemory, "eval-memory", "how much memory evaluating CUE may take, more than 0")
	root.AddCommand(a.initCommand(), a.checkCommand(), a.compileCommand(), a.testCommand(), a.explainCommand(), a.reachCommand(), a.docsCommand(), a.versionCommand())
	root.AddCommand(a.kernelCommands()...)
	return root
}

// outputFlag adds -o to a verb; the first format is the default.
func (a *app) outputFlag(cmd *cobra.Command, formats ...string) {
	format := cmd.Flags().StringP("output", "o", formats[0], "format: "+strings.Join(formats, ", "))
	inner := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		a.flags.output = *format
		for _, f := range formats {
			if f == a.flags.output {
				a.out = safely(a.out, f)
				return inner(cmd, args)
			}
		}
		return exit(statusUnknown, fmt.Errorf("-o %s is no format of %s: %s", a.flags.output, cmd.Name(), strings.Join(formats, ", ")))
	}
}

// safely keeps what names and paths hold from driving a terminal. Text for people, which may be coloured, sees to it
// where it is put together.
func safely(w io.Writer, format string) io.Writer {
	switch format {
	case "text", "table":
		return w
	case "json", "sarif":
		return plain.JSON(w)
	}
	return plain.Writer(w)
}

// style says how text looks: colour where the output is a terminal and NO_COLOR is not set (https://no-color.org).
func (a *app) style(w io.Writer) (analyze.Style, error) {
	switch a.flags.color {
	case "always":
		return analyze.Style{Color: true}, nil
	case "never":
		return analyze.Style{}, nil
	case "auto":
		return analyze.Style{Color: a.env("NO_COLOR") == "" && a.env("TERM") != "dumb" && isTerminal(w)}, nil
	}
	return analyze.Style{}, exit(statusUnknown, fmt.Errorf("--color %s: auto, always or never", a.flags.color))
}

// writeJSON writes a verb's result for programs.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	return nil
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
