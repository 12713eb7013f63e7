/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Who opened a TCP connection, where no entry of conntrack tells: the pod's own sockets are asked, in the pod's network
 * namespace. Where one listens at the connection's address and port, the pod is the server; where there is only the
 * connection's own socket, the pod opened. Where there is neither, nobody knows: the connection is gone, or is not the
 * kernel's (a sandbox with a network stack of its own), or has other ports inside the pod than outside.
 *
 * What this can't tell: a server that has closed its listener, or bound it to a device (the look-up is made for the host's
 * interface), is taken for the opener; a client whose pod listens on the client's own port is taken for the server.
 */
#ifndef WEIR_OPENER_H
#define WEIR_OPENER_H

#include "layout.h"

#define OPENER_UNKNOWN 2 /* the others are EGRESS and INGRESS */

#define NO_SOCKET 0 /* no state of a socket */

/* The state of the pod's socket for a flow, or with remote = 0 that of its listener: no connection has an end without an
 * address, so that the kernel finds no other. */
static __always_inline __u32 socket_state(struct __sk_buff *skb, const struct weir_ct_key *k, __u32 netns, int remote)
{
	struct bpf_sock_tuple4 t4 = {};
	struct bpf_sock_tuple6 t6 = {};
	struct bpf_sock *s;
	if (!k->local[0] && !k->local[1] && k->local[2] == htonl(0xffff)) {
		t4.daddr = k->local[3];
		t4.dport = htons(k->lport);
		if (remote) {
			t4.saddr = k->remote[3];
			t4.sport = htons(k->rport);
		}
		s = bpf_sk_lookup_tcp(skb, &t4, sizeof(t4), netns, 0);
	} else {
		memcpy(t6.daddr, k->local, sizeof(t6.daddr));
		t6.dport = htons(k->lport);
		if (remote) {
			memcpy(t6.saddr, k->remote, sizeof(t6.saddr));
			t6.sport = htons(k->rport);
		}
		s = bpf_sk_lookup_tcp(skb, &t6, sizeof(t6), netns, 0);
	}
	if (!s)
		return NO_SOCKET;
	__u32 state = s->state;
	bpf_sk_release(s);
	return state;
}

/* netns is weir_endpoint's. */
__noinline int find_opener(struct __sk_buff *skb, const struct weir_ct_key *k, __u32 netns)
{
	if (!k || !netns)
		return OPENER_UNKNOWN;
	__u32 state = socket_state(skb, k, netns - 1, 1);
	if (state == NO_SOCKET)
		return OPENER_UNKNOWN;
	if (state != BPF_TCP_LISTEN)
		state = socket_state(skb, k, netns - 1, 0);
	return state == BPF_TCP_LISTEN ? INGRESS : EGRESS;
}

#endif
