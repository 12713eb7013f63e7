package cuesrc

import (
	"fmt"
	"slices"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/errors"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/source/manifest"
	"github.com/weir-mesh/weir/schemas"
)

// The methods here put one kind of CUE's errors each into a user's words.

// ownRule explains an error that the user's own CUE raises: it is about the object, and raised elsewhere.
func (x *explainer) ownRule(d *diag.Diagnostic, path string) {
	at := x.out.Pos(path)
	if at.File == d.Pos.File && at.Line == d.Pos.Line {
		return
	}
	d.Code = CodeRule
	d.Related = []diag.Related{{Pos: d.Pos, Message: "says so"}}
	d.Pos = at
}

// known reports whether the language has a field: then what does not allow it is a definition of the user's.
func (x *explainer) known(steps []string) bool {
	var at []string
	for i, s := range steps {
		s = unquoteStep(s)
		if names, ok := schemas.Fields(x.out.Kind, at...); i == len(steps)-1 {
			return ok && slices.Contains(names, s) || !ok && i > 0 // a map has any key
		}
		at = append(at, s)
	}
	return false
}

// closed explains a field of the language that one of the user's definitions has no room for. What the object's place gives
// it, its kind and name, is nothing that the user wrote: one finding for all of that.
func (x *explainer) closed(d *diag.Diagnostic, steps []string) {
	d.Code, d.Related = CodeClosed, nil
	d.Hint = "a definition is closed: build it on the language's own, as in #Base: v1alpha1.#" + x.out.Kind + " & {…}, or end it with \"...\""
	path := x.path(steps)
	if top := unquoteStep(steps[0]); top != "spec" && !x.written(steps).Exists() {
		d.Pos = x.out.Pos("")
		d.Message = "the definition that this builds on has no room for apiVersion, kind and metadata"
		return
	}
	if _, written := x.out.Fields[path]; written {
		d.Pos = x.out.KeyPos(path)
	}
	d.Message = "the definition that this builds on has no field " + quote(last(steps))
}

// outermost leaves out fields that a closed definition has no room for where it has none for what holds them.
func outermost(l diag.List) diag.List {
	refused := map[string]bool{}
	for i := range l {
		if l[i].Code == CodeClosed {
			refused[l[i].Pos.Path] = true
		}
	}
	return slices.DeleteFunc(l, func(d diag.Diagnostic) bool {
		for at := parentPath(d.Pos.Path); d.Code == CodeClosed && at != ""; at = parentPath(at) {
			if refused[at] {
				return true
			}
		}
		return false
	})
}

// general explains errors of the evaluation itself.
func (x *explainer) general(d *diag.Diagnostic, e errors.Error) {
	format, args := e.Msg()
	switch {
	case isCircle(e), waitsForValue(e) && circle(lookupHidden(x.unit.raw, asWritten(e.Path()))) != nil:
		x.refersToItself(d, e)
	case strings.HasPrefix(format, "conflicting values"):
		d.Code, d.Hint = CodeConflict, "a field has one value: the places must agree"
	case strings.HasPrefix(d.Message, "incomplete bool"):
		d.Code, d.Message, d.Hint = CodeIncomplete, "a condition hangs on this, and it has no value yet", "what the condition adds would be lost: write the value itself"
	case strings.HasPrefix(format, "non-concrete value"):
		d.Code, d.Message, d.Hint = CodeIncomplete, "this has no value yet, and something hangs on it", "it is a constraint only: write the value itself"
	case strings.HasPrefix(format, "unresolved disjunction"):
		d.Code, d.Message, d.Hint = CodeIncomplete, "this is a choice without a default, and something hangs on it", "write the value itself, or mark one with *"
	case strings.HasPrefix(format, "cannot reference optional field"):
		d.Code, d.Message, d.Hint = CodeReference, "the field "+truncate(fmt.Sprint(args...))+" is not there", "it is optional, and nothing gives it"
	case strings.HasPrefix(format, "reference"), strings.HasPrefix(format, "undefined field"), strings.HasPrefix(format, "field not found"):
		d.Code = CodeReference
	case strings.Contains(d.Message, "exceeds limit of"):
		d.Hint = "that limit is CUE's own, and no flag changes it: ask for less"
	case strings.HasPrefix(format, failedCall):
		d.Hint = "the function cannot do this with these arguments"
	}
}

// rule explains what a rule of the schema says: about one value, or about fields that do not go together.
func (x *explainer) rule(d *diag.Diagnostic, e errors.Error, steps []string) {
	d.Code, d.Related, d.Message = CodeRule, nil, textTo(e, 4*maxValue)
	w := x.written(steps)
	if w.Exists() && w.IncompleteKind()&(cue.StructKind|cue.ListKind) == 0 {
		d.Code = CodeValue
		if s, err := w.String(); err == nil {
			d.Hint = manifest.NearestChoice(s, d.Message)
		}
	}
}

func (x *explainer) kindWritten(steps []string) string {
	w := x.written(steps)
	if !w.Exists() {
		return "a single value"
	}
	return typeName(w.IncompleteKind().String())
}

func (x *explainer) wrongType(d *diag.Diagnostic, e errors.Error, steps []string) {
	_, args := e.Msg()
	if len(args) < 4 {
		return
	}
	a, b := fmt.Sprint(args[2]), fmt.Sprint(args[3])
	mine := x.written(steps)
	switch {
	case mine.Exists() && mine.IncompleteKind().String() == a:
	case mine.Exists() && mine.IncompleteKind().String() == b:
		a, b = b, a
	default: // two of the user's own values
		d.Code, d.Hint = CodeConflict, "a field has one value: the places must agree"
		return
	}
	d.Code, d.Related = CodeType, nil
	d.Message = fmt.Sprintf("%s must be %s, not %s", last(steps), typeName(b), typeName(a))
}

// written is the value at a place as the user's files alone have it.
func (x *explainer) written(steps []string) cue.Value {
	if len(x.base) < 1 {
		return cue.Value{}
	}
	return lookupSteps(x.unit.raw, append(slices.Clone(x.base[1:]), steps...)) // base begins with #Bundle
}

func (x *explainer) conflict(d *diag.Diagnostic, e errors.Error, steps []string, args []any) {
	mine := x.written(steps)
	if mine.Err() == nil && len(args) == 2 && mine.IsConcrete() && mine.IncompleteKind()&(cue.StructKind|cue.ListKind) == 0 {
		m, err := mine.MarshalJSON()
		for i, a := range args {
			if err == nil && fmt.Sprint(a) == string(m) {
				d.Code, d.Related = CodeValue, nil
				d.Message = fmt.Sprintf("%s must be %s, not %s", last(steps), truncate(fmt.Sprint(args[1-i])), truncate(string(m)))
				return
			}
		}
	}
	d.Code, d.Hint = CodeConflict, "a field has one value: the places must agree"
	d.Message = last(steps) + " has " + strings.TrimPrefix(text(e), "conflicting values ") + " for values"
}

// choice explains a value that is none of those that a field may have.
func (x *explainer) choice(arms []errors.Error) diag.Diagnostic {
	e := arms[0]
	steps, _ := x.steps(e)
	d := diag.Diagnostic{Code: CodeValue, Severity: diag.Error}
	if x.out == nil {
		d.Code, d.Message = CodeConflict, text(e)
		d.Pos, _ = x.place(e, "")
		return d
	}
	d.Pos, _ = x.place(e, x.path(steps))
	m, _ := x.written(steps).MarshalJSON()
	var choices, plain []string
	for _, a := range arms {
		_, args := a.Msg()
		for _, v := range args[:min(len(args), 2)] {
			if s := truncate(fmt.Sprint(v)); s != truncate(string(m)) && !slices.Contains(choices, s) {
				choices = append(choices, s)
				plain = append(plain, unquoteStep(s))
			}
		}
	}
	d.Message = fmt.Sprintf("%s must be %s, not %s", last(steps), orList(choices), truncate(string(m)))
	d.Hint = nearestValue(unquoteStep(string(m)), plain)
	return d
}

func (x *explainer) incomplete(d *diag.Diagnostic, steps []string) {
	d.Code, d.Related = CodeIncomplete, nil
	d.Message = last(steps) + " has no value yet"
	d.Pos = x.out.Pos(x.path(steps))
	d.Hint = "it is a constraint only: write the value itself"
}

// pending explains a struct of which CUE never learns whether it is there: it would be there if a condition held that reads
// what the struct is in.
func (x *explainer) pending(d *diag.Diagnostic, steps []string) {
	d.Code, d.Related, d.Hint = CodeCycle, nil, circleHint
	d.Pos = x.out.Pos(x.path(steps))
	name := last(steps)
	if len(steps) == 0 {
		name = x.out.Ref()
	}
	d.Message = name + " waits for itself: whether it is there hangs on what would change with it"
}
