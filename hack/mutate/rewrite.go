package main

import (
	"cmp"
	_ "embed"
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// edit puts text in the place of a part of a file. node is set where it opens a span, closes where it closes one: they
// nest. Text holds the mutant's number as %d.
type edit struct {
	at, end          token.Pos
	text             string
	node, closes     ast.Node
	from, to         int
	spanFrom, spanTo int
	// infix edits take a span's operator apart, so they are the innermost of their span.
	infix bool
	seq   int
}

// rewrite returns the file with every mutant behind its switch, apart from those that do not compile.
func rewrite(s *source) string {
	all := slices.Clone(s.guards)
	for i, m := range s.mutants {
		if m.state == notCompiled {
			continue
		}
		for _, e := range m.edits {
			e.seq = i + 1
			if e.infix {
				e.seq = 0
			}
			e.text = strings.ReplaceAll(e.text, "%d", fmt.Sprint(m.id))
			all = append(all, e)
		}
	}
	slices.SortStableFunc(all, func(a, b edit) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.rank(), b.rank()), a.nested(&b))
	})
	var out strings.Builder
	at := 0
	for _, e := range all {
		if e.from < at {
			continue // inside a replaced part
		}
		out.Write(s.text[at:e.from])
		out.WriteString(e.text)
		at = e.to
	}
	out.Write(s.text[at:])
	return out.String()
}

// rank puts closing edits before replacing ones before opening ones at one place.
func (e *edit) rank() int {
	switch {
	case e.closes != nil:
		return 0
	case e.node == nil:
		return 1
	default:
		return 2
	}
}

// nested opens the outer span first and closes the inner first; of equal spans the later mutant is outside.
func (e *edit) nested(o *edit) int {
	if e.closes != nil {
		return cmp.Or(cmp.Compare(o.spanFrom, e.spanFrom), cmp.Compare(e.seq, o.seq))
	}
	return cmp.Or(cmp.Compare(o.spanTo, e.spanTo), cmp.Compare(o.seq, e.seq))
}

// helpers is the file that every mutated package gets.
//
//go:embed helpers.go.txt
var helpers string
