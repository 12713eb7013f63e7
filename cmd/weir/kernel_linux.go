package main

import (
	"github.com/spf13/cobra"

	"github.com/weir-mesh/weir/datapath"
)

// kernelCommands are the verbs that need a Linux kernel.
func (a *app) kernelCommands() []*cobra.Command { return []*cobra.Command{a.labCommand()} }

func kernelReady() error { return datapath.Probe() }
