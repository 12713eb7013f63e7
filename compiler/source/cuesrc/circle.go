package cuesrc

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/errors"

	"github.com/weir-mesh/weir/compiler/diag"
)

const circleHint = "a value may not contain itself or wait for itself"

// The ways in which CUE says that a value refers to itself (v0.17, internal/core/adt and compile).
var (
	circleFormat = regexp.MustCompile(`^(structural cycle|cycle (with field|across|error)|cyclic |circular dependency|adding field %v not allowed as field set)`)
	endless      = "structural cycle"
	ownFields    = "adding field %v not allowed as field set was already referenced"
	// A condition that hangs on whether the field is there that it adds.
	ownField = regexp.MustCompile(`^cyclic reference to field %`)
	// A condition that does not hold any more once its fields are there.
	ownCondition = "circular dependency in evaluation of conditionals"
)

// isCircle reports whether an error, or what it was caused by, is that a value refers to itself.
func isCircle(err error) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		var e errors.Error
		if !errors.As(err, &e) {
			return false
		}
		if format, _ := e.Msg(); circleFormat.MatchString(format) || rangesOverItself(e) {
			return true
		}
	}
	return false
}

// refersToItself explains such an error of a value that others share, or that CUE could not compute at all.
func (x *explainer) refersToItself(d *diag.Diagnostic, e errors.Error) {
	steps := asWritten(e.Path())
	name := x.nameOf(steps)
	v := lookupHidden(x.unit.raw, steps)
	d.Code, d.Hint, d.Related = CodeCycle, circleHint, nil
	format, args := e.Msg()
	switch {
	case format == ownFields:
		d.Message = fmt.Sprintf("%s waits for itself: its field %s comes from what reads its fields", name, truncate(fmt.Sprint(args...)))
		return
	case ownField.MatchString(format) && len(args) == 1:
		d.Message = fmt.Sprintf("%s waits for itself: whether the field %s in it is there hangs on what it holds", name, truncate(fmt.Sprint(args...)))
		return
	case strings.HasPrefix(format, ownCondition):
		d.Message = name + " waits for itself: a condition in it reads what would change with it"
		return
	case rangesOverItself(e):
		d.Message = name + " waits for itself: it ranges over a list that it is in, or is made of"
		return
	case format != endless:
		d.Message = name + " waits for itself"
		if way := circle(v); way != nil {
			d.Message = circleWords(name, v.Path().String(), way)
		}
	default:
		d.Message = name + " contains itself"
	}
	// CUE's own place is in what another value made of it, or there is none.
	if at := x.unit.userPosition(v); at.File != "" && (format != endless || !e.Position().IsValid()) {
		d.Pos = at
	}
}

// nameOf names a field by its steps: in an object shortly, for the place says the rest.
func (x *explainer) nameOf(steps []string) string {
	base := asWritten(x.base)
	switch {
	case x.out != nil && len(steps) > len(base) && slices.Equal(base, steps[:len(base)]):
		return last(steps[len(base):])
	case len(steps) == 0:
		return "the package"
	}
	return truncateTo(strings.Join(steps, "."), 2*maxValue)
}

// asWritten is a path in the user's files alone: with what the place gives, all is in a definition.
func asWritten(steps []string) []string {
	if len(steps) > 0 && steps[0] == "#Bundle" {
		return steps[1:]
	}
	return steps
}

// lookupHidden is lookupSteps for steps that may begin with a hidden field, whose name alone does not say which it is.
func lookupHidden(v cue.Value, steps []string) cue.Value {
	if len(steps) == 0 {
		return v
	}
	it, err := v.Fields(cue.Hidden(true), cue.Definitions(true))
	if err != nil {
		return cue.Value{}
	}
	for it.Next() {
		if it.Selector().String() == steps[0] {
			return lookupSteps(it.Value(), steps[1:])
		}
	}
	return cue.Value{}
}

// maxCircle bounds how many references are followed one after the other.
const maxCircle = 50

// circle follows a value's references until one comes again; it returns the paths that lead round, or nil. CUE itself
// takes such values for ones that are not written yet.
func circle(v cue.Value) []string {
	var way []string
	var follow func(v cue.Value) bool
	follow = func(v cue.Value) bool {
		if root, to := v.ReferencePath(); root.Exists() {
			path := to.String()
			if i := slices.Index(way, path); i >= 0 {
				way = way[i:]
				return true
			}
			if len(way) == maxCircle {
				return false
			}
			way = append(way, path)
			if follow(root.LookupPath(to)) {
				return true
			}
			way = way[:len(way)-1]
			return false
		}
		op, parts := v.Expr()
		return op != cue.NoOp && slices.ContainsFunc(parts, follow)
	}
	if !follow(v) {
		return nil
	}
	return way
}

// circle explains a value of the user's that is never known because it waits for itself, and reports whether it is one.
func (x *explainer) circle(d *diag.Diagnostic, steps []string) bool {
	mine := x.written(steps)
	if !mine.Exists() || mine.IsConcrete() {
		return false
	}
	way := circle(mine)
	if way == nil {
		way = circleOfNames(mine)
	}
	if way == nil {
		return false
	}
	d.Code, d.Related, d.Hint, d.Message = CodeCycle, nil, circleHint, circleWords(last(steps), mine.Path().String(), way)
	d.Pos = x.out.Pos(x.path(steps))
	return true
}

// circleWords says in a sentence that a field waits for itself.
func circleWords(field, own string, way []string) string {
	i := slices.Index(way, own)
	if i < 0 {
		field, i = field+" waits for "+truncate(way[0])+", which", 0
	}
	var by []string
	for _, path := range slices.Concat(way[i+1:], way[:i]) {
		by = append(by, truncateTo(path, 2*maxValue))
	}
	if len(by) == 0 {
		return field + " waits for itself"
	}
	return field + " waits for itself, by way of " + strings.Join(by, " and ")
}
