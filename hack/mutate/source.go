package main

import (
	"bytes"
	"context"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// state is what became of a mutant.
type state uint8

const (
	untested state = iota
	killed
	survived
	notCompiled
)

func (s state) String() string {
	return [...]string{"not tested", "killed", "survived", "not compiled"}[s]
}

// mutant is one small change.
type mutant struct {
	id int
	// key names the mutant from run to run: its place without the line, and what it is.
	key            string
	file, function string
	line           int
	what           string
	state          state
	// by is what noticed it.
	by    string
	edits []edit
}

// place is "file:function:line".
func (m *mutant) place() string { return fmt.Sprintf("%s:%s:%d", m.file, m.function, m.line) }

// source is a file with its mutants.
type source struct {
	path, rel, pkg string
	text           []byte
	mutants        []*mutant
	// guards are edits that belong to no mutant.
	guards []edit
}

// load parses and checks a package and finds its mutants.
func load(ctx context.Context, root string, t target) ([]*source, error) {
	dir := filepath.Join(root, t.dir)
	fset := token.NewFileSet()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []*ast.File
	var sources []*source
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		f, err := parser.ParseFile(fset, path, text, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
		sources = append(sources, &source{path: path, rel: t.dir + "/" + e.Name(), pkg: f.Name.Name, text: text})
	}
	imports, err := exports(ctx, root, "./"+t.dir)
	if err != nil {
		return nil, err
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: importer.ForCompiler(fset, "gc", imports)}
	if _, err := conf.Check("github.com/weir-mesh/weir/"+t.dir, fset, files, info); err != nil {
		return nil, fmt.Errorf("checking %s: %w", t.dir, err)
	}
	var out []*source
	for i, s := range sources {
		if t.files == nil || slices.Contains(t.files, filepath.Base(s.path)) {
			f := finder{fset: fset, info: info, source: s, tail: map[ast.Stmt]bool{}}
			f.file(files[i])
			out = append(out, s)
		}
	}
	return out, nil
}

// exports builds what the package imports, and returns a look-up of the compiled export data.
func exports(ctx context.Context, root, pkg string) (importer.Lookup, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", pkg)
	cmd.Dir, cmd.Stderr = root, os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", pkg, err)
	}
	files := map[string]string{}
	for line := range bytes.Lines(text) {
		path, file, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
		files[path] = file
	}
	return func(path string) (io.ReadCloser, error) {
		if files[path] == "" {
			return nil, fmt.Errorf("no export data for %s", path)
		}
		return os.Open(files[path])
	}, nil
}
