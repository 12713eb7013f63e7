/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * From a frame to a struct packet. Whatever is not understood to the end has a reason to be dropped; there is no "pass
 * it on". Headers are copied by bpf_skb_load_bytes, which also reads what is not in the linear part.
 */
#ifndef WEIR_PARSE_H
#define WEIR_PARSE_H

#include "layout.h"

#define ETH_IPV4 0x0800
#define ETH_ARP 0x0806
#define ETH_IPV6 0x86dd
#define ETH_8021Q 0x8100
#define ETH_8021AD 0x88a8
#define MAX_TAGS 2

#define IP_ICMP 1
#define IP_TCP 6
#define IP_UDP 17
#define IP_ROUTING 43
#define IP_FRAGMENT 44
#define IP_AH 51
#define IP_ICMPV6 58
#define IP_NONE 59
#define IP_DESTINATION 60
#define IP_SCTP 132
#define MAX_EXTENSIONS 8

#define ICMP_PLAIN 0
#define ICMP_REQUEST 1
#define ICMP_REPLY 2
#define ICMP_ERROR 3
#define ICMP_NEIGHBOUR 4

#define FRAGMENT_FIRST 1
#define FRAGMENT_LATER 2

struct packet {
	__u32 src[4], dst[4];
	__u32 key;	   /* port key of this packet's own direction */
	__u32 fragment_id;
	__u32 l4;	   /* offset of the transport header */
	__u16 ethertype;
	__u16 sport, dport; /* an ICMP echo's id is in both */
	__u8 family;
	__u8 proto;
	__u8 icmp; /* ICMP_… */
	__u8 icmp_type;
	__u8 hops;
	__u8 fragment;
	__u8 opening; /* never a reply: a SYN, an SCTP INIT */
	__u8 closing; /* 1 FIN, 2 RST */
};

struct ipv4_header {
	__u8 version_ihl, tos;
	__u16 length, id, fragment;
	__u8 ttl, protocol;
	__u16 checksum;
	__u32 src, dst;
};

struct ipv6_header {
	__u32 version_flow;
	__u16 length;
	__u8 next, hops;
	__u32 src[4], dst[4];
};

/* The start of a TCP header; the first eight bytes are a UDP header's length. */
struct ports {
	__u16 src, dst;
	__u32 sequence;
};

struct tcp_header {
	struct ports ports;
	__u32 acknowledgement;
	__u8 offset, flags;
};

/* ::ffff:0:0/96 stands for IPv4 here and is never an address on the wire (RFC 4291, 2.5.5.2; S3). */
static __always_inline int mapped(const __u32 *addr)
{
	return !addr[0] && !addr[1] && addr[2] == htonl(0xffff);
}

static __always_inline void set_flags(struct packet *p, __u8 flags)
{
	p->opening = (flags & 0x12) == 0x02; /* SYN without ACK */
	p->closing = flags & 0x04 ? 2 : flags & 1;
}

struct extension {
	__u8 next, length;
	__u16 fragment; /* of a fragment header; byte 3 of a routing header: segments left */
	__u32 id;
};

/*
 * The common case, read in place: an untagged frame with a plain IP header, TCP or UDP, whose headers are in the linear
 * part. It gives what the parsers below give, at a third of the cost; 0 leaves the frame to them. It is a part of the
 * program and no function of its own: a return costs some 7 ns where the kernel guards returns (SRSO, retbleed).
 */
static __always_inline int parse_common(struct __sk_buff *skb, struct packet *p)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const __u16 *type = data + 12;
	const struct ports *ports;
	if (!p || (void *)(type + 1) > end)
		return 0;
	if (*type == htons(ETH_IPV4)) {
		const struct ipv4_header *h = data + 14;
		if ((void *)(h + 1) + sizeof(*ports) > end || h->version_ihl != 0x45 || h->fragment & htons(0x3fff))
			return 0;
		__u32 length = ntohs(h->length);
		if (length < sizeof(*h) || 14 + length > skb->len)
			return 0;
		p->ethertype = ETH_IPV4;
		p->family = 4;
		p->proto = h->protocol;
		p->hops = h->ttl;
		p->src[2] = p->dst[2] = htonl(0xffff);
		p->src[3] = h->src;
		p->dst[3] = h->dst;
		p->l4 = 14 + sizeof(*h);
		ports = (void *)(h + 1);
	} else if (*type == htons(ETH_IPV6)) {
		const struct ipv6_header *h = data + 14;
		if ((void *)(h + 1) + sizeof(*ports) > end || (h->version_flow & 0xf0) != 0x60)
			return 0;
		if (14 + sizeof(*h) + ntohs(h->length) > skb->len || mapped(h->src) || mapped(h->dst))
			return 0;
		p->ethertype = ETH_IPV6;
		p->family = 6;
		p->proto = h->next;
		p->hops = h->hops;
		for (int i = 0; i < 4; i++) {
			p->src[i] = h->src[i];
			p->dst[i] = h->dst[i];
		}
		p->l4 = 14 + sizeof(*h);
		ports = (void *)(h + 1);
	} else {
		return 0;
	}
	p->sport = ntohs(ports->src);
	p->dport = ntohs(ports->dst);
	if (p->proto == IP_UDP) {
		p->key = SPACE_UDP << 16 | p->dport;
		return 1;
	}
	const struct tcp_header *tcp = (void *)ports;
	if (p->proto != IP_TCP || (void *)tcp + 14 > end || tcp->offset >> 4 < 5)
		return 0;
	p->key = SPACE_TCP << 16 | p->dport;
	set_flags(p, tcp->flags);
	return 1;
}

/* IPv4 options. A source route would send the packet on to where nothing was decided: refused, as anything that
 * cannot be walked. */
__noinline int parse_options(struct __sk_buff *skb, __u32 off, __u32 len)
{
	__u8 options[40] = {};
	if (len < 4) /* they come in words of four bytes */
		return DROP_MALFORMED;
	/* Linux 6.1 learns nothing about len from the single comparison that clang would make of the two. */
	barrier_var(len);
	if (len > sizeof(options))
		return DROP_MALFORMED;
	if (bpf_skb_load_bytes(skb, off, options, len))
		return DROP_MALFORMED;
	__u32 left = 0; /* bytes of the option under way */
	for (int i = 0; i < sizeof(options) && i < len; i++) {
		if (left) {
			left--;
			continue;
		}
		__u8 kind = options[i];
		if (kind == 0) /* end of list */
			return PASSED;
		if (kind == 131 || kind == 137) /* loose and strict source route */
			return DROP_UNPARSED;
		if (kind == 1) /* no operation */
			continue;
		/* Behind the options are zeros, and no length is below 2. */
		__u8 length = i + 1 < sizeof(options) ? options[i + 1] : 0;
		if (length < 2)
			return DROP_MALFORMED;
		left = length - 1;
	}
	return left ? DROP_MALFORMED : PASSED;
}

__noinline int parse_ipv4(struct __sk_buff *skb, __u32 off, struct packet *p, __u32 embedded)
{
	struct ipv4_header h;
	if (!p)
		return DROP_MALFORMED;
	if (bpf_skb_load_bytes(skb, off, &h, sizeof(h)))
		return DROP_MALFORMED;
	__u32 ihl = (h.version_ihl & 0xf) * 4;
	if (h.version_ihl >> 4 != 4 || ihl < sizeof(h))
		return DROP_MALFORMED;
	/* A length of 0 is a GSO packet of 64 KB and more. */
	__u32 length = ntohs(h.length);
	if (!embedded && length && (length < ihl || off + length > skb->len))
		return DROP_MALFORMED;
	if (ihl > sizeof(h) && !embedded) {
		int drop = parse_options(skb, off + sizeof(h), ihl - sizeof(h));
		if (drop)
			return drop;
	}
	p->family = 4;
	p->proto = h.protocol;
	p->hops = h.ttl;
	p->l4 = off + ihl;
	p->src[0] = p->src[1] = p->dst[0] = p->dst[1] = 0;
	p->src[2] = p->dst[2] = htonl(0xffff);
	p->src[3] = h.src;
	p->dst[3] = h.dst;
	__u16 fragment = ntohs(h.fragment);
	if (fragment & 0x1fff) {
		p->fragment = FRAGMENT_LATER;
		/* RFC 3128: a fragment that would overwrite the flags of a TCP header. */
		if ((fragment & 0x1fff) == 1 && h.protocol == IP_TCP)
			return DROP_MALFORMED;
	} else if (fragment & 0x2000) {
		p->fragment = FRAGMENT_FIRST;
	}
	p->fragment_id = h.id;
	return PASSED;
}

__noinline int parse_ipv6(struct __sk_buff *skb, __u32 off, struct packet *p, __u32 embedded)
{
	struct ipv6_header h;
	if (!p)
		return DROP_MALFORMED;
	if (bpf_skb_load_bytes(skb, off, &h, sizeof(h)))
		return DROP_MALFORMED;
	if ((h.version_flow & 0xf0) != 0x60)
		return DROP_MALFORMED;
	__u32 length = ntohs(h.length);
	if (!embedded && off + sizeof(h) + length > skb->len)
		return DROP_MALFORMED;
	if (mapped(h.src) || mapped(h.dst))
		return DROP_MALFORMED;
	p->family = 6;
	p->hops = h.hops;
	memcpy(p->src, h.src, sizeof(h.src));
	memcpy(p->dst, h.dst, sizeof(h.dst));
	__u8 next = h.next;
	off += sizeof(h);
	for (int i = 0; i <= MAX_EXTENSIONS; i++) {
		if (next != 0 && next != IP_ROUTING && next != IP_FRAGMENT && next != IP_AH && next != IP_DESTINATION) {
			p->proto = next;
			p->l4 = off;
			return PASSED;
		}
		struct extension e;
		if (bpf_skb_load_bytes(skb, off, &e, sizeof(e)))
			return DROP_MALFORMED;
		if (next == IP_FRAGMENT) {
			__u16 fragment = ntohs(e.fragment);
			p->fragment_id = e.id;
			if (fragment & 0xfff8) {
				p->fragment = FRAGMENT_LATER;
				p->proto = e.next;
				p->l4 = off + sizeof(e);
				return fragment >> 3 == 1 && e.next == IP_TCP ? DROP_MALFORMED : PASSED;
			}
			if (fragment & 1)
				p->fragment = FRAGMENT_FIRST;
			off += sizeof(e);
		} else if (next == IP_AH) {
			off += (e.length + 2) * 4;
		} else {
			/* With segments left, the destination is only the next hop. */
			if (next == IP_ROUTING && e.fragment >> 8)
				return DROP_UNPARSED;
			off += (e.length + 1) * 8;
		}
		next = e.next;
	}
	return DROP_UNPARSED;
}

static __always_inline __u8 icmp_kind(__u8 family, __u8 type)
{
	if (family == 4) {
		if (type == 8 || type == 13) /* echo, timestamp */
			return ICMP_REQUEST;
		if (type == 0 || type == 14)
			return ICMP_REPLY;
		if (type == 3 || type == 11 || type == 12)
			return ICMP_ERROR;
		return ICMP_PLAIN;
	}
	if (type == 128)
		return ICMP_REQUEST;
	if (type == 129)
		return ICMP_REPLY;
	if (type >= 1 && type <= 4)
		return ICMP_ERROR;
	if (type >= 133 && type <= 137)
		return ICMP_NEIGHBOUR;
	return ICMP_PLAIN;
}

/* The transport header: ports, or what stands for them, and the port key. */
__noinline int parse_transport(struct __sk_buff *skb, struct packet *p, __u32 embedded)
{
	__u8 h[14] = {};
	if (!p)
		return DROP_MALFORMED;
	__u32 off = p->l4;
	__u8 proto = p->proto;
	if (proto == IP_TCP) {
		/* What an ICMP error quotes is cut after 8 bytes. */
		if (embedded ? bpf_skb_load_bytes(skb, off, h, 8) : bpf_skb_load_bytes(skb, off, h, 14))
			return DROP_MALFORMED;
		if (!embedded && h[12] >> 4 < 5)
			return DROP_MALFORMED;
		set_flags(p, h[13]);
	} else if (proto == IP_SCTP) {
		if (embedded ? bpf_skb_load_bytes(skb, off, h, 8) : bpf_skb_load_bytes(skb, off, h, 13))
			return DROP_MALFORMED;
		p->opening = !embedded && h[12] == 1; /* INIT */
	} else if (proto == IP_UDP || proto == (p->family == 4 ? IP_ICMP : IP_ICMPV6)) {
		if (bpf_skb_load_bytes(skb, off, h, 8))
			return DROP_MALFORMED;
	} else {
		p->key = SPACE_OTHER << 16 | proto;
		return PASSED;
	}
	if (proto == IP_TCP || proto == IP_UDP || proto == IP_SCTP) {
		p->sport = h[0] << 8 | h[1];
		p->dport = h[2] << 8 | h[3];
		__u32 space = proto == IP_TCP ? SPACE_TCP : proto == IP_UDP ? SPACE_UDP : SPACE_SCTP;
		p->key = space << 16 | p->dport;
		return PASSED;
	}
	p->icmp_type = h[0];
	p->icmp = icmp_kind(p->family, h[0]);
	p->key = (p->family == 4 ? SPACE_ICMP4 : SPACE_ICMP6) << 16 | h[0] << 8 | h[1];
	if (p->icmp == ICMP_REQUEST || p->icmp == ICMP_REPLY)
		p->sport = p->dport = h[4] << 8 | h[5];
	return PASSED;
}

/* The frame's ethertype below at most MAX_TAGS tags, and the offset of what follows; the outermost tag is usually in
 * the skb's metadata and not here. */
static __always_inline int parse_ethernet(struct __sk_buff *skb, struct packet *p, __u32 *off)
{
	__u16 type;
	__u32 at = 12;
	for (int i = 0; i <= MAX_TAGS; i++) {
		if (bpf_skb_load_bytes(skb, at, &type, 2))
			return DROP_MALFORMED;
		p->ethertype = ntohs(type);
		if (p->ethertype != ETH_8021Q && p->ethertype != ETH_8021AD) {
			*off = at + 2;
			return PASSED;
		}
		at += 4;
	}
	return DROP_UNPARSED;
}

/* A frame that parse_common left alone: what parse_common wrote is written again. */
static __always_inline int parse_ip(struct __sk_buff *skb, __u32 off, struct packet *p)
{
	p->sport = p->dport = 0;
	int drop = p->ethertype == ETH_IPV4 ? parse_ipv4(skb, off, p, 0) : parse_ipv6(skb, off, p, 0);
	if (drop || p->fragment == FRAGMENT_LATER)
		return drop;
	return parse_transport(skb, p, 0);
}

static __always_inline int is_group(__u8 family, const __u32 *a)
{
	if (family == 6)
		return (a[0] & 0xff) == 0xff;
	return (a[3] & 0xf0) == 0xe0 || a[3] == 0xffffffff;
}

/* To a multicast group or IPv4's broadcast, or with one as its source, which is nobody's (S6; RFC 1122, 3.2.1.3). */
static __always_inline int is_multicast(const struct packet *p)
{
	return is_group(p->family, p->dst) || is_group(p->family, p->src);
}

#endif
