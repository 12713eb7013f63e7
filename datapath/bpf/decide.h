/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Deciding: address -> peer -> row, port -> class, cell -> decision. No precedence lives here; the compiler resolved
 * it. What can't be found denies.
 */
#ifndef WEIR_DECIDE_H
#define WEIR_DECIDE_H

#include "blob.h"

/* One hook's view of a packet's flow: everything that its look-ups need. */
struct view {
	__u32 base; /* the generation's place in the blob, read once */
	__u32 endpoint;
	__u32 slot;
	__u32 remote[4];
	__u32 key;    /* port key of the original direction */
	__u8 dir;     /* of the original direction */
	__u8 socket;  /* the original packet came from a socket of this node */
	__u8 family;
	__u8 pad;
};

struct answer {
	__u32 peer;
	__u32 decision; /* NO_VALUE: none was looked up */
	__u32 rule; /* NO_VALUE: none is counted */
	__u32 audit_rule;
	__u8 verdict, audit_verdict, flags, drop;
};

/* The value of an address (see ADDR_…): exact first, then the interval; NO_VALUE where no block holds it. */
static __always_inline __u32 address_value(const struct weir_root *r, __u32 base, const __u32 *addr, __u8 family)
{
	__u32 value, place;
	void *b = blob_start();
	if (!b)
		return NO_VALUE;
	if (family == 4) {
		value = v4_find(base + r->v4, r->v4_mask, r->v4_seed, addr[3]);
		if (value != NO_VALUE)
			return value;
		place = net4_find(base + r->net4, r->net4_n, ntohl(addr[3]));
		if (place >= r->net4_n)
			return NO_VALUE;
		place = (__u32)(r->net4_values + place * 4);
	} else {
		struct weir_wide_key k = {.word = {addr[0], addr[1], addr[2], addr[3]}, .tag = TAG_ADDRESS};
		value = wide_find(base + r->wide, r->wide_mask, r->wide_seed, &k);
		if (value != NO_VALUE)
			return value;
		place = net6_find(base + r->net6, r->net6_n, (__u64)ntohl(addr[0]) << 32 | ntohl(addr[1]),
				  (__u64)ntohl(addr[2]) << 32 | ntohl(addr[3]));
		if (place >= r->net6_n)
			return NO_VALUE;
		place = (__u32)(r->net6_values + place * 4);
	}
	const __u32 *v = BLOB_AT(b, (__u64)base + place, __u32);
	return v ? *v : NO_VALUE;
}

/* The place of a table's cell for a peer and a port key, or NO_CELL. */
static __always_inline __u32 table_cell(void *b, const struct weir_root *r, __u32 base, const struct weir_table *t,
					__u32 peer, __u32 key)
{
	if (peer >= t->rows_n || key >= NUM_SPACES << 16)
		return NO_CELL;
	__u32 row = blob_u16(b, (__u64)base + t->rows, peer, NO_CELL);
	__u32 page = blob_u16(b, (__u64)base + r->port_pages, key >> 8, NO_CELL);
	if (row >= t->height || page >= r->pages_n)
		return NO_CELL;
	__u32 node_class = blob_u16(b, (__u64)base + r->pages, page << 8 | (key & 0xff), NO_CELL);
	if (node_class >= t->classes_n)
		return NO_CELL;
	__u32 class = blob_u16(b, (__u64)base + t->classes, node_class, NO_CELL);
	if (class >= t->width)
		return NO_CELL;
	return blob_u16(b, (__u64)base + t->cells, row * t->width + class, NO_CELL);
}

/* The cell for a service's address (S27): by port among the frontends; the pod's own backends left out (S6). */
static __always_inline int frontend_cell(void *b, const struct weir_root *r, const struct view *v,
					 const struct weir_endpoint *e, __u32 *cell, __u32 *local)
{
	struct weir_wide_key k = {.word = {v->remote[0], v->remote[1], v->remote[2], v->remote[3]}, .tag = v->key};
	__u32 value = wide_find(v->base + r->wide, r->wide_mask, r->wide_seed, &k);
	if (value == NO_VALUE)
		return DROP_SERVICE_PORT;
	*local = value & ADDR_LOCAL;
	__u32 frontend = value & ADDR_NUMBER;
	if (e->flags & ENDPOINT_SELF) {
		struct weir_wide_key self = {.word = {v->slot, frontend}, .tag = TAG_SELF};
		__u32 own = wide_find(v->base + r->wide, r->wide_mask, r->wide_seed, &self);
		if (own != NO_VALUE) {
			*cell = own;
			return PASSED;
		}
	}
	const struct weir_table *t = &e->tables[EGRESS];
	if (frontend >= t->frontends_n)
		return DROP_MISSING;
	*cell = blob_u16(b, (__u64)v->base + t->frontends, frontend, NO_CELL);
	return PASSED;
}

/* The peer behind an address's value (S5), and whether it is a pod of this node. */
static __always_inline int find_peer(void *b, const struct weir_root *r, const struct view *v, __u32 value,
				     __u32 *peer, __u32 *local)
{
	*local = 0;
	*peer = 0; /* no block holds the address: unknown, which is row 0 (S3) */
	if (value == NO_VALUE)
		return PASSED;
	*peer = value & ADDR_NUMBER;
	*local = value & ADDR_LOCAL;
	if (!(value & ADDR_OWN))
		return PASSED;
	if (*peer >= r->own_n)
		return DROP_MISSING;
	const struct weir_own *own =
		BLOB_AT(b, (__u64)v->base + r->own + *peer * sizeof(struct weir_own), struct weir_own);
	if (!own)
		return DROP_MISSING;
	if (v->dir == EGRESS)
		*peer = own->host;
	else if (v->socket)
		*peer = own->socket;
	else
		*peer = own->translated;
	return PASSED;
}

/* Decides the original direction of a flow. The drop is in a->drop, PASSED when it may pass. */
__noinline int decide(const struct view *v, struct answer *a)
{
	if (!v || !a)
		return 0;
	void *b = blob_start();
	a->drop = DROP_MISSING;
	if (!b)
		return 0;
	__u32 base = v->base;
	const struct weir_root *r = BLOB_AT(b, base, struct weir_root);
	const struct weir_endpoint *e = BLOB_AT(b, v->endpoint, struct weir_endpoint);
	if (!r || !e)
		return 0;

	__u32 cell = NO_CELL, local = 0, peer = 0;
	__u32 value = address_value(r, base, v->remote, v->family);
	if (v->dir == EGRESS && value != NO_VALUE && value & ADDR_SERVICE) {
		a->peer = value & ADDR_NUMBER;
		a->drop = frontend_cell(b, r, v, e, &cell, &local);
		if (a->drop)
			return 0;
	} else {
		a->drop = find_peer(b, r, v, value, &peer, &local);
		if (a->drop)
			return 0;
		a->peer = peer;
		const struct weir_table *t = v->dir == EGRESS ? &e->tables[EGRESS] : &e->tables[INGRESS];
		cell = table_cell(b, r, base, t, peer, v->key);
	}
	a->drop = DROP_MISSING;
	if (cell >= r->decisions_n)
		return 0;
	const struct weir_decision *d = BLOB_AT(b, (__u64)base + r->decisions + cell * sizeof(*d), struct weir_decision);
	if (!d)
		return 0;
	a->decision = cell;
	a->rule = d->rule;
	a->audit_rule = d->audit_rule;
	a->verdict = d->verdict;
	a->audit_verdict = d->audit_verdict;
	a->flags = d->flags;
	if (d->verdict == REDIRECT)
		a->drop = DROP_WAYPOINT_MISSING; /* no waypoint listens on this node (S25) */
	else if (d->verdict != ALLOW)
		a->drop = DROP_POLICY;
	else if (d->auth == AUTH_REQUIRED && !local)
		a->drop = DROP_TUNNEL_MISSING; /* S20 */
	else
		a->drop = PASSED;
	return 0;
}

#endif
