package main

import "strings"

// equivalents lists mutants that change nothing that anybody could notice, with the reason. A mutant is meant when its
// "file:function" starts with place and what it does contains part.
var equivalents = []struct{ place, part, reason string }{
	{"compiler/resolve/bitset.go:count", "", "counts only choose which part of a set is listed; both say the same"},
	{"compiler/resolve/sets.go:part", "2*in.count()", "counts only choose which part of a set is listed; both say the same"},
	{"compiler/resolve/sets.go:merge", "off by one: i.first <= last.last+1", "intervals that touch flip their slot twice at one key"},
	{"compiler/resolve/chain.go:outcome", "dropped: break", "what has no conditions is a list's last entry"},
	{"compiler/resolve/chain.go:priority", "dropped: break", "what has no conditions is a list's last entry"},
	{"compiler/resolve/chain.go:collapse", "not true in c.unserved", "only the map's keys are looked at"},
	{"compiler/resolve/chain.go:agree", "not true in c.conflicts", "only the map's keys are looked at"},
	{"compiler/resolve/chain.go:concat", "dropped: return a", "to append nothing gives the same list"},
	{"compiler/resolve/mentioned.go:findMentioned", "sortedPrefixes", "who reads the blocks sorts them, or asks for one"},
	{"compiler/resolve/peers.go:peerKey", "WriteByte", "quoted strings need no separator"},
	{"compiler/resolve/peers.go:labelKey", "Write", "quoted strings need no separator"},
	{"compiler/resolve/resolve.go:compileCold", "c.findings()", "speaks of plans with more than 65,535 decisions only"},
	{"compiler/resolve/table.go:prepare", "simple := true", "the slow path gives the same decisions"},
	{"compiler/resolve/table.go:prepare", "1<<20", "the slow path gives the same decisions"},
	{"compiler/resolve/table.go:prepare", "dropped: b.fast", "the slow path gives the same decisions"},
	{"compiler/resolve/table.go:cell", "dropped: b.fast", "a decision is found again, more slowly"},
	{"compiler/resolve/table.go:cell", "dropped: return uint16(d)", "a decision is found again, more slowly"},
	{"compiler/resolve/tables.go:emit", "seen", "keyWriter drops repeats again"},
	{"compiler/resolve/tables.go:emit", "last", "keyWriter drops repeats again"},
	{"compiler/resolve/tables.go:add", "seen", "slices.Compact drops repeats again"},
	{"compiler/resolve/tables.go:keys", "cap(w.sig)", "room to grow"},
	{"compiler/resolve/tables.go:keys", "need", "room to grow"},
}

// equivalent is the reason why a mutant changes nothing, or "".
func equivalent(m *mutant) string {
	for _, e := range equivalents {
		if strings.HasPrefix(m.file+":"+m.function, e.place) && strings.Contains(m.what, e.part) {
			return e.reason
		}
	}
	return ""
}
