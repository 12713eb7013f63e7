// Package agent keeps a node's kernel at the projection that a file holds: it takes over what an earlier agent left,
// follows the file, the pods' interfaces and the clock, and says by metrics and health what the kernel enforces.
//
// The kernel goes on deciding whatever happens to the agent. The numbers S1 to S34 refer to docs/semantics.md.
package agent
