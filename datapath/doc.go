// Package datapath puts a node's projection of the plan into the kernel and keeps it there: it loads the BPF programs,
// pins and attaches them, swaps generations, reads back what the kernel holds and takes it all away again.
//
// The pieces: datapath/encode turns a plan.Projection into the bytes that the programs read, datapath/bpf holds the
// programs, datapath/progrun runs them on packets without attaching them. The numbers S1 to S34 refer to
// docs/semantics.md.
//
// Everything pinned outlives the process: when it ends, however it ends, the kernel goes on deciding by the last
// generation. Only Uninstall opens what was closed.
package datapath
