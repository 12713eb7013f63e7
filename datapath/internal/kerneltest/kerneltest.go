// Package kerneltest lets tests that need root and a kernel say why they cannot run.
package kerneltest

import (
	"testing"

	"github.com/cilium/ebpf/features"

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

// NeedTCX skips the test on a kernel from before TCX; WEIR_STRICT does not change that, since nothing can be installed
// there. On a later kernel the test runs, and fails where TCX is missing.
func NeedTCX(t testing.TB) {
	t.Helper()
	v, err := features.LinuxVersionCode()
	if err != nil {
		t.Fatal(err)
	}
	if v < 6<<16|6<<8 {
		t.Skipf("TCX came with Linux 6.6; this is %d.%d", v>>16, v>>8&0xff)
	}
}
