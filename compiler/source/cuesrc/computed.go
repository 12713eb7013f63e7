package cuesrc

import (
	"maps"
	"slices"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"

	"github.com/weir-mesh/weir/compiler/diag"
)

// texts finds where values stand in the user's files that no object's own text spells out: those that a reference brings
// and those that a comprehension makes, whose text is the same for all that it makes.
type texts struct {
	fields map[located]*ast.Field // by where the name and the value begin
	elts   map[located]ast.Expr   // elements of lists, by where they begin
	// shared are the places of the last object that a field made: the next one's are mostly the same.
	shared map[*ast.Field]map[string]Place
}

func newTexts(nodes []ast.Node) *texts {
	t := &texts{fields: map[located]*ast.Field{}, elts: map[located]ast.Expr{}, shared: map[*ast.Field]map[string]Place{}}
	for _, n := range nodes {
		ast.Walk(n, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Field:
				// In `a: b: c` the value of a begins where the name b does: the name comes later, and stays.
				t.fields[begin(n.Value)] = n
				t.fields[begin(n.Label)] = n
			case *ast.ListLit:
				for _, e := range n.Elts {
					t.elts[begin(e)] = e
				}
			}
			return true
		}, nil)
	}
	return t
}

// begin is where a node begins.
func begin(n ast.Node) located { return beginOf(spanOf(n).position()) }

func beginOf(p diag.Position) located {
	return located{p.File, Span{Line: int32(p.Line), Col: int32(p.Col)}}
}

// texts are those of the package and of what it imports.
func (u *unit) texts() *texts {
	if u.found == nil {
		var nodes []ast.Node
		for _, f := range slices.Concat(u.layout.files, u.imp.parsed) {
			nodes = append(nodes, f)
		}
		for _, o := range u.layout.objects { // pieces leave some out of the files
			for _, d := range o.decls {
				nodes = append(nodes, d)
			}
		}
		u.found = newTexts(nodes)
	}
	return u.found
}

// locate adds the places of a value at a path of the object, and of what is in it, where there is none yet.
func (u *unit) locate(p *placer, path string, v cue.Value) {
	if path != "" {
		u.locateOne(p, path, v)
	}
	switch v.IncompleteKind() {
	case cue.ListKind:
		for i := 0; ; i++ {
			e := v.LookupPath(cue.MakePath(cue.Index(i)))
			if !e.Exists() {
				return
			}
			u.locate(p, joinIndex(path, i), e)
		}
	case cue.StructKind:
		it, err := v.Fields()
		if err != nil {
			return // it is reported where values are examined
		}
		for it.Next() {
			u.locate(p, joinField(path, it.Selector().Unquoted()), it.Value())
		}
	}
}

func (u *unit) locateOne(p *placer, path string, v cue.Value) {
	if _, ok := p.places[path]; ok {
		return
	}
	where := beginOf(u.userPosition(v))
	if e := u.texts().elts[where]; e != nil {
		p.add(path, elementNode(e), elementNode(e))
	} else if f := u.texts().fields[where]; f != nil {
		p.addField(path, f)
	}
}

// computed is an object that an expression makes.
func (u *unit) computed(k objectKey, v cue.Value) Object {
	out := Object{Name: k.name, Key: u.userPosition(v)}
	p := &placer{home: out.Key.File, places: map[string]Place{}}
	t := u.texts()
	f := t.fields[beginOf(out.Key)]
	if f != nil {
		out.Key = spanOf(f.Label).position()
		p.value("", f.Value)
	}
	u.locate(p, "", v)
	out.Fields = p.places
	if f == nil {
		return out
	}
	if maps.Equal(t.shared[f], p.places) {
		out.Fields = t.shared[f]
	}
	t.shared[f] = out.Fields
	return out
}
