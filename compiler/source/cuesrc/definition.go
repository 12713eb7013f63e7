package cuesrc

import (
	"fmt"
	"slices"
	"strings"

	"cuelang.org/go/cue"

	"github.com/weir-mesh/weir/compiler/diag"
)

// definition is what the schema says about a place: all of these values. A definition may be in error by
// itself, as one is whose guards ask for a missing field; the operands that it is made of then say the rest.
type definition []cue.Value

func define(v cue.Value) definition {
	if !v.Exists() {
		return nil
	}
	d := definition{v}
	if v.Err() == nil {
		return d
	}
	if op, parts := v.Expr(); op == cue.AndOp {
		for _, p := range parts {
			if p.Err() == nil {
				d = append(d, p)
			}
		}
	}
	return d
}

type fieldDefinition struct {
	definition
	required bool
	doc      string
}

// fields are the named fields that the place may have.
func (d definition) fields() map[string]fieldDefinition {
	m := map[string]fieldDefinition{}
	for _, v := range d {
		it, err := v.Fields(cue.All()) // it also shows the fields of what is in error
		if err != nil {
			continue
		}
		for it.Next() {
			s := it.Selector()
			if s.LabelType() != cue.StringLabel {
				continue
			}
			f := fieldDefinition{definition: define(it.Value()), required: s.ConstraintType() == cue.RequiredConstraint}
			for _, g := range it.Value().Doc() {
				f.doc, _, _ = strings.Cut(oneLine(g.Text()), ". ")
				f.doc = strings.TrimSuffix(f.doc, ".")
				break
			}
			m[s.Unquoted()] = f
		}
	}
	return m
}

// element is the definition of a list's elements, pattern that of a map's values.
func (d definition) element() definition { return d.lookup(cue.AnyIndex) }
func (d definition) pattern() definition { return d.lookup(cue.AnyString) }

func (d definition) lookup(s cue.Selector) definition {
	for _, v := range d {
		parts := []cue.Value{v}
		if op, operands := v.Expr(); op == cue.AndOp {
			parts = append(parts, operands...)
		}
		for _, p := range parts {
			if e := p.LookupPath(cue.MakePath(s)); e.Exists() {
				return define(e)
			}
		}
	}
	return nil
}

// allows reports whether the place, a map, may have the key.
func (d definition) allows(key string) bool {
	return !slices.ContainsFunc(d, func(v cue.Value) bool { return v.Err() == nil && !v.Allows(cue.Str(key)) })
}

// choices are the strings that the place may be, where it is one of several.
func (d definition) choices() []string {
	var out []string
	for _, v := range d {
		out = collectChoices(v, out, 10)
	}
	return out
}

func collectChoices(v cue.Value, out []string, depth int) []string {
	if depth == 0 {
		return out
	}
	op, parts := v.Expr()
	switch op {
	case cue.OrOp, cue.AndOp:
		for _, p := range parts {
			out = collectChoices(p, out, depth-1)
		}
	case cue.SelectorOp:
		if d := cue.Dereference(v); d != v {
			out = collectChoices(d, out, depth-1)
		}
	case cue.NoOp:
		if s, err := v.String(); err == nil {
			out = append(out, s)
		}
	}
	return out
}

// structure compares an object with its definition, field by field: unknown and missing ones. CUE finds these
// too, but gives up on a struct in which something else is wrong.
type structure struct {
	x *explainer
	l diag.List
	// unknown has the paths of unknown fields, missing those of missing ones.
	unknown, missing map[string]bool
}

// compare looks at a struct or list: as defined, as evaluated, and as the user's files alone have it.
func (s *structure) compare(d definition, v, raw cue.Value, path string) {
	if len(d) == 0 || len(s.l) >= maxDiagnostics {
		return
	}
	switch raw.IncompleteKind() {
	case cue.StructKind:
		s.fields(d, v, raw, path)
	case cue.ListKind:
		it, err := raw.List()
		if err != nil {
			return
		}
		e := d.element()
		for i := 0; it.Next(); i++ {
			s.compare(e, v.LookupPath(cue.MakePath(cue.Index(i))), it.Value(), joinIndex(path, i))
		}
	}
}

func (s *structure) fields(d definition, v, raw cue.Value, path string) {
	it, err := raw.Fields()
	if err != nil {
		return
	}
	known := d.fields()
	var names, meant []string
	for n := range known {
		names = append(names, n)
	}
	slices.Sort(names)
	present := map[string]bool{}
	for it.Next() {
		name := it.Selector().Unquoted()
		at := joinField(path, name)
		present[name] = true
		f, ok := known[name]
		switch {
		case ok:
			s.compare(f.definition, v.LookupPath(cue.MakePath(cue.Str(name))), it.Value(), at)
		case len(known) == 0 && d.allows(name):
			s.compare(d.pattern(), v.LookupPath(cue.MakePath(cue.Str(name))), it.Value(), at)
		case len(known) == 0:
			s.badKey(name, at)
		default:
			meant = append(meant, s.unknownField(name, names, at))
		}
	}
	for _, n := range names {
		if f := known[n]; f.required && !present[n] && !slices.Contains(meant, n) && !v.LookupPath(cue.MakePath(cue.Str(n))).Exists() {
			s.missingField(n, f, path)
		}
	}
}

// unknownField reports a field and returns the one that was probably meant.
func (s *structure) unknownField(name string, names []string, at string) (meant string) {
	s.unknown[at] = true
	hint, meant := suggest(name, names)
	s.l.Add(diag.Diagnostic{Code: CodeField, Severity: diag.Error, Pos: s.x.out.KeyPos(at), Message: "unknown field " + quote(truncate(name)), Hint: hint})
	return meant
}

func (s *structure) badKey(name, at string) {
	s.unknown[at] = true
	s.l.Add(diag.Diagnostic{Code: CodeName, Severity: diag.Error, Pos: s.x.out.KeyPos(at),
		Message: fmt.Sprintf("%s is no valid key of %s", quote(truncate(name)), lastOf(parentPath(at))),
		Hint:    "`weir docs " + string(CodeName) + "` has the forms of names and keys"})
}

func (s *structure) missingField(name string, f fieldDefinition, path string) {
	s.missing[joinField(path, name)] = true
	d := diag.Diagnostic{Code: CodeMissing, Severity: diag.Error, Pos: s.x.out.Pos(path), Message: name + " is missing"}
	if f.doc != "" {
		d.Hint = name + ": " + f.doc
	}
	if c := f.choices(); len(c) > 0 && len(c) < 8 {
		d.Hint = name + " is " + orList(quoteAll(c))
	}
	s.l.Add(d)
}
