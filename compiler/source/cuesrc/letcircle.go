package cuesrc

import (
	"slices"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/errors"
)

// circleOfNames is circle for what leads through let clauses, which CUE does not follow: by the text, as far as an
// expression hangs on all of what it names.
func circleOfNames(v cue.Value) []string {
	way := namesRound(exprOf(v), func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.StructLit, *ast.ListLit, *ast.SelectorExpr, *ast.IndexExpr:
			return false // a part of it may be known
		case *ast.BinaryExpr:
			return n.Op.String() != "|"
		}
		return true
	})
	if _, parts := v.Expr(); way == nil && len(parts) > 1 {
		for _, p := range parts {
			if way = circleOfNames(p); way != nil {
				return way
			}
		}
	}
	return way
}

// exprOf is the text of a value, or nil.
func exprOf(v cue.Value) ast.Expr {
	switch n := v.Source().(type) {
	case *ast.Field:
		return n.Value
	case ast.Expr:
		return n
	}
	return nil
}

// letCircle finds the let clauses that refer to each other, by the name that CUE complains of.
func letCircle(e errors.Error, files []*ast.File) []string {
	at := position(e.Position())
	var way []string
	for _, f := range files {
		if f.Filename != at.File {
			continue
		}
		ast.Walk(f, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && position(id.Pos()) == at {
				way = namesRound(id, func(ast.Node) bool { return true })
			}
			return way == nil
		}, nil)
	}
	return way
}

// namesRound follows the names in an expression to what they name until one comes again; it returns those that lead round,
// or nil. It looks into the parts of an expression that it is told to.
func namesRound(from ast.Expr, into func(ast.Node) bool) []string {
	var names []string
	var way []ast.Expr
	done := map[ast.Expr]bool{}
	var follow func(e ast.Expr) bool
	follow = func(e ast.Expr) (round bool) {
		ast.Walk(e, func(n ast.Node) bool {
			if round || !into(n) {
				return false
			}
			id, ok := n.(*ast.Ident)
			if !ok {
				return true
			}
			var to ast.Expr
			switch n := id.Node.(type) {
			case *ast.LetClause:
				to = n.Expr
			case ast.Expr:
				to = n
			}
			if i := slices.Index(way, to); i >= 0 {
				names, round = names[i:], true
				return false
			}
			if to == nil || done[to] {
				return false
			}
			done[to] = true
			names, way = append(names, id.Name), append(way, to)
			if round = follow(to); !round {
				names, way = names[:len(names)-1], way[:len(way)-1]
			}
			return false
		}, nil)
		return round
	}
	if from == nil || !follow(from) {
		return nil
	}
	return names
}
