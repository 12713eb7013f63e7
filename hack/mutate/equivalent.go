package main

import "strings"

// equivalents lists mutants that change nothing that anybody could notice, with the reason. A mutant is meant when its
// "file:function" starts with place and what it does contains part.
var equivalents = []struct{ place, part, reason string }{}

// equivalent is the reason why a mutant changes nothing, or "".
func equivalent(m *mutant) string {
	for _, e := range equivalents {
		if strings.HasPrefix(m.file+":"+m.function, e.place) && strings.Contains(m.what, e.part) {
			return e.reason
		}
	}
	return ""
}
