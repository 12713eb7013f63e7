package language

import (
	"fmt"
	"strconv"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/token"
)

func isRequired(f *ast.Field) bool { return f.Constraint == token.NOT }

// operands flattens a chain of one binary operator.
func operands(e ast.Expr, op token.Token) []ast.Expr {
	if b, ok := e.(*ast.BinaryExpr); ok && b.Op == op {
		return append(operands(b.X, op), operands(b.Y, op)...)
	}
	return []ast.Expr{e}
}

// parseType reads `A & B | error("...")`, an enumeration, a list or a map.
func parseType(e ast.Expr) (*Type, error) {
	t := &Type{}
	known := false
	for _, alt := range operands(e, token.OR) {
		if msg, ok, err := errorCall(alt); err != nil {
			return nil, err
		} else if ok {
			t.Message = msg
			continue
		}
		if lit, ok := alt.(*ast.BasicLit); ok {
			if err := t.literal(lit); err != nil {
				return nil, err
			}
			known = true
			continue
		}
		if known {
			return nil, fmt.Errorf("alternatives are literals and error(...) only")
		}
		for _, c := range operands(alt, token.AND) {
			if err := t.constrain(c); err != nil {
				return nil, err
			}
		}
		known = true
	}
	if len(t.Enum) == 1 && t.Message == "" {
		t.Const, t.Enum = t.Enum[0], nil
	}
	return t, nil
}

// errorCall reports whether e is error("...") and returns the message.
func errorCall(e ast.Expr) (string, bool, error) {
	c, ok := e.(*ast.CallExpr)
	if !ok || callee(c) != "error" || len(c.Args) != 1 {
		return "", false, nil
	}
	msg, err := unquote(c.Args[0])
	return msg, err == nil, err
}

func callee(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return selector(f)
	}
	return ""
}

func selector(s *ast.SelectorExpr) string {
	x, ok := s.X.(*ast.Ident)
	if !ok {
		return ""
	}
	name, _, err := ast.LabelName(s.Sel)
	if err != nil {
		return ""
	}
	return x.Name + "." + name
}

func (t *Type) literal(l *ast.BasicLit) error {
	switch l.Kind {
	case token.STRING:
		s, err := unquote(l)
		if err != nil {
			return err
		}
		t.Enum = append(t.Enum, s)
	case token.INT:
		n, err := strconv.ParseInt(l.Value, 10, 64)
		if err != nil {
			return fmt.Errorf("reading %s: %w", l.Value, err)
		}
		t.Kind = Int
		t.IntEnum = append(t.IntEnum, n)
	case token.TRUE:
		t.Kind, t.True = Bool, true
	default:
		return fmt.Errorf("the literal %s has no place in a type", l.Value)
	}
	return nil
}

// constrain adds one operand of `&`.
func (t *Type) constrain(e ast.Expr) error {
	switch e := e.(type) {
	case *ast.Ident:
		return t.named(e.Name)
	case *ast.UnaryExpr:
		return t.unary(e)
	case *ast.CallExpr:
		return t.call(e)
	case *ast.SelectorExpr:
		return t.format(selector(e))
	case *ast.ListLit:
		return t.list(e)
	case *ast.StructLit:
		return t.object(e)
	case *ast.ParenExpr:
		// Only the alternatives of Expiry: a date or a time.
		for _, alt := range operands(e.X, token.OR) {
			if c, ok := alt.(*ast.CallExpr); !ok || callee(c) != "time.Format" {
				return fmt.Errorf("only time.Format stands in parentheses")
			}
		}
		t.Format = "end"
		return nil
	}
	return fmt.Errorf("a %T has no place in a type", e)
}

func (t *Type) named(name string) error {
	switch {
	case strings.HasPrefix(name, "#"):
		t.Kind, t.Ref = Ref, name[1:]
	case name == "string":
		t.Kind = String
	case name == "int":
		t.Kind = Int
	case name == "bool":
		t.Kind = Bool
	default:
		return fmt.Errorf("unknown type %s", name)
	}
	return nil
}

func (t *Type) unary(e *ast.UnaryExpr) error {
	switch e.Op {
	case token.MAT:
		s, err := unquote(e.X)
		t.Patterns = append(t.Patterns, s)
		return err
	case token.NMAT:
		s, err := unquote(e.X)
		t.Unlike = append(t.Unlike, s)
		return err
	}
	n, err := integer(e.X)
	if err != nil {
		return err
	}
	switch e.Op {
	case token.GEQ:
		t.Min = &n
	case token.LEQ:
		t.Max = &n
	default:
		return fmt.Errorf("bounds are >= and <=, not %s", e.Op)
	}
	return nil
}

func integer(e ast.Expr) (int64, error) {
	b, ok := e.(*ast.BasicLit)
	if !ok || b.Kind != token.INT {
		return 0, fmt.Errorf("a %T where an integer is needed", e)
	}
	n, err := strconv.ParseInt(b.Value, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("reading %s: %w", b.Value, err)
	}
	return n, nil
}

func (t *Type) call(c *ast.CallExpr) error {
	if len(c.Args) != 1 {
		return fmt.Errorf("%s takes one argument here", callee(c))
	}
	n, err := integer(c.Args[0])
	if err != nil {
		return err
	}
	switch callee(c) {
	case "strings.MaxRunes", "list.MaxItems", "struct.MaxFields":
		t.MaxLen = int(n)
	case "strings.MinRunes":
		t.MinLen = int(n)
	default:
		return fmt.Errorf("unknown constraint %s", callee(c))
	}
	return nil
}

func (t *Type) format(name string) error {
	switch name {
	case "net.IPCIDR":
		t.Format = "cidr"
	case "net.IP":
		t.Format = "ip"
	case "time.Time":
		t.Format = "date-time"
	default:
		return fmt.Errorf("unknown constraint %s", name)
	}
	return nil
}

func (t *Type) list(l *ast.ListLit) error {
	if len(l.Elts) == 1 {
		if e, ok := l.Elts[0].(*ast.Ellipsis); ok && e.Type != nil {
			elem, err := parseType(e.Type)
			t.Kind, t.Elem = List, elem
			return err
		}
	}
	return fmt.Errorf("a list is [...TYPE]")
}

// object reads a map `{[KEY]: TYPE}` or the mark `{_used: true}`.
func (t *Type) object(s *ast.StructLit) error {
	if len(s.Elts) != 1 {
		return fmt.Errorf("a structure needs a definition of its own")
	}
	f, ok := s.Elts[0].(*ast.Field)
	if !ok {
		return fmt.Errorf("a structure needs a definition of its own")
	}
	if l, ok := f.Label.(*ast.ListLit); ok && len(l.Elts) == 1 {
		key, err := parseType(l.Elts[0])
		if err != nil {
			return err
		}
		elem, err := parseType(f.Value)
		t.Kind, t.Key, t.Elem = Map, key, elem
		return err
	}
	if name, err := label(f); err != nil || name != "_used" {
		return fmt.Errorf("a structure needs a definition of its own")
	}
	t.Used = true
	return nil
}

// check holds what must be true of the whole: references lead somewhere, everything is bounded, `_used` is set.
func (l *Language) check() error {
	for _, d := range l.Defs {
		if d.Type != nil {
			if err := l.checkType(d.Type); err != nil {
				return fmt.Errorf("#%s: %w", d.Name, err)
			}
			continue
		}
		if len(d.Struct.Guards) > 0 && len(d.Struct.Embeds) == 0 && !d.Struct.firm {
			return fmt.Errorf("#%s has guards and no required field: it needs {}", d.Name)
		}
		for _, e := range d.Struct.Embeds {
			if x := l.Def(e); x == nil || x.Struct == nil {
				return fmt.Errorf("#%s embeds #%s, which is no structure", d.Name, e)
			}
		}
		for _, f := range d.Struct.Fields {
			if err := l.checkType(f.Type); err != nil {
				return fmt.Errorf("#%s.%s: %w", d.Name, f.Name, err)
			}
		}
	}
	return nil
}

func (l *Language) checkType(t *Type) error {
	switch t.Kind {
	case Ref:
		d := l.Def(t.Ref)
		if d == nil {
			return fmt.Errorf("there is no #%s", t.Ref)
		}
		if d.Struct != nil && d.Struct.UsedGuard != t.Used {
			return fmt.Errorf("#%s and its use disagree about _used", t.Ref)
		}
	case List, Map:
		if t.MaxLen == 0 {
			return fmt.Errorf("a list or map without a bound")
		}
		if t.Key != nil {
			if err := l.checkType(t.Key); err != nil {
				return err
			}
		}
		return l.checkType(t.Elem)
	case String:
		if t.MaxLen == 0 && t.Enum == nil && t.Const == "" {
			return fmt.Errorf("a string without a bound")
		}
		if (t.Format != "" || t.Unlike != nil) && t.CEL == "" {
			return fmt.Errorf("a string with a format needs @cel: OpenAPI's formats let other types pass")
		}
	case Int:
		if t.IntEnum == nil && (t.Min == nil || t.Max == nil) {
			return fmt.Errorf("an integer without bounds")
		}
	}
	return nil
}
