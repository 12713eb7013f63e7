package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/weir-mesh/weir/compiler/analyze"
	"github.com/weir-mesh/weir/compiler/compile"
	"github.com/weir-mesh/weir/datapath"
)

// kernelCommands are the verbs that need a Linux kernel.
func (a *app) kernelCommands() []*cobra.Command { return nil }

func kernelReady() error { return datapath.Probe() }

func (a *app) testKernel(context.Context, *compile.Result, *analyze.Names, []analyze.Test) (bool, error) {
	return false, errors.New("not yet")
}
