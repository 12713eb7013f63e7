package analyze

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
)

// TestReachEnds holds that reach ends with its context.
func TestReachEnds(t *testing.T) {
	n := namesOf(t, worldOf(rand.New(rand.NewPCG(1, 1))))
	ctx, cancel := context.WithCancel(context.Background())
	if rows, err := n.Reach(ctx); err != nil || len(rows) == 0 {
		t.Fatalf("%d rows, err %v", len(rows), err)
	}
	cancel()
	if rows, err := n.Reach(ctx); !errors.Is(err, context.Canceled) || rows != nil {
		t.Errorf("after the end of its context: %d rows, err %v", len(rows), err)
	}
}

// TestMeet holds which pairs of nodes two sets of pods have.
func TestMeet(t *testing.T) {
	for _, c := range []struct {
		from, to        []string
		together, apart bool
	}{
		{nil, []string{"a"}, false, false},
		{[]string{"a"}, []string{"a"}, true, false},
		{[]string{"a"}, []string{"b"}, false, true},
		{[]string{"a", "c"}, []string{"b", "c"}, true, true},
		{[]string{"a", "c"}, []string{"b", "d"}, false, true},
		{[]string{""}, []string{"a"}, true, true},
		{[]string{""}, []string{""}, true, true},
	} {
		if together, apart := meet(c.from, c.to); together != c.together || apart != c.apart {
			t.Errorf("meet(%q, %q) = %v, %v", c.from, c.to, together, apart)
		}
	}
}
