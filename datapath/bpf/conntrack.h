/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Connection tracking. One entry, keyed (local, remote), serves both directions and remembers who opened. A packet of
 * the original direction is decided under each generation, and a reply by the original's tuple, once per generation (S29).
 * Without an entry a packet is decided by the table of its own direction, so that a lost one opens nothing by itself; who
 * opened a TCP connection in whose middle a packet is, is found out first (opener.h). Elsewhere who sends first is the
 * opener, and the other side's packets are its replies. This is why a flow that is denied keeps its entry.
 *
 * An entry keeps that its flow passed, and by which rule, in weir_ct.judged. It is one word, so that no packet sees the
 * epoch of one judgement with the rule of another.
 */
#ifndef WEIR_CONNTRACK_H
#define WEIR_CONNTRACK_H

#include "maps.h"
#include "parse.h"

/* Idle seconds after which an entry is no longer believed. TCP's is above the two hours of keep-alive (RFC 5382). */
#define IDLE_TCP (3 * 3600)
#define IDLE_CLOSED 60
#define IDLE_SCTP 3600
#define IDLE_OTHER 180
#define IDLE_ICMP 30
#define IDLE_FRAGMENT 60

/* Time in ticks of half a second to a second: the kernel's count of timer interrupts is one load, where the coarse clock
 * is a call that costs as much as deciding. */
static __always_inline __u32 ticks(void)
{
	return bpf_jiffies64() >> tick_shift;
}

static __always_inline void *ct_share(__u32 slot)
{
	return bpf_map_lookup_elem(&conntrack, &slot);
}

/*
 * A word that is the flow's own. The kernel may give an element of an LRU hash to another flow while a packet that found
 * it still looks at it (htab_lru_map_update_elem has no grace period), so that what a packet reads in an entry, or writes
 * there, may be another flow's: such a word is then believed for neither.
 */
static __always_inline __u64 ct_own(const struct weir_ct_key *k)
{
	const __u64 *w = (const __u64 *)k;
	__u64 h = w[4];
#pragma unroll
	for (int i = 0; i < 4; i++)
		h = (h ^ w[i]) * 0x9e3779b97f4a7c15;
	return (h ^ h >> 32) << JUDGED_RULE_BITS;
}

/* The word that says: passed at this epoch, by this rule's slot. 40 bits of epochs do not come round, and a generation that fits
 * the blob has fewer rules than 24 bits count. */
static __always_inline __u64 ct_judged(const struct weir_ct_key *k, __u64 epoch, __u32 rule)
{
	return (epoch << JUDGED_RULE_BITS ^ ct_own(k)) | (rule < JUDGED_RULE ? rule : JUDGED_RULE);
}

/* Whether the word says that the flow passed at this epoch. */
static __always_inline int ct_passed(__u64 judged, const struct weir_ct_key *k, __u64 epoch)
{
	return judged != NOT_JUDGED && !((judged ^ epoch << JUDGED_RULE_BITS ^ ct_own(k)) >> JUDGED_RULE_BITS);
}

static __always_inline int ct_fresh(const struct weir_ct *c, const struct weir_ct_key *k, __u32 now)
{
	__u32 idle = k->kind == KIND_FRAGMENT				? IDLE_FRAGMENT
		     : c->flags & CT_CLOSED				? IDLE_CLOSED
		     : k->proto == IP_TCP				? IDLE_TCP
		     : k->proto == IP_SCTP				? IDLE_SCTP
		     : k->proto == IP_ICMP || k->proto == IP_ICMPV6	? IDLE_ICMP
									: IDLE_OTHER;
	return now - c->seen <= idle * hz >> tick_shift;
}

/* The key of a packet's flow. An echo's id stands on the asker's side, so that both sides may use the same one. */
static __always_inline void ct_key(struct weir_ct_key *k, const struct packet *p, __u8 from_pod)
{
	memset(k, 0, sizeof(*k));
	memcpy(k->local, from_pod ? p->src : p->dst, sizeof(k->local));
	memcpy(k->remote, from_pod ? p->dst : p->src, sizeof(k->remote));
	k->proto = p->proto;
	if (p->icmp) {
		int asker_local = (p->icmp == ICMP_REQUEST) == (from_pod != 0);
		if (asker_local)
			k->lport = p->sport;
		else
			k->rport = p->sport;
		return;
	}
	k->lport = from_pod ? p->sport : p->dport;
	k->rport = from_pod ? p->dport : p->sport;
}

/* Whether a packet can belong to a tracked flow: everything but ICMP messages that are no question and no answer. */
static __always_inline int ct_tracks(const struct packet *p)
{
	if (p->proto == (p->family == 4 ? IP_ICMP : IP_ICMPV6))
		return p->icmp == ICMP_REQUEST || p->icmp == ICMP_REPLY;
	return 1;
}

/* Whether an entry is of a flow that was opened as told: what its decision hangs on besides its key and the generation.
 * opener is CT_SOCKET, CT_SELF or neither. */
static __always_inline int ct_original(const struct weir_ct *c, __u32 key, __u8 dir, __u8 opener)
{
	return c->dir == dir && c->key == key && (c->flags & (CT_SOCKET | CT_SELF)) == opener;
}

/* Whether a packet may be a reply: what opens a connection never is. */
static __always_inline int ct_may_reply(const struct packet *p)
{
	return !p->opening && p->icmp != ICMP_REQUEST;
}

static __always_inline void ct_touch(struct weir_ct *c, const struct packet *p, int reply, __u32 now)
{
	if (c->seen != now)
		c->seen = now;
	if (!p->closing)
		return;
	__u8 flags = c->flags;
	if (p->closing == 2)
		flags |= CT_CLOSED;
	else
		flags |= reply ? CT_FIN_REPLY : CT_FIN_ORIGINAL;
	if ((flags & (CT_FIN_REPLY | CT_FIN_ORIGINAL)) == (CT_FIN_REPLY | CT_FIN_ORIGINAL))
		flags |= CT_CLOSED;
	if (flags != c->flags)
		c->flags = flags;
}

/* Fragments live in the endpoint's share too: by addresses and identification (RFC 791, RFC 8200). */
static __always_inline void fragment_key(struct weir_ct_key *k, const struct packet *p, __u8 from_pod)
{
	memset(k, 0, sizeof(*k));
	memcpy(k->local, from_pod ? p->src : p->dst, sizeof(k->local));
	memcpy(k->remote, from_pod ? p->dst : p->src, sizeof(k->remote));
	k->kind = KIND_FRAGMENT;
	k->lport = p->fragment_id;
	k->rport = p->fragment_id >> 16;
	k->proto = p->family == 4 ? p->proto : 0;
	k->pad = from_pod;
}

/* Records a first fragment, so that later ones are decided as it is. */
static __always_inline int fragment_record(void *share, const struct packet *p, __u8 from_pod)
{
	struct weir_ct_key k;
	fragment_key(&k, p, from_pod);
	struct weir_ct c = {
		.seen = ticks(),
		.key = p->key,
		.sport = p->sport,
		.dport = p->dport,
		.dir = p->proto,
		.icmp = p->icmp,
		.opening = p->opening,
	};
	return bpf_map_update_elem(share, &k, &c, BPF_ANY) ? DROP_CONNTRACK : PASSED;
}

/* Gives a later fragment the ports of its first. */
static __always_inline int fragment_follow(void *share, struct packet *p, __u8 from_pod)
{
	struct weir_ct_key k;
	fragment_key(&k, p, from_pod);
	struct weir_ct *c = bpf_map_lookup_elem(share, &k);
	if (!c || !ct_fresh(c, &k, ticks()))
		return DROP_FRAGMENT;
	p->key = c->key;
	p->sport = c->sport;
	p->dport = c->dport;
	p->proto = c->dir;
	p->icmp = c->icmp;
	p->opening = c->opening;
	return PASSED;
}

#endif
