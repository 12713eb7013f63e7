package cuesrc

import (
	"os"
	"testing"
)

// TestMain lets the test binary be its own child, as cmd/weir is.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == ChildArg {
		os.Exit(ChildMain(os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}
