package conformance

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-mesh/weir/compiler/analyze"
	"github.com/weir-mesh/weir/compiler/compile"
	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/inventory"
)

// compared is how many sets hold only NetworkPolicies and ordinary workloads, with an Ingress or Route at most.
const compared = 22

// TestReachability compares `reach -o lines` with the connections that an independent analyser found. Where they
// differ, testdata/deviations has the lines, and docs/conformance.md the text that decides. A set with other
// kinds must be refused by the name of one of them (S33).
func TestReachability(t *testing.T) {
	dir := filepath.Join(corpus(t), "reachability")
	sets, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, s := range sets {
		t.Run(s.Name(), func(t *testing.T) {
			r := load(t, filepath.Join(dir, s.Name(), "input"), false)
			if !ordinary(r.Diagnostics) {
				return
			}
			n++
			exposed := r.Plan == nil
			if exposed {
				r = load(t, filepath.Join(dir, s.Name(), "input"), true)
			}
			if r.Plan == nil {
				t.Fatal(r.Diagnostics[0].Error())
			}
			want := readLines(t, filepath.Join(dir, s.Name(), "expected.txt"))
			if exposed {
				// An ingress controller is a workload like another; the analyser draws it from the Ingress.
				want = slices.DeleteFunc(want, func(l string) bool { return strings.HasPrefix(l, "{ingress-controller} => ") })
			}
			compareLines(t, s.Name(), want, analyze.Lines(r.Plan))
		})
	}
	t.Logf("%d sets compared, %d refused by name", n, len(sets)-n)
	if n != compared {
		t.Errorf("%d sets compared, want %d", n, compared)
	}
}

func load(t *testing.T, dir string, lenient bool) *compile.Result {
	t.Helper()
	r, err := compile.Compile(context.Background(), compile.Options{Paths: []string{dir}, Now: time.Unix(1, 0), Lenient: lenient})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// ordinary reports whether nothing but an Ingress, a Route or a file that is no manifest stood in the way.
func ordinary(ds diag.List) bool {
	return !slices.ContainsFunc(ds, func(d diag.Diagnostic) bool {
		exposure := strings.HasPrefix(d.Message, "Ingress ") || strings.HasPrefix(d.Message, "Route ")
		return d.Severity == diag.Error && (d.Code == inventory.CodeForeign && !exposure || d.Code == inventory.CodeUnknown || d.Code == inventory.CodeNetworks)
	})
}

func readLines(t *testing.T, name string) []string {
	t.Helper()
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var out []string
	s := bufio.NewScanner(f)
	for s.Scan() {
		if l := strings.TrimSpace(s.Text()); l != "" && !strings.HasPrefix(l, "#") {
			out = append(out, l)
		}
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// compareLines holds that the lists differ by the set's deviations and nothing else, each of which occurs.
func compareLines(t *testing.T, set string, want, got []string) {
	t.Helper()
	if len(want) == 0 {
		t.Fatal("the corpus has no expected lines")
	}
	deviations := readLines(t, filepath.Join("testdata", "deviations", set+".txt"))
	used := map[string]bool{}
	unexplained := 0
	for _, l := range append(only("- ", want, got), only("+ ", got, want)...) {
		i := slices.IndexFunc(deviations, func(d string) bool { return matches(d, l) })
		if i >= 0 {
			used[deviations[i]] = true
		} else if unexplained++; unexplained <= 20 {
			t.Error(l)
		}
	}
	if unexplained > 0 {
		t.Errorf("%d lines differ (- is missing, + is too much) of %d", unexplained, len(want))
	}
	for _, d := range deviations {
		if !used[d] {
			t.Errorf("this deviation no longer occurs: %s", d)
		}
	}
}

func only(sign string, a, b []string) []string {
	in := map[string]bool{}
	for _, l := range b {
		in[l] = true
	}
	var out []string
	for _, l := range a {
		if !in[l] {
			out = append(out, sign+l)
		}
	}
	return out
}

// matches compares a line with a pattern in which a "*" stands for anything.
func matches(pattern, line string) bool {
	before, after, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == line
	}
	return len(line) >= len(before)+len(after) && strings.HasPrefix(line, before) && strings.HasSuffix(line, after)
}
