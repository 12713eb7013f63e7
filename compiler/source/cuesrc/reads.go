package cuesrc

import (
	"maps"
	"slices"

	"cuelang.org/go/cue/ast"
)

// circular reports whether the objects of a field may hang on all objects of the same field, by what refers to what.
func (l *layout) circular(fields map[string]bool) bool {
	reads := map[string]map[string]bool{}
	for _, f := range l.files {
		for _, d := range f.Decls {
			names, all := declares(d)
			if alias, name, ok := labelAlias(d); ok {
				reads[alias.Ident.Name] = map[string]bool{name: true}
			}
			if all {
				names = slices.Concat(names, slices.Collect(maps.Keys(fields)))
			}
			for _, n := range names {
				if reads[n] == nil {
					reads[n] = map[string]bool{}
				}
				addReads(reads[n], d, fields)
			}
		}
	}
	for field := range fields {
		if leadsTo(reads, field, field, map[string]bool{}) {
			return true
		}
	}
	return false
}

// leadsTo reports whether what a name reads, or what that reads, is another.
func leadsTo(reads map[string]map[string]bool, from, to string, seen map[string]bool) bool {
	for n := range reads[from] {
		if n == to {
			return true
		}
		if !seen[n] {
			seen[n] = true
			if leadsTo(reads, n, to, seen) {
				return true
			}
		}
	}
	return false
}

// declares are the names that a declaration of a file gives something to, as far as it spells them out.
func declares(d ast.Decl) (names []string, all bool) {
	within := func(e ast.Expr) {
		lit, ok := e.(*ast.StructLit)
		if !ok {
			all = true
			return
		}
		for _, elt := range lit.Elts {
			n, a := declares(elt)
			names, all = append(names, n...), all || a
		}
	}
	switch d := d.(type) {
	case *ast.Field:
		if name, ok := staticName(d); ok {
			return []string{name}, false
		}
		id, ok := d.Label.(*ast.Ident)
		if !ok {
			return nil, true
		}
		return []string{id.Name}, false
	case *ast.LetClause:
		return []string{d.Ident.Name}, false
	case *ast.Comprehension:
		within(d.Value)
	case *ast.EmbedDecl:
		within(d.Expr)
	}
	return names, all
}

// addReads adds the names that a declaration refers to. One object of a field, or one part of it, is not the field.
func addReads(reads map[string]bool, d ast.Node, fields map[string]bool) {
	isField := func(e ast.Expr) bool {
		id, ok := e.(*ast.Ident)
		return ok && fields[id.Name]
	}
	ast.Walk(d, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			return !isField(n.X)
		case *ast.IndexExpr:
			if isField(n.X) {
				addReads(reads, n.Index, fields)
				return false
			}
		case *ast.Ident:
			if n.Node != nil { // labels are not resolved
				reads[n.Name] = true
			}
		}
		return true
	}, nil)
}
