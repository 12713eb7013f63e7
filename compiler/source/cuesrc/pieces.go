package cuesrc

import (
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/token"
)

// pieceSize is how many objects are evaluated together. The evaluator keeps all it ever computed of a value:
// 10,000 policies in one value take 3.5 GB and longer than in pieces.
const pieceSize = 100

// objectKey is where a package files an object: a field of the bundle and the name in it.
type objectKey struct{ field, name string }

// object is one object as it is written: its declarations, in the order of the files.
type object struct {
	key   objectKey
	decls []*ast.Field
}

// A layout tells a package's objects from what they share. It is nil-free only for packages whose objects are
// spelt out one by one and do not refer to each other: such a package means the same when the objects are
// evaluated a few at a time, each time with all that they share.
type layout struct {
	files []*ast.File
	// taken are the files that the chosen objects need.
	taken   []*ast.File
	objects []*object
	slots   map[*ast.File][]slot
	// separable is false where objects are computed or refer to each other.
	separable bool
	// patterns is true where something is said of all objects of a field at once.
	patterns bool
	// others are top-level fields that are spelt out, but are none of the bundle's.
	others []*ast.Field
	// lets are the let clauses beside objects that each declaration refers to, nil where there are none. CUE refuses a
	// clause that nothing refers to, and in a piece it may be that nothing does.
	lets map[ast.Decl][]*ast.LetClause
}

// slot is a file's declaration: shared (members is nil), or the struct of a bundle's field.
type slot struct {
	decl    ast.Decl
	lit     *ast.StructLit
	members []member
}

// member is an element of such a struct: shared (object is nil), or an object's declaration.
type member struct {
	elt    ast.Decl
	object *object
}

// layoutOf studies a package's files, whose identifiers are resolved; fields are the names of the bundle's fields.
// It takes the embedding of the bundle out of the files: every value is unified with the closed bundle later,
// which says all that the embedding says.
func layoutOf(files []*ast.File, fields map[string]bool) *layout {
	l := &layout{files: files, slots: map[*ast.File][]slot{}, separable: true}
	byKey := map[objectKey]*object{}
	split := map[ast.Node]bool{}
	for _, f := range files {
		for _, d := range f.Decls {
			if isBundleEmbedding(d) {
				continue
			}
			l.slots[f] = append(l.slots[f], l.slot(d, fields, byKey, split))
		}
	}
	if l.separable {
		l.separable = !refersToObjects(files, fields, split)
	}
	l.findLets()
	l.restore()
	return l
}

func (l *layout) slot(d ast.Decl, fields map[string]bool, byKey map[objectKey]*object, split map[ast.Node]bool) slot {
	s := slot{decl: d}
	switch x := d.(type) {
	case *ast.Package, *ast.ImportDecl, *ast.LetClause, *ast.Attribute, *ast.CommentGroup:
		return s
	case *ast.Field:
		name, static := staticName(x)
		if !static {
			l.separable = l.separable && (isHidden(x) && x.Alias == nil || isPattern(x))
			l.patterns = l.patterns || !isHidden(x)
			return s
		}
		if !fields[name] {
			l.others = append(l.others, x)
			return s
		}
		lit, ok := x.Value.(*ast.StructLit)
		if _, alias := x.Label.(*ast.Alias); !ok || alias || x.Alias != nil || x.Constraint != token.ILLEGAL {
			l.separable = false
			return s
		}
		split[lit] = true
		s.lit, s.members = lit, l.members(name, lit, byKey)
	default:
		l.separable = false
	}
	return s
}

func (l *layout) members(field string, lit *ast.StructLit, byKey map[objectKey]*object) []member {
	ms := make([]member, 0, len(lit.Elts))
	for _, e := range lit.Elts {
		f, ok := e.(*ast.Field)
		if !ok {
			switch e.(type) {
			case *ast.LetClause, *ast.Attribute, *ast.CommentGroup, *ast.Ellipsis:
			default:
				l.separable = false
			}
			ms = append(ms, member{elt: e})
			continue
		}
		name, static := staticName(f)
		if !static {
			l.separable = l.separable && (isHidden(f) && f.Alias == nil || isPattern(f))
			l.patterns = l.patterns || !isHidden(f)
			ms = append(ms, member{elt: e})
			continue
		}
		if _, alias := f.Label.(*ast.Alias); alias || f.Alias != nil || f.Constraint != token.ILLEGAL {
			l.separable = false
		}
		k := objectKey{field, name}
		o := byKey[k]
		if o == nil {
			o = &object{key: k}
			byKey[k] = o
			l.objects = append(l.objects, o)
		}
		o.decls = append(o.decls, f)
		ms = append(ms, member{e, o})
	}
	return ms
}

// isBundleEmbedding reports `v1alpha1.#Bundle` at file level.
func isBundleEmbedding(d ast.Decl) bool {
	e, ok := d.(*ast.EmbedDecl)
	if !ok {
		return false
	}
	s, ok := e.Expr.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	sel, ok := s.Sel.(*ast.Ident)
	if !ok || sel.Name != "#Bundle" {
		return false
	}
	id, ok := s.X.(*ast.Ident)
	if !ok {
		return false
	}
	spec, ok := id.Node.(*ast.ImportSpec)
	return ok && ast.ParseImportPath(unquoteStep(spec.Path.Value)).Path == schemaPackage
}

// isHidden reports a definition or hidden field, which is no object and is shared.
func isHidden(f *ast.Field) bool {
	id, ok := f.Label.(*ast.Ident)
	return ok && (id.Name[0] == '_' || id.Name[0] == '#')
}

// isPattern reports a constraint on all fields, such as [string]: ….
func isPattern(f *ast.Field) bool {
	label := f.Label
	if a, ok := label.(*ast.Alias); ok {
		if l, ok := a.Expr.(ast.Label); ok {
			label = l
		}
	}
	_, ok := label.(*ast.ListLit)
	return ok
}

// refersToObjects reports whether anything refers to a bundle's field or to an object in one.
func refersToObjects(files []*ast.File, fields map[string]bool, split map[ast.Node]bool) bool {
	found := false
	for _, f := range files {
		ast.Walk(f, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if !ok || id.Node == nil { // labels are not resolved
				return !found
			}
			if _, isLet := id.Node.(*ast.LetClause); fields[id.Name] || split[id.Scope] && !isLet {
				found = true
			}
			return !found
		}, nil)
	}
	return found
}

// take leaves in the files what is shared and the objects that are chosen. The files' nodes stay as they are,
// so that resolved identifiers stay resolved.
func (l *layout) take(chosen map[*object]bool) {
	l.taken = nil
	left := l.leftOut(chosen)
	for _, f := range l.files {
		decls, says := f.Decls[:0:0], false
		for _, s := range l.slots[f] {
			if s.lit == nil {
				if left[s.decl] {
					continue
				}
				decls = append(decls, s.decl)
				switch s.decl.(type) {
				case *ast.Package, *ast.ImportDecl:
				default:
					says = true
				}
				continue
			}
			elts := s.lit.Elts[:0:0]
			for _, m := range s.members {
				if (m.object == nil || chosen[m.object]) && !left[m.elt] {
					elts = append(elts, m.elt)
				}
			}
			s.lit.Elts = elts
			if len(elts) > 0 {
				decls, says = append(decls, s.decl), true
			}
		}
		f.Decls = decls
		if says {
			l.taken = append(l.taken, f)
		}
	}
}

// restore puts all objects back.
func (l *layout) restore() {
	all := map[*object]bool{}
	for _, o := range l.objects {
		all[o] = true
	}
	l.take(all)
}
