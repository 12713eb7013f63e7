//go:build !linux

package main

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-mesh/weir/compiler/analyze"
	"github.com/weir-mesh/weir/compiler/compile"
	"github.com/weir-mesh/weir/datapath"
)

// kernelCommands are the verbs that need a Linux kernel; here they say so.
func (a *app) kernelCommands() []*cobra.Command {
	return []*cobra.Command{{
		Use:                "lab",
		Short:              "Run the mesh on this machine (needs Linux)",
		DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error {
			return exit(statusUnknown, fmt.Errorf("lab needs Linux: it runs the mesh in network namespaces; this is %s", runtime.GOOS))
		},
	}}
}

func kernelReady() error { return datapath.Probe() }

// testKernel cannot be reached: kernelReady fails first.
func testKernel(context.Context, *compile.Result, time.Time, []analyze.Test) (*kernelReport, error) {
	return nil, datapath.Probe()
}
