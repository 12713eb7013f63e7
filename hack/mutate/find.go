package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"strings"
)

// finder walks a file and collects its mutants.
type finder struct {
	fset     *token.FileSet
	info     *types.Info
	source   *source
	function string
	// tail holds the returns that end functions: without them nothing would compile.
	tail map[ast.Stmt]bool
}

func (f *finder) file(file *ast.File) {
	for _, d := range file.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		f.function = fn.Name.Name
		f.markTail(fn.Body)
		ast.Inspect(fn.Body, f.visit)
	}
}

// visit adds the mutants of one node; false leaves out what is inside.
func (f *finder) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.FuncLit:
		f.markTail(n.Body)
	case *ast.BlockStmt:
		f.statements(n.List)
	case *ast.CaseClause:
		f.statements(n.Body)
		for _, e := range n.List {
			f.condition(e)
		}
	case *ast.IfStmt:
		f.condition(n.Cond)
	case *ast.BinaryExpr:
		f.binary(n)
	case *ast.ReturnStmt:
		for _, e := range n.Results {
			f.condition(e)
		}
	case *ast.BasicLit:
		f.literal(n)
	case *ast.Ident:
		f.constant(n, "")
	case *ast.SelectorExpr:
		if x, ok := n.X.(*ast.Ident); ok && f.constant(n.Sel, x.Name) {
			return false
		}
	case *ast.CallExpr:
		return f.call(n)
	}
	return true
}

// call swaps min and max, and leaves out capacities, whose numbers change nothing, and what a panic says.
func (f *finder) call(n *ast.CallExpr) bool {
	name, ok := n.Fun.(*ast.Ident)
	if !ok {
		f.goroutine(n)
		return true
	}
	switch name.Name {
	case "panic":
		return false
	case "make":
		if len(n.Args) == 3 {
			ast.Inspect(n.Args[1], f.visit)
			return false
		}
		if _, isMap := f.info.TypeOf(n.Args[0]).Underlying().(*types.Map); isMap {
			return false
		}
	case "min":
		f.add(n, "min becomes max: "+f.text(n), edit{at: n.Fun.Pos(), end: n.Lparen + 1, text: "mutMin(%d, "})
	case "max":
		f.add(n, "max becomes min: "+f.text(n), edit{at: n.Fun.Pos(), end: n.Lparen + 1, text: "mutMax(%d, "})
	}
	return true
}

// goroutine lets a goroutine of a WaitGroup end its panics, so that they do not end the process.
func (f *finder) goroutine(n *ast.CallExpr) {
	fun, _ := n.Fun.(*ast.SelectorExpr)
	if fun == nil || fun.Sel.Name != "Go" || len(n.Args) != 1 {
		return
	}
	if body, ok := n.Args[0].(*ast.FuncLit); ok {
		at := body.Body.Lbrace + 1
		f.source.guards = append(f.source.guards, edit{at: at, end: at, text: " defer mutRecover();", from: f.offset(at), to: f.offset(at)})
	}
}

// statements drops what can be left out.
func (f *finder) statements(list []ast.Stmt) {
	for _, s := range list {
		switch s := s.(type) {
		case *ast.ExprStmt:
			if c, ok := s.X.(*ast.CallExpr); ok {
				if name, ok := c.Fun.(*ast.Ident); ok && name.Name == "panic" {
					continue
				}
			}
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE {
				continue
			}
		case *ast.IncDecStmt:
		case *ast.BranchStmt:
			if s.Tok != token.BREAK && s.Tok != token.CONTINUE {
				continue
			}
		case *ast.ReturnStmt:
			if s.Results != nil && f.tail[s] {
				continue
			}
		default:
			continue
		}
		f.wrap(s, "dropped: "+f.text(s), "if !mut(%d) { ", " }")
	}
}

// markTail finds the returns that end a function or a branch of its last statement.
func (f *finder) markTail(s ast.Stmt) {
	switch s := s.(type) {
	case *ast.ReturnStmt:
		f.tail[s] = true
	case *ast.BlockStmt:
		f.markLast(s.List)
	case *ast.IfStmt:
		f.markTail(s.Body)
		f.markTail(s.Else)
	case *ast.SwitchStmt:
		f.markTail(s.Body)
		for _, c := range s.Body.List {
			f.markLast(c.(*ast.CaseClause).Body)
		}
	case *ast.TypeSwitchStmt:
		for _, c := range s.Body.List {
			f.markLast(c.(*ast.CaseClause).Body)
		}
	}
}

func (f *finder) markLast(list []ast.Stmt) {
	if n := len(list); n > 0 {
		f.markTail(list[n-1])
	}
}

// condition negates a truth value, unless it is a comparison, which binary negates.
func (f *finder) condition(e ast.Expr) {
	if b, ok := e.(*ast.BinaryExpr); ok && b.Op != token.LAND && b.Op != token.LOR {
		return
	}
	tv := f.info.Types[e]
	basic, ok := types.Default(tv.Type).(*types.Basic)
	if !ok || basic.Kind() != types.Bool {
		return
	}
	f.wrap(e, "negated: "+f.text(e), "((", ") != mut(%d))")
}

var comparisons = map[token.Token]string{token.LSS: "mutLess", token.LEQ: "mutLessEqual", token.GTR: "mutGreater", token.GEQ: "mutGreaterEqual"}

var arithmetic = map[token.Token]string{token.ADD: "mutAdd", token.SUB: "mutSub", token.AND: "mutAnd", token.OR: "mutOr", token.AND_NOT: "mutAndNot",
	token.XOR: "mutXor", token.MUL: "mutMul", token.SHL: "mutShl", token.SHR: "mutShr"}

func (f *finder) binary(n *ast.BinaryExpr) {
	if f.info.Types[n].Value != nil {
		return // a constant
	}
	text := f.text(n)
	infix := func(name, what string) {
		f.add(n, what+": "+text, edit{at: n.Pos(), end: n.Pos(), text: name + "(%d, ", node: n, infix: true},
			edit{at: n.X.End(), end: n.Y.Pos(), text: ", "}, edit{at: n.End(), end: n.End(), text: ")", closes: n, infix: true})
	}
	switch n.Op {
	case token.LAND, token.LOR:
		name := map[token.Token]string{token.LAND: "mutBoth", token.LOR: "mutEither"}[n.Op]
		f.add(n, "&& and || swapped: "+text, edit{at: n.Pos(), end: n.Pos(), text: name + "(%d, ", node: n, infix: true},
			edit{at: n.X.End(), end: n.Y.Pos(), text: ", func() bool { return "}, edit{at: n.End(), end: n.End(), text: " })", closes: n, infix: true})
	case token.EQL, token.NEQ:
		f.wrap(n, "negated: "+text, "((", ") != mut(%d))")
	case token.LSS, token.LEQ, token.GTR, token.GEQ:
		infix(comparisons[n.Op], "off by one")
		f.wrap(n, "negated: "+text, "((", ") != mut(%d))")
	default:
		t, ok := f.info.TypeOf(n).Underlying().(*types.Basic)
		if name := arithmetic[n.Op]; name != "" && ok && t.Info()&types.IsInteger != 0 {
			infix(name+"["+f.typeName(f.info.TypeOf(n))+"]", "another operator")
		}
	}
}

func (f *finder) typeName(t types.Type) string {
	return types.TypeString(t, func(p *types.Package) string {
		if p.Name() == f.source.pkg {
			return ""
		}
		return p.Name()
	})
}

// literal moves a number by one.
func (f *finder) literal(n *ast.BasicLit) {
	tv := f.info.Types[n]
	if n.Kind != token.INT || tv.Type == nil {
		return
	}
	t := types.Default(tv.Type)
	if b, ok := t.Underlying().(*types.Basic); !ok || b.Info()&types.IsInteger == 0 {
		return
	}
	f.wrap(n, n.Value+" plus one in "+f.line(n), "mutLiteral["+f.typeName(t)+"](%d, ", ")")
}

// constant puts another constant of the type in its place, or turns true and false.
func (f *finder) constant(id *ast.Ident, qualifier string) bool {
	c, ok := f.info.Uses[id].(*types.Const)
	if !ok {
		return false
	}
	start := id.Pos()
	prefix := ""
	if qualifier != "" {
		prefix = qualifier + "."
		start -= token.Pos(len(prefix))
	}
	if c.Pkg() == nil {
		if id.Name == "true" || id.Name == "false" {
			f.wrap(id, "not "+id.Name+" in "+f.line(id), "(", " != mut(%d))")
		}
		return true
	}
	named, ok := c.Type().(*types.Named)
	if !ok {
		return true
	}
	if other := sibling(c, named); other != "" {
		f.addAt(start, id.End(), fmt.Sprintf("%s%s becomes %s in %s", prefix, id.Name, other, f.line(id)), "mutPick(%d, ", ", "+prefix+other+")")
	}
	return true
}

// sibling is the next constant of a constant's type in its package.
func sibling(c *types.Const, t *types.Named) string {
	scope := c.Pkg().Scope()
	var others []*types.Const
	at := 0
	for _, name := range scope.Names() {
		o, ok := scope.Lookup(name).(*types.Const)
		if !ok || !types.Identical(o.Type(), t) || strings.HasPrefix(name, "Num") || !o.Exported() && c.Exported() {
			continue
		}
		if o == c {
			at = len(others)
		}
		others = append(others, o)
	}
	if len(others) < 2 {
		return ""
	}
	return others[(at+1)%len(others)].Name()
}

// text is a node's source on one line.
func (f *finder) text(n ast.Node) string {
	s := string(f.source.text[f.offset(n.Pos()):f.offset(n.End())])
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 100 {
		s = s[:100] + "…"
	}
	return s
}

// line is the source line of a node.
func (f *finder) line(n ast.Node) string {
	lines := strings.Split(string(f.source.text), "\n")
	return strings.TrimSpace(lines[f.fset.Position(n.Pos()).Line-1])
}

func (f *finder) offset(p token.Pos) int { return f.fset.Position(p).Offset }

func (f *finder) wrap(n ast.Node, what, before, after string) {
	f.addAt(n.Pos(), n.End(), what, before, after)
}

func (f *finder) addAt(start, end token.Pos, what, before, after string) {
	span := &ast.BadExpr{From: start, To: end}
	f.add(span, what, edit{at: start, end: start, text: before, node: span}, edit{at: end, end: end, text: after, closes: span})
}

func (f *finder) add(n ast.Node, what string, edits ...edit) {
	p := f.fset.Position(n.Pos())
	for i := range edits {
		edits[i].from, edits[i].to = f.offset(edits[i].at), f.offset(edits[i].end)
		for _, span := range []ast.Node{edits[i].node, edits[i].closes} {
			if span != nil {
				edits[i].spanFrom, edits[i].spanTo = f.offset(span.Pos()), f.offset(span.End())
			}
		}
	}
	f.source.mutants = append(f.source.mutants, &mutant{file: f.source.rel, function: f.function, line: p.Line, what: what, edits: edits})
}
