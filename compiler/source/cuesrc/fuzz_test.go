package cuesrc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/docs/codes"
)

// FuzzDiagnostics feeds CUE that is nearly right through evaluation and rendering: whatever it is, the findings
// are of this package's codes, on one line, at places of the file, and show nothing of the schema's inside; what has
// no finding is a right object.
func FuzzDiagnostics(f *testing.F) {
	seeds, err := filepath.Glob("testdata/*/*.cue")
	if err != nil || len(seeds) < 40 {
		f.Fatalf("%d seeds, %v", len(seeds), err)
	}
	for _, s := range seeds {
		b, err := os.ReadFile(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file := write(t, t.TempDir(), "p.cue", string(text))
		b, err := Load(context.Background(), Options{Paths: []string{file}, Timeout: 2 * time.Second, Memory: 512 << 20})
		var limit *LimitError
		switch {
		case errors.As(err, &limit) && limit.Diagnostic.Code != CodeCrash:
			return
		case err != nil:
			t.Fatal(err)
		}
		lines := bytes.Count(text, []byte("\n")) + 1
		for _, d := range b.Diagnostics {
			if _, err := codes.Lookup(string(d.Code)); err != nil {
				t.Errorf("%s has no page", d.Code)
			}
			if d.Pos.File != filepath.ToSlash(file) || d.Pos.Line > lines {
				t.Errorf("a place outside the file: %v", d)
			}
			for _, s := range append([]string{d.Message, d.Hint}, relatedText(d)...) {
				if strings.ContainsAny(s, "\n") || strings.Contains(s, ".cue:") || strings.Contains(s, "empty disjunction") || strings.Contains(s, "goroutine ") {
					t.Errorf("message %q", s)
				}
			}
			if d.Message == "" || len([]rune(d.Message)) > 600 {
				t.Errorf("message %q", d.Message)
			}
		}
		var out bytes.Buffer
		if err := diag.Text(&out, b.Diagnostics, diag.TextOptions{Sources: os.ReadFile}); err != nil {
			t.Fatal(err)
		}
		for _, o := range append(append([]Object{}, b.Objects...), b.Tests...) {
			if !json.Valid(o.JSON) || len(check(objectKey{"", o.Name}, o.Kind, o.JSON)) > 0 {
				t.Errorf("%s passed: %s", o.Ref(), o.JSON)
			}
		}
	})
}

func relatedText(d diag.Diagnostic) (s []string) {
	for _, r := range d.Related {
		s = append(s, r.Message)
	}
	return s
}
