//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
/*
 * The classifier at the host side of a pod's veth. weir_from_pod sits at its ingress and sees what the pod sends,
 * weir_to_pod at its egress and sees what the pod gets. Both are shared by all endpoints: which one a packet belongs
 * to is found by the interface.
 */
#include "blob.h"
#include "conntrack.h"
#include "decide.h"
#include "events.h"
#include "opener.h"
#include "parse.h"

char LICENSE[] SEC("license") = "GPL and additional rights";

/* Puts the structures into the object's BTF, where a test compares them with Go's. */
#define IN_BTF(type) const struct type *const btf_##type = NULL
IN_BTF(weir_root);
IN_BTF(weir_pair);
IN_BTF(weir_wide);
IN_BTF(weir_own);
IN_BTF(weir_table);
IN_BTF(weir_endpoint);
IN_BTF(weir_decision);
IN_BTF(weir_ct_key);
IN_BTF(weir_ct);

static __always_inline int own_address(const struct weir_endpoint *e, const __u32 *addr)
{
#pragma unroll
	for (int i = 0; i < MAX_ADDRS; i++)
		if (i < e->addrs_n && e->addrs[i][3] == addr[3] && e->addrs[i][2] == addr[2] &&
		    e->addrs[i][1] == addr[1] && e->addrs[i][0] == addr[0])
			return 1;
	return 0;
}

static __always_inline int link_local(const __u32 *addr)
{
	return (ntohl(addr[0]) & 0xffc00000) == 0xfe800000;
}

static __always_inline int unspecified(const __u32 *addr)
{
	return !(addr[0] | addr[1] | addr[2] | addr[3]);
}

struct arp {
	__u16 hardware, protocol;
	__u8 hardware_length, protocol_length;
	__u16 operation;
	__u8 sender_mac[6], sender[4], target_mac[6], target[4];
} __attribute__((packed));

/* ARP passes; a pod speaks only for its own address or, when probing, for none, and nobody else speaks for it (S6). */
static __always_inline int check_arp(struct __sk_buff *skb, __u32 off, const struct weir_endpoint *e, __u8 from_pod)
{
	struct arp h;
	if (bpf_skb_load_bytes(skb, off, &h, sizeof(h)))
		return DROP_MALFORMED;
	if (h.hardware != htons(1) || h.protocol != htons(ETH_IPV4) || h.hardware_length != 6 || h.protocol_length != 4)
		return DROP_UNPARSED;
	__u32 sender[4] = {0, 0, htonl(0xffff), 0};
	memcpy(&sender[3], h.sender, 4);
	int own = own_address(e, sender);
	if (from_pod)
		return own || !sender[3] ? PASSED : DROP_SOURCE;
	return own ? DROP_SOURCE : PASSED;
}

#define NO_NEIGHBOUR -1

/*
 * Neighbour discovery passes with its source checked (S6). The hop limit of 255 proves that no router forwarded the
 * message (RFC 4861), and destinations are kept to the link, so that it carries nothing farther. NO_NEIGHBOUR: not such
 * a message; the tables decide.
 */
static __always_inline int check_neighbour(struct __sk_buff *skb, const struct packet *p,
					   const struct weir_endpoint *e, __u8 from_pod)
{
	if (p->hops != 255 || p->fragment)
		return NO_NEIGHBOUR;
	int own = own_address(e, p->src);
	if (!from_pod) {
		if (p->icmp_type == 137 || own) /* a redirect; somebody with the pod's address */
			return DROP_SOURCE;
		return PASSED;
	}
	if (p->icmp_type == 134 || p->icmp_type == 137) /* pods are no routers */
		return DROP_SOURCE;
	int multicast = (ntohl(p->dst[0]) & 0xffff0000) == 0xff020000;
	if (!multicast && !link_local(p->dst))
		return NO_NEIGHBOUR;
	if (!own && !link_local(p->src) && !(unspecified(p->src) && p->icmp_type != 136))
		return DROP_SOURCE;
	if (p->icmp_type == 136) {
		__u32 target[4];
		if (bpf_skb_load_bytes(skb, p->l4 + 8, target, sizeof(target)))
			return DROP_MALFORMED;
		if (!own_address(e, target) && !link_local(target))
			return DROP_SOURCE;
	}
	return PASSED;
}

/*
 * Judges a packet as part of a tracked flow's other direction: passed when the flow was judged under this generation, or
 * is judged again now by its original tuple and may still pass (S29). A flow that no longer may keeps its entry: without
 * it the answerer's next packet would look like one that opens a flow, and turn the flow round.
 */
static __always_inline void judge_reply(const struct weir_ct_key *k, struct weir_ct *c, struct view *v, struct outcome *o)
{
	v->key = c->key;
	v->dir = c->dir;
	v->socket = c->flags & CT_SOCKET;
	o->key = c->key;
	if (!ct_passed(c->judged, k, o->epoch) && !(c->flags & CT_SELF)) {
		decide(v, &o->answer);
		if (o->answer.drop) {
			c->judged = NOT_JUDGED;
			return;
		}
		c->judged = ct_judged(k, o->epoch, o->answer.rule);
		o->fresh = FLOW_AGAIN;
	}
	o->answer.drop = PASSED;
}

/*
 * An ICMP error passes when the packet that it quotes belongs to an allowed flow of this endpoint. The quoted packet
 * travelled against the error. Returns 0 when it does not, and the tables decide.
 */
static __always_inline int judge_error(struct __sk_buff *skb, void *share, const struct packet *p,
				       const struct weir_endpoint *e, struct view *v, struct outcome *o, __u8 from_pod)
{
	struct packet q = {};
	__u32 off = p->l4 + 8;
	q.ethertype = p->ethertype;
	int drop = p->family == 4 ? parse_ipv4(skb, off, &q, 1) : parse_ipv6(skb, off, &q, 1);
	if (drop || q.fragment == FRAGMENT_LATER || q.family != p->family || parse_transport(skb, &q, 1))
		return 0;
	if (!ct_tracks(&q))
		return 0;
	/* The pod's own end of the quoted flow is the error's own end; an error of the pod goes to the flow's other end. */
	const __u32 *quoted = from_pod ? q.dst : q.src, *end = from_pod ? p->src : p->dst;
	if (quoted[0] != end[0] || quoted[1] != end[1] || quoted[2] != end[2] || quoted[3] != end[3])
		return 0;
	if (from_pod && (q.src[0] != p->dst[0] || q.src[1] != p->dst[1] || q.src[2] != p->dst[2] || q.src[3] != p->dst[3]))
		return 0;
	struct weir_ct_key k;
	ct_key(&k, &q, !from_pod);
	/* No flow goes to the pod's own addresses; an entry may be from before an address became one. */
	if (own_address(e, k.remote))
		return 0;
	struct weir_ct *c = bpf_map_lookup_elem(share, &k);
	if (!c || !ct_fresh(c, &k, ticks()))
		return 0;
	if (c->flags & CT_EITHER && !ct_passed(c->judged, &k, o->epoch))
		return 0;
	memcpy(v->remote, k.remote, sizeof(k.remote));
	judge_reply(&k, c, v, o);
	return 1;
}

/*
 * Decides a packet of its flow's original direction and tracks the flow. home says that it left the pod by this very
 * interface: it goes back to its pod through a service, with a source that the node put there, and passes (S6).
 */
static __always_inline void judge_original(void *share, const struct weir_ct_key *k, struct weir_ct *c, int tracked,
					   const struct packet *p, struct view *v, struct outcome *o, __u32 now,
					   int home)
{
	if (home)
		o->answer.drop = PASSED;
	else
		decide(v, &o->answer);
	o->fresh = FLOW_NEW;
	if (o->answer.drop) {
		if (c && c->dir == v->dir)
			c->judged = NOT_JUDGED; /* see judge_reply */
		return;
	}
	if (!tracked)
		return;
	__u8 opener = home ? CT_SELF : v->socket ? CT_SOCKET : 0;
	if (c && ct_original(c, v->key, v->dir, opener) && !(p->opening && c->flags & (CT_CLOSED | CT_EITHER)) &&
	    ct_fresh(c, k, now)) {
		o->fresh = ct_passed(c->judged, k, o->epoch) ? 0 : FLOW_AGAIN;
		if (o->fresh)
			c->judged = ct_judged(k, o->epoch, o->answer.rule);
		ct_touch(c, p, 0, now);
		return;
	}
	struct weir_ct n = {
		.judged = ct_judged(k, o->epoch, o->answer.rule),
		.seen = now,
		.key = v->key,
		.dir = v->dir,
		.flags = opener,
	};
	if (bpf_map_update_elem(share, k, &n, BPF_ANY))
		o->answer.drop = DROP_CONNTRACK;
}

/*
 * Decides a TCP packet in the middle of a connection of which no entry tells (S29): the programs were attached under it, or
 * its entry was evicted. A packet of the original direction makes the entry, as one that opens does. A reply is decided by
 * the original's tuple, and makes the original's entry; that the opener was a socket of this node can't be seen from it,
 * and is not assumed. Where nobody knows who opened, both directions have to allow, and again under each generation: such an
 * entry, c, is the only one that comes here.
 */
static __always_inline void pick_up(struct __sk_buff *skb, void *share, const struct weir_ct_key *k, struct weir_ct *c,
				    const struct packet *p, struct view *v, struct outcome *o, __u32 now, __u32 netns)
{
	__u8 own = v->dir, socket = v->socket;
	__u32 opener = find_opener(skb, k, netns);
	if (opener != own) {
		v->dir = own == EGRESS ? INGRESS : EGRESS;
		v->key = SPACE_TCP << 16 | p->sport;
		v->socket = 0;
		decide(v, &o->answer);
		o->reply = opener != OPENER_UNKNOWN;
	}
	if (opener == own || (opener == OPENER_UNKNOWN && !o->answer.drop)) {
		v->dir = own;
		v->key = p->key;
		v->socket = socket;
		decide(v, &o->answer);
	}
	o->key = v->key;
	o->fresh = !c ? FLOW_NEW : ct_passed(c->judged, k, o->epoch) ? 0 : FLOW_AGAIN;
	if (o->answer.drop)
		return;
	struct weir_ct n = {
		.judged = ct_judged(k, o->epoch, o->answer.rule),
		.seen = now,
		.key = v->key,
		.dir = v->dir,
		.flags = (v->socket ? CT_SOCKET : 0) | (opener == OPENER_UNKNOWN ? CT_EITHER : 0),
	};
	if (bpf_map_update_elem(share, k, &n, BPF_ANY))
		o->answer.drop = DROP_CONNTRACK;
}

/*
 * Passes a packet of a flow that was found to pass under this very generation (S29), by one look at its entry; 0 leaves the
 * packet to judge. The answer is judge's, because each thing that judge looks at is
 *
 * - a function of the generation and of the entry's share and key, which name the endpoint, the protocol, addresses and
 *   ports: S6 and S7, who the remote is, tables, services. A published generation does not change, and its epoch is given to
 *   no other. Who wrote the epoch into the entry had found the local address to be the pod's, and the remote one neither
 *   the pod's nor a multicast group's.
 *   Expiry is one of these (S28): when something ends, a generation with a new epoch is published;
 * - or in the entry, and constant there: who opened, by which port key, from a socket of this node, or from the pod itself
 *   by way of a service (S5, S6). ct_original compares them with the packet's, since no key holds them. Where nobody knows
 *   who opened, both directions were found to pass (pick_up);
 * - or in the packet alone, and then looked at here as there: the hook, the interface it came from, whether it opens or
 *   closes a connection. Fragments, tags, options, extension headers and ICMP are not parse_common's, and never come here;
 * - or time: an entry that was idle too long is not believed.
 *
 * No event is due for such a packet: those are for what is dropped, new, or new to the generation.
 */
static __always_inline int judge_kept(struct __sk_buff *skb, const struct packet *p, struct view *v, struct outcome *o,
				      __u8 from_pod, __u32 self)
{
	if (p->opening || p->closing)
		return 0;
	void *share = ct_share(v->slot);
	if (!share)
		return 0;
	struct weir_ct_key k;
	ct_key(&k, p, from_pod);
	struct weir_ct *c = bpf_map_lookup_elem(share, &k);
	if (!c)
		return 0;
	__u32 now = ticks(), from = from_pod ? NO_VALUE : skb->ingress_ifindex;
	__u8 dir = from_pod ? EGRESS : INGRESS;
	int reply = c->dir != dir;
	if (from == self || !ct_fresh(c, &k, now))
		return 0;
	if (!reply && !ct_original(c, p->key, dir, from ? 0 : CT_SOCKET))
		return 0;
	/* Last: if the entry is this flow's now, it was so above. */
	__u64 judged = READ_ONCE(c->judged);
	if (!ct_passed(judged, &k, o->epoch))
		return 0;
	o->kept = 1;
	o->reply = reply;
	o->key = c->key;
	if (!reply && (judged & JUDGED_RULE) != JUDGED_RULE)
		o->answer.rule = judged & JUDGED_RULE;
	if (c->seen != now)
		c->seen = now;
	o->answer.drop = PASSED;
	return 1;
}

/* From a parsed IP packet to the answer in o. */
static __always_inline void judge(struct __sk_buff *skb, struct packet *p, const struct weir_endpoint *e,
				  struct view *v, struct outcome *o, __u8 from_pod, __u32 self)
{
	struct answer *a = &o->answer;
	if (p->fragment != FRAGMENT_LATER)
		o->key = p->key;
	if (p->icmp == ICMP_NEIGHBOUR) {
		int n = check_neighbour(skb, p, e, from_pod);
		if (n != NO_NEIGHBOUR) {
			a->drop = n;
			return;
		}
	}
	a->drop = DROP_MULTICAST;
	if (is_multicast(p))
		return;
	const __u32 *local = from_pod ? p->src : p->dst, *remote = from_pod ? p->dst : p->src;
	a->drop = from_pod ? DROP_SOURCE : DROP_DESTINATION; /* S7 */
	if (!own_address(e, local))
		return;
	if (own_address(e, remote)) {
		/* To itself (S6). What comes from elsewhere with the pod's address is no such thing. */
		a->drop = from_pod || skb->ingress_ifindex == self ? PASSED : DROP_SOURCE;
		return;
	}

	void *share = ct_share(v->slot);
	a->drop = DROP_CONNTRACK;
	if (!share)
		return;
	if (p->fragment) {
		a->drop = p->fragment == FRAGMENT_FIRST ? fragment_record(share, p, from_pod)
							: fragment_follow(share, p, from_pod);
		if (a->drop)
			return;
	}
	memcpy(v->remote, remote, sizeof(v->remote));
	v->key = p->key;
	v->dir = from_pod ? EGRESS : INGRESS;
	v->socket = !from_pod && skb->ingress_ifindex == 0; /* S5 */
	v->family = p->family;
	o->key = p->key;
	if (p->icmp == ICMP_ERROR && p->fragment != FRAGMENT_LATER && judge_error(skb, share, p, e, v, o, from_pod)) {
		o->reply = 1;
		return;
	}

	int tracked = ct_tracks(p);
	__u32 now = ticks();
	struct weir_ct_key k;
	struct weir_ct *c = NULL;
	ct_key(&k, p, from_pod);
	if (tracked)
		c = bpf_map_lookup_elem(share, &k);
	int home = !from_pod && skb->ingress_ifindex == self;
	int fresh = c && ct_fresh(c, &k, now);
	if (p->proto == IP_TCP && !p->opening && !home && (!fresh || c->flags & CT_EITHER)) {
		pick_up(skb, share, &k, fresh ? c : NULL, p, v, o, now, e->netns);
		return;
	}
	if (fresh && c->dir != v->dir && ct_may_reply(p)) {
		o->reply = 1;
		judge_reply(&k, c, v, o);
		if (!o->answer.drop)
			ct_touch(c, p, 1, now);
		return;
	}
	judge_original(share, &k, c, tracked, p, v, o, now, home);
}

/* Finds the generation and the endpoint, parses and judges; the answer is in o. */
static __always_inline void classify(struct __sk_buff *skb, struct packet *p, struct view *v, struct outcome *o,
				     __u8 from_pod)
{
	struct answer *a = &o->answer;
	a->drop = DROP_NO_GENERATION;
	void *b = blob_start();
	if (!b)
		return;
	__u64 base = READ_ONCE(*(__u64 *)b); /* once per packet (S32) */
	const struct weir_root *r = BLOB_AT(b, base, struct weir_root);
	if (!base || !r || r->magic != WEIR_MAGIC || r->layout != WEIR_LAYOUT)
		return;
	v->base = base;
	o->generation = r->generation;
	o->epoch = r->epoch;

	/* Two loads and then a choice: the context may not be read at a computed offset. */
	__u32 self = skb->ifindex;
	barrier_var(self);
	if (testing)
		self = skb->cb[0];
	__u32 slot = pair_find(v->base + r->links, r->links_mask, r->links_seed, self);
	a->drop = DROP_NO_ENDPOINT;
	if (slot >= r->endpoints_n)
		return;
	v->slot = slot;
	int common = parse_common(skb, p);
	if (common && judge_kept(skb, p, v, o, from_pod, self))
		return;
	__u64 at = (__u64)v->base + r->endpoints + (__u64)slot * sizeof(struct weir_endpoint);
	const struct weir_endpoint *e = BLOB_AT(b, at, struct weir_endpoint);
	if (!e || e->ifindex != self)
		return;
	v->endpoint = at;

	if (!common) {
		__u32 off = 0;
		a->drop = parse_ethernet(skb, p, &off);
		if (a->drop)
			return;
		if (p->ethertype == ETH_ARP) {
			a->drop = check_arp(skb, off, e, from_pod);
			return;
		}
		a->drop = DROP_ETHERTYPE;
		if (p->ethertype != ETH_IPV4 && p->ethertype != ETH_IPV6)
			return;
		a->drop = parse_ip(skb, off, p);
		if (a->drop)
			return;
	}
	judge(skb, p, e, v, o, from_pod, self);
}

static __always_inline int handle(struct __sk_buff *skb, __u8 from_pod)
{
	struct packet p = {};
	struct view v = {.slot = NO_VALUE};
	struct outcome o = {.key = NO_VALUE, .answer = {.decision = NO_VALUE, .rule = NO_VALUE}};
	classify(skb, &p, &v, &o, from_pod);
	return conclude(skb, &v, &p, &o, from_pod);
}

SEC("tc")
int weir_from_pod(struct __sk_buff *skb)
{
	return handle(skb, 1);
}

SEC("tc")
int weir_to_pod(struct __sk_buff *skb)
{
	return handle(skb, 0);
}
