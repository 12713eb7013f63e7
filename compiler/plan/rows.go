package plan

import "bytes"

// Rows finds the row of a row key in a table. The keys lie one after the other, so that a plan of many tables is
// little work for the collector of garbage.
type Rows struct {
	// Width is the length of a key in bytes.
	Width int
	// Keys are ascending and without repeats; Of holds the row of each.
	Keys []byte
	Of   []uint32
}

// Len is how many keys there are.
func (r *Rows) Len() int { return len(r.Of) }

// Key returns the i-th key.
func (r *Rows) Key(i int) []byte { return r.Keys[i*r.Width : (i+1)*r.Width] }

// Find returns the row of a key; where it is not there, row 0.
func (r *Rows) Find(key []byte) (row int, ok bool) {
	lo, hi := 0, len(r.Of)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if bytes.Compare(r.Key(mid), key) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(r.Of) && bytes.Equal(r.Key(lo), key) {
		return int(r.Of[lo]), true
	}
	return 0, false
}
