package language

import (
	"fmt"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/token"
)

// Guard is a rule across the fields of a structure: what its clauses find is refused with the message.
type Guard struct {
	Message string
	Clauses []Clause
}

// Clause is `for Var in Cond`, or `if Cond` when Var is empty.
type Clause struct {
	Var  string
	Cond Expr
}

// Expr is an expression in a guard.
type Expr struct {
	Op   Op
	Args []Expr
	// Var and Path are a Field's: a loop variable, or "" for the structure, and the names below it.
	Var  string
	Path []string
	// Text is a Literal as CUE writes it, without quotes when String is true.
	Text   string
	String bool
}

// Op is what an expression does.
type Op string

// The operations; the others are CUE's own operators.
const (
	FieldOf  Op = "field"
	Literal  Op = "literal"
	Has      Op = "has"
	Lacks    Op = "lacks"
	Not      Op = "!"
	Parens   Op = "()"
	Index    Op = "[]"
	Len      Op = "len"
	Duration Op = "time.ParseDuration"
	Contains Op = "strings.Contains"
)

// functions are CUE's functions that a guard may call, and how many arguments they take.
var functions = map[string]int{string(Len): 1, string(Duration): 1, string(Contains): 2}

// reader reads one guard of a structure.
type reader struct {
	alias string
	vars  map[string]bool
	used  bool
}

// guard reads `if COND ... for X in LIST ... {error("...")}`.
func (s *Struct) guard(c *ast.Comprehension, alias string) error {
	msg, err := guardMessage(c)
	if err != nil {
		return err
	}
	r := &reader{alias: alias, vars: map[string]bool{}}
	g := Guard{Message: msg}
	for _, clause := range c.Clauses {
		if err := r.clause(&g, clause); err != nil {
			return fmt.Errorf("the guard %q: %w", msg, err)
		}
	}
	s.UsedGuard = s.UsedGuard || r.used
	s.Guards = append(s.Guards, g)
	return nil
}

func guardMessage(c *ast.Comprehension) (string, error) {
	if body, ok := c.Value.(*ast.StructLit); ok && len(body.Elts) == 1 {
		if embed, ok := body.Elts[0].(*ast.EmbedDecl); ok {
			if msg, ok, err := errorCall(embed.Expr); ok || err != nil {
				return msg, err
			}
		}
	}
	return "", fmt.Errorf(`a guard's body is {error("...")}`)
}

// clause adds a clause; `if _used != _|_` adds nothing, as every use sets it.
func (r *reader) clause(g *Guard, c ast.Clause) error {
	switch c := c.(type) {
	case *ast.IfClause:
		cond, err := r.expr(c.Condition)
		if err != nil {
			return err
		}
		if cond.Op == Has && len(cond.Args[0].Path) == 1 && cond.Args[0].Path[0] == "_used" {
			r.used = true
			return nil
		}
		g.Clauses = append(g.Clauses, Clause{Cond: cond})
		return nil
	case *ast.ForClause:
		if c.Key != nil || c.Value == nil {
			return fmt.Errorf("a for has one variable")
		}
		src, err := r.expr(c.Source)
		if err != nil {
			return err
		}
		r.vars[c.Value.Name] = true
		g.Clauses = append(g.Clauses, Clause{Var: c.Value.Name, Cond: src})
		return nil
	}
	return fmt.Errorf("a %T has no place in a guard", c)
}

func (r *reader) expr(e ast.Expr) (Expr, error) {
	switch e := e.(type) {
	case *ast.BinaryExpr:
		return r.binary(e)
	case *ast.UnaryExpr:
		if e.Op != token.NOT {
			return Expr{}, fmt.Errorf("the operator %s has no place in a guard", e.Op)
		}
		return r.apply(Not, e.X)
	case *ast.ParenExpr:
		return r.apply(Parens, e.X)
	case *ast.IndexExpr:
		return r.apply(Index, e.X, e.Index)
	case *ast.CallExpr:
		name := callee(e)
		if n, ok := functions[name]; !ok || n != len(e.Args) {
			return Expr{}, fmt.Errorf("the function %q has no place in a guard", name)
		}
		return r.apply(Op(name), e.Args...)
	case *ast.Ident:
		switch {
		case r.vars[e.Name]:
			return Expr{Op: FieldOf, Var: e.Name}, nil
		case e.Name == r.alias:
			return Expr{Op: FieldOf}, nil
		}
		return Expr{Op: FieldOf, Path: []string{e.Name}}, nil
	case *ast.SelectorExpr:
		x, err := r.expr(e.X)
		if err != nil {
			return Expr{}, err
		}
		name, _, err := ast.LabelName(e.Sel)
		x.Path = append(x.Path, name)
		return x, err
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			s, err := unquote(e)
			return Expr{Op: Literal, Text: s, String: true}, err
		}
		return Expr{Op: Literal, Text: e.Value}, nil
	}
	return Expr{}, fmt.Errorf("a %T has no place in a guard", e)
}

func (r *reader) apply(op Op, args ...ast.Expr) (Expr, error) {
	out := Expr{Op: op}
	for _, a := range args {
		x, err := r.expr(a)
		if err != nil {
			return Expr{}, err
		}
		out.Args = append(out.Args, x)
	}
	return out, nil
}

func (r *reader) binary(e *ast.BinaryExpr) (Expr, error) {
	if _, ok := e.Y.(*ast.BottomLit); ok {
		switch e.Op {
		case token.NEQ:
			return r.apply(Has, e.X)
		case token.EQL:
			return r.apply(Lacks, e.X)
		}
		return Expr{}, fmt.Errorf("only == and != compare with _|_")
	}
	switch e.Op {
	case token.LAND, token.LOR, token.EQL, token.NEQ, token.LSS, token.GTR:
		return r.apply(Op(e.Op.String()), e.X, e.Y)
	}
	return Expr{}, fmt.Errorf("the operator %s has no place in a guard", e.Op)
}
