// Package kerneltest lets tests that need root and a kernel say why they cannot run.
package kerneltest

import (
	"os"
	"testing"

	"github.com/weir-mesh/weir/datapath"
)

// Need skips the test where the datapath cannot run, with the reason; with WEIR_STRICT=1 it fails instead.
func Need(t testing.TB) {
	t.Helper()
	err := datapath.Probe()
	if err == nil {
		return
	}
	if os.Getenv("WEIR_STRICT") == "1" {
		t.Fatal(err)
	}
	t.Skip(err)
}
