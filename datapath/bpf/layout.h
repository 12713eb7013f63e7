/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * What user space and the programs agree on. datapath/encode holds the same layouts in Go, and a test compares the two
 * through BTF.
 *
 * A generation is one run of bytes inside the map `blob`: its root, then everything that the root points to. Offsets
 * are relative to the root, so that a generation is the same bytes wherever it lies. The first word of the blob is the
 * offset of the current root. It is read once per packet, and nothing else of a published generation is ever written:
 * all look-ups for one packet come from one generation by construction (S32).
 */
#ifndef WEIR_LAYOUT_H
#define WEIR_LAYOUT_H

#include "kernel.h"

#define WEIR_MAGIC 0x77656972
#define WEIR_LAYOUT 3

/* Where a cell, an entry or a number is missing. */
#define NO_CELL 0xffff
#define NO_VALUE 0xffffffff

/* An address's value: a peer's number, or with ADDR_OWN the place of an own-address record; frontends use ADDR_LOCAL
 * alike. */
#define ADDR_NUMBER 0x00ffffff
#define ADDR_LOCAL (1U << 24)
#define ADDR_SERVICE (1U << 25)
#define ADDR_OWN (1U << 26)

/* Tags: the fifth word of a key in the wide hash. A frontend's is its port key, which is below 6 << 16. */
#define TAG_ADDRESS 0xfffffffe
#define TAG_SELF 0xfffffffd

#define PAIR_BUCKET 8 /* one line of the processor's cache */
#define WIDE_BUCKET 4
#define MAX_ADDRS 4

/* Spaces of port-like numbers: compiler/ir.Space. */
enum { SPACE_TCP, SPACE_UDP, SPACE_SCTP, SPACE_ICMP4, SPACE_ICMP6, SPACE_OTHER, NUM_SPACES };

enum { EGRESS, INGRESS };

/* compiler/plan.Verdict and Auth. */
enum { DENY, ALLOW, REDIRECT };
enum { AUTH_NONE, AUTH_PLAINTEXT, AUTH_REQUIRED };

/* Reasons of a drop: datapath.Drop. */
enum {
	PASSED,
	DROP_POLICY,
	DROP_TUNNEL_MISSING,
	DROP_WAYPOINT_MISSING,
	DROP_SOURCE,
	DROP_DESTINATION,
	DROP_NO_ENDPOINT,
	DROP_NO_GENERATION,
	DROP_MALFORMED,
	DROP_UNPARSED,
	DROP_ETHERTYPE,
	DROP_FRAGMENT,
	DROP_MULTICAST,
	DROP_SERVICE_PORT,
	DROP_MISSING,
	DROP_CONNTRACK,
	NUM_DROPS,
};

struct weir_root {
	/* What a packet of an established flow reads is in the first 64 bytes, one line of the processor's cache. */
	__u32 magic;
	__u32 layout;
	__u64 generation;
	__u64 epoch; /* counts swaps on this node; written before publication */
	__u32 links, links_mask, links_seed; /* interface -> slot: buckets of PAIR_BUCKET */
	__u32 endpoints, endpoints_n;	     /* by slot */
	__u32 size;
	__u64 judged_at;		  /* Unix seconds that expiry was judged at (S28) */
	__u32 v4, v4_mask, v4_seed;	  /* exact IPv4 addresses: buckets of PAIR_BUCKET */
	__u32 wide, wide_mask, wide_seed; /* all else that is exact: buckets of WIDE_BUCKET */
	__u32 net4, net4_values, net4_n;  /* IPv4 intervals: first addresses, values */
	__u32 net6, net6_values, net6_n;
	__u32 own, own_n;
	__u32 port_pages, pages, pages_n;
	__u32 decisions, decisions_n;
	__u32 rules, rules_n;	      /* ids by counter slot: for user space */
	__u32 meta, meta_n;	      /* JSON for user space */
};

struct weir_pair {
	__u32 key; /* an IPv4 address, an interface */
	__u32 value;
};

struct weir_wide_key {
	__u32 word[4];
	__u32 tag;
};

struct weir_wide {
	struct weir_wide_key key;
	__u32 value;
};

/* An address of this node: who it is as the source of a forwarded packet, of a socket's own, and as a destination. */
struct weir_own {
	__u32 translated;
	__u32 socket;
	__u32 host;
};

struct weir_table {
	__u32 rows, rows_n;	    /* peer -> row */
	__u32 classes, classes_n;   /* node port class -> port class */
	__u32 cells, height, width; /* row * width + class -> decision */
	__u32 frontends, frontends_n;
};

#define ENDPOINT_SELF 1 /* has entries with TAG_SELF */

struct weir_endpoint {
	__u32 ifindex;
	__u32 flags;
	__u32 addrs_n;
	__u32 netns; /* the pod's network namespace: its id in the node's, plus one; 0 is unknown */
	__u32 addrs[MAX_ADDRS][4];
	struct weir_table tables[2]; /* EGRESS, INGRESS */
};

#define DECISION_LOG 1
#define DECISION_AUDIT 2 /* the audit chain answers differently (S30) */

struct weir_decision {
	__u8 verdict;
	__u8 auth;
	__u8 flags;
	__u8 audit_verdict;
	__u32 rule; /* counter slots; 0 is no rule */
	__u32 audit_rule;
};

/* An address is four words in network order; an IPv4 address is ::ffff:a.b.c.d, and no IPv6 packet may carry one. */
#define KIND_FLOW 0
#define KIND_FRAGMENT 1

struct weir_ct_key {
	__u32 local[4];
	__u32 remote[4];
	__u16 lport, rport;
	__u8 proto;
	__u8 kind;
	__u16 pad;
};

#define CT_SOCKET 1 /* the first packet came from a socket of this node (S5) */
#define CT_CLOSED 2 /* a reset, or an end from both sides */
#define CT_FIN_ORIGINAL 4
#define CT_FIN_REPLY 8
#define CT_SELF 16 /* a pod's flow to itself, through its own service (S6) */
#define CT_EITHER 32 /* nobody knows who opened: both directions have to allow (opener.h) */

#define NOT_JUDGED 0 /* the flow was denied when it was judged last: every packet is judged again */

/* In weir_ct.judged: below, the rule's counter slot; above, the epoch. */
#define JUDGED_RULE_BITS 24
#define JUDGED_RULE 0xffffff /* also: no slot */

struct weir_ct {
	__u64 judged; /* when and by which rule the flow was last found to pass (S29): see conntrack.h */
	__u32 seen;   /* ticks */
	__u32 key;    /* port key of the original direction */
	__u16 sport, dport;
	__u8 dir; /* EGRESS: the pod opened it */
	__u8 flags;
	__u8 icmp;
	__u8 opening;
};

struct weir_count {
	__u64 packets;
	__u64 bytes;
};

enum { EVENT_NEW = 1, EVENT_DENIED, EVENT_AUDIT };

struct weir_event {
	__u64 time; /* nanoseconds since boot */
	__u64 generation;
	__u64 epoch;
	__u32 local[4];
	__u32 remote[4];
	__u32 slot;
	__u32 peer;
	__u32 decision;
	__u32 rule;
	__u32 audit_rule;
	__u32 key;
	__u16 lport, rport;
	__u8 proto;
	__u8 kind;
	__u8 from_pod;
	__u8 drop;
	__u8 verdict;
	__u8 audit_verdict;
	__u8 family;
	__u8 reply;
	__u8 kept; /* by what its entry keeps: seen in `last` only, nothing is sent for such a packet */
};

struct weir_event_budget {
	__u64 second;
	__u64 used;
	__u64 lost;
};

#endif
