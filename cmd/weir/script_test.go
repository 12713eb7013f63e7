package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/weir-mesh/weir/compiler/source/cuesrc"
)

var update = flag.Bool("update", false, "write what the commands print into the scripts; then read it")

// TestMain lets scripts run the program under both of its names; it is itself, so that it can be its own child.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == cuesrc.ChildArg {
		os.Exit(run())
	}
	main := func() { os.Exit(run()) }
	testscript.Main(m, map[string]func(){"weir": main, "kubectl-weir": main})
}

// TestScripts runs whole commands and compares what they print, to the letter.
func TestScripts(t *testing.T) {
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("REPO", repo)
			e.Setenv("GITHUB_ACTIONS", "")
			e.Setenv("WEIR_CORPUS", os.Getenv("WEIR_CORPUS"))
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond == "corpus" {
				return os.Getenv("WEIR_CORPUS") != "", nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
	})
}
