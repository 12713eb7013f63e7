package resolve

import "testing"

// TestAtLeast leaves room for an eighth more, so that a plan that grows by an identity sets nothing aside anew.
func TestAtLeast(t *testing.T) {
	s := make([]bool, 5)
	if got := atLeast(s, 5); &got[0] != &s[0] {
		t.Error("five of five are set aside anew")
	}
	for n, want := range map[int]int{6: 6, 8: 9, 24: 27} {
		if got := atLeast(s, n); len(got) != want {
			t.Errorf("for %d: %d, want %d", n, len(got), want)
		}
	}
}

// TestKeyBit: keys are compared as bytes, which hold eight sets each, the lowest bit first; words as numbers.
func TestKeyBit(t *testing.T) {
	for i, want := range map[int][2]uint64{0: {0, 1 << 56}, 7: {0, 1 << 63}, 8: {0, 1 << 48}, 56: {0, 1}, 63: {0, 1 << 7}, 64: {1, 1 << 56}, 130: {2, 1 << 58}} {
		if word, bit := keyBit(i); word != int(want[0]) || bit != want[1] {
			t.Errorf("set %d: word %d, bit %#x; want word %d, bit %#x", i, word, bit, want[0], want[1])
		}
	}
	for sets, want := range map[int]int{0: 1, 1: 1, 8: 1, 9: 2, 16: 2, 17: 3} {
		if got := keyWidth(sets); got != want {
			t.Errorf("%d sets: %d bytes, want %d", sets, got, want)
		}
	}
}
