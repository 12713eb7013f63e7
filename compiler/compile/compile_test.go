package compile

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/weir-mesh/weir/compiler/analyze"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/source/cuesrc"
)

var update = flag.Bool("update", false, "write what came into testdata")

// TestMain lets the test's program evaluate CUE for itself.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == cuesrc.ChildArg {
		os.Exit(cuesrc.ChildMain(os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

// TestCompile compiles the files of each archive in testdata and compares findings and connections with its file
// "want". The archive's comment may hold the word lenient.
func TestCompile(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			want := -1
			for i, f := range a.Files {
				if f.Name == "want" {
					want = i
					continue
				}
				p := filepath.Join(dir, f.Name)
				if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(p, f.Data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			r, err := Compile(context.Background(), Options{Paths: []string{dir}, Now: time.Date(2027, 6, 1, 0, 0, 0, 0, time.UTC), Lenient: strings.Contains(string(a.Comment), "lenient")})
			if err != nil {
				t.Fatal(err)
			}
			got := strings.ReplaceAll(summary(r), dir+"/", "")
			if *update {
				if want < 0 {
					a.Files = append(a.Files, txtar.File{Name: "want"})
					want = len(a.Files) - 1
				}
				a.Files[want].Data = []byte(got)
				if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want < 0 {
				t.Fatal("the archive has no file want")
			}
			if d := cmp.Diff(string(a.Files[want].Data), got); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
		})
	}
}

// summary prints a result.
func summary(r *Result) string {
	var b strings.Builder
	for i := range r.Diagnostics {
		fmt.Fprintln(&b, r.Diagnostics[i].Error())
	}
	fmt.Fprintf(&b, "policies %d, routes %d, grants %d, providers %d, exceptions %d, tests %d, unjudged %t\n", len(r.Policies), len(r.Routes), len(r.Grants), len(r.Providers), len(r.Exceptions), len(r.Tests), r.Unjudged())
	for _, k := range slices.Sorted(func(yield func(string) bool) {
		for k := range r.Counted {
			if !yield(k) {
				return
			}
		}
	}) {
		fmt.Fprintf(&b, "counted %d %s\n", r.Counted[k], k)
	}
	for _, t := range r.Tests {
		fmt.Fprintf(&b, "test %q at %s: %s → %s %s\n", t.Name, t.Pos, t.From, t.To, t.Expect)
	}
	if r.Plan == nil {
		return b.String() + "no plan\n"
	}
	for i := range r.Plan.Subjects {
		s := &r.Plan.Subjects[i]
		fmt.Fprintf(&b, "subject of %d policies, enrolled %t, attached %t\n", len(s.Policies), s.Enrolled, s.Attached)
	}
	for _, l := range analyze.Lines(r.Plan) {
		fmt.Fprintln(&b, l)
	}
	return b.String()
}

func writeAll(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {app: a}}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: b, labels: {app: b}}\n"

func compileDir(t *testing.T, o Options) *Result {
	t.Helper()
	r, err := Compile(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The same content gives the same digests under other file names, and in one file as in many.
func TestNamesDoNotMatter(t *testing.T) {
	np := "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: np}\nspec: {podSelector: {matchLabels: {app: a}}, ingress: [{from: [{podSelector: {matchLabels: {app: b}}}]}]}\n"
	digests := func(files map[string]string) string {
		p := compileDir(t, Options{Paths: []string{writeAll(t, files)}}).Plan
		return p.PolicyDigest + p.DecisionDigest + p.NodeDigest
	}
	a := digests(map[string]string{"a.yaml": pod, "b.yaml": np})
	if b := digests(map[string]string{"z.yaml": np + "---\n" + pod}); a != b {
		t.Errorf("digests differ: %s %s", a, b)
	}
	if c := digests(map[string]string{"a.yaml": pod}); a == c {
		t.Error("digests don't tell policies apart")
	}
}

func TestNamedFiles(t *testing.T) {
	dir := writeAll(t, map[string]string{"a.yaml": pod, "p.cue": "package p\n\nimport \"weir.dev/schemas/v1alpha1\"\n\nv1alpha1.#Bundle\nmeshPolicies: p: spec: {subject: {}, isolate: [\"ingress\"]}\n"})
	r := compileDir(t, Options{Paths: []string{filepath.Join(dir, "a.yaml"), filepath.Join(dir, "p.cue")}})
	if len(r.Diagnostics) > 0 || len(r.Policies) != 1 || len(r.Inventory.Pods) != 2 {
		t.Errorf("%v", summary(r))
	}
	r = compileDir(t, Options{Paths: []string{filepath.Join(dir, "missing")}})
	if !r.Unjudged() || r.Plan != nil {
		t.Errorf("a missing path (exit 2): %s", summary(r))
	}
}

func TestEnforceNetworkPolicy(t *testing.T) {
	dir := writeAll(t, map[string]string{"a.yaml": pod + "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: np}\nspec: {podSelector: {matchLabels: {app: a}}}\n"})
	for _, enforce := range []bool{false, true} {
		p := compileDir(t, Options{Paths: []string{dir}, EnforceNetworkPolicy: enforce}).Plan
		attached := slices.ContainsFunc(p.Endpoints, func(e plan.Endpoint) bool { return e.Attached })
		if attached != enforce {
			t.Errorf("S17: enforce %t, attached %t", enforce, attached)
		}
	}
}

// A limit on CUE is a finding, and what stands beside the CUE is still read.
func TestLimitOnCUE(t *testing.T) {
	dir := writeAll(t, map[string]string{"a.yaml": pod, "p.cue": "package p\n"})
	r := compileDir(t, Options{Paths: []string{dir}, CUE: cuesrc.Options{Timeout: time.Nanosecond}})
	if !r.Unjudged() || r.Plan != nil || len(r.Inventory.Pods) != 2 {
		t.Error(summary(r))
	}
}
