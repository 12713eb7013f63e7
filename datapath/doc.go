// Package datapath puts a node's projection of the plan into the kernel and keeps it there: it loads the BPF programs,
// pins and attaches them, swaps generations, reads back what the kernel holds and takes it all away again.
//
// The pieces: datapath/encode turns a plan.Projection into the bytes that the programs read, datapath/bpf holds the
// programs, datapath/load puts them into the kernel, datapath/progrun runs them on packets without attaching them. The
// numbers S1 to S34 refer to docs/semantics.md.
//
// Everything pinned outlives the process: when it ends, however it ends, the kernel goes on deciding by the last
// generation. Only Uninstall opens what was closed.
//
// A generation is one immutable run of bytes in one map, addresses included, and a packet reads its place once (S32).
// Maps in maps, one per table, would need the generation carried into every look-up, a look-up more per step and two
// sets of address maps; here a swap is one store, and the kernel's copy is compared with the encoding byte by byte. The
// price is that a change rewrites the whole generation, which takes milliseconds.
//
// A packet of an established flow reads none of it: its conntrack entry keeps that the flow passed under the current
// generation, and by which rule (bpf/conntrack.h, judge_kept in bpf/weir.c).
//
// A TCP packet in the middle of a connection that has no entry, since the programs were attached under it or the entry was
// evicted, is judged by who opened the connection (S29): the pod's own sockets tell, in its network namespace
// (bpf/opener.h). Where they do not, both directions have to allow.
//
// An endpoint's interface is found by the route of its address alone, or by the address at a veth's other end
// (claims_linux.go). One that is held stays while its interface exists: what a pod does to its own addresses takes no
// program away.
//
// Known limits. A server that has closed its listener is taken for the opener of its open connections, once their entries
// are lost; so is one whose listener is bound to a device. A client in a pod that listens on the client's own port is taken
// for the server. Such a connection is judged by the wrong direction. Of UDP, SCTP and other protocols, who sends first is
// taken for the opener. Nothing redirects to a waypoint or a tunnel yet: what needs one is dropped, by its own reason.
package datapath
