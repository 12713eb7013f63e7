package language

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"
	"cuelang.org/go/mod/modfile"
)

// Read reads every .cue file of dir.
func Read(fsys fs.FS, dir string) (*Language, error) {
	names, err := fs.Glob(fsys, path.Join(dir, "*.cue"))
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", dir, err)
	}
	slices.Sort(names)
	l := &Language{defs: map[string]*Def{}}
	for _, name := range names {
		src, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		f, err := parser.ParseFile(name, src, parser.ParseComments)
		if err != nil {
			return nil, fmt.Errorf("parsing %s: %w", name, err)
		}
		if err := l.file(f, path.Base(name)); err != nil {
			return nil, err
		}
	}
	if err := l.check(); err != nil {
		return nil, err
	}
	return l, l.api(fsys, dir)
}

// api finds the names of the CUE package and of the API.
func (l *Language) api(fsys fs.FS, dir string) error {
	src, err := fs.ReadFile(fsys, "cue.mod/module.cue")
	if err != nil {
		return fmt.Errorf("reading the CUE module: %w", err)
	}
	mod, err := modfile.Parse(src, "cue.mod/module.cue")
	if err != nil {
		return fmt.Errorf("parsing the CUE module: %w", err)
	}
	l.ImportPath = path.Join(mod.ModuleRootPath(), dir)
	for _, d := range l.Kinds() {
		for _, f := range d.Struct.Fields {
			if f.Name == "apiVersion" {
				l.Group, l.Version = path.Split(f.Type.Const)
				l.Group = path.Clean(l.Group)
			}
		}
	}
	if l.Group == "" || l.Version != dir {
		return fmt.Errorf("the kinds' apiVersion does not name the version %s", dir)
	}
	return nil
}

func (l *Language) file(f *ast.File, name string) error {
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.Package, *ast.ImportDecl, *ast.CommentGroup:
		case *ast.Field:
			if err := l.definition(d, name); err != nil {
				return fmt.Errorf("%v: %w", d.Pos(), err)
			}
		default:
			return fmt.Errorf("%v: a %T has no place at file level", d.Pos(), d)
		}
	}
	return nil
}

func (l *Language) definition(f *ast.Field, file string) error {
	name, err := label(f)
	if err != nil {
		return err
	}
	plain, ok := strings.CutPrefix(name, "#")
	if !ok {
		return fmt.Errorf("%s is not a definition", name)
	}
	d := &Def{Name: plain, Doc: doc(f), File: file}
	attrs, err := attributes(f.Attrs)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(attrs, func(a attribute) bool { return a.name == "internal" }) || plain == "Bundle" {
		return nil
	}
	if d.Doc == "" || !strings.HasPrefix(d.Doc, plain) {
		return fmt.Errorf("%s needs a doc comment that begins with %q", name, plain)
	}
	expr, alias := unalias(f.Value)
	if s, ok := expr.(*ast.StructLit); ok && !isMap(s) {
		d.Struct, err = parseStruct(s, alias)
		if err == nil {
			d.CRD, err = parseCRD(s)
		}
	} else {
		d.Type, err = parseType(expr)
		for _, a := range attrs {
			if a.name == "cel" && err == nil {
				d.Type.CEL = a.args[""]
			}
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	l.Defs = append(l.Defs, d)
	l.defs[plain] = d
	return nil
}

func unalias(e ast.Expr) (ast.Expr, string) {
	if a, ok := e.(*ast.Alias); ok {
		return a.Expr, a.Ident.Name
	}
	return e, ""
}

func isMap(s *ast.StructLit) bool {
	if len(s.Elts) != 1 {
		return false
	}
	f, ok := s.Elts[0].(*ast.Field)
	if !ok {
		return false
	}
	_, ok = f.Label.(*ast.ListLit)
	return ok
}

func label(f *ast.Field) (string, error) {
	name, _, err := ast.LabelName(f.Label)
	if err != nil {
		return "", fmt.Errorf("reading a field's name: %w", err)
	}
	return name, nil
}

// doc returns a declaration's doc comment as text, one line a line.
func doc(n ast.Node) string {
	var lines []string
	for _, g := range ast.Comments(n) {
		if !g.Doc {
			continue
		}
		for _, c := range g.List {
			lines = append(lines, strings.TrimSpace(strings.TrimPrefix(c.Text, "//")))
		}
	}
	return strings.Join(lines, "\n")
}

// attribute is @name(key="value", ...); an argument without a key has the key "".
type attribute struct {
	name string
	args map[string]string
}

func attributes(list []*ast.Attribute) ([]attribute, error) {
	var out []attribute
	for _, a := range list {
		name, body := a.Split()
		args := map[string]string{}
		for body != "" {
			key := ""
			if i := strings.IndexAny(body, `="`); i >= 0 && body[i] == '=' {
				key, body = strings.TrimSpace(body[:i]), body[i+1:]
			}
			quoted, rest, ok := strings.Cut(strings.TrimPrefix(body, `"`), `"`)
			if !ok || body[0] != '"' {
				return nil, fmt.Errorf("@%s: arguments are quoted strings", name)
			}
			args[key], body = quoted, strings.TrimLeft(rest, ", ")
		}
		out = append(out, attribute{name, args})
	}
	return out, nil
}

// parseCRD reads a kind's @crd and @column, nil if it has none.
func parseCRD(s *ast.StructLit) (*CRD, error) {
	var list []*ast.Attribute
	for _, e := range s.Elts {
		if a, ok := e.(*ast.Attribute); ok {
			list = append(list, a)
		}
	}
	attrs, err := attributes(list)
	if err != nil {
		return nil, err
	}
	var crd *CRD
	for _, a := range attrs {
		switch {
		case a.name == "crd":
			crd = &CRD{Scope: a.args["scope"], Bundle: a.args["bundle"], Short: a.args["short"]}
		case a.name == "column" && crd != nil:
			crd.Columns = append(crd.Columns, Column{a.args["name"], a.args["type"], a.args["path"]})
		default:
			return nil, fmt.Errorf("@%s has no place here", a.name)
		}
	}
	return crd, nil
}

func parseStruct(s *ast.StructLit, alias string) (*Struct, error) {
	out := &Struct{}
	for _, e := range s.Elts {
		var err error
		switch e := e.(type) {
		case *ast.Attribute:
		case *ast.Field:
			err = out.field(e)
		case *ast.EmbedDecl:
			err = out.embed(e.Expr)
		case *ast.Comprehension:
			err = out.guard(e, alias)
		default:
			err = fmt.Errorf("a %T has no place in a structure", e)
		}
		if err != nil {
			return nil, fmt.Errorf("%v: %w", e.Pos(), err)
		}
	}
	return out, nil
}

// embed takes over a definition, or notes the {} that makes a structure with guards a structure.
func (s *Struct) embed(e ast.Expr) error {
	if lit, ok := e.(*ast.StructLit); ok && len(lit.Elts) == 0 {
		s.firm = true
		return nil
	}
	id, ok := e.(*ast.Ident)
	if !ok || !strings.HasPrefix(id.Name, "#") {
		return fmt.Errorf("only a definition is embedded")
	}
	s.Embeds = append(s.Embeds, id.Name[1:])
	return nil
}

func (s *Struct) field(f *ast.Field) error {
	name, err := label(f)
	if err != nil {
		return err
	}
	if name == "_used" {
		return nil
	}
	t, err := parseType(f.Value)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	text := doc(f)
	if text == "" {
		return fmt.Errorf("%s has no doc comment", name)
	}
	if f.Constraint == 0 && t.Const == "" {
		return fmt.Errorf("%s is neither optional nor required", name)
	}
	s.firm = s.firm || f.Constraint != token.OPTION
	s.Fields = append(s.Fields, &Field{Name: name, Doc: text, Required: isRequired(f), Type: t})
	return nil
}

// unquote returns the value of a string literal without interpolation.
func unquote(e ast.Expr) (string, error) {
	b, ok := e.(*ast.BasicLit)
	if !ok {
		return "", fmt.Errorf("a %T where a string is needed", e)
	}
	s, err := literal.Unquote(b.Value)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", b.Value, err)
	}
	return s, nil
}
