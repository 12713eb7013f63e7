package analyze

import (
	"cmp"
	"slices"
	"strings"
)

// maxNear is how many near names an error lists.
const maxNear = 3

// nearest returns the names that are likeliest to have been meant: fewest edits away, or the same last part.
func nearest(name string, known []string) []string {
	type scored struct {
		name string
		cost int
	}
	last := func(s string) string { return s[strings.LastIndexByte(s, '/')+1:] }
	limit := max(2, len(name)/4)
	var found []scored
	for _, k := range known {
		c := edits(name, k)
		if last(k) == last(name) {
			c = min(c, 1)
		}
		if c <= limit {
			found = append(found, scored{k, c})
		}
	}
	slices.SortFunc(found, func(a, b scored) int {
		return cmp.Or(cmp.Compare(a.cost, b.cost), strings.Compare(a.name, b.name))
	})
	var out []string
	for _, f := range found[:min(len(found), maxNear)] {
		if f.cost == found[0].cost {
			out = append(out, f.name)
		}
	}
	return out
}

// edits counts insertions, deletions, substitutions and swaps of neighbours that lead from one text to the other
// (optimal string alignment).
func edits(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := last[j]
			if a[i] != b[j] {
				cost++
			}
			cost = min(cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				cost = min(cost, before[j-1]+1)
			}
			row[j+1] = cost
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
