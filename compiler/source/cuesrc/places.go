package cuesrc

import (
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/token"

	"github.com/weir-mesh/weir/compiler/diag"
)

// located is a span in a file.
type located struct {
	file string
	Span
}

func (l located) position() diag.Position {
	return diag.Position{File: l.file, Line: int(l.Line), Col: int(l.Col), EndCol: int(l.EndCol)}
}

// spanOf returns where a node is; its end is given where it is on the same line.
func spanOf(n ast.Node) located {
	from := n.Pos().Position()
	l := located{from.Filename, Span{int32(from.Line), int32(from.Column), 0}}
	if to := n.End(); to.IsValid() && to.Line() == from.Line {
		l.EndCol = int32(to.Column())
	}
	return l
}

func position(p token.Pos) diag.Position {
	if !p.IsValid() {
		return diag.Position{}
	}
	at := p.Position()
	return diag.Position{File: at.Filename, Line: at.Line, Col: at.Column}
}

// placer records where the fields of an object are written out.
type placer struct {
	home   string // the file of the object's key
	places map[string]Place
}

// value records the fields and elements of an expression at a path. What a reference or comprehension adds is not in it:
// see unit.locate.
func (p *placer) value(path string, e ast.Expr) {
	switch x := e.(type) {
	case *ast.StructLit:
		for _, d := range x.Elts {
			switch d := d.(type) {
			case *ast.Field:
				p.field(path, d)
			case *ast.EmbedDecl:
				p.value(path, d.Expr)
			}
		}
	case *ast.ListLit:
		for i, elt := range x.Elts {
			if _, ok := elt.(*ast.Comprehension); ok {
				return // how many elements it makes is not known here
			}
			if _, ok := elt.(*ast.Ellipsis); ok {
				return
			}
			at := joinIndex(path, i)
			p.add(at, elementNode(elt), elementNode(elt))
			p.value(at, elt)
		}
	case *ast.BinaryExpr:
		if x.Op == token.AND {
			p.value(path, x.X)
			p.value(path, x.Y)
		}
	case *ast.ParenExpr:
		p.value(path, x.X)
	case *ast.Alias:
		p.value(path, x.Expr)
	}
}

// elementNode is what marks a list's element: for a struct its first field, which says more than a brace.
func elementNode(e ast.Expr) ast.Node {
	if s, ok := e.(*ast.StructLit); ok && len(s.Elts) > 0 {
		if f, ok := s.Elts[0].(*ast.Field); ok {
			return f.Label
		}
	}
	return e
}

func (p *placer) field(path string, f *ast.Field) {
	name, ok := staticName(f)
	if !ok {
		return
	}
	at := joinField(path, name)
	p.addField(at, f)
	p.value(at, f.Value)
}

// addField records the place of a field at a path: for a struct or list that of its name.
func (p *placer) addField(path string, f *ast.Field) {
	value := ast.Node(f.Value)
	switch f.Value.(type) {
	case *ast.StructLit, *ast.ListLit:
		value = f.Label
	}
	p.add(path, f.Label, value)
}

// add records a place, unless an earlier declaration has it.
func (p *placer) add(path string, key, value ast.Node) {
	if _, ok := p.places[path]; ok {
		return
	}
	k, v := spanOf(key), spanOf(value)
	pl := Place{Key: k.Span, Value: v.Span}
	if k.file != p.home {
		pl.File = k.file
	}
	if v.file != k.file {
		pl.Value = k.Span
	}
	p.places[path] = pl
}

// staticName returns the name of a regular field that is spelt out.
func staticName(f *ast.Field) (string, bool) {
	label := f.Label
	if a, ok := label.(*ast.Alias); ok {
		if l, ok := a.Expr.(ast.Label); ok {
			label = l
		}
	}
	switch label.(type) {
	case *ast.Ident, *ast.BasicLit:
	default:
		return "", false
	}
	name, isIdent, err := ast.LabelName(label)
	if err != nil || isIdent && (name[0] == '_' || name[0] == '#') {
		return "", false
	}
	return name, true
}
