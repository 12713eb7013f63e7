package cuesrc

import (
	"maps"
	"slices"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/errors"

	"github.com/weir-mesh/weir/compiler/diag"
)

// examine finds everything that is wrong with an object. CUE leaves out errors deep in a value that has others
// further up, so every field is looked at by itself.
func (u *unit) examine(v cue.Value, k objectKey, out *Object) diag.List {
	x := u.explainer(v, out)
	x.def = define(u.lang.LookupPath(cue.MakePath(cue.Def("#" + out.Kind))))
	x.str = &structure{x: x, unknown: map[string]bool{}, missing: map[string]bool{}}
	x.str.compare(x.def, v, u.raw.LookupPath(cue.MakePath(cue.Str(k.field), cue.Str(k.name))), "")
	l := x.str.l
	x.visit(v, &l)
	l = withoutEchoes(l)
	if len(l) == 0 { // what is wrong was said elsewhere, or says nothing: it must not pass
		err := v.Validate(cue.Concrete(true), cue.Final(), cue.All())
		for _, e := range errors.Errors(err) {
			d := diag.Diagnostic{Code: CodeEvaluation, Severity: diag.Error, Message: text(e)}
			d.Pos, _ = x.place(e, "")
			l.Add(d)
		}
	}
	l.Sort()
	return l
}

// covers reports whether the path is an unknown field or lies in one.
func (s *structure) covers(path string) bool {
	for at := path; at != ""; at = parentPath(at) {
		if s.unknown[at] {
			return true
		}
	}
	return false
}

// withoutEchoes drops what a rule across fields says about a field that is itself wrong: to the rule, such a
// field looks as if it were not there.
func withoutEchoes(l diag.List) diag.List {
	return slices.DeleteFunc(slices.Clone(l), func(rule diag.Diagnostic) bool {
		if rule.Code != CodeRule {
			return false
		}
		return slices.ContainsFunc(l, func(d diag.Diagnostic) bool {
			in, below := strings.CutPrefix(d.Pos.Path, rule.Pos.Path)
			if !below || in == "" && d.Code != CodeMissing || d.Code == CodeRule && in == "" {
				return false
			}
			field := firstStep(in)
			if d.Code == CodeMissing && in == "" {
				field, _, _ = strings.Cut(d.Message, " ")
			}
			return mentions(rule.Message, field) || d.Code == CodeField && strings.Contains(d.Hint, "did you mean") &&
				mentions(rule.Message, strings.TrimSuffix(strings.TrimPrefix(d.Hint, "did you mean \""), "\"?"))
		})
	})
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
func (u *unit) shared(v cue.Value) {
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
		if !u.ownFile(at.File) {
			continue
		}
		u.report(diag.List{u.unknownField(name, at)})
	}
}

func (u *unit) unknownField(name string, at diag.Position) diag.Diagnostic {
	hint, _ := suggest(name, slices.Sorted(maps.Keys(u.fields)))
	return diag.Diagnostic{Code: CodeField, Severity: diag.Error, Pos: at, Message: "unknown field " + quote(truncate(name)), Hint: hint}
}

// computedFields reports top-level fields that a package computes and the bundle does not have.
func (u *unit) computedFields(v cue.Value, l *layout) {
	known := map[string]bool{}
	for _, f := range l.others {
		name, _ := staticName(f)
		known[name] = true
	}
	it, err := v.Fields()
	if err != nil {
		u.report(u.errors(v, nil, err))
		return
	}
	for it.Next() {
		name := it.Selector().Unquoted()
		if u.fields[name] || known[name] {
			continue
		}
		if at := u.userPosition(it.Value()); at.File == "" || u.ownFile(at.File) {
			u.report(diag.List{u.unknownField(name, at)})
		}
	}
}

// badName reports an object whose name the bundle does not take.
func (u *unit) badName(k objectKey, out *Object) {
	d := diag.Diagnostic{Code: CodeName, Severity: diag.Error, Pos: out.Key,
		Message: quote(truncate(k.name)) + " is no name for an object of " + k.field,
		Hint:    `a name is lower-case letters, digits, "-" and ".", at most 253; "namespace/name" gives the namespace too where the kind has one`}
	if k.field == testsField {
		d.Message = quote(truncate(k.name)) + " is no name for a test"
		d.Hint = "a test is named by a sentence of 1 to 128 characters on one line"
	}
	u.report(diag.List{d})
}
