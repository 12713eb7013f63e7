package cuesrc

import (
	"context"
	_ "embed" // places
	"encoding/json"
	"fmt"
	"slices"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/build"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/errors"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/source/manifest"
	"github.com/weir-mesh/weir/schemas"
)

// contextObjects is how many objects one CUE context evaluates before a fresh one takes over: a context keeps
// what was built in it, and costs a few milliseconds to make (the schema is compiled anew).
const contextObjects = 500

// maxJSONBytes bounds the objects of a package set together.
const maxJSONBytes = 256 << 20

// maxDiagnostics bounds the findings, which a hostile package could make without end.
const maxDiagnostics = 1000

// testsField is the bundle's field that holds tests.
const testsField = "tests"

// Evaluate loads the paths in this process. It is for trusted input and for the child process: it cannot be
// interrupted while CUE evaluates one piece. Progress is called with the files that are evaluated next, together.
// Files that are given stand alone, like named ones, in the working folder.
func Evaluate(ctx context.Context, paths []string, progress func([]string), given ...manifest.File) (*Bundle, error) {
	return evaluate(ctx, paths, how{pieceSize, true}, progress, given...)
}

// how says in what way objects are evaluated, which must change nothing but the cost.
type how struct {
	piece    int
	literals bool
}

func evaluate(ctx context.Context, paths []string, how how, progress func([]string), given ...manifest.File) (*Bundle, error) {
	inst, err := loadSchema(schemas.FS)
	if err != nil {
		return nil, err
	}
	if len(paths)+len(given) == 0 {
		paths = []string{"."}
	}
	r := &reader{ctx: ctx, seen: map[string]bool{}}
	r.paths(paths)
	for _, f := range given {
		r.given(f)
	}
	e := &evaluator{reader: r, schema: inst, how: how, progress: progress, out: &Bundle{}, fields: map[string]bool{testsField: true}}
	for _, k := range schemas.Kinds() {
		e.fields[k.Bundle] = true
	}
	if err := e.fresh(); err != nil {
		return nil, err
	}
	packs := r.packages()
	for _, f := range r.files {
		e.out.Files = append(e.out.Files, f.name)
	}
	for _, p := range packs {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("evaluating %s: %w", p.own[0].name, err)
		}
		if err := e.pack(p); err != nil {
			return nil, err
		}
	}
	e.finish()
	return e.out, nil
}

type evaluator struct {
	reader   *reader
	schema   *build.Instance
	how      how
	progress func([]string)
	out      *Bundle

	cue    *cue.Context
	place  cue.Value       // what places give (place.cue)
	fields map[string]bool // the bundle's fields
	built  int             // objects evaluated in this context
	bytes  int             // of all objects' JSON
	// dropped is true when there were more findings than are kept.
	dropped bool
}

// places is what an object's place gives it.
//
//go:embed place.cue
var places string

// fresh replaces the CUE context, and drops what the last one kept.
func (e *evaluator) fresh() error {
	e.cue, e.built = cuecontext.New(), 0
	e.place = e.cue.CompileString(places, cue.Filename(schemaModule+"/place.cue")).LookupPath(cue.MakePath(cue.Def("#Bundle")))
	if err := e.place.Err(); err != nil {
		return fmt.Errorf("evaluating what places give: %w", err)
	}
	return nil
}

// bundle is the schema's closed definition of a whole bundle.
func (e *evaluator) bundle() cue.Value {
	return e.cue.BuildInstance(e.schema).LookupPath(cue.MakePath(cue.Def("#Bundle")))
}

// pack evaluates one package. What is wrong in it goes to the diagnostics; the error is for a failure of ours.
func (e *evaluator) pack(p *pack) error {
	e.progress(sourceNames(p.own))
	files, diags := parse(slices.Concat(p.own, p.inherited))
	imp := newImporter(e.reader, e.schema, p.module)
	for _, f := range files {
		imp.check(f)
	}
	diags = append(diags, imp.diags...)
	if diags.HasErrors() {
		e.report(diags)
		return nil
	}
	inst := imp.build.NewInstance(p.dir, nil)
	inst.PkgName = p.name
	var errs []error
	for _, f := range files {
		errs = append(errs, inst.AddSyntax(f))
	}
	errs = append(errs, inst.Complete())
	if inst.ResolutionErr != nil {
		errs = append(errs, inst.ResolutionErr)
	}
	for _, err := range errs {
		if err != nil {
			imp.diags = append(imp.diags, plainErrors(CodeReference, err, files)...)
		}
	}
	if imp.diags.HasErrors() {
		e.report(imp.diags)
		return nil
	}
	u := &unit{evaluator: e, pack: p, imp: imp, own: names(p.own), user: names(p.own, p.inherited, imp.files), layout: layoutOf(files, e.fields)}
	return e.pieces(u, u.layout)
}

func names(lists ...[]*sourceFile) map[string]bool {
	m := map[string]bool{}
	for _, l := range lists {
		for _, f := range l {
			m[f.name] = true
		}
	}
	return m
}

// unit is a package in evaluation.
type unit struct {
	*evaluator
	pack   *pack
	imp    *importer
	own    map[string]bool // the files of its folder
	user   map[string]bool // the files whose places may be shown: its own, those above and those it imports
	raw    cue.Value       // the piece as the user's files alone have it
	value  cue.Value       // and with what the places give
	full   cue.Value       // and unified with the closed bundle, where that was needed
	failed bool            // what the package shares is in error: further pieces would say the same
	layout *layout
	found  *texts // what texts returns, once it was asked
}

// pieces evaluates a package, a few objects at a time where that means the same.
func (e *evaluator) pieces(u *unit, l *layout) error {
	u.unknownFields(l)
	own := u.owned(l)
	if !l.separable {
		return u.whole(l, own)
	}
	l.take(nil)
	if err := u.build(l, 0, true); err != nil {
		return err
	}
	if e.how.literals && !l.patterns && !u.failed {
		own = slices.DeleteFunc(own, u.literal)
	}
	for len(own) > 0 && !u.failed {
		piece := own[:min(e.how.piece, len(own))]
		own = own[len(piece):]
		chosen := map[*object]bool{}
		for _, o := range piece {
			chosen[o] = true
		}
		l.take(chosen)
		if err := u.build(l, len(piece), false); err != nil {
			return err
		}
		for field := range u.fields {
			values, errs := u.objectsOf(field) // what is said of all objects may not be known
			u.report(u.explainer(values, nil).list(errs))
		}
		for _, o := range piece {
			u.object(o.key, o)
		}
	}
	return nil
}

// literal takes an object that is plain data and right, and reports whether it did.
func (u *unit) literal(o *object) bool {
	data, kind, ok := literalObject(o.key, o)
	if ok {
		out := written(o)
		out.Kind = kind
		u.accept(o.key, out, data)
	}
	return ok
}

// written is an object as far as its text says it.
func written(o *object) Object {
	out := Object{Name: o.key.name, Key: spanOf(o.decls[0].Label).position()}
	p := &placer{home: out.Key.File, places: map[string]Place{}}
	for _, d := range o.decls {
		p.value("", d.Value)
	}
	out.Fields = p.places
	return out
}

// owned leaves out the objects that only the folders above declare: they are theirs.
func (u *unit) owned(l *layout) []*object {
	var own []*object
	for _, o := range l.objects {
		if slices.ContainsFunc(o.decls, func(f *ast.Field) bool { return u.own[f.Pos().Filename()] }) {
			own = append(own, o)
		}
	}
	return own
}

// whole evaluates a package in one piece, with the objects that it computes.
func (u *unit) whole(l *layout, own []*object) error {
	before := len(u.out.Diagnostics)
	if err := u.build(l, len(l.objects), true); err != nil || u.failed {
		return err
	}
	written := map[objectKey]*object{}
	for _, o := range l.objects {
		written[o.key] = o
	}
	for _, o := range own {
		u.object(o.key, o)
	}
	for field := range u.fields {
		values, errs := u.objectsOf(field)
		it, err := values.Fields(cue.All()) // it also shows what is in error
		if err != nil {
			u.report(u.errors(values, nil, err))
			continue
		}
		u.report(u.explainer(values, nil).list(errs))
		for it.Next() {
			if s := it.Selector(); s.LabelType() != cue.StringLabel || s.ConstraintType() != 0 {
				continue
			}
			k := objectKey{field, it.Selector().Unquoted()}
			if written[k] != nil {
				continue
			}
			if at := u.userPosition(it.Value()); at.File == "" || u.own[at.File] {
				u.object(k, &object{key: k})
			}
		}
	}
	u.computedFields(l)
	if !u.dropped && !u.out.Diagnostics[before:].HasErrors() {
		u.report(u.unsettled(l))
	}
	return nil
}

// build evaluates the files as they are now, with about n objects in them.
func (u *unit) build(l *layout, n int, first bool) error {
	if u.built > 0 && u.built+n > contextObjects {
		if err := u.fresh(); err != nil {
			return err
		}
	}
	u.built += n + 1
	u.progress(fileNames(l.taken))
	inst := u.imp.build.NewInstance(u.pack.dir, nil)
	inst.PkgName = u.pack.name
	for _, f := range l.taken {
		if err := inst.AddSyntax(f); err != nil {
			return fmt.Errorf("building a piece of %s: %w", u.pack.dir, err)
		}
	}
	err := inst.Complete()
	inst.ResolutionErr = nil // an import may be used by another piece; the whole was resolved before
	u.raw = u.cue.BuildInstance(inst)
	if err == nil && inst.Err != nil {
		err = inst.Err
	}
	if err != nil {
		u.failed = true
		u.report(plainErrors(CodeReference, err, slices.Concat(l.taken, u.imp.parsed)))
		return nil
	}
	u.value, u.full = u.place.Unify(u.raw), cue.Value{}
	if first {
		u.shared()
	}
	return nil
}

func sourceNames(files []*sourceFile) []string {
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = f.name
	}
	return names
}

func fileNames(files []*ast.File) []string {
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = f.Filename
	}
	return names
}

// object evaluates one object to JSON, or reports what is wrong with it.
func (u *unit) object(k objectKey, o *object) {
	if u.failed {
		return
	}
	at := cue.MakePath(cue.Str(k.field), cue.Str(k.name))
	val := u.value.LookupPath(at)
	var out Object
	if v := u.raw.LookupPath(at); len(o.decls) > 0 {
		out = written(o)
		u.locate(&placer{home: out.Key.File, places: out.Fields}, "", v)
	} else {
		if !v.Exists() { // its name is known with the schema only
			v = u.whenFull().LookupPath(at)
		}
		out = u.computed(k, v)
	}
	out.Kind = kindOf(k.field)
	data, err := u.json(at)
	if err != nil {
		u.report(u.examine(val, k, &out))
		return
	}
	if errs := lost(u.raw.LookupPath(at)); len(errs) > 0 {
		u.report(u.explainer(val, &out).list(errs))
		return
	}
	if ps := check(k, out.Kind, data); len(ps) > 0 {
		u.report(problems(&out, ps, data))
		return
	}
	u.accept(k, out, data)
}

// json is the value at a path as JSON. The schema may still decide what the files leave open, such as kind: string; but what waits
// for itself may be forgotten with it.
func (u *unit) json(at cue.Path) ([]byte, error) {
	data, err := marshal(u.value.LookupPath(at))
	if err == nil || slices.ContainsFunc(errors.Errors(err), func(e errors.Error) bool { return leavesOut(e) || isPending(e) }) {
		return data, err
	}
	return marshal(u.whenFull().LookupPath(at))
}

// whenFull is the piece unified with the closed bundle.
func (u *unit) whenFull() cue.Value {
	if !u.full.Exists() {
		u.full = u.bundle().Unify(u.raw)
	}
	return u.full
}

// marshal writes a value that is complete and right as JSON.
func marshal(v cue.Value) ([]byte, error) {
	if err := v.Validate(cue.Concrete(true), cue.Final(), cue.All()); err != nil {
		return nil, err
	}
	data, err := v.MarshalJSON()
	if err != nil {
		return nil, err
	}
	return canonical(data)
}

// kindOf is the kind of what a field of the bundle holds.
func kindOf(field string) string {
	for _, k := range schemas.Kinds() {
		if k.Bundle == field {
			return k.Name
		}
	}
	return "Test"
}

// accept keeps an object that is right.
func (u *unit) accept(k objectKey, out Object, data []byte) {
	out.JSON = data
	if k.field == testsField {
		u.out.Tests = append(u.out.Tests, out)
	} else {
		out.Name, out.Namespace = nameOf(data, k.name)
		u.out.Objects = append(u.out.Objects, out)
	}
	if u.bytes += len(data); u.bytes > maxJSONBytes && !u.failed {
		u.failed = true
		u.report(diag.List{{Code: manifest.CodeLimit, Severity: diag.Error, Pos: out.Key,
			Message: fmt.Sprintf("the objects are more than %d MiB together (limit on total size)", maxJSONBytes>>20), Hint: "name fewer paths"}})
	}
}

// nameOf reads name and namespace of an evaluated object.
func nameOf(data []byte, key string) (name, namespace string) {
	var o struct {
		Metadata struct{ Name, Namespace string }
	}
	if err := json.Unmarshal(data, &o); err != nil || o.Metadata.Name == "" {
		return key, ""
	}
	return o.Metadata.Name, o.Metadata.Namespace
}

func (e *evaluator) report(l diag.List) {
	if room := maxDiagnostics - len(e.out.Diagnostics); len(l) > room {
		l, e.dropped = l[:max(room, 0)], true
	}
	e.out.Diagnostics = append(e.out.Diagnostics, l...)
}

// finish puts everything into the order of the places, which no order of evaluation changes.
func (e *evaluator) finish() {
	byPlace := func(a, b Object) int { return a.Key.Compare(b.Key) }
	slices.SortStableFunc(e.out.Objects, byPlace)
	slices.SortStableFunc(e.out.Tests, byPlace)
	e.repeats(e.out.Objects)
	e.out.Diagnostics = append(e.out.Diagnostics, e.reader.diags...)
	if e.dropped {
		e.out.Diagnostics.Add(diag.Diagnostic{Code: CodeTooMany, Severity: diag.Error, Message: fmt.Sprintf("more than %d findings: the rest is left out", maxDiagnostics), Hint: "correct these first"})
	}
	e.out.Diagnostics.Sort()
}

// repeats reports objects that two packages, or two keys, declare: which one holds would hang on the order.
func (e *evaluator) repeats(objects []Object) {
	first := map[string]*Object{}
	for i := range objects {
		o := &objects[i]
		ns := o.Namespace
		if ns == "" {
			ns = "default"
		}
		k := o.Kind + " " + ns + "/" + o.Name
		f := first[k]
		if f == nil {
			first[k] = o
			continue
		}
		e.report(diag.List{{Code: manifest.CodeTwice, Severity: diag.Error, Pos: o.Pos("metadata.name"), Message: o.Ref() + " is given twice",
			Hint: "keep one of the two", Related: []diag.Related{{Pos: f.Pos("metadata.name"), Message: "first given here"}}}})
	}
}
