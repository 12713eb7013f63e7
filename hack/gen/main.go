// Command gen writes what follows from the CUE definitions in schemas/v1alpha1: the Go types beside them, the CRDs in
// schemas/crds, the table of fields in schemas, and docs/reference.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/weir-mesh/weir/hack/gen/language"
)

func main() {
	root := flag.String("root", "", "the repository; absent: found from the working directory")
	out := flag.String("out", "", "where to write; absent: the repository")
	flag.Parse()
	if err := run(*root, *out); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(root, out string) error {
	if root == "" {
		dir, err := findRoot()
		if err != nil {
			return err
		}
		root = dir
	}
	if out == "" {
		out = root
	}
	files, err := Generate(root)
	if err != nil {
		return err
	}
	for name, content := range files {
		p := filepath.Join(out, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o777); err != nil {
			return fmt.Errorf("making a folder: %w", err)
		}
		if err := os.WriteFile(p, content, 0o666); err != nil {
			return fmt.Errorf("writing: %w", err)
		}
	}
	return nil
}

// findRoot goes up from the working directory to go.mod.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the working directory: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if filepath.Dir(dir) == dir {
			return "", fmt.Errorf("no go.mod in or above the working directory")
		}
		dir = filepath.Dir(dir)
	}
}

// Generate returns every generated file by its slash-separated path in the repository.
func Generate(root string) (map[string][]byte, error) {
	l, err := language.Read(os.DirFS(filepath.Join(root, "schemas")), "v1alpha1")
	if err != nil {
		return nil, fmt.Errorf("reading the language: %w", err)
	}
	files := map[string][]byte{}
	for _, d := range l.Defs {
		name := "schemas/v1alpha1/" + strings.TrimSuffix(d.File, ".cue") + "_gen.go"
		if _, ok := files[name]; ok {
			continue
		}
		src, err := goFile(l, d.File)
		if err != nil {
			return nil, err
		}
		if src != nil {
			files[name] = src
		}
	}
	fields, err := fieldTable(l)
	if err != nil {
		return nil, err
	}
	files["schemas/fields_gen.go"] = fields
	if files["schemas/check_gen.go"], err = checks(l); err != nil {
		return nil, err
	}
	for _, k := range l.Kinds() {
		if files["schemas/crds/"+k.CRD.Plural()+".yaml"], err = crd(l, k); err != nil {
			return nil, err
		}
	}
	pages, err := referencePages(l, os.DirFS(filepath.Join(root, "schemas", "examples")))
	if err != nil {
		return nil, err
	}
	for name, content := range pages {
		files["docs/reference/"+name] = content
	}
	return files, nil
}
