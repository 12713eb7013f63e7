package resolve

import (
	"math/rand/v2"
	"testing"

	"github.com/weir-mesh/weir/compiler/plan"
)

func root(ids ...plan.ID) string {
	var t tree
	for _, id := range ids {
		t.add(id)
	}
	return t.root()
}

// TestTree holds what a digest rests on: the same ids give the same root in whatever order they came and whatever was
// there between, and any other ids another.
func TestTree(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	ids := make([]plan.ID, 300)
	for i := range ids {
		for j := range ids[i] {
			ids[i][j] = byte(r.Uint32())
		}
	}
	ids[1] = ids[0]
	ids[1][15]++ // in the same leaf
	want := root(ids...)
	var grown tree
	for i := len(ids) - 1; i >= 0; i-- {
		grown.add(ids[i])
		if i%7 == 0 {
			grown.root()
		}
	}
	for range 2 {
		if grown.root() != want {
			t.Error("another order, or asking again, gives another root")
		}
	}
	for i := range ids {
		grown.remove(ids[i])
		without := grown.root()
		grown.remove(ids[i]) // not there any more
		if without == want || grown.root() != without {
			t.Fatalf("id %d: the root stays without it, or is another when it is removed again", i)
		}
		grown.add(ids[i])
		if grown.root() != want {
			t.Fatalf("id %d: the root changes when it is there again", i)
		}
	}
	if twice := root(ids[0], ids[0]); twice == root(ids[0]) {
		t.Error("an id that is there twice is there once")
	}
	for _, id := range ids {
		grown.remove(id)
	}
	if grown.root() != root() {
		t.Error("an emptied tree is no empty tree")
	}
	if n := len(grown.stale); n != 0 {
		t.Errorf("%d leaves are hashed again without need", n)
	}
	for _, c := range []struct {
		id   plan.ID
		leaf uint16
	}{{plan.ID{0, 0x0f}, 0}, {plan.ID{0, 0x10}, 1}, {plan.ID{1}, 16}, {plan.ID{0xff, 0xff}, 64*64 - 1}} {
		if got := leafOf(c.id); got != c.leaf {
			t.Errorf("id %x: leaf %d, want %d", c.id[:2], got, c.leaf)
		}
	}
}
