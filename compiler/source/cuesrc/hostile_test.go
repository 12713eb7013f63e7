package cuesrc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/source/manifest"
)

func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	p := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// exponential is CUE whose evaluation doubles with each line: disjunctions that all must be tried together.
func exponential() string {
	const lines = 30
	var b strings.Builder
	b.WriteString("_x: {")
	for i := range lines {
		b.WriteString(strings.Repeat("\n", 1) + "a" + strings.Repeat("x", i) + ": 1 | 2 | {b: 3} | {c: 4}\n")
	}
	b.WriteString("}\n")
	for range lines {
		b.WriteString("_x: {p: 1} | {q: 2} | {r: 3, s: _x}\n")
	}
	return b.String()
}

// growing takes ten times the memory with each line.
func growing() string {
	b := strings.Builder{}
	b.WriteString("_a0: \"" + strings.Repeat("x", 64) + "\"\n")
	for i := range 8 {
		fmt.Fprintf(&b, "_a%d: \"%s\"\n", i+1, strings.Repeat(fmt.Sprintf("\\(_a%d)", i), 10))
	}
	b.WriteString("meshPolicies: web: spec: owner: _a8\n")
	return b.String()
}

// TestDepthOfStrings: what looks like brackets in a string does not nest, whatever is interpolated before it.
func TestDepthOfStrings(t *testing.T) {
	text := "_n: 1\n" + strings.Repeat("x: \"{[( \\(_n) {[( \\({a: \"}\"}.a) ((( \"\n", 2000)
	if d, deep := tooDeep(&sourceFile{name: "t.cue", data: []byte(text)}); deep {
		t.Errorf("%v", d.Error())
	}
	for _, text := range []string{strings.Repeat("a: ", maxNesting+1) + "1", "x: " + strings.Repeat("\"\\(", maxNesting+1), strings.Repeat("a: {b: [", 200)} {
		if _, deep := tooDeep(&sourceFile{name: "t.cue", data: []byte(text)}); !deep {
			t.Errorf("not too deep: %.40s", text)
		}
	}
}

// TestHostile: input made to hang, to eat memory or to crash ends within the limits, and names the limit and the
// file; nothing of the evaluator's inside reaches the user.
func TestHostile(t *testing.T) {
	deep := func(open, shut string, n int) string {
		return "x: " + strings.Repeat(open, n) + "1" + strings.Repeat(shut, n) + "\n"
	}
	for name, c := range map[string]struct {
		text    string
		timeout time.Duration
		memory  int64
		want    []diag.Code // any of them
	}{
		"exponential":   {exponential(), 2 * time.Second, 0, []diag.Code{CodeTime}},
		"memory":        {growing(), time.Minute, 256 << 20, []diag.Code{CodeMemory}},
		"deep braces":   {deep("{a: ", "}", 200_000), 30 * time.Second, 2 << 30, []diag.Code{manifest.CodeLimit}},
		"deep brackets": {deep("[", "]", 200_000), 30 * time.Second, 2 << 30, []diag.Code{manifest.CodeLimit}},
		"deep colons":   {strings.Repeat("a: ", 200_000) + "1\n", 30 * time.Second, 2 << 30, []diag.Code{manifest.CodeLimit}},
		"deep unary":    {"x: " + strings.Repeat("!", 200_000) + "true\n", 30 * time.Second, 2 << 30, []diag.Code{manifest.CodeLimit}},
		"deep operators": {"x: 1" + strings.Repeat(" + 1", 100_000) + "\n", 30 * time.Second, 2 << 30,
			[]diag.Code{manifest.CodeLimit}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := write(t, dir, "evil.cue", c.text)
			began := time.Now()
			b, err := Load(context.Background(), Options{Paths: []string{dir}, Timeout: c.timeout, Memory: c.memory})
			if took := time.Since(began); took > c.timeout+20*time.Second {
				t.Errorf("ended after %s with a limit of %s", took, c.timeout)
			}
			var found diag.List
			var limit *LimitError
			switch {
			case errors.As(err, &limit):
				found = diag.List{limit.Diagnostic}
			case err != nil:
				t.Fatal(err)
			default:
				found = b.Diagnostics
			}
			ok := len(found) > 0
			for _, d := range found {
				in := false
				for _, w := range c.want {
					in = in || d.Code == w
				}
				ok = ok && in && d.Pos.File == filepath.ToSlash(file)
				if strings.Contains(d.Message, "goroutine") || len(d.Message) > 500 {
					t.Errorf("message %q", d.Message)
				}
			}
			if !ok {
				t.Errorf("got %v, want one of %v", found, c.want)
			}
			t.Logf("%.200v", found)
		})
	}
}

func TestLimitsNameTheOption(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "evil.cue", exponential())
	_, err := Load(context.Background(), Options{Paths: []string{dir}, Timeout: 1500 * time.Millisecond})
	var limit *LimitError
	if !errors.As(err, &limit) || !strings.Contains(err.Error(), "took more than 1.5s (limit --eval-timeout)") {
		t.Errorf("got %v", err)
	}
	_, err = Load(context.Background(), Options{Paths: []string{dir}, Memory: 1 << 20})
	if !errors.As(err, &limit) || !strings.Contains(err.Error(), "took more than 1 MiB of memory (limit --eval-memory)") {
		t.Errorf("got %v", err)
	}
}

// TestLimitNamesTheFiles: of a package's files those that were evaluated, not the first by name.
func TestLimitNamesTheFiles(t *testing.T) {
	for name, c := range map[string]struct {
		files         map[string]string
		file, message string
	}{
		"a test beside the policies": {map[string]string{"a.cue": "package p\n\n" + policy("a"), "z_tests.cue": "package p\n\n" + exponential() + "tests: \"x\": {from: _x, to: \"b\", port: 80, expect: \"deny\"}\n"},
			"p/z_tests.cue", "evaluating p/z_tests.cue took more than 1s (limit --eval-timeout)"},
		"what only an object holds": {map[string]string{"a.cue": "package p\n\n_y: 1\n", "b.cue": "package p\n\nmeshPolicies: b: {\n" + exponential() + "}\n", "c.cue": "package p\n"},
			"p", "evaluating a.cue, b.cue together took more than 1s (limit --eval-timeout)"},
		"a package that computes": {map[string]string{"a.cue": "package p\n\n" + policy("a"), "b.cue": "package p\n\n" + exponential() + "for x in [_x] {meshPolicies: b: x}\n", "c.cue": "package p\n\n" + policy("c"),
			"d.cue": "package p\n\n" + policy("d"), "e.cue": "package p\n\n" + policy("e")},
			"p", "evaluating a.cue, b.cue, c.cue, d.cue and 1 more together took more than 1s (limit --eval-timeout)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			for f, text := range c.files {
				write(t, "p", f, text)
			}
			_, err := Load(context.Background(), Options{Paths: []string{"p"}, Timeout: time.Second})
			var limit *LimitError
			if !errors.As(err, &limit) {
				t.Fatalf("got %v", err)
			}
			if d := limit.Diagnostic; d.Pos.File != c.file || d.Message != c.message {
				t.Errorf("got %s: %s\nwant %s: %s", d.Pos, d.Message, c.file, c.message)
			}
		})
	}
}

func TestCancel(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "evil.cue", exponential())
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if _, err := Load(ctx, Options{Paths: []string{dir}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestChildThatFails(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		command []string
		want    string
	}{
		"says nothing":  {[]string{"true"}, "ended without an answer"},
		"panics":        {[]string{"sh", "-c", "echo 'fatal error: stack overflow' >&2; echo 'goroutine 1 [running]:' >&2; exit 2"}, "ended without an answer: stack overflow"},
		"says nonsense": {[]string{"sh", "-c", "echo hello"}, ""},
		"is not there":  {[]string{filepath.Join(dir, "none")}, "starting the evaluation of CUE"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := Load(context.Background(), Options{Paths: []string{dir}, Command: c.command})
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "goroutine") {
				t.Errorf("got %v, %v", b, err)
			}
		})
	}
}

// TestChildDoesNotOutlive: the child ends with its parent, which closes its input.
func TestChildDoesNotOutlive(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "evil.cue", exponential())
	self, err := executable()
	if err != nil {
		t.Fatal(err)
	}
	c, err := start(t.Context(), Options{Paths: []string{dir}, Memory: DefaultMemory, Command: []string{self, ChildArg}})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond) // the request is on its way
	_ = c.stdin.Close()
	<-c.answer
	if err := c.cmd.Wait(); err == nil || c.cmd.ProcessState.ExitCode() != exitOrphaned {
		t.Errorf("ended with %v", err)
	}
}

// TestLoadIsEvaluate: the child's answer is what this process finds.
func TestLoadIsEvaluate(t *testing.T) {
	t.Chdir("testdata")
	got, err := Load(context.Background(), Options{Paths: []string{"."}})
	if err != nil {
		t.Fatal(err)
	}
	want, err := Evaluate(context.Background(), []string{"."}, func([]string) {})
	if err != nil {
		t.Fatal(err)
	}
	if g, w := show(got), show(want); g != w {
		t.Error("the child says something else")
	}
	if len(got.Objects) == 0 || len(got.Tests) == 0 || len(got.Diagnostics) < 50 || len(got.Files) < 40 {
		t.Errorf("%d objects, %d tests, %d findings, %d files", len(got.Objects), len(got.Tests), len(got.Diagnostics), len(got.Files))
	}
	for i := range got.Objects {
		if g, w := got.Objects[i].Pos("spec.subject"), want.Objects[i].Pos("spec.subject"); g != w || g.Line == 0 {
			t.Errorf("%s: %v, want %v", got.Objects[i].Ref(), g, w)
		}
	}
}
