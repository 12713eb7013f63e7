package compile

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func TestIsCUE(t *testing.T) {
	for text, want := range map[string]bool{
		"package p\n\nmeshPolicies: a: spec: subject: {}\n":      true,
		"// why\nimport \"list\"\n\n_x: list.Range(0, 1, 1)\n":   true,
		"meshPolicies: a: {\n":                                   true, // broken
		"package p\nx: {\n":                                      true, // broken
		"#Port: {port: 80}\nmeshPolicies: a: spec: subject: {}":  true,
		"{\"meshPolicies\": {\"a\": {}}}":                        true, // cue export
		"meshPolicies: a: {\n\tkind: \"MeshPolicy\"\n}\n":        true,
		"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n":       false,
		"# why\n\nkind: Pod\nmetadata:\n  name: a\n":             false,
		"---\nmetadata: {name: a}\n":                             false,
		"{\"apiVersion\": \"v1\", \"kind\": \"Pod\"}":            false,
		"{\"kind\": \"List\", \"items\": []}\n{\"kind\": \"A\"}": false,
		"{apiVersion: v1, kind: Pod}":                            false, // YAML in flow form
		"- apiVersion: v1\n  kind: Pod\n":                        false,
		"a: [b\n":                                                false, // neither
		"":                                                       false,
		"# nothing\n":                                            false,
	} {
		if got := isCUE([]byte(text)); got != want {
			t.Errorf("%q: CUE %t, want %t", text, got, want)
		}
	}
}

// Standard input is waited for no longer than the context says, and is read once.
func TestStdin(t *testing.T) {
	in, w := io.Pipe()
	defer func() { _ = w.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := Compile(ctx, Options{Paths: []string{Stdin}, Stdin: in}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	r := compileDir(t, Options{Paths: []string{Stdin, Stdin}, Stdin: strings.NewReader(pod)})
	if r.Plan == nil || len(r.Inventory.Pods) != 2 {
		t.Error(summary(r))
	}
	if b, err := r.Sources(stdinName); err != nil || string(b) != pod {
		t.Errorf("Sources: %q, %v", b, err)
	}
	if r = compileDir(t, Options{Paths: []string{Stdin}}); !r.Unjudged() {
		t.Errorf("without standard input - is a path like others: %s", summary(r))
	}
}
