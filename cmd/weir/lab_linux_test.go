package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/weir-mesh/weir/datapath/lab"
	"github.com/weir-mesh/weir/internal/strict"
)

// TestShellCommand takes a command as kubectl exec does, and without its --.
func TestShellCommand(t *testing.T) {
	for _, c := range []struct {
		args  []string
		shell string
		want  []string
	}{
		{nil, "/bin/zsh", []string{"/bin/zsh"}},
		{nil, "", []string{"/bin/sh"}},
		{[]string{"--"}, "", []string{"/bin/sh"}},
		{[]string{"--", "ping", "-c", "1", "::1"}, "", []string{"ping", "-c", "1", "::1"}},
		{[]string{"ping", "-c", "1"}, "", []string{"ping", "-c", "1"}},
		{[]string{"--", "sh", "-c", "echo $1", "--", "x"}, "", []string{"sh", "-c", "echo $1", "--", "x"}},
	} {
		a := &app{env: func(string) string { return c.shell }}
		if got := a.shellCommand(c.args); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.args, got, c.want)
		}
	}
}

// TestLabRunJSON runs a lab for real: programs get one JSON object, lists that are empty included.
func TestLabRunJSON(t *testing.T) {
	if err := lab.Check(); err != nil {
		strict.Skip(t, err)
	}
	dir := t.TempDir()
	var out, errOut bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &out, err: &errOut, env: func(string) string { return "" }}
	if err := a.init(dir); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if status := a.main(t.Context(), []string{"weir", "lab", "run", "-o", "json", dir}); status != 0 {
		t.Fatalf("status %d: %s%s", status, out.String(), errOut.String())
	}
	var r struct {
		Workloads, Probes, Allowed, Denied int
		Mismatches, Changes                []any
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v in %s", err, out.String())
	}
	if r.Workloads != 3 || r.Probes == 0 || r.Probes != r.Allowed+r.Denied || r.Mismatches == nil || len(r.Changes) == 0 {
		t.Errorf("%+v from %s", r, out.String())
	}
}
