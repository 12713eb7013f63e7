package manifest

import (
	"fmt"
	"regexp"
	"strings"
)

// Nearest returns the candidate that is a plausible misspelling away, or "": at most a third of the letters differ.
func Nearest(name string, candidates []string) string {
	best, bestDistance := "", len(name)/3+1
	for _, c := range candidates {
		d := distance(strings.ToLower(name), strings.ToLower(c))
		if d < bestDistance || d == bestDistance && best != "" && c < best {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance counts insertions, removals, replacements and swaps of neighbours.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := 1; i <= len(a); i++ {
		prev2, prev, cur := rows[(i+2)%3], rows[i%3], rows[(i+1)%3]
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
	}
	return rows[(len(a)+1)%3][len(b)]
}

// DidYouMean is the hint that suggests one of the choices, or "".
func DidYouMean(value string, choices []string) string {
	if near := Nearest(value, choices); near != "" && near != value {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return ""
}

// enumeration finds the choices in a message such as "action is allow, deny or pass".
var enumeration = regexp.MustCompile(` is ((?:[\w-]+, )*[\w-]+ or [\w-]+)`)

// NearestChoice suggests one of the choices that a message of the schema names.
func NearestChoice(value, message string) string {
	m := enumeration.FindStringSubmatch(message)
	if m == nil {
		return ""
	}
	return DidYouMean(value, strings.Split(strings.ReplaceAll(m[1], " or ", ", "), ", "))
}
