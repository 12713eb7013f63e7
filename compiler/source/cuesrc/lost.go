package cuesrc

import (
	"fmt"
	"slices"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/errors"
)

// What CUE leaves out of a value because it does not know yet whether it is there is an error of what would hold it. CUE calls
// most of these errors incomplete, for more files could mend them; here all files are there, and an object that is left out
// would be lost without a word (S33).

// objectsOf is a field of the bundle with its objects, and what keeps objects out of it.
func (u *unit) objectsOf(field string) (cue.Value, []errors.Error) {
	at := cue.MakePath(cue.Str(field))
	values := u.value.LookupPath(at)
	raw := u.raw.LookupPath(at)
	if !raw.Exists() { // the place has the field, with nothing in it
		return values, nil
	}
	errs := ownErrors(values)
	if len(errs) > 0 { // a default of the schema may be what a name waits for
		if full := u.whenFull().LookupPath(at); len(ownErrors(full)) == 0 {
			values, errs = full, nil
		}
	}
	return values, append(errs, circles(ownErrors(raw), raw)...)
}

// ownErrors are the errors of a value itself, and not of what it holds.
func ownErrors(v cue.Value) []errors.Error {
	if !v.Exists() {
		return nil
	}
	for range maxCircle { // what is a reference only shares the other's errors, and has none of its own
		to := cue.Dereference(v)
		if to.Path().String() == v.Path().String() {
			break
		}
		v = to
	}
	depth := len(v.Path().Selectors())
	return slices.DeleteFunc(errors.Errors(v.Err()), func(e errors.Error) bool { return len(e.Path()) > depth })
}

// lost are the circles in a value as the user's files alone have it. They stay errors with what the place gives, but CUE (v0.17.1)
// forgets that comprehensions read the fields that they add once it has unified the two: it leaves out the fields.
func lost(v cue.Value) []errors.Error {
	if !v.Exists() {
		return nil
	}
	return circles(errors.Errors(v.Validate(cue.Concrete(true), cue.Final(), cue.All())), v)
}

// circles are those errors of a value that say that something refers to itself, and stay errors whatever the place gives.
func circles(errs []errors.Error, v cue.Value) []errors.Error {
	errs = slices.DeleteFunc(errs, func(e errors.Error) bool { return !isCircle(e) })
	if !slices.ContainsFunc(errs, func(e errors.Error) bool { return !leavesOut(e) }) {
		return errs
	}
	// A value that waits for itself may be given by the place; one that is wrong stays so.
	var wrong []string
	for _, e := range errors.Errors(v.Validate(cue.All())) {
		wrong = append(wrong, e.Error())
	}
	return slices.DeleteFunc(errs, func(e errors.Error) bool { return !leavesOut(e) && !slices.Contains(wrong, e.Error()) })
}

// leavesOut reports whether an error says that CUE leaves a field or an element out.
func leavesOut(e errors.Error) bool {
	format, _ := e.Msg()
	return ownField.MatchString(format) || rangesOverItself(e)
}

// isPending reports a struct of which CUE never learns whether it is there.
func isPending(e errors.Error) bool {
	format, args := e.Msg()
	return format == "incomplete value %v" && fmt.Sprint(args...) == "struct"
}

// rangesOverItself reports a comprehension over a list of which CUE knows only that it is one, which is so while it is
// computed.
func rangesOverItself(e errors.Error) bool {
	format, args := e.Msg()
	return format == "cannot range over %s (incomplete type %s)" && fmt.Sprint(args[1]) == "list"
}
