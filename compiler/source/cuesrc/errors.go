package cuesrc

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/token"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/schemas"
)

// maxSyntaxErrors is how many syntax errors of one file are shown: one error often makes the parser see more.
const maxSyntaxErrors = 10

// syntaxErrors reports what the parser found, one finding a line.
func syntaxErrors(err error) diag.List {
	var l diag.List
	lines := map[int]bool{}
	for _, e := range errors.Errors(err) {
		pos := position(e.Position())
		if lines[pos.Line] || len(l) == maxSyntaxErrors {
			continue
		}
		lines[pos.Line] = true
		l.Add(diag.Diagnostic{Code: CodeSyntax, Severity: diag.Error, Pos: pos, Message: text(e), Hint: "the file is not CUE as it stands"})
	}
	return l
}

// plainErrors reports errors that belong to no object: unresolved names, failed imports. The files are those that it may be
// about.
func plainErrors(code diag.Code, err error, files []*ast.File) diag.List {
	var l diag.List
	for _, e := range errors.Errors(err) {
		d := diag.Diagnostic{Code: code, Severity: diag.Error, Pos: position(e.Position()), Message: text(e)}
		if !d.Pos.IsValid() {
			for _, p := range e.InputPositions() {
				if d.Pos = position(p); d.Pos.IsValid() {
					break
				}
			}
		}
		switch m := d.Message; {
		case isCircle(e):
			d.Code, d.Hint, d.Message = CodeCycle, circleHint, "this waits for itself"
			if way := letCircle(e, files); way != nil {
				d.Message = circleWords(way[0], way[0], way)
			}
		case strings.HasPrefix(m, "imported and not used"):
			d.Code, d.Hint = CodeImport, "take the import out"
		case strings.HasPrefix(m, "builtin package"):
			d.Code, d.Hint = CodeImport, "CUE's standard library has no such package"
		case strings.HasPrefix(m, unusedClause):
			d.Message, d.Hint = strings.TrimPrefix(m, unusedClause)+" is declared and used nowhere", "take it out, or correct the name where it is meant"
		case strings.HasPrefix(m, "reference"):
			d.Message = strings.Replace(m, "reference", "the name", 1)
			d.Hint = "nothing of that name is declared in the package, its imports or CUE itself"
		}
		l.Add(d)
	}
	return l
}

// unusedClause begins what CUE says of a let clause or alias that nothing refers to.
const unusedClause = "unreferenced alias or let clause "

// maxValue is how many characters of a user's value a message shows.
const maxValue = 60

// text is an error's message on one line, with long values cut.
func text(e errors.Error) string { return textTo(e, maxValue) }

// textTo is text with values of at most n characters.
func textTo(e errors.Error, n int) string {
	format, args := e.Msg()
	short := make([]any, len(args))
	for i, a := range args {
		switch a := a.(type) {
		case string:
			short[i] = truncateTo(a, n)
		case fmt.Stringer:
			short[i] = truncateTo(a.String(), n)
		default:
			short[i] = a
		}
	}
	own := fmt.Sprintf(format, short...)
	if cause := errors.Unwrap(e); cause != nil && strings.HasPrefix(format, failedCall) {
		// Which argument, or which limit of CUE's own; some causes begin with the function's name once more.
		own += ": " + strings.TrimPrefix(cause.Error(), fmt.Sprint(args...)+": ")
	}
	return truncateTo(oneLine(own), 4*maxValue)
}

// failedCall begins what CUE says of a function of its library that gave up; why is the error's cause.
const failedCall = "error in call to"

// waitsForValue reports whether an error's cause is that a value is not written yet.
func waitsForValue(e errors.Error) bool {
	cause := errors.Unwrap(e)
	return cause != nil && strings.Contains(cause.Error(), "non-concrete value")
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func truncate(s string) string { return truncateTo(s, maxValue) }

func truncateTo(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

func quote(s string) string { return `"` + s + `"` }

// explainer turns the errors of one object (or of what a package shares) into findings.
type explainer struct {
	unit *unit
	root cue.Value     // the value that errors are looked up in
	base []string      // the steps that lead to it
	out  *Object       // nil for what a package shares
	near diag.Position // where to show what has no place of its own
}

func (u *unit) explainer(root cue.Value, out *Object) *explainer {
	x := &explainer{unit: u, root: root, out: out}
	for _, s := range root.Path().Selectors() {
		x.base = append(x.base, s.String())
	}
	return x
}

// errors reports an error of a value without looking further.
func (u *unit) errors(v cue.Value, out *Object, err error) diag.List {
	return u.explainer(v, out).list(errors.Errors(err))
}

// list reports errors of CUE; the arms of a failed disjunction become one finding.
func (x *explainer) list(errs []errors.Error) diag.List {
	var l diag.List
	arms := map[string][]errors.Error{}
	for _, e := range errs {
		if f, _ := e.Msg(); strings.HasSuffix(f, "errors in empty disjunction:") {
			arms[strings.Join(e.Path(), "\x00")] = nil
		}
	}
	labels := x.labelErrors(errs)
	for _, e := range errs {
		key := strings.Join(e.Path(), "\x00")
		f, _ := e.Msg()
		if why, ok := labels[e]; ok {
			if why != nil {
				l.Add(x.label(e, why))
			}
			continue
		}
		if strings.HasSuffix(f, "errors in empty disjunction:") {
			continue
		}
		if _, ok := arms[key]; ok && strings.HasPrefix(f, "conflicting values") {
			arms[key] = append(arms[key], e)
			continue
		}
		if d, ok := x.finding(e); ok {
			l.Add(d)
		}
	}
	for _, es := range arms {
		if len(es) > 0 {
			l.Add(x.choice(es))
		}
	}
	return l
}

// steps are an error's path below the explained value, if it lies there.
func (x *explainer) steps(e errors.Error) ([]string, bool) {
	p := e.Path()
	if len(p) < len(x.base) {
		return nil, false
	}
	for i, b := range x.base {
		if p[i] != b {
			return nil, false
		}
	}
	return p[len(x.base):], true
}

func (x *explainer) path(steps []string) string {
	return fieldPath(steps, func(s []string) bool {
		v := lookupSteps(x.root, s)
		return v.IncompleteKind() == cue.ListKind || v.LookupPath(cue.MakePath(cue.Index(0))).Exists()
	})
}

// userPositions are the places of an error in the user's files, the innermost last.
func (x *explainer) userPositions(e errors.Error) []diag.Position {
	var ps []diag.Position
	for _, p := range append(e.InputPositions(), e.Position()) {
		if at := position(p); x.unit.user[at.File] && !slices.Contains(ps, at) {
			ps = append(ps, at)
		}
	}
	return ps
}

// place chooses where a finding is shown, and the other places that contribute to it.
func (x *explainer) place(e errors.Error, path string) (diag.Position, []diag.Position) {
	ps := x.userPositions(e)
	if x.out == nil {
		if len(ps) == 0 {
			return x.near, nil
		}
		return ps[len(ps)-1], ps[:len(ps)-1]
	}
	written := x.out.Pos(path)
	if len(ps) == 0 {
		return written, nil
	}
	at := ps[len(ps)-1]
	for _, p := range ps {
		if p.File == written.File && p.Line == written.Line && p.Col == written.Col {
			at = p
			at.EndCol = written.EndCol
		}
	}
	var others []diag.Position
	for _, p := range ps {
		if p.File != at.File || p.Line != at.Line || p.Col != at.Col {
			others = append(others, p)
		}
	}
	at.Object, at.Path = written.Object, path
	return at, others
}

// internal are messages of CUE about the schema's own expressions: a guard that meets a value of the wrong
// type, which is reported where it is.
var internal = regexp.MustCompile(`^(invalid operand|cannot |non-concrete|undefined field|incomplete|unresolved disjunction|reference |cycle|index |error in call|invalid .* index)`)

// finding explains one error; ok is false for what says nothing to a user.
func (x *explainer) finding(e errors.Error) (d diag.Diagnostic, ok bool) {
	steps, below := x.steps(e)
	path := x.path(steps)
	format, args := e.Msg()
	d = diag.Diagnostic{Code: CodeEvaluation, Severity: diag.Error, Message: text(e)}
	var others []diag.Position
	d.Pos, others = x.place(e, path)
	for _, p := range others {
		d.Related = append(d.Related, diag.Related{Pos: p, Message: "has a part in it"})
	}
	inSchema := !x.unit.user[e.Position().Filename()] && e.Position().IsValid()
	switch {
	case (!below || x.out == nil) && format == "field not allowed" && len(e.Path()) > 0:
		d.Code, d.Related, d.Message = CodeField, nil, "unknown field "+quote(last(e.Path()))
		d.Hint = nearestValue(last(e.Path()), schemas.Names()) // of which structure, what is shared does not say
	case !below || x.out == nil:
		x.general(&d, e)
	case format == "field not allowed" && x.known(steps):
		x.closed(&d, steps)
	case format == "field not allowed":
		d.Code, d.Related = CodeField, nil
		d.Message = "unknown field " + quote(last(steps))
		if _, written := x.out.Fields[path]; written {
			d.Pos = x.out.KeyPos(path)
		}
	case format == "field is required but not present":
		d.Code, d.Related = CodeMissing, nil
		d.Message = fmt.Sprintf("the field %s is missing", last(steps))
	case format == "required field missing: %s" && len(args) == 1:
		d.Code, d.Related = CodeMissing, nil
		d.Message = fmt.Sprintf("the field %s is missing", args[0])
	case format == "cannot combine regular field %q with %v":
		d.Code, d.Related = CodeType, nil
		d.Message = fmt.Sprintf("%s must be a struct, not %s", last(steps), x.kindWritten(steps))
	case x.circle(&d, steps):
	case strings.Contains(format, "mismatched types"):
		x.wrongType(&d, e, steps)
	case strings.HasPrefix(format, "conflicting values"):
		x.conflict(&d, e, steps, args)
	case format == "invalid value %v (out of bound %s)" && len(args) == 2:
		d.Code, d.Related = CodeValue, nil
		d.Message = fmt.Sprintf("%s must be %s, not %s", last(steps), bound(fmt.Sprint(args[1])), truncate(fmt.Sprint(args[0])))
	case format == "invalid value %s (does not satisfy %s)" && len(args) == 2:
		d.Code, d.Related = CodeValue, nil
		d.Message = fmt.Sprintf("%s must %s, not %s", last(steps), validator(fmt.Sprint(args[1])), truncate(fmt.Sprint(args[0])))
	case isPending(e):
		x.pending(&d, steps)
	case strings.HasPrefix(format, "incomplete value") || strings.HasPrefix(format, "non-concrete value"):
		x.incomplete(&d, steps)
	case format == "invalid interpolation" && waitsForValue(e):
		related := d.Related
		x.incomplete(&d, steps)
		d.Related, d.Hint = related, "what is put into the string is a constraint only: write its value"
	case inSchema && internal.MatchString(d.Message):
		return d, false
	case isCircle(e):
		x.refersToItself(&d, e)
	case inSchema: // the schema's own words
		x.rule(&d, e, steps)
	case !internal.MatchString(d.Message):
		x.ownRule(&d, path)
	default:
		x.general(&d, e)
	}
	return d, true
}

// userPosition is where a computed value comes from in the user's files, if anywhere.
func (u *unit) userPosition(v cue.Value) diag.Position {
	try := func(p token.Pos) (diag.Position, bool) {
		at := position(p)
		return at, u.user[at.File]
	}
	if at, ok := try(v.Pos()); ok {
		return at
	}
	if op, parts := v.Expr(); op == cue.AndOp {
		for _, p := range parts {
			if at, ok := try(p.Pos()); ok {
				return at
			}
		}
	}
	return diag.Position{}
}
