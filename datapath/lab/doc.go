// Package lab runs a mesh on one machine: a network namespace a workload, the real datapath at each one's veth,
// services translated as kube-proxy does, and real packets whose fate is compared with the plan's.
//
// A lab is built from a World, which is a Source (policies and workloads) with an address for everything and the plan
// compiled for it. The rest of the package needs Linux and root. The numbers S1 to S34 refer to docs/semantics.md.
package lab
