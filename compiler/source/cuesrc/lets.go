package cuesrc

import (
	"cuelang.org/go/cue/ast"
)

// each calls f with everything beside objects and with the objects' declarations.
func (l *layout) each(f func(d ast.Decl, o *object)) {
	for _, file := range l.files {
		for _, s := range l.slots[file] {
			if s.lit == nil {
				f(s.decl, nil)
			}
			for _, m := range s.members {
				f(m.elt, m.object)
			}
		}
	}
}

// findLets fills in lets.
func (l *layout) findLets() {
	beside := map[*ast.LetClause]bool{}
	l.each(func(d ast.Decl, _ *object) {
		if let, ok := d.(*ast.LetClause); ok {
			beside[let] = true
		}
	})
	if len(beside) == 0 {
		return
	}
	l.lets = map[ast.Decl][]*ast.LetClause{}
	l.each(func(d ast.Decl, _ *object) {
		ast.Walk(d, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok {
				if let, ok := id.Node.(*ast.LetClause); ok && beside[let] && ast.Decl(let) != d {
					l.lets[d] = append(l.lets[d], let)
				}
			}
			return true
		}, nil)
	})
}

// leftOut are the let clauses that nothing refers to once only some objects are there. One that nothing in the whole
// package refers to stays: CUE refuses it.
func (l *layout) leftOut(chosen map[*object]bool) map[ast.Decl]bool {
	left := map[ast.Decl]bool{}
	for _, lets := range l.lets {
		for _, let := range lets {
			left[let] = true
		}
	}
	var keep func(d ast.Decl)
	keep = func(d ast.Decl) {
		for _, let := range l.lets[d] {
			if left[let] {
				delete(left, let)
				keep(let)
			}
		}
	}
	l.each(func(d ast.Decl, o *object) {
		if (o == nil || chosen[o]) && !left[d] {
			keep(d)
		}
	})
	return left
}
