package main

import (
	"strings"

	"github.com/weir-mesh/weir/hack/gen/language"
)

// celReserved are the words that a field's name can't be in CEL without escaping
// (k8s.io/apiserver/pkg/cel/escaping.go).
var celReserved = map[string]bool{
	"true": true, "false": true, "null": true, "in": true, "as": true, "break": true, "const": true,
	"continue": true, "else": true, "for": true, "function": true, "if": true, "import": true, "let": true,
	"loop": true, "package": true, "namespace": true, "return": true, "var": true, "void": true, "while": true,
}

// celRule returns the CEL rule that holds where a guard finds nothing: an `if` is an implication, a `for` a conjunction.
func celRule(clauses []language.Clause) string {
	if len(clauses) == 0 {
		return "false"
	}
	c, rest := clauses[0], celRule(clauses[1:])
	cond := celExpr(c.Cond)
	switch {
	case c.Var != "":
		return cond + ".all(" + c.Var + ", " + rest + ")"
	case rest == "false":
		return "!(" + cond + ")"
	default:
		return "!(" + cond + ") || " + rest
	}
}

func celExpr(e language.Expr) string {
	var args []string
	for _, a := range e.Args {
		args = append(args, celExpr(a))
	}
	switch e.Op {
	case language.FieldOf:
		return celField(e)
	case language.Literal:
		if e.String {
			return "'" + strings.ReplaceAll(e.Text, "'", `\'`) + "'"
		}
		return e.Text
	case language.Has:
		return "has(" + args[0] + ")"
	case language.Lacks:
		return "!has(" + args[0] + ")"
	case language.Not:
		return "!" + args[0]
	case language.Parens:
		return "(" + args[0] + ")"
	case language.Index:
		return args[0] + "[" + args[1] + "]"
	case language.Len:
		return "size(" + args[0] + ")"
	case language.Duration:
		return "duration(" + args[0] + ")"
	case language.Contains:
		return args[0] + ".contains(" + args[1] + ")"
	default:
		return args[0] + " " + string(e.Op) + " " + args[1]
	}
}

func celField(e language.Expr) string {
	out := "self"
	if e.Var != "" {
		out = e.Var
	}
	for _, name := range e.Path {
		if celReserved[name] {
			name = "__" + name + "__"
		}
		out += "." + name
	}
	return out
}
