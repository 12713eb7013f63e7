package cuesrc

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/parser"

	"github.com/weir-mesh/weir/compiler/diag"
)

// Where objects are made of others, and those of them in turn, CUE (v0.17.1) computes the one before the other is known, says
// nothing, and leaves objects out. What a package makes is right only if it makes the same once more of what it made: each
// reference to a field of the bundle is replaced by the result, which takes every circle out, and other objects then, or fewer,
// are what was lost.

// settledName begins the names of the results, which no file of a user's has.
const settledName = "_weir_settled_"

// unsettled reports the objects that a package would have, or lose, if it were made once more.
func (u *unit) unsettled(l *layout) diag.List {
	if !l.circular(u.fields) {
		return nil
	}
	made, ok := u.made()
	if !ok {
		return nil
	}
	again, ok := u.again(made)
	if !ok {
		return nil
	}
	var diags diag.List
	for _, field := range slices.Sorted(maps.Keys(made)) {
		values := u.place.Unify(again).LookupPath(cue.MakePath(cue.Str(field)))
		if len(ownErrors(values)) > 0 {
			return nil // what the files read is not all in the result
		}
		then := regularFields(values)
		for name, v := range then {
			if _, had := made[field][name]; !had {
				diags.Add(u.unsettledObject(field, name, v, "is left out: what would make it reads objects that hang on what it makes"))
			}
		}
		for name := range made[field] {
			if _, has := then[name]; !has {
				diags.Add(u.unsettledObject(field, name, u.value.LookupPath(cue.MakePath(cue.Str(field), cue.Str(name))), "is there only because what makes it does not see all objects that it reads"))
			}
		}
	}
	return diags
}

func (u *unit) unsettledObject(field, name string, v cue.Value, why string) diag.Diagnostic {
	o := u.computed(objectKey{field, name}, v)
	return diag.Diagnostic{Code: CodeCycle, Severity: diag.Error, Pos: o.Key, Message: fmt.Sprintf("%s %s %s", kindOf(field), truncate(name), why), Hint: circleHint}
}

// made are the objects of each field as the package has them; ok is false where that does not say all that can be read of them.
func (u *unit) made() (made map[string]map[string]json.RawMessage, ok bool) {
	made = map[string]map[string]json.RawMessage{}
	for field := range u.fields {
		made[field] = map[string]json.RawMessage{}
		values, _ := u.objectsOf(field)
		for name, v := range regularFields(values) {
			data, err := u.json(cue.MakePath(cue.Str(field), cue.Str(name)))
			if err != nil || u.hasHidden(v) {
				return nil, false
			}
			made[field][name] = data
		}
	}
	return made, true
}

// again is the package with its results in the place of the references to them. ok is false where these do not serve.
func (u *unit) again(made map[string]map[string]json.RawMessage) (again cue.Value, ok bool) {
	files, _ := parse(slices.Concat(u.pack.own, u.pack.inherited)) // nothing was wrong the first time
	var text strings.Builder
	for _, field := range slices.Sorted(maps.Keys(made)) {
		data, err := json.Marshal(made[field])
		if err != nil {
			return cue.Value{}, false
		}
		fmt.Fprintf(&text, "%s%s: %s\n", settledName, field, data)
	}
	results, err := parser.ParseFile(u.pack.dir+"/results", text.String())
	if err != nil {
		return cue.Value{}, false
	}
	files[0].Decls = append(files[0].Decls, results.Decls...)
	inst := u.imp.build.NewInstance(u.pack.dir, nil)
	inst.PkgName = u.pack.name
	for _, f := range files {
		referToResults(f, u.fields)
		if err := inst.AddSyntax(f); err != nil {
			return cue.Value{}, false
		}
	}
	if err := inst.Complete(); err != nil {
		return cue.Value{}, false
	}
	again = u.cue.BuildInstance(inst)
	return again, again.Err() == nil
}

// referToResults gives each reference to a field of the bundle the name of its result.
func referToResults(f *ast.File, fields map[string]bool) {
	results := map[string]string{}
	for field := range fields {
		results[field] = settledName + field
	}
	for _, d := range f.Decls {
		if alias, name, ok := labelAlias(d); ok && fields[name] {
			results[alias.Ident.Name] = settledName + name
			d.(*ast.Field).Label = alias.Expr.(ast.Label) // nothing refers to it any more, which is an error
		}
	}
	elsewhere := map[*ast.Ident]bool{} // declared in another file of the package
	for _, id := range f.Unresolved {
		elsewhere[id] = true
	}
	ast.Walk(f, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && results[id.Name] != "" && (elsewhere[id] || id.Node != nil && id.Scope == ast.Node(f)) {
			id.Name, id.Node, id.Scope = results[id.Name], nil, nil
		}
		return true
	}, nil)
}

// labelAlias is the alias of a field's name, as in X=name: ….
func labelAlias(d ast.Decl) (alias *ast.Alias, name string, ok bool) {
	f, ok := d.(*ast.Field)
	if !ok {
		return nil, "", false
	}
	if alias, ok = f.Label.(*ast.Alias); !ok {
		return nil, "", false
	}
	name, ok = staticName(f)
	return alias, name, ok
}

// regularFields are the fields of a struct that are there.
func regularFields(v cue.Value) map[string]cue.Value {
	fields := map[string]cue.Value{}
	it, err := v.Fields()
	if err != nil {
		return fields
	}
	for it.Next() {
		fields[it.Selector().Unquoted()] = it.Value()
	}
	return fields
}

// hasHidden reports whether a user's file gives a value something that is no part of its JSON, and may be read all the same.
func (u *unit) hasHidden(v cue.Value) bool {
	if v.IncompleteKind() == cue.ListKind {
		for it, err := v.List(); err == nil && it.Next(); {
			if u.hasHidden(it.Value()) {
				return true
			}
		}
		return false
	}
	it, err := v.Fields(cue.Hidden(true), cue.Definitions(true))
	for err == nil && it.Next() {
		if it.Selector().LabelType() == cue.StringLabel && u.hasHidden(it.Value()) || it.Selector().LabelType() != cue.StringLabel && u.userPosition(it.Value()).File != "" {
			return true
		}
	}
	return false
}
