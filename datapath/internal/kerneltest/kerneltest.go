// Package kerneltest lets tests that need root and a kernel say why they cannot run.
package kerneltest

import (
	"testing"

	"github.com/weir-mesh/weir/datapath"
	"github.com/weir-mesh/weir/internal/strict"
)

// Need skips the test where the datapath cannot run, with the reason; with WEIR_STRICT=1 it fails instead.
func Need(t testing.TB) {
	t.Helper()
	err := datapath.Probe()
	if err == nil {
		return
	}
	strict.Skip(t, err)
}
