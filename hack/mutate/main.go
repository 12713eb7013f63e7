// Command mutate breaks the compiler in many small ways and counts which of them the tests notice.
//
// All mutants are compiled into one set of test binaries, each behind a switch that an environment variable throws,
// so that a mutant costs the run of its tests and no build. The sources are replaced by an overlay: nothing in the
// tree changes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// target is a set of files whose code is mutated: all of a package's, or those named.
type target struct {
	dir   string
	files []string
}

// targets are the resolver and the files of the plan that decide.
var targets = []target{
	{dir: "compiler/resolve"},
	{dir: "compiler/plan", files: []string{"address.go", "decide.go", "http.go", "httppath.go", "rows.go"}},
}

type options struct {
	parallel int
	budget   time.Duration
	pairs    int
	only     *regexp.Regexp
	least    float64
	sample   int
	verbose  bool
	results  string
}

func main() { os.Exit(command()) }

// command runs what the command line asks for and returns the exit code: 1 when too little was killed, 2 when that
// could not be found out.
func command() int {
	var o options
	only := flag.String("only", "", "mutate only where `file:function:line` matches this regular expression")
	flag.IntVar(&o.parallel, "parallel", 2, "mutants tested at a time")
	flag.DurationVar(&o.budget, "budget", 3*time.Hour, "stop trying mutants after this long; the next run goes on there")
	flag.StringVar(&o.results, "results", ".cache/mutate/results.jsonl", "`file` that keeps what was found out, below the module's root if relative")
	flag.IntVar(&o.pairs, "pairs", 120_000, "pairs of a policy set and a flow that the property test compares")
	flag.Float64Var(&o.least, "least", 95, "fail when less than this percentage is killed")
	flag.IntVar(&o.sample, "sample", 1, "test one mutant in `n`")
	flag.BoolVar(&o.verbose, "v", false, "print every mutant")
	flag.Parse()
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		fmt.Fprintln(os.Stderr, "mutate: -only:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ok, err := run(ctx, &o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		return 2
	}
	if !ok {
		return 1
	}
	return 0
}

// run mutates, tests and reports; it says whether enough was killed.
func run(ctx context.Context, o *options) (enough bool, err error) {
	root, err := moduleRoot()
	if err != nil {
		return false, err
	}
	var sources []*source
	var all []*mutant
	for _, t := range targets {
		found, err := load(ctx, root, t)
		if err != nil {
			return false, err
		}
		for _, s := range found {
			all = append(all, s.mutants...)
		}
		sources = append(sources, found...)
	}
	number(all)
	digest, err := digestOf(ctx, root, o)
	if err != nil {
		return false, err
	}
	if !filepath.IsAbs(o.results) {
		o.results = filepath.Join(root, o.results)
	}
	known, err := openResults(o.results, digest)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, known.file.Close()) }()
	known.take(all)
	work, err := os.MkdirTemp("", "weir-mutate-")
	if err != nil {
		return false, err
	}
	if os.Getenv("KEEP") == "" {
		defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	}
	start := time.Now()
	bins, err := build(ctx, root, work, sources)
	if err != nil {
		return false, err
	}
	for _, m := range all {
		if m.state == notCompiled {
			known.keep(m)
		}
	}
	fmt.Fprintf(os.Stderr, "%d mutants built in %s\n", len(all), time.Since(start).Round(time.Second))
	chosen := slices.DeleteFunc(slices.Clone(all), func(m *mutant) bool {
		return !o.only.MatchString(m.place()) || m.id%o.sample != 0
	})
	if err := testAll(ctx, o, bins, known, chosen); err != nil {
		return false, err
	}
	return report(o, chosen), nil
}

// number gives mutants their numbers and keys.
func number(all []*mutant) {
	like := map[string]int{}
	for i, m := range all {
		m.id = i + 1
		m.key = m.file + ":" + m.function + ": " + m.what
		if like[m.key]++; like[m.key] > 1 {
			m.key += fmt.Sprintf(" (%d)", like[m.key])
		}
	}
}

// moduleRoot is the directory of go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if filepath.Dir(dir) == dir {
			return "", fmt.Errorf("no go.mod above the working directory")
		}
		dir = filepath.Dir(dir)
	}
}

// report prints what was not killed, and the score. What was not tested counts as not killed, and so does what changes
// nothing that anybody could notice, such as how much memory is set aside: there is no list of exceptions.
func report(o *options, all []*mutant) bool {
	count := map[state]int{}
	byTrial := 0
	for _, m := range all {
		count[m.state]++
		if m.state == killed && !strings.Contains(m.by, "/") {
			byTrial++
		}
	}
	show := func(s state, title string, more func(*mutant) string) {
		if count[s] == 0 {
			return
		}
		fmt.Printf("%d %s:\n", count[s], title)
		for _, m := range all {
			if m.state == s {
				fmt.Printf("  %s  %s%s\n", m.place(), m.what, more(m))
			}
		}
		fmt.Println()
	}
	if o.verbose {
		show(killed, "killed", func(m *mutant) string { return ", by " + m.by })
	}
	show(survived, "survived", func(*mutant) string { return "" })
	show(untested, "not tested in the time", func(*mutant) string { return "" })
	judged := len(all) - count[notCompiled]
	score := 100.0
	if judged > 0 {
		score = 100 * float64(count[killed]) / float64(judged)
	}
	fmt.Printf("%d mutants: %d killed (%d by trials, %d by other tests), %d survived, %d not compiled, %d not tested\n", len(all),
		count[killed], byTrial, count[killed]-byTrial, count[survived], count[notCompiled], count[untested])
	fmt.Printf("killed: %d of %d = %.2f %%; asked for: %g %%\n", count[killed], judged, score, o.least)
	return score >= o.least
}
