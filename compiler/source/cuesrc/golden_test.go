package cuesrc

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-mesh/weir/compiler/diag"
)

var update = flag.Bool("update", false, "write the golden files anew")

// show prints all of a bundle: findings as `weir check` does, then each object with its place.
func show(b *Bundle) string {
	var out bytes.Buffer
	if err := diag.Text(&out, b.Diagnostics, diag.TextOptions{Sources: os.ReadFile}); err != nil {
		return err.Error()
	}
	for _, o := range append(append([]Object{}, b.Objects...), b.Tests...) {
		fmt.Fprintf(&out, "%s: %s\n    %s\n", o.Pos(""), o.Ref(), o.JSON)
	}
	return out.String()
}

func evaluateHere(t *testing.T, how how, paths ...string) *Bundle {
	t.Helper()
	b, err := evaluate(context.Background(), paths, how, func([]string) {})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestGolden holds, for each folder of testdata, what is printed for the CUE in it; and that it is the same
// whether objects are evaluated one by one or many together.
func TestGolden(t *testing.T) {
	t.Chdir("testdata")
	cases, err := filepath.Glob("*")
	if err != nil {
		t.Fatal(err)
	}
	errorsSeen := 0
	for _, dir := range cases {
		if fi, err := os.Stat(dir); err != nil || !fi.IsDir() || dir == "fuzz" {
			continue
		}
		t.Run(dir, func(t *testing.T) {
			b := evaluateHere(t, how{pieceSize, true}, dir)
			got := show(b)
			for _, how := range []how{{1, true}, {1, false}, {pieceSize, false}} {
				if other := show(evaluateHere(t, how, dir)); other != got {
					t.Errorf("evaluating with %+v is not the same (-usual +so):\n%s", how, cmp.Diff(got, other))
				}
			}
			if b.Diagnostics.HasErrors() {
				errorsSeen++
			}
			if strings.Contains(got, "weir.dev/schemas/v1alpha1/") || strings.Contains(got, "goroutine ") || strings.Contains(got, "empty disjunction") {
				t.Error("the schema's inside shows")
			}
			path := filepath.Join(dir, "expected.txt")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
	if errorsSeen < 25 {
		t.Errorf("%d cases with errors, want at least 25", errorsSeen)
	}
}
