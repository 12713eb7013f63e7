package cuesrc

import (
	"maps"
	"slices"
	"strconv"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/errors"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/schemas"
)

// examine explains why an object cannot be evaluated: values that conflict, are not known, or fail. What does
// not belong to it is reported too; the rest of the schema is for when its values are known.
func (u *unit) examine(v cue.Value, k objectKey, out *Object) diag.List {
	x := u.explainer(v, out)
	var l diag.List
	unknownFields(u.raw.LookupPath(cue.MakePath(cue.Str(k.field), cue.Str(k.name))), out, "", nil, &l)
	x.visit(v, &l)
	if len(l) == 0 { // it is known, but not to the schema; or what is wrong says nothing: it must not pass
		full := u.full.LookupPath(cue.MakePath(cue.Str(k.field), cue.Str(k.name)))
		u.explainer(full, out).visit(full, &l)
	}
	if len(l) == 0 {
		l.Add(diag.Diagnostic{Code: CodeEvaluation, Severity: diag.Error, Pos: out.Pos(""), Message: out.Ref() + " cannot be evaluated"})
	}
	l = outermost(l)
	l.Sort()
	return l
}

// unknownFields reports the fields of a value that the schema does not have at its place.
func unknownFields(v cue.Value, out *Object, path string, at []string, l *diag.List) {
	known, closed := schemas.Fields(out.Kind, at...)
	// A struct that is closed to a field in it is in error as a whole, and still has its fields.
	if it, err := v.Fields(); err == nil && v.IncompleteKind()&^cue.StructKind == 0 {
		for it.Next() {
			if it.Selector().LabelType() != cue.StringLabel {
				continue // a list in error
			}
			name := it.Selector().Unquoted()
			below := joinField(path, name)
			if closed && !slices.Contains(known, name) {
				l.Add(unknownField(out, below, name, known))
				continue
			}
			unknownFields(it.Value(), out, below, append(slices.Clone(at), name), l)
		}
	}
	for i := 0; ; i++ {
		e := v.LookupPath(cue.MakePath(cue.Index(i)))
		if !e.Exists() {
			return
		}
		unknownFields(e, out, joinIndex(path, i), append(slices.Clone(at), strconv.Itoa(i)), l)
	}
}

func unknownField(out *Object, path, name string, known []string) diag.Diagnostic {
	hint, _ := suggest(name, known)
	return diag.Diagnostic{Code: CodeField, Severity: diag.Error, Pos: out.KeyPos(path), Message: "unknown field " + quote(truncate(name)), Hint: hint}
}

// visit reports the errors of a value and of what it holds. An error deeper than a field below is left to the
// visit there.
func (x *explainer) visit(v cue.Value, l *diag.List) {
	if len(*l) >= maxDiagnostics {
		return
	}
	err := v.Validate(cue.Concrete(true), cue.Final(), cue.All())
	if err == nil {
		return
	}
	before := len(*l)
	depth := len(v.Path().Selectors())
	var own, deeper []errors.Error
	for _, e := range errors.Errors(err) {
		if len(e.Path()) <= depth {
			own = append(own, e)
		} else {
			deeper = append(deeper, e)
		}
	}
	*l = append(*l, x.list(own)...)
	visited := x.children(v, l)
	var rest []errors.Error
	for _, e := range deeper {
		if name := e.Path()[depth]; len(e.Path()) == depth+1 && !visited[name] {
			rest = append(rest, e) // a field that is not there
		}
	}
	*l = append(*l, x.list(rest)...)
	if len(*l) == before {
		*l = append(*l, x.list(deeper)...)
	}
}

// children visits what a value holds, and returns the names.
func (x *explainer) children(v cue.Value, l *diag.List) map[string]bool {
	visited := map[string]bool{}
	for i := 0; ; i++ {
		s := cue.Index(i)
		e := v.LookupPath(cue.MakePath(s))
		if !e.Exists() {
			break
		}
		visited[s.String()] = true
		x.visit(e, l)
	}
	it, err := v.Fields(cue.All())
	if err != nil {
		return visited
	}
	for it.Next() {
		s := it.Selector()
		if s.LabelType() != cue.StringLabel || s.ConstraintType() != 0 {
			continue
		}
		visited[s.String()] = true
		x.visit(it.Value(), l)
	}
	return visited
}

// shared reports what is wrong in what a package's objects share: hidden fields, definitions, the file itself.
func (u *unit) shared() {
	v := u.value
	x := u.explainer(v, nil)
	var l diag.List
	it, err := u.raw.Fields(cue.Hidden(true), cue.Definitions(true))
	if err != nil {
		l = append(l, x.list(errors.Errors(err))...)
	} else {
		for it.Next() {
			if it.Selector().LabelType() == cue.StringLabel {
				continue
			}
			if err := it.Value().Validate(cue.All()); err != nil {
				x.near = u.userPosition(it.Value())
				l = append(l, x.list(errors.Errors(err))...)
			}
		}
	}
	if len(l) == 0 {
		var own []errors.Error
		for _, e := range errors.Errors(v.Err()) {
			if len(e.Path()) <= len(x.base) {
				own = append(own, e)
			}
		}
		l = x.list(own)
	}
	u.failed = u.failed || l.HasErrors()
	u.report(l)
}

// unknownFields reports top-level fields that the bundle does not have. A package that others import, and that
// declares no objects, may have fields of its own.
func (u *unit) unknownFields(l *layout) {
	if u.reader.isLibrary(u.pack) && len(l.objects) == 0 {
		return
	}
	for _, f := range l.others {
		name, _ := staticName(f)
		at := spanOf(f.Label).position()
		if !u.own[at.File] {
			continue
		}
		u.report(diag.List{u.topLevel(name, at)})
	}
}

func (u *unit) topLevel(name string, at diag.Position) diag.Diagnostic {
	hint, _ := suggest(name, slices.Sorted(maps.Keys(u.fields)))
	return diag.Diagnostic{Code: CodeField, Severity: diag.Error, Pos: at, Message: "unknown field " + quote(truncate(name)), Hint: hint}
}

// computedFields reports top-level fields that a package computes and the bundle does not have.
func (u *unit) computedFields(l *layout) {
	known := map[string]bool{}
	for _, f := range l.others {
		name, _ := staticName(f)
		known[name] = true
	}
	it, err := u.value.Fields(cue.All())
	if err != nil {
		u.report(u.errors(u.value, nil, err))
		return
	}
	for it.Next() {
		if s := it.Selector(); s.LabelType() != cue.StringLabel || s.ConstraintType() != 0 {
			continue
		}
		name := it.Selector().Unquoted()
		if u.fields[name] || known[name] {
			continue
		}
		if at := u.userPosition(it.Value()); at.File == "" || u.own[at.File] {
			u.report(diag.List{u.topLevel(name, at)})
		}
	}
}
