package encode

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// mix is the programs' mix (bpf/blob.h).
func mix(x uint64) uint64 {
	x *= 0x9e3779b97f4a7c15
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	return x ^ x>>32
}

func hashPair(seed, key uint32) uint64 { return mix(uint64(seed)<<32 ^ uint64(key)) }

func hashWide(seed uint32, k *wideKey) uint64 {
	h := mix((uint64(k.Word[0])<<32 | uint64(k.Word[1])) ^ uint64(seed))
	h = mix(h ^ (uint64(k.Word[2])<<32 | uint64(k.Word[3])))
	return mix(h ^ uint64(k.Tag))
}

// place distributes n keys over buckets of the given size: each key has two buckets to choose from and goes into the
// emptier. It tries seeds, then more buckets, and returns the bucket of every key.
func place(n, bucket int, hash func(seed uint32, i int) uint64) (where []uint32, mask, seed uint32, err error) {
	want := max(1, (n*5/3+bucket-1)/bucket)
	buckets := 1 << bits.Len(uint(want-1))
	where = make([]uint32, n)
	for grow := 0; grow < 4; grow++ {
		mask = uint32(buckets - 1)
		full := make([]uint8, buckets)
		for seed = 1; seed <= 8; seed++ {
			clear(full)
			if fill(where, full, bucket, mask, func(i int) uint64 { return hash(seed, i) }) {
				return where, mask, seed, nil
			}
		}
		buckets *= 2
	}
	return nil, 0, 0, fmt.Errorf("%d keys do not fit %d buckets: is one of them there many times?", n, buckets/2)
}

func fill(where []uint32, full []uint8, bucket int, mask uint32, hash func(int) uint64) bool {
	for i := range where {
		h := hash(i)
		a, b := uint32(h)&mask, uint32(h>>32)&mask
		if full[b] < full[a] {
			a = b
		}
		if int(full[a]) >= bucket {
			return false
		}
		full[a]++
		where[i] = a
	}
	return true
}

// encodePairs lays out what is looked up exactly by one word: IPv4 addresses, interfaces.
func encodePairs(what string, es []pair) (b []byte, mask, seed uint32, err error) {
	where, mask, seed, err := place(len(es), pairBucket, func(s uint32, i int) uint64 { return hashPair(s, es[i].Key) })
	if err != nil {
		return nil, 0, 0, fmt.Errorf("hashing %s: %w", what, err)
	}
	const size = 8
	b = make([]byte, int(mask+1)*pairBucket*size)
	for i := 0; i < len(b); i += size {
		binary.LittleEndian.PutUint32(b[i+4:], NoValue)
	}
	next := make([]uint8, mask+1)
	for i, w := range where {
		at := (int(w)*pairBucket + int(next[w])) * size
		next[w]++
		binary.LittleEndian.PutUint32(b[at:], es[i].Key)
		binary.LittleEndian.PutUint32(b[at+4:], es[i].Value)
	}
	return b, mask, seed, nil
}

// encodeWide lays out everything else that is looked up exactly.
func encodeWide(es []wideEntry) (b []byte, mask, seed uint32, err error) {
	where, mask, seed, err := place(len(es), wideBucket, func(s uint32, i int) uint64 { return hashWide(s, &es[i].Key) })
	if err != nil {
		return nil, 0, 0, fmt.Errorf("hashing IPv6 addresses and service ports: %w", err)
	}
	const size = 24
	b = make([]byte, int(mask+1)*wideBucket*size)
	for i := 0; i < len(b); i += size {
		binary.LittleEndian.PutUint32(b[i+20:], NoValue)
	}
	next := make([]uint8, mask+1)
	for i, w := range where {
		at := (int(w)*wideBucket + int(next[w])) * size
		next[w]++
		for j, v := range es[i].Key.Word {
			binary.LittleEndian.PutUint32(b[at+4*j:], v)
		}
		binary.LittleEndian.PutUint32(b[at+16:], es[i].Key.Tag)
		binary.LittleEndian.PutUint32(b[at+20:], es[i].Value)
	}
	return b, mask, seed, nil
}
