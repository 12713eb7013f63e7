/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Reading a generation. Every access is checked against the blob's size: a wrong offset reads a wrong value or nothing,
 * never memory outside. The searches are functions of their own, so that the verifier looks at each once.
 */
#ifndef WEIR_BLOB_H
#define WEIR_BLOB_H

#include "maps.h"

static __always_inline void *blob_start(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&blob, &zero);
}

/* n bytes at an offset from the blob's start, or NULL. n is a constant. */
static __always_inline void *blob_bytes(void *b, __u64 off, __u32 n)
{
	barrier_var(off);
	if (off > blob_size - n)
		return NULL;
	return b + off;
}

#define BLOB_AT(b, off, type) ((const type *)blob_bytes(b, off, sizeof(type)))

/* The u16 numbered i of an array, or `none`. */
static __always_inline __u32 blob_u16(void *b, __u64 array, __u32 i, __u32 none)
{
	const __u16 *p = BLOB_AT(b, array + 2 * (__u64)i, __u16);
	return p ? *p : none;
}

static __always_inline __u64 mix(__u64 x)
{
	x *= 0x9e3779b97f4a7c15;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93;
	return x ^ (x >> 32);
}

/* The value of a key of a hash of pairs, or NO_VALUE. buckets is an offset in the blob. */
static __always_inline __u32 pair_find(__u32 buckets, __u32 mask, __u32 seed, __u32 key)
{
	void *b = blob_start();
	if (!b)
		return NO_VALUE;
	__u64 h = mix(((__u64)seed << 32) ^ key);
	__u32 place = (__u32)h & mask;
	for (int choice = 0; choice < 2; choice++) {
		const struct weir_pair *e =
			blob_bytes(b, (__u64)buckets + (__u64)place * sizeof(*e) * PAIR_BUCKET, sizeof(*e) * PAIR_BUCKET);
		if (!e)
			return NO_VALUE;
#pragma unroll
		for (int i = 0; i < PAIR_BUCKET; i++)
			if (e[i].key == key && e[i].value != NO_VALUE)
				return e[i].value;
		place = (__u32)(h >> 32) & mask;
	}
	return NO_VALUE;
}

/* The value of an exact IPv4 address (network order), or NO_VALUE. */
__noinline __u32 v4_find(__u32 buckets, __u32 mask, __u32 seed, __u32 addr)
{
	return pair_find(buckets, mask, seed, addr);
}

/* The value of a key of the wide hash, or NO_VALUE. */
__noinline __u32 wide_find(__u32 buckets, __u32 mask, __u32 seed, const struct weir_wide_key *k)
{
	void *b = blob_start();
	if (!b || !k)
		return NO_VALUE;
	__u32 k0 = k->word[0], k1 = k->word[1], k2 = k->word[2], k3 = k->word[3], tag = k->tag;
	__u64 h = mix(((__u64)k0 << 32 | k1) ^ seed);
	h = mix(h ^ ((__u64)k2 << 32 | k3));
	h = mix(h ^ tag);
	__u32 place = (__u32)h & mask;
	for (int choice = 0; choice < 2; choice++) {
		const struct weir_wide *e = blob_bytes(b, (__u64)buckets + (__u64)place * sizeof(*e) * WIDE_BUCKET,
						       sizeof(*e) * WIDE_BUCKET);
		if (!e)
			return NO_VALUE;
#pragma unroll
		for (int i = 0; i < WIDE_BUCKET; i++)
			if (e[i].key.word[3] == k3 && e[i].key.word[2] == k2 && e[i].key.word[1] == k1 &&
			    e[i].key.word[0] == k0 && e[i].key.tag == tag && e[i].value != NO_VALUE)
				return e[i].value;
		place = (__u32)(h >> 32) & mask;
	}
	return NO_VALUE;
}

/* 1 when x < y, without a branch: a search's steps then stay one path for the verifier. */
static __always_inline __u64 less(__u64 x, __u64 y)
{
	barrier_var(x);
	barrier_var(y);
	return ((~x & y) | ((~x | y) & (x - y))) >> 63;
}

#define SEARCH_STEPS 24 /* up to 16 M intervals */

/* The place of the interval that holds an IPv4 address (host order): the last first address not above it. */
__noinline __u32 net4_find(__u32 firsts, __u32 n, __u32 addr)
{
	void *b = blob_start();
	if (!b)
		return NO_VALUE;
	__u64 place = 0;
	for (int i = 0; i < SEARCH_STEPS && n > 1; i++) {
		__u64 half = n >> 1;
		const __u32 *first = BLOB_AT(b, (__u64)firsts + (place + half) * sizeof(*first), __u32);
		if (!first)
			return NO_VALUE;
		place += half & (less(addr, *first) - 1);
		n -= half;
	}
	return place;
}

struct words {
	__u64 high, low;
};

/* The same for an IPv6 address, its halves in host order. */
__noinline __u32 net6_find(__u32 firsts, __u32 n, __u64 high, __u64 low)
{
	void *b = blob_start();
	if (!b)
		return NO_VALUE;
	__u64 place = 0;
	for (int i = 0; i < SEARCH_STEPS && n > 1; i++) {
		__u64 half = n >> 1;
		const struct words *first =
			BLOB_AT(b, (__u64)firsts + (place + half) * sizeof(*first), struct words);
		if (!first)
			return NO_VALUE;
		__u64 fh = first->high, fl = first->low;
		__u64 above = less(high, fh) | ((1 - less(fh, high)) & less(low, fl));
		place += half & (above - 1);
		n -= half;
	}
	return place;
}

#endif
