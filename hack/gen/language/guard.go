package language

import (
	"fmt"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/token"
)

// celReserved are the words that a field's name can't be in CEL without escaping
// (k8s.io/apiserver/pkg/cel/escaping.go).
var celReserved = map[string]bool{
	"true": true, "false": true, "null": true, "in": true, "as": true, "break": true, "const": true,
	"continue": true, "else": true, "for": true, "function": true, "if": true, "import": true, "let": true,
	"loop": true, "package": true, "namespace": true, "return": true, "var": true, "void": true, "while": true,
}

// celFunctions maps CUE's functions to CEL's, by the form of the call.
var celFunctions = map[string]string{
	"len":                "size(%s)",
	"time.ParseDuration": "duration(%s)",
	"strings.Contains":   "%s.contains(%s)",
}

// translator turns a guard into the CEL rule that holds where the guard finds nothing.
type translator struct {
	alias string
	vars  map[string]bool
	used  bool
}

// guard reads `if COND ... for X in LIST ... {error("...")}`.
func (s *Struct) guard(c *ast.Comprehension, alias string) error {
	body, ok := c.Value.(*ast.StructLit)
	if !ok || len(body.Elts) != 1 {
		return fmt.Errorf("a guard's body is {error(...)}")
	}
	embed, ok := body.Elts[0].(*ast.EmbedDecl)
	if !ok {
		return fmt.Errorf("a guard's body is {error(...)}")
	}
	msg, ok, err := errorCall(embed.Expr)
	if err != nil || !ok {
		return fmt.Errorf("a guard's body is {error(...)} with a plain message: %w", err)
	}
	tr := &translator{alias: alias, vars: map[string]bool{}}
	rule, err := tr.clauses(c.Clauses)
	if err != nil {
		return fmt.Errorf("translating the guard %q: %w", msg, err)
	}
	s.UsedGuard = s.UsedGuard || tr.used
	s.Guards = append(s.Guards, Guard{Message: msg, CEL: rule, Metadata: strings.Contains(rule, "self.metadata.__namespace__")})
	return nil
}

// clauses returns the rule: an `if` is an implication, a `for` a conjunction, the end false.
func (t *translator) clauses(list []ast.Clause) (string, error) {
	if len(list) == 0 {
		return "false", nil
	}
	switch c := list[0].(type) {
	case *ast.IfClause:
		if u, ok := c.Condition.(*ast.BinaryExpr); ok {
			if id, ok := u.X.(*ast.Ident); ok && id.Name == "_used" {
				t.used = true
				return t.clauses(list[1:])
			}
		}
		cond, err := t.expr(c.Condition)
		if err != nil {
			return "", err
		}
		rest, err := t.clauses(list[1:])
		if err != nil {
			return "", err
		}
		if rest == "false" {
			return "!(" + cond + ")", nil
		}
		return "!(" + cond + ") || " + rest, nil
	case *ast.ForClause:
		if c.Key != nil || c.Value == nil {
			return "", fmt.Errorf("a for has one variable")
		}
		src, err := t.expr(c.Source)
		if err != nil {
			return "", err
		}
		t.vars[c.Value.Name] = true
		rest, err := t.clauses(list[1:])
		if err != nil {
			return "", err
		}
		return src + ".all(" + c.Value.Name + ", " + rest + ")", nil
	}
	return "", fmt.Errorf("a %T has no place in a guard", list[0])
}

func (t *translator) expr(e ast.Expr) (string, error) {
	switch e := e.(type) {
	case *ast.BinaryExpr:
		return t.binary(e)
	case *ast.UnaryExpr:
		x, err := t.expr(e.X)
		if e.Op != token.NOT {
			return "", fmt.Errorf("the operator %s has no place in a guard", e.Op)
		}
		return "!" + x, err
	case *ast.ParenExpr:
		x, err := t.expr(e.X)
		return "(" + x + ")", err
	case *ast.Ident:
		if t.vars[e.Name] {
			return e.Name, nil
		}
		if e.Name == t.alias {
			return "self", nil
		}
		return "self." + escape(e.Name), nil
	case *ast.SelectorExpr:
		x, err := t.expr(e.X)
		if err != nil {
			return "", err
		}
		name, _, err := ast.LabelName(e.Sel)
		return x + "." + escape(name), err
	case *ast.IndexExpr:
		x, err := t.expr(e.X)
		if err != nil {
			return "", err
		}
		i, err := t.expr(e.Index)
		return x + "[" + i + "]", err
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			s, err := unquote(e)
			return "'" + strings.ReplaceAll(s, "'", `\'`) + "'", err
		}
		return e.Value, nil
	case *ast.CallExpr:
		return t.call(e)
	}
	return "", fmt.Errorf("a %T has no place in a guard", e)
}

func escape(name string) string {
	if celReserved[name] {
		return "__" + name + "__"
	}
	return name
}

func (t *translator) call(c *ast.CallExpr) (string, error) {
	form, ok := celFunctions[callee(c)]
	if !ok {
		return "", fmt.Errorf("the function %s has no place in a guard", callee(c))
	}
	var args []any
	for _, a := range c.Args {
		s, err := t.expr(a)
		if err != nil {
			return "", err
		}
		args = append(args, s)
	}
	return fmt.Sprintf(form, args...), nil
}

func (t *translator) binary(e *ast.BinaryExpr) (string, error) {
	x, err := t.expr(e.X)
	if err != nil {
		return "", err
	}
	if _, ok := e.Y.(*ast.BottomLit); ok {
		switch e.Op {
		case token.NEQ:
			return "has(" + x + ")", nil
		case token.EQL:
			return "!has(" + x + ")", nil
		}
		return "", fmt.Errorf("only == and != compare with _|_")
	}
	y, err := t.expr(e.Y)
	if err != nil {
		return "", err
	}
	switch e.Op {
	case token.LAND, token.LOR, token.EQL, token.NEQ, token.LSS, token.LEQ, token.GTR, token.GEQ:
		return x + " " + e.Op.String() + " " + y, nil
	}
	return "", fmt.Errorf("the operator %s has no place in a guard", e.Op)
}
