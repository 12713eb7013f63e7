package plan_test

import (
	"testing"

	"github.com/weir-mesh/weir/compiler/plan"
)

func TestRowsFind(t *testing.T) {
	r := plan.Rows{Width: 2, Keys: []byte("abacbaca"), Of: []uint32{4, 3, 4, 9}}
	for key, want := range map[string]int{"ab": 4, "ac": 3, "ba": 4, "ca": 9, "aa": -1, "ad": -1, "zz": -1, "": -1, "a": -1} {
		if row, ok := r.Find([]byte(key)); ok != (want >= 0) || row != max(want, 0) {
			t.Errorf("key %q: row %d, found %t; want %d", key, row, ok, want)
		}
	}
}
