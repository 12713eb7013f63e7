package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/weir-mesh/weir/compiler/analyze"
	"github.com/weir-mesh/weir/compiler/compile"
	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/source/cuesrc"
	"github.com/weir-mesh/weir/compiler/source/manifest"
	"github.com/weir-mesh/weir/internal/plain"
)

// paths are what -f and the arguments name.
func (a *app) paths(args []string) []string {
	return append(append([]string(nil), a.flags.files...), args...)
}

// options turns the shared flags into what compile.Compile takes.
func (a *app) options(args []string) (compile.Options, error) {
	o := compile.Options{Paths: a.paths(args), Stdin: a.in, Namespace: string(a.flags.namespace), Lenient: a.flags.lenient, Now: time.Now(),
		CUE: cuesrc.Options{Timeout: time.Duration(a.flags.evalTime), Memory: int64(a.flags.evalMemory)}}
	if a.flags.now != "" {
		t, err := time.Parse(time.RFC3339, a.flags.now)
		if err != nil {
			return o, exit(statusUnknown, fmt.Errorf("--now %s is no time: write it as in 2027-01-31T18:00:00Z", a.flags.now))
		}
		o.Now = t
	}
	return o, nil
}

// compile reads and compiles what the paths name; findings are left to the caller.
func (a *app) compile(ctx context.Context, o compile.Options) (*compile.Result, error) {
	done := a.progress("reading and compiling")
	r, err := compile.Compile(ctx, o)
	done()
	if ctx.Err() != nil {
		return nil, exit(statusUnknown, errors.New("interrupted"))
	}
	if err != nil {
		return nil, exit(statusUnknown, err)
	}
	return r, nil
}

// load compiles for verbs that need a plan. Errors go to stderr and end the verb; warnings are check's to tell, but for
// what was not understood: the answers leave it out.
func (a *app) load(ctx context.Context, args []string) (*compile.Result, error) {
	o, err := a.options(args)
	if err != nil {
		return nil, err
	}
	return a.loadWith(ctx, o)
}

func (a *app) loadWith(ctx context.Context, o compile.Options) (*compile.Result, error) {
	r, err := a.compile(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := a.refuse(r, r.Diagnostics); err != nil {
		return r, err
	}
	return r, a.tellUnknown(r)
}

// tellUnknown says on stderr what --lenient went on without, a line each (S33).
func (a *app) tellUnknown(r *compile.Result) error {
	for i := range r.Diagnostics {
		d := &r.Diagnostics[i]
		switch d.Code {
		case inventory.CodeForeign, inventory.CodeUnknown, inventory.CodeNetworks, manifest.CodeNotObject:
			if _, err := fmt.Fprintln(a.err, plain.Line(d.Error())); err != nil {
				return err
			}
		}
	}
	return nil
}

// refuse tells the errors among findings on stderr and ends the verb; without any it returns nil.
func (a *app) refuse(r *compile.Result, list diag.List) error {
	var errs diag.List
	for i := range list {
		if d := list[i]; d.Severity == diag.Error || a.flags.strict && d.Severity == diag.Warning {
			errs.Add(d)
		}
	}
	if len(errs) == 0 {
		return nil
	}
	st, err := a.style(a.err)
	if err != nil {
		return err
	}
	if err := diag.Text(a.err, errs, diag.TextOptions{Sources: r.Sources, Color: st.Color}); err != nil {
		return err
	}
	if err := a.annotate(r, errs); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(a.err, diag.Summary("", errs)); err != nil {
		return err
	}
	return exit(a.status(r, errs), nil)
}

// status is the exit status of findings.
func (a *app) status(r *compile.Result, l diag.List) int {
	switch {
	case r.Unjudged():
		return statusUnknown
	case l.HasErrors(), a.flags.strict && l.Count(diag.Warning) > 0:
		return statusWrong
	}
	return 0
}

// annotate writes findings as workflow commands where GitHub Actions runs us. They go to stderr, which the runner
// reads, too, so that stdout holds the verb's result and nothing else; -o github has written them already.
func (a *app) annotate(r *compile.Result, l diag.List) error {
	if a.env("GITHUB_ACTIONS") != "true" || a.flags.output == "github" {
		return nil
	}
	return diag.GitHub(a.err, l, r.Sources)
}

// names prepares a plan for questions.
func (a *app) names(r *compile.Result) (*analyze.Names, error) {
	n, err := analyze.NewNames(r.Plan)
	if err != nil {
		return nil, exit(statusUnknown, fmt.Errorf("preparing the plan: %w", err))
	}
	n.Namespace, n.OnlyThere = string(a.flags.namespace), a.flags.given("namespace")
	return n, nil
}

// progressAfter is how long a person waits without a word.
const progressAfter = time.Second

// progress says on a terminal what takes so long; the function that it returns takes the line away.
func (a *app) progress(what string) func() {
	if !isTerminal(a.err) {
		return func() {}
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-stop:
		case <-time.After(progressAfter):
			_, _ = fmt.Fprintf(a.err, "%s …", what)
			<-stop
			_, _ = fmt.Fprint(a.err, "\r\x1b[K")
		}
	}()
	return func() { close(stop); <-stopped }
}
