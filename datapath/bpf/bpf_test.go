package bpf

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-mesh/weir/internal/strict"
)

// TestRebuild builds the objects with the pinned compiler and compares them, and the generated Go, with what is committed.
func TestRebuild(t *testing.T) {
	if _, err := exec.LookPath("clang-19"); err != nil {
		strict.Skip(t, "clang-19 is not installed: the objects cannot be rebuilt")
	}
	dir := t.TempDir()
	args := append([]string{"run", "github.com/cilium/ebpf/cmd/bpf2go", "-output-dir", dir}, directive(t)...)
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Env = append(os.Environ(), "GOPACKAGE=bpf")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("bpf2go: %v\n%s", err, out)
	}
	built, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(built) != 4 {
		t.Fatalf("built %v, %v", built, err)
	}
	for _, path := range built {
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Base(path))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the source gives: run `go generate ./datapath/bpf`", filepath.Base(path))
		}
	}
}

// directive returns the arguments of bpf2go in gen.go: there is one place that says how the objects are built.
func directive(t *testing.T) []string {
	b, err := os.ReadFile("gen.go")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(b), "//go:generate go run github.com/cilium/ebpf/cmd/bpf2go ")
	if !ok {
		t.Fatal("gen.go has no go:generate line for bpf2go")
	}
	return strings.Fields(strings.SplitN(after, "\n", 2)[0])
}
