package cuesrc

import (
	"slices"
	"strings"

	"cuelang.org/go/cue"

	"github.com/weir-mesh/weir/compiler/diag"
)

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
