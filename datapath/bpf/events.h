/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Counters and events. */
#ifndef WEIR_EVENTS_H
#define WEIR_EVENTS_H

#include "conntrack.h"
#include "decide.h"

static __always_inline void count(void *map, __u32 place, const struct __sk_buff *skb)
{
	struct weir_count *c = bpf_map_lookup_elem(map, &place);
	if (!c)
		return;
	/* A GSO packet is several on the wire. */
	__u32 segments = skb->gso_segs;
	c->packets += segments ? segments : 1;
	c->bytes += skb->len;
}

/* Whether this CPU may still send an event in this second. */
static __always_inline int event_allowed(void)
{
	__u32 zero = 0;
	struct weir_event_budget *e = bpf_map_lookup_elem(&event_budget, &zero);
	if (!e)
		return 0;
	__u64 second = bpf_ktime_get_coarse_ns() / 1000000000ULL;
	if (e->second != second) {
		e->second = second;
		e->used = 0;
	}
	if (e->used >= event_rate) {
		e->lost++;
		return 0;
	}
	e->used++;
	return 1;
}

static __always_inline void event_lost(void)
{
	__u32 zero = 0;
	struct weir_event_budget *e = bpf_map_lookup_elem(&event_budget, &zero);
	if (e)
		e->lost++;
}

#define FLOW_NEW 1   /* was not tracked */
#define FLOW_AGAIN 2 /* was tracked, and not judged under this generation */

/* What one packet came to. */
struct outcome {
	__u64 generation, epoch;
	struct answer answer;
	__u32 key;  /* NO_VALUE: the packet was not read so far */
	__u8 reply; /* passed as part of a tracked flow, in the other direction */
	__u8 kept;  /* passed by what its entry keeps */
	__u8 fresh; /* FLOW_… */
};

static __always_inline void fill_event(struct weir_event *e, const struct view *v, const struct packet *p,
				       const struct outcome *o, __u8 from_pod, __u8 kind)
{
	const struct answer *a = &o->answer;
	e->time = bpf_ktime_get_boot_ns();
	e->generation = o->generation;
	e->epoch = o->epoch;
	memcpy(e->local, from_pod ? p->src : p->dst, sizeof(e->local));
	memcpy(e->remote, from_pod ? p->dst : p->src, sizeof(e->remote));
	e->slot = v->slot;
	e->peer = a->peer;
	e->decision = a->decision;
	e->rule = a->rule;
	e->audit_rule = a->audit_rule;
	e->key = o->key;
	e->lport = from_pod ? p->sport : p->dport;
	e->rport = from_pod ? p->dport : p->sport;
	e->proto = p->proto;
	e->kind = kind;
	e->from_pod = from_pod;
	e->drop = a->drop;
	e->verdict = a->verdict;
	e->audit_verdict = a->audit_verdict;
	e->family = p->family;
	e->reply = o->reply;
	e->kept = o->kept;
}

/* An event for each denied packet, each new flow that is logged, and once per generation each flow on which the audit
 * chain differs (S30). */
static __always_inline void emit(const struct view *v, const struct packet *p, const struct outcome *o, __u8 from_pod)
{
	const struct answer *a = &o->answer;
	__u8 kind;
	if (a->flags & DECISION_AUDIT && (a->drop || o->fresh))
		kind = EVENT_AUDIT;
	else if (a->drop)
		kind = EVENT_DENIED;
	else if (o->fresh == FLOW_NEW && (all_flows || a->flags & DECISION_LOG))
		kind = EVENT_NEW;
	else
		return;
	if (!event_allowed())
		return;
	struct weir_event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		event_lost();
		return;
	}
	fill_event(e, v, p, o, from_pod, kind);
	bpf_ringbuf_submit(e, 0);
}

static __always_inline int conclude(struct __sk_buff *skb, const struct view *v, const struct packet *p,
				    const struct outcome *o, __u8 from_pod)
{
	const struct answer *a = &o->answer;
	count(&drop_counts, a->drop, skb);
	if (a->rule != NO_VALUE)
		count(&rule_counts, a->rule, skb);
	emit(v, p, o, from_pod);
	if (testing) {
		__u32 zero = 0;
		struct weir_event *e = bpf_map_lookup_elem(&last, &zero);
		if (e)
			fill_event(e, v, p, o, from_pod, 0);
	}
	return a->drop ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

#endif
