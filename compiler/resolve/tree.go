package resolve

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"github.com/weir-mesh/weir/compiler/plan"
)

// tree hashes a set of ids so that one more or one fewer costs the hash of a few: 64 branches of 64 leaves, an id in
// the leaf that its first twelve bits name.
type tree struct {
	leaves [64 * 64][]plan.ID
	// leaf and branch are zero where nothing is below them.
	leaf   [64 * 64][sha256.Size]byte
	branch [64][sha256.Size]byte
	stale  []uint16 // leaves to hash again
}

func leafOf(id plan.ID) uint16 { return uint16(id[0])<<4 | uint16(id[1])>>4 }

func (t *tree) add(id plan.ID) {
	l := leafOf(id)
	at, _ := slices.BinarySearchFunc(t.leaves[l], id, compareID)
	t.leaves[l] = slices.Insert(t.leaves[l], at, id)
	t.stale = append(t.stale, l)
}

// remove takes one of the id out; an id that is not there is left alone.
func (t *tree) remove(id plan.ID) {
	l := leafOf(id)
	if at, ok := slices.BinarySearchFunc(t.leaves[l], id, compareID); ok {
		t.leaves[l] = slices.Delete(t.leaves[l], at, at+1)
		t.stale = append(t.stale, l)
	}
}

func compareID(a, b plan.ID) int { return bytes.Compare(a[:], b[:]) }

// root returns the hexadecimal hash of all ids.
func (t *tree) root() string {
	var branches [64]bool
	slices.Sort(t.stale)
	for _, l := range slices.Compact(t.stale) {
		t.leaf[l] = [sha256.Size]byte{}
		branches[l/64] = true
		if len(t.leaves[l]) == 0 {
			continue
		}
		h := sha256.New()
		for i := range t.leaves[l] {
			h.Write(t.leaves[l][i][:])
		}
		h.Sum(t.leaf[l][:0])
	}
	t.stale = t.stale[:0]
	all := sha256.New()
	for b := range t.branch {
		if branches[b] {
			t.branch[b] = hashLeaves(t.leaf[b*64 : (b+1)*64])
		}
		all.Write(t.branch[b][:])
	}
	return hex.EncodeToString(all.Sum(nil))
}

func hashLeaves(leaves [][sha256.Size]byte) (out [sha256.Size]byte) {
	h := sha256.New()
	empty := true
	for i := range leaves {
		empty = empty && leaves[i] == out
		h.Write(leaves[i][:])
	}
	if !empty {
		h.Sum(out[:0])
	}
	return out
}
