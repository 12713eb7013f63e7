/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* The maps and the settings fixed at load. Sizes written 1 here are set by the loader. */
#ifndef WEIR_MAPS_H
#define WEIR_MAPS_H

#include "layout.h"

/* Settings. The verifier knows them as constants, so that what they switch off costs nothing. */
const volatile __u32 blob_size = 4096; /* the blob's value size */
const volatile __u32 event_rate = 0;   /* events per CPU and second */
const volatile __u32 hz = 1000;	       /* the kernel's timer interrupts a second */
const volatile __u32 tick_shift = 9;   /* the largest power of two that is not above hz */
const volatile __u8 all_flows = 0;     /* an event for every new flow */
const volatile __u8 testing = 0;       /* endpoint from skb->cb[0], result in `last` */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, 4096);
	__uint(map_flags, BPF_F_MMAPABLE);
} blob SEC(".maps");

/* Connections: one LRU hash per endpoint, by slot, so that a flood of one endpoint evicts only its own. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_LRU_HASH);
		__uint(max_entries, 1);
		__uint(key_size, sizeof(struct weir_ct_key));
		__uint(value_size, sizeof(struct weir_ct));
	});
} conntrack SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct weir_count);
} rule_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, NUM_DROPS);
	__type(key, __u32);
	__type(value, struct weir_count);
} drop_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct weir_event_budget);
} event_budget SEC(".maps");

/* The last packet's result, written when testing. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct weir_event);
} last SEC(".maps");

#endif
