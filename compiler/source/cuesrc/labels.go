package cuesrc

import (
	"fmt"
	"slices"
	"strings"

	"cuelang.org/go/cue/errors"

	"github.com/weir-mesh/weir/compiler/diag"
)

// unknownLabel begins what CUE says of a field whose name is not known, which it leaves out.
const unknownLabel = "key value of dynamic field"

// labelErrors finds the errors that say why a field's name is not known, and gives the reason of each. CUE mostly tells such a
// thing once of the name, and once more of what the name is made of: one of the two is enough, and the other has no reason here.
func (x *explainer) labelErrors(errs []errors.Error) map[errors.Error]errors.Error {
	labels := map[errors.Error]errors.Error{}
	for _, e := range errs {
		format, args := e.Msg()
		switch {
		case strings.HasPrefix(format, unknownLabel):
			labels[e] = e
			for _, of := range errs {
				if of != e && strings.Contains(fmt.Sprint(args...), of.Error()) {
					labels[e], labels[of] = nil, innermost(of)
				}
			}
		case format == "invalid interpolation" && x.isLabel(position(e.Position())):
			labels[e] = innermost(e)
		}
	}
	return labels
}

// isLabel reports whether a field's name begins at a place.
func (x *explainer) isLabel(at diag.Position) bool {
	f := x.unit.texts().fields[beginOf(at)]
	return f != nil && begin(f.Label) == beginOf(at)
}

// innermost is what an error was caused by in the end.
func innermost(err errors.Error) errors.Error {
	for {
		var cause errors.Error
		if !errors.As(errors.Unwrap(err), &cause) {
			return err
		}
		err = cause
	}
}

// label explains that a field is left out because its name is not known.
func (x *explainer) label(e, why errors.Error) diag.Diagnostic {
	d := diag.Diagnostic{Code: CodeIncomplete, Severity: diag.Error, Hint: "without its name the field would be lost: give a value to what the name is made of"}
	steps, below := x.steps(e)
	var path string
	if below && x.out != nil {
		path = x.path(steps)
	}
	at, others := x.place(e, path)
	if own := position(e.Position()); x.unit.user[own.File] {
		others = append(slices.DeleteFunc(others, func(p diag.Position) bool { return p == own }), at)
		own.Object, own.Path = at.Object, at.Path
		at = own
	}
	d.Pos = at
	for _, p := range others {
		if p.File != at.File || p.Line != at.Line {
			d.Related = append(d.Related, diag.Related{Pos: p, Message: "has a part in it"})
		}
	}
	reason, known := whyUnknown(why)
	switch {
	case known:
	case isCircle(why):
		d.Code, d.Hint = CodeCycle, circleHint
	default:
		d.Code = CodeEvaluation
	}
	d.Message = "the name of a field of " + x.nameOf(asWritten(e.Path())) + " is not known: " + reason
	return d
}

// whyUnknown says why a name is not known; known is false where it is for another reason than that a value is not given.
func whyUnknown(why errors.Error) (reason string, known bool) {
	format, args := why.Msg()
	switch {
	case strings.HasPrefix(format, "undefined field"), strings.HasPrefix(format, "cannot reference optional field"):
		return "the field " + truncate(fmt.Sprint(args...)) + " is not there", true
	case strings.HasPrefix(format, "unresolved disjunction"):
		return "what it is made of is a choice without a default", true
	case format == "invalid interpolation": // of many errors CUE keeps the first words only
		return "what it is made of has no value", true
	case strings.HasPrefix(format, "non-concrete value"), strings.HasPrefix(format, unknownLabel):
		return "what it is made of is a constraint only", true
	}
	return text(why), false
}
