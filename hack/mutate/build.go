package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// trialsTest is added to the oracle's tests: it tries many mutants in one process, with the evaluator's answers kept.
//
//go:embed mutants_test.go.txt
var trialsTest string

// compileError is a position in what the compiler prints.
var compileError = regexp.MustCompile(`^(\S+\.go):(\d+):(?:(\d+):)? (.*)$`)

// build writes the mutated files and builds the test binaries. Mutants that do not compile are left out, and the rest
// is built again.
func build(ctx context.Context, root, work string, sources []*source) ([]*suite, error) {
	for round := 0; ; round++ {
		overlay := map[string]string{}
		for i, s := range sources {
			file := filepath.Join(work, fmt.Sprintf("%d_%s", i, filepath.Base(s.path)))
			if err := os.WriteFile(file, []byte(rewrite(s)), 0o600); err != nil {
				return nil, err
			}
			overlay[s.path] = file
			helper := filepath.Join(work, s.pkg+"_mutants.go")
			if err := os.WriteFile(helper, fmt.Appendf(nil, helpers, s.pkg), 0o600); err != nil {
				return nil, err
			}
			overlay[filepath.Join(filepath.Dir(s.path), "zz_mutants.go")] = helper
		}
		trials := filepath.Join(work, "mutants_test.go")
		if err := os.WriteFile(trials, []byte(trialsTest), 0o600); err != nil {
			return nil, err
		}
		overlay[filepath.Join(root, "test/oracle/zz_mutants_test.go")] = trials
		raw, err := json.Marshal(map[string]any{"Replace": overlay})
		if err != nil {
			return nil, err
		}
		file := filepath.Join(work, "overlay.json")
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			return nil, err
		}
		out, err := goBuild(ctx, root, file, sources)
		if err != nil {
			if round == 20 || !dropBroken(sources, out) {
				return nil, fmt.Errorf("building the mutants: %w\n%s", err, out)
			}
			continue
		}
		return testBinaries(ctx, root, work, file)
	}
}

func goBuild(ctx context.Context, root, overlay string, sources []*source) ([]byte, error) {
	args := []string{"build", "-gcflags=-e", "-overlay", overlay}
	seen := map[string]bool{}
	for _, s := range sources {
		if dir := filepath.Dir(s.path); !seen[dir] {
			seen[dir] = true
			args = append(args, dir)
		}
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	return cmd.CombinedOutput()
}

func testBinaries(ctx context.Context, root, work, overlay string) ([]*suite, error) {
	all := suites()
	for _, s := range all {
		s.bin = filepath.Join(work, strings.ReplaceAll(strings.TrimPrefix(s.pkg, "./"), "/", "_")+".test")
		s.dir = filepath.Join(root, s.pkg)
		if _, err := os.Stat(s.bin); err == nil {
			continue
		}
		cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", s.bin, s.pkg)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("building the tests of %s: %w\n%s", s.pkg, err, out)
		}
	}
	// A package without tests has no binary.
	return slices.DeleteFunc(all, func(s *suite) bool { _, err := os.Stat(s.bin); return err != nil }), nil
}

// dropBroken marks the mutants on lines that the compiler complains about, and says whether there were any.
func dropBroken(sources []*source, out []byte) bool {
	any := false
	for line := range bytes.Lines(out) {
		m := compileError.FindStringSubmatch(strings.TrimSpace(string(line)))
		if m == nil {
			continue
		}
		n, _ := strconv.Atoi(m[2])
		column, _ := strconv.Atoi(m[3])
		for _, s := range sources {
			if strings.HasSuffix(m[1], filepath.Base(s.path)) {
				any = s.drop(n, column) || any
			}
		}
	}
	return any
}

// drop leaves out the mutant that stands nearest before a place in the rewritten file, or all of its line.
func (s *source) drop(line, column int) bool {
	text := strings.Split(rewrite(s), "\n")[line-1]
	numbers := regexp.MustCompile(`mut\w*(?:\[[\w.]*\])?\((\d+)`).FindAllStringSubmatchIndex(text, -1)
	nearest := -1
	for _, at := range numbers {
		if at[0] <= column+1 || nearest < 0 {
			nearest, _ = strconv.Atoi(text[at[2]:at[3]])
		}
	}
	any := false
	for _, m := range s.mutants {
		if m.state != notCompiled && (m.id == nearest || nearest < 0 && m.line == line) {
			m.state, any = notCompiled, true
		}
	}
	return any
}
