package main

import (
	"bytes"
	"fmt"
	"go/format"
	"maps"
	"strconv"
	"strings"

	"github.com/weir-mesh/weir/hack/gen/language"
)

// checks returns the Go functions behind schemas.Check: one a definition.
func checks(l *language.Language) ([]byte, error) {
	w := &checkWriter{l: l, patterns: map[string]string{}}
	w.WriteString("\nfunc checkOf(def string) check {\nswitch def {\n")
	for _, d := range l.Defs {
		if d.Struct != nil {
			fmt.Fprintf(w, "case %q:\nreturn check%s\n", d.Name, d.Name)
		}
	}
	w.WriteString("}\nreturn nil\n}\n")
	for _, d := range l.Defs {
		fmt.Fprintf(w, "\nfunc check%s(c *checker, v any) {\n", d.Name)
		if d.Struct != nil {
			w.structure(d.Struct)
		} else {
			w.WriteString(w.value(d.Type, "v") + "\n")
		}
		w.WriteString("}\n")
	}
	var b bytes.Buffer
	b.WriteString(generated + "package schemas\n\nimport (\n\"regexp\"\n\"strconv\"\n)\n\n// The patterns of the language; they never change.\nvar (\n")
	for _, p := range w.order {
		fmt.Fprintf(&b, "%s = regexp.MustCompile(%s)\n", w.patterns[p], quote(p))
	}
	b.WriteString(")\n")
	b.Write(w.Bytes())
	src, err := format.Source(b.Bytes())
	if err != nil {
		return nil, fmt.Errorf("formatting the checks: %w", err)
	}
	return src, nil
}

// checkWriter writes functions, and gives every pattern a variable.
type checkWriter struct {
	bytes.Buffer
	l        *language.Language
	patterns map[string]string
	order    []string
}

func (w *checkWriter) pattern(p string) string {
	name, ok := w.patterns[p]
	if !ok {
		name = "pattern" + strconv.Itoa(len(w.order))
		w.patterns[p] = name
		w.order = append(w.order, p)
	}
	return name
}

func quote(s string) string {
	if strings.Contains(s, "`") {
		return strconv.Quote(s)
	}
	return "`" + s + "`"
}

func (w *checkWriter) structure(s *language.Struct) {
	w.WriteString("o, ok := c.object(v)\nif !ok {\nreturn\n}\n")
	w.WriteString("c.fields(o, []member{\n")
	for _, f := range w.l.AllFields(s) {
		fmt.Fprintf(w, "{%q, %t, %s},\n", f.Name, f.Required, w.function(f.Type))
	}
	w.WriteString("})\n")
	guards := w.l.AllGuards(s)
	if len(guards) == 0 {
		return
	}
	w.WriteString("if c.spoilt() {\nreturn\n}\n")
	for _, g := range guards {
		w.WriteString(goGuard(g.Clauses, g.Message, nil))
	}
}

// function returns an expression of type check.
func (w *checkWriter) function(t *language.Type) string {
	if t.Kind == language.Ref {
		return "check" + t.Ref
	}
	return "func(c *checker, v any) { " + w.value(t, "v") + " }"
}

// value returns a statement that checks v.
func (w *checkWriter) value(t *language.Type, v string) string {
	switch t.Kind {
	case language.Ref:
		return fmt.Sprintf("check%s(c, %s)", t.Ref, v)
	case language.List:
		return fmt.Sprintf("c.list(%s, %d, %s)", v, t.MaxLen, w.function(t.Elem))
	case language.Map:
		return fmt.Sprintf("c.entries(%s, %d, %s, %s)", v, t.MaxLen, w.function(t.Key), w.function(t.Elem))
	case language.Bool:
		return fmt.Sprintf("c.boolean(%s, %t, %q)", v, t.True, t.Message)
	case language.Int:
		if t.IntEnum != nil {
			return fmt.Sprintf("c.oneOf(%s, %#v, %q)", v, t.IntEnum, t.Message)
		}
		return fmt.Sprintf("c.integer(%s, %d, %d, %q)", v, *t.Min, *t.Max, t.Message)
	case language.String:
		if t.Const != "" {
			return fmt.Sprintf("c.word(%s, %#v, %q)", v, []string{t.Const}, "this is "+t.Const)
		}
		if t.Enum != nil {
			return fmt.Sprintf("c.word(%s, %#v, %q)", v, t.Enum, t.Message)
		}
	}
	return w.text(t, v)
}

func (w *checkWriter) text(t *language.Type, v string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "c.text(%s, text{min: %d, max: %d", v, t.MinLen, t.MaxLen)
	for _, list := range []struct {
		name     string
		patterns []string
	}{{"like", t.Patterns}, {"unlike", t.Unlike}} {
		if len(list.patterns) == 0 {
			continue
		}
		b.WriteString(", " + list.name + ": []*regexp.Regexp{")
		for _, p := range list.patterns {
			b.WriteString(w.pattern(p) + ",")
		}
		b.WriteString("}")
	}
	if t.Format != "" {
		fmt.Fprintf(&b, ", format: %q", t.Format)
	}
	fmt.Fprintf(&b, ", message: %q})", t.Message)
	return b.String()
}

// goGuard returns the statement that reports what a guard finds: below are the steps to the element at hand as Go
// expressions, by loop variable.
func goGuard(clauses []language.Clause, message string, below map[string]string) string {
	if len(clauses) == 0 {
		return "c.rule(" + strconv.Quote(message) + below[""] + ")\n"
	}
	c := clauses[0]
	if steps := emptyList(c.Cond); len(clauses) == 1 && steps != "" {
		below = map[string]string{"": steps}
	}
	if c.Var == "" {
		return "if " + goExpr(c.Cond) + " {\n" + goGuard(clauses[1:], message, below) + "}\n"
	}
	steps := below[c.Cond.Var]
	for _, name := range c.Cond.Path {
		steps += ", " + strconv.Quote(name)
	}
	index := "i" + strconv.Itoa(len(below))
	inner := maps.Clone(below)
	if inner == nil {
		inner = map[string]string{}
	}
	steps += ", strconv.Itoa(" + index + ")"
	inner[c.Var], inner[""] = steps, steps
	loop := "for " + index + ", " + c.Var + " := range elements(" + goExpr(c.Cond) + ") {\n" +
		goGuard(clauses[1:], message, inner) + "}\n"
	if c.Cond.Var != "" {
		return loop
	}
	return "if c.clean(" + strconv.Quote(c.Cond.Path[0]) + ") {\n" + loop + "}\n"
}

// emptyList returns the steps to the list that a condition finds empty, "" if it is another condition.
func emptyList(e language.Expr) string {
	if e.Op != "==" || e.Args[0].Op != language.Len || e.Args[1].Text != "0" || e.Args[0].Args[0].Var != "" {
		return ""
	}
	steps := ""
	for _, name := range e.Args[0].Args[0].Path {
		steps += ", " + strconv.Quote(name)
	}
	return steps
}

func goExpr(e language.Expr) string {
	var args []any
	for _, a := range e.Args {
		args = append(args, goExpr(a))
	}
	switch e.Op {
	case language.FieldOf:
		return goField(e)
	case language.Literal:
		if e.String {
			return fmt.Sprintf("%q", e.Text)
		}
		if e.Text == "true" || e.Text == "false" {
			return e.Text
		}
		return "int64(" + e.Text + ")"
	case language.Has:
		return fmt.Sprintf("%s != nil", args...)
	case language.Lacks:
		return fmt.Sprintf("%s == nil", args...)
	case language.Not:
		return fmt.Sprintf("!%s", args...)
	case language.Parens:
		return fmt.Sprintf("(%s)", args...)
	case language.Index:
		return fmt.Sprintf("element(%s, %s)", args...)
	case language.Len:
		return fmt.Sprintf("length(%s)", args...)
	case language.Duration:
		return fmt.Sprintf("duration(%s)", args...)
	case language.Contains:
		return fmt.Sprintf("contains(%s, %s)", args...)
	case "==":
		return fmt.Sprintf("equal(%s, %s)", args...)
	case "!=":
		return fmt.Sprintf("differ(%s, %s)", args...)
	case "<":
		return fmt.Sprintf("less(%s, %s)", args...)
	case ">":
		return fmt.Sprintf("less(%[2]s, %[1]s)", args...)
	default:
		return fmt.Sprintf("%s "+string(e.Op)+" %s", args...)
	}
}

func goField(e language.Expr) string {
	out := "o"
	if e.Var != "" {
		out = e.Var
	}
	if len(e.Path) == 0 {
		return out
	}
	return "at(" + out + `, "` + strings.Join(e.Path, `", "`) + `")`
}
