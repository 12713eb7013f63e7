package cuesrc

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/build"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"

	"github.com/weir-mesh/weir/compiler/diag"
)

// schemaModule is the module of the language; it travels inside the program.
const schemaModule = "weir.dev/schemas"

// schemaPackage is the version of the language that bundles are checked against.
const schemaPackage = schemaModule + "/v1alpha1"

// importer resolves import paths without a network: CUE's standard library, the schemas in the program, and
// the packages of the user's own module. CUE's own loader would need a registry, a cache and a module file in
// every folder for the same.
type importer struct {
	reader  *reader
	build   *build.Context
	schema  *build.Instance
	module  *module
	loading map[string]bool
	// files are those of the packages that were loaded.
	files  []*sourceFile
	parsed []*ast.File
	diags  diag.List
}

func newImporter(r *reader, schema *build.Instance, m *module) *importer {
	i := &importer{reader: r, schema: schema, module: m, loading: map[string]bool{}}
	i.build = build.NewContext(build.Loader(i.load))
	return i
}

// loadSchema parses the schema's package. Its files are named by their import path.
func loadSchema(fsys fs.FS) (*build.Instance, error) {
	dir := strings.TrimPrefix(schemaPackage, schemaModule+"/")
	names, err := fs.Glob(fsys, dir+"/*.cue")
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("no schema in the program: %w", err)
	}
	inst := build.NewContext().NewInstance(schemaPackage, nil)
	inst.ImportPath, inst.PkgName = schemaPackage, "v1alpha1"
	for _, n := range names {
		b, err := fs.ReadFile(fsys, n)
		if err != nil {
			return nil, fmt.Errorf("reading the schema: %w", err)
		}
		f, err := parser.ParseFile(schemaModule+"/"+n, b, parser.ParseComments)
		if err != nil {
			return nil, fmt.Errorf("parsing the schema: %w", err)
		}
		if err := inst.AddSyntax(f); err != nil {
			return nil, fmt.Errorf("loading the schema: %w", err)
		}
	}
	if err := inst.Complete(); err != nil {
		return nil, fmt.Errorf("loading the schema: %w", err)
	}
	return inst, nil
}

// check reports the imports of a file that lead nowhere.
func (i *importer) check(f *ast.File) {
	for spec := range f.ImportSpecs() {
		p := ast.ParseImportPath(unquoteStep(spec.Path.Value))
		switch {
		case !strings.Contains(p.Path, "."): // the standard library; CUE names what it has not
		case p.Path == schemaPackage:
		case p.Path == schemaModule || strings.HasPrefix(p.Path, schemaModule+"/"):
			i.failed(spec, "no package "+quote(p.Path)+" in the schemas", "import "+quote(schemaPackage))
		case i.module != nil && i.module.path != "" && under(p.Path, i.module.path):
		default:
			i.failed(spec, "cannot import "+quote(p.Path),
				"imports are the standard library, "+schemaPackage+" and packages of your own module; nothing is fetched")
		}
	}
}

func (i *importer) failed(at ast.Node, message, hint string) {
	i.diags.Add(diag.Diagnostic{Code: CodeImport, Severity: diag.Error, Pos: spanOf(at).position(), Message: message, Hint: hint})
}

// load is CUE's hook; nil leaves a path to the standard library.
func (i *importer) load(pos token.Pos, importPath string) *build.Instance {
	p := ast.ParseImportPath(importPath)
	switch {
	case p.Path == schemaPackage:
		return i.schema
	case i.module == nil || i.module.path == "" || !under(p.Path, i.module.path):
		return nil
	}
	return i.local(pos, p)
}

// local loads a package of the user's module.
func (i *importer) local(pos token.Pos, p ast.ImportPath) *build.Instance {
	inst := i.build.NewInstance(p.Path, i.load)
	inst.ImportPath, inst.PkgName = p.String(), p.Qualifier
	at := diag.Diagnostic{Code: CodeImport, Severity: diag.Error, Pos: position(pos)}
	key := p.Path + ":" + p.Qualifier
	if i.loading[key] {
		at.Message, at.Hint = "the import of "+quote(p.Path)+" leads back to itself", "move what both need to a third package"
		i.diags.Add(at)
		return inst
	}
	i.loading[key] = true
	defer delete(i.loading, key)
	rel := strings.TrimPrefix(strings.TrimPrefix(p.Path, i.module.path), "/")
	dir := filepath.Join(i.module.root, filepath.FromSlash(path.Clean("/"+rel)))
	var files []*sourceFile
	lib := &pack{dir: dir, name: p.Qualifier, module: i.module}
	if _, err := os.Stat(dir); err == nil {
		for _, f := range i.reader.folderOnly(dir) {
			if f.pkg == p.Qualifier {
				files = append(files, f)
			}
		}
	}
	if len(files) == 0 {
		at.Message, at.Hint = fmt.Sprintf("no files of package %s in %s", p.Qualifier, i.reader.display(dir)), "a package is a folder; its files begin with \"package "+p.Qualifier+"\""
		i.diags.Add(at)
		return inst
	}
	files = append(files, i.reader.inherited(lib, map[string][]*sourceFile{})...)
	i.files = append(i.files, files...)
	parsed, diags := parse(files)
	i.diags = append(i.diags, diags...)
	i.parsed = append(i.parsed, parsed...)
	for _, f := range parsed {
		i.check(f)
		if err := inst.AddSyntax(f); err != nil {
			i.diags = append(i.diags, plainErrors(CodeImport, err, parsed)...)
		}
	}
	if err := inst.Complete(); err != nil {
		i.diags = append(i.diags, plainErrors(CodeImport, err, parsed)...)
	}
	return inst
}
