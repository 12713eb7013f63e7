package resolve

import (
	"slices"
	"testing"
)

func TestDifference(t *testing.T) {
	for _, c := range []struct{ a, b, want []int32 }{
		{nil, nil, nil},
		{[]int32{1, 2}, nil, []int32{1, 2}},
		{nil, []int32{3}, []int32{3}},
		{[]int32{1, 2, 5}, []int32{1, 2, 5}, nil},
		{[]int32{1, 3, 5, 8}, []int32{0, 3, 4, 9, 10}, []int32{0, 1, 4, 5, 8, 9, 10}},
	} {
		if got := difference(c.a, c.b); !slices.Equal(got, c.want) {
			t.Errorf("%v and %v: %v, want %v", c.a, c.b, got, c.want)
		}
	}
}
