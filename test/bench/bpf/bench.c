//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
/*
 * The decision alone, in three designs, over one trace of flows: Weir's own look-ups (the code of datapath/bpf), an LPM
 * trie per identity and port as Cilium uses, and a hash with six wildcard look-ups. Every program takes the next flows of
 * the trace, so that repeating it visits all of them; `parse` does that and no more. A run takes BATCH flows: running a
 * program costs several times what a decision does, and would drown it.
 */
#include "../../../datapath/bpf/decide.h"

#define BPF_MAP_TYPE_HASH 1
#define BPF_MAP_TYPE_LPM_TRIE 11
#define BPF_F_NO_PREALLOC 1

char LICENSE[] SEC("license") = "GPL";

#define TRACE 65536

struct flow {
	__u32 peer; /* number of the identity */
	__u32 key;  /* port key */
};

struct trace_value {
	struct flow flows[TRACE];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct trace_value);
} trace SEC(".maps");

struct lpm_key {
	__u32 bits;
	__u32 peer; /* network order, as are all that is matched by prefix */
	__u8 pad;
	__u8 space;
	__u16 port;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1 << 20);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct lpm_key);
	__type(value, __u32);
} lpm SEC(".maps");

struct hash_key {
	__u32 peer;
	__u16 port;
	__u8 space; /* 0xff: any */
	__u8 any_port;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 22);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct hash_key);
	__type(value, __u32);
} hash SEC(".maps");

__u32 next;	       /* of the trace */
__u32 mask = TRACE - 1; /* how much of it is used */
__u64 sink;

static __always_inline const struct flow *take(void)
{
	__u32 zero = 0;
	struct trace_value *t = bpf_map_lookup_elem(&trace, &zero);
	if (!t)
		return NULL;
	__u32 i = next++ & mask & (TRACE - 1);
	return &t->flows[i];
}

/* Flows in a run; the result has a bit for each, 1 where it is allowed. */
#define BATCH 16

#define BENCH(name)                                                                                                    \
	SEC("tc")                                                                                                      \
	int bench_##name(struct __sk_buff *skb)                                                                        \
	{                                                                                                              \
		__u32 allowed = 0;                                                                                     \
		for (int i = 0; i < BATCH; i++) {                                                                      \
			const struct flow *f = take();                                                                 \
			if (f)                                                                                         \
				allowed |= (__u32)decide_##name(f) << i;                                               \
		}                                                                                                      \
		return allowed;                                                                                        \
	}

static __always_inline _Bool decide_parse(const struct flow *f)
{
	sink += f->peer + f->key;
	return 0;
}
BENCH(parse)

static __always_inline _Bool decide_classes(const struct flow *f)
{
	void *b = blob_start();
	if (!b)
		return 0;
	__u64 base = READ_ONCE(*(__u64 *)b);
	const struct weir_root *r = BLOB_AT(b, base, struct weir_root);
	if (!r)
		return 0;
	const struct weir_endpoint *e = BLOB_AT(b, base + r->endpoints, struct weir_endpoint);
	if (!e)
		return 0;
	__u32 cell = table_cell(b, r, base, &e->tables[INGRESS], f->peer, f->key);
	if (cell >= r->decisions_n)
		return 0;
	const struct weir_decision *d = BLOB_AT(b, base + r->decisions + cell * sizeof(*d), struct weir_decision);
	if (!d)
		return 0;
	sink += d->rule;
	return d->verdict == ALLOW;
}
BENCH(classes)

static __always_inline __u32 lpm_find(__u32 peer, __u32 key)
{
	struct lpm_key k = {.bits = 64, .peer = htonl(peer), .space = key >> 16, .port = htons(key & 0xffff)};
	__u32 *v = bpf_map_lookup_elem(&lpm, &k);
	return v ? *v : 0;
}

static __always_inline _Bool decide_lpm(const struct flow *f)
{
	__u32 peer = f->peer, key = f->key;
	__u32 own = lpm_find(peer, key), any = lpm_find(NO_VALUE, key);
	sink += own + any;
	return own || any;
}
BENCH(lpm)

static __always_inline __u32 hash_find(__u32 peer, __u32 space, __u32 port, __u32 any_port)
{
	struct hash_key k = {.peer = peer, .port = port, .space = space, .any_port = any_port};
	__u32 *v = bpf_map_lookup_elem(&hash, &k);
	return v ? *v : 0;
}

static __always_inline _Bool decide_hash(const struct flow *f)
{
	__u32 peer = f->peer, space = f->key >> 16, port = f->key & 0xffff;
	__u32 v = hash_find(peer, space, port, 0);
	if (!v)
		v = hash_find(peer, space, 0, 1);
	if (!v)
		v = hash_find(peer, 0xff, 0, 1);
	if (!v)
		v = hash_find(NO_VALUE, space, port, 0);
	if (!v)
		v = hash_find(NO_VALUE, space, 0, 1);
	if (!v)
		v = hash_find(NO_VALUE, 0xff, 0, 1);
	sink += v;
	return v != 0;
}
BENCH(hash)

SEC("tc")
int bench_empty(struct __sk_buff *skb)
{
	return TC_ACT_UNSPEC;
}
