package analyze

import (
	"cmp"
	"slices"
	"strings"
)

// maxNear is how many near names an error lists.
const maxNear = 3

// nearest returns the names that are likely to have been meant: few edits away, or the same last part.
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
		out = append(out, f.name)
	}
	return out
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
