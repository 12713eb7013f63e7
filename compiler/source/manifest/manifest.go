// Package manifest reads folders of YAML and JSON as Kubernetes objects, each with the place of every field. It
// knows no kinds: what an object means is for the packages that take them.
package manifest

import (
	"context"
	"fmt"
	"strings"

	"github.com/weir-mesh/weir/compiler/diag"
)

// The findings of this package. Those of area 7 mean that the input could not be judged.
const (
	CodeSyntax     diag.Code = "WEIR1030"
	CodeDuplicate  diag.Code = "WEIR1031"
	CodeNotObject  diag.Code = "WEIR1032"
	CodeTwice      diag.Code = "WEIR1033"
	CodeIncomplete diag.Code = "WEIR1040"
	CodeLimit      diag.Code = "WEIR7010"
	CodeEncoding   diag.Code = "WEIR7011"
	CodeRead       diag.Code = "WEIR7012"
	CodeLink       diag.Code = "WEIR7013"
	CodeLeftOut    diag.Code = "WEIR7014"
)

// Limits bound what hostile input can cost. A zero field is its default.
type Limits struct {
	// FileBytes bounds one file, TotalBytes all of them together.
	FileBytes, TotalBytes int64
	// Values bounds how many values the files hold together, estimated before a file is parsed: a parsed value takes
	// some 200 bytes, and two characters can be one.
	Values int64
	// Files bounds how many files are read.
	Files int
	// Depth bounds how deep values nest, aliases followed.
	Depth int
	// AliasNodes bounds how many values one file may repeat through aliases.
	AliasNodes int
}

func (l Limits) withDefaults() Limits {
	def := func(p *int64, d int64) {
		if *p == 0 {
			*p = d
		}
	}
	defInt := func(p *int, d int) {
		if *p == 0 {
			*p = d
		}
	}
	def(&l.FileBytes, 64<<20)
	def(&l.TotalBytes, 256<<20)
	def(&l.Values, 4_000_000)
	defInt(&l.Files, 100_000)
	defInt(&l.Depth, 100)
	defInt(&l.AliasNodes, 100_000)
	return l
}

// Read reads files and folders, folders with all that lies below them, as `kubectl apply -f -R` does. Objects come
// in the order of the files, and what is wrong in one file does not hide another's findings; but with an error
// among the findings the objects are not all that there is, and nothing may be concluded from an absence (S33).
// Files that are given are read like those that were found.
func Read(ctx context.Context, paths []string, limits Limits, given ...File) ([]*Object, diag.List) {
	r := reader{limits: limits.withDefaults()}
	for _, f := range r.walk(ctx, paths) {
		if err := ctx.Err(); err != nil {
			r.diags.Add(diag.Diagnostic{Code: CodeLimit, Severity: diag.Error, Pos: diag.Position{File: f},
				Message: "reading stopped before this file: " + err.Error(), Hint: "give it more time, or name fewer paths"})
			break
		}
		if !r.readFile(ctx, f) {
			break
		}
	}
	for _, f := range given {
		r.content(f)
	}
	r.findRepeats()
	r.diags.Sort()
	return r.objects, r.diags
}

// File is a file's content that was read elsewhere, named as findings should name it.
type File struct {
	Name string
	Data []byte
}

// Parse reads one file's content, named as findings should name it.
func Parse(name string, data []byte, limits Limits) ([]*Object, diag.List) {
	r := reader{limits: limits.withDefaults()}
	r.content(File{name, data})
	r.findRepeats()
	r.diags.Sort()
	return r.objects, r.diags
}

// TooDeep says that values nest deeper than a limit, in the same words for every language.
func TooDeep(pos diag.Position, limit int) diag.Diagnostic {
	return diag.Diagnostic{Code: CodeLimit, Severity: diag.Error, Pos: pos,
		Message: fmt.Sprintf("values nest more than %d deep (limit on depth)", limit), Hint: "flatten the file"}
}

// IsManifest reports whether a file found in a folder is read as a manifest.
func IsManifest(name string) bool {
	return strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml") || strings.HasSuffix(name, ".json")
}

// reader holds one read's state.
type reader struct {
	limits  Limits
	total   int64
	values  int64
	objects []*Object
	diags   diag.List
}

func (r *reader) errorAt(code diag.Code, pos diag.Position, message, hint string) {
	r.diags.Add(diag.Diagnostic{Code: code, Severity: diag.Error, Pos: pos, Message: message, Hint: hint})
}

// findRepeats reports objects that are given more than once: which one holds would hang on the order of reading.
func (r *reader) findRepeats() {
	type key struct{ group, kind, namespace, name string }
	first := map[key]*Object{}
	for _, o := range r.objects {
		k := key{o.Group(), o.Kind, o.NamespaceOr("default"), o.Name}
		f, repeated := first[k]
		if !repeated {
			first[k] = o
			continue
		}
		hint := "keep one of the two"
		if o.generated || f.generated {
			hint = "give each a name: what the API server will make of generateName is not known"
		}
		r.diags.Add(diag.Diagnostic{Code: CodeTwice, Severity: diag.Error, Pos: o.Pos(o.NamePath()),
			Message: o.Ref() + " is given twice", Hint: hint,
			Related: []diag.Related{{Pos: f.Pos(f.NamePath()), Message: "first given here"}}})
	}
}
