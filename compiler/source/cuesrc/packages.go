package cuesrc

import (
	"cmp"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/parser"

	"github.com/weir-mesh/weir/compiler/diag"
)

// A pack is a CUE package to evaluate: the files of one folder with one package clause (or none), and, as CUE
// has it, the files of the folders above with the same clause, up to the module's root or the folder named.
type pack struct {
	dir, name string
	own       []*sourceFile
	inherited []*sourceFile
	module    *module
}

// module is the user's own CUE module: its packages can be imported.
type module struct {
	path string // without a version
	root string // absolute
}

// packages groups the files that were read.
func (r *reader) packages() []*pack {
	type key struct {
		dir, name string
		explicit  bool
	}
	groups := map[key]*pack{}
	byDir := map[string][]*sourceFile{}
	modules := map[string]*module{}
	for _, f := range r.files {
		byDir[f.dir] = append(byDir[f.dir], f)
		k := key{f.dir, f.pkg, f.explicit}
		if groups[k] == nil {
			groups[k] = &pack{dir: f.dir, name: k.name, module: r.moduleOf(f.dir, modules)}
		}
		groups[k].own = append(groups[k].own, f)
	}
	packs := make([]*pack, 0, len(groups))
	for k, p := range groups {
		if !k.explicit && k.name != "" {
			p.inherited = r.inherited(p, byDir)
		}
		packs = append(packs, p)
	}
	slices.SortFunc(packs, func(a, b *pack) int { return cmp.Compare(a.own[0].name, b.own[0].name) })
	return packs
}

// newSourceFile reads a file's package clause and imports; its syntax errors are found later.
func newSourceFile(name, dir string, data []byte, explicit bool) *sourceFile {
	f := &sourceFile{name: filepath.ToSlash(name), dir: dir, data: data, explicit: explicit}
	head, _ := parser.ParseFile(f.name, data, parser.ImportsOnly)
	if head == nil {
		return f
	}
	if n := head.PackageName(); n != "_" {
		f.pkg = n
	}
	for spec := range head.ImportSpecs() {
		f.imports = append(f.imports, unquoteStep(spec.Path.Value))
	}
	return f
}

// isLibrary reports whether a package that was read imports this one.
func (r *reader) isLibrary(p *pack) bool {
	if p.module == nil || p.module.path == "" {
		return false
	}
	rel, err := filepath.Rel(p.module.root, p.dir)
	if err != nil {
		return false
	}
	if r.imported == nil {
		r.imported = map[string]bool{}
		for _, f := range r.files {
			for _, i := range f.imports {
				ip := ast.ParseImportPath(i)
				r.imported[ip.Path+":"+ip.Qualifier] = true
			}
		}
	}
	return r.imported[path.Join(p.module.path, filepath.ToSlash(rel))+":"+p.name]
}

// inherited returns the files above a package's folder that belong to it. Folders that were not named, but
// lie inside the module, are read for it.
func (r *reader) inherited(p *pack, byDir map[string][]*sourceFile) []*sourceFile {
	top := r.top(p)
	var files []*sourceFile
	for dir := p.dir; dir != top && len(dir) > len(top); {
		dir = filepath.Dir(dir)
		if _, read := byDir[dir]; !read {
			byDir[dir] = r.folderOnly(dir)
		}
		for _, f := range byDir[dir] {
			if f.pkg == p.name {
				files = append(files, f)
			}
		}
	}
	return files
}

// top is how far up a package reaches: its module's root, else the outermost folder named above it.
func (r *reader) top(p *pack) string {
	if p.module != nil {
		return p.module.root
	}
	top := p.dir
	for _, root := range r.roots {
		if within(p.dir, root) && len(root) < len(top) {
			top = root
		}
	}
	return top
}

// within reports whether a folder is another or lies below it.
func within(dir, root string) bool { return under(filepath.ToSlash(dir), filepath.ToSlash(root)) }

// under is within for paths with slashes.
func under(p, root string) bool {
	return p == root || strings.HasPrefix(p, strings.TrimSuffix(root, "/")+"/")
}

// folderOnly reads the CUE files directly in a folder, to import or inherit them.
func (r *reader) folderOnly(dir string) []*sourceFile {
	entries, err := os.ReadDir(dir)
	if err != nil {
		r.unreadable(r.display(dir), err)
		return nil
	}
	var files []*sourceFile
	for _, e := range entries {
		if e.IsDir() || !isSource(e.Name()) || strings.HasPrefix(e.Name(), ".") || strings.HasPrefix(e.Name(), "_") {
			continue
		}
		name := r.display(filepath.Join(dir, e.Name()))
		if data, ok := r.content(name); ok {
			files = append(files, newSourceFile(name, dir, data, false))
		}
	}
	return files
}

// display names a file as a user would: from the working folder where that is shorter.
func (r *reader) display(abs string) string {
	wd, err := os.Getwd()
	if err != nil {
		return abs
	}
	if rel, err := filepath.Rel(wd, abs); err == nil && len(rel) < len(abs) {
		return rel
	}
	return abs
}

// moduleOf finds the module that a folder lies in, or nil.
func (r *reader) moduleOf(dir string, known map[string]*module) *module {
	if m, ok := known[dir]; ok {
		return m
	}
	var m *module
	file := filepath.Join(dir, "cue.mod", "module.cue")
	if _, err := os.Stat(file); err == nil {
		m = r.readModule(dir, r.display(file))
	} else if parent := filepath.Dir(dir); parent != dir {
		m = r.moduleOf(parent, known)
	}
	known[dir] = m
	return m
}

// readModule reads a module's path; all else in the file concerns tools that fetch modules, which Weir does not.
func (r *reader) readModule(root, file string) *module {
	data, ok := r.content(file)
	if !ok {
		return nil
	}
	m := &module{root: root}
	f, err := parser.ParseFile(file, data)
	if err != nil {
		r.diags = append(r.diags, syntaxErrors(err)...)
		return m
	}
	for _, d := range f.Decls {
		field, ok := d.(*ast.Field)
		if !ok {
			continue
		}
		if name, _, _ := ast.LabelName(field.Label); name != "module" {
			continue
		}
		if lit, ok := field.Value.(*ast.BasicLit); ok {
			m.path, _, _ = strings.Cut(unquoteStep(lit.Value), "@")
		}
	}
	return m
}

// parse parses a package's files; what the syntax allows and Weir does not is reported too.
func parse(files []*sourceFile) ([]*ast.File, diag.List) {
	var (
		parsed []*ast.File
		diags  diag.List
	)
	for _, s := range files {
		if d, deep := tooDeep(s); deep {
			diags.Add(d)
			continue
		}
		f, err := parser.ParseFile(s.name, s.data)
		if err != nil {
			diags = append(diags, syntaxErrors(err)...)
			continue
		}
		diags = append(diags, refuseFeatures(f)...)
		parsed = append(parsed, f)
	}
	return parsed, diags
}

// refuseFeatures reports attributes that make a file mean something else by what surrounds it: build tags,
// and the embedding of other files.
func refuseFeatures(f *ast.File) (diags diag.List) {
	ast.Walk(f, func(n ast.Node) bool {
		a, ok := n.(*ast.Attribute)
		if !ok {
			return true
		}
		if name, _ := a.Split(); slices.Contains([]string{"if", "ignore", "extern", "embed", "tag"}, name) {
			diags.Add(diag.Diagnostic{Code: CodeFeature, Severity: diag.Error, Pos: spanOf(a).position(),
				Message: "the attribute @" + name + " is not supported", Hint: "a policy package says the same wherever it is read: write the value itself"})
		}
		return true
	}, nil)
	return diags
}
