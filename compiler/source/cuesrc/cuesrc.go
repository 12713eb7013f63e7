// Package cuesrc turns folders of CUE into the evaluated objects and tests that they declare, each with the
// place of every field, and what is wrong in them into diagnostics.
//
// CUE that somebody else wrote can run for hours or take all memory, and cannot be interrupted; so Load
// evaluates in a child process of the same program, which it watches. Evaluate is the same work in this process.
package cuesrc

import (
	"strings"
	"time"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/source/manifest"
)

// The findings of this package. Those of area 7 mean that the input could not be judged.
const (
	CodeSyntax     diag.Code = "WEIR1001"
	CodeImport     diag.Code = "WEIR1002"
	CodeFeature    diag.Code = "WEIR1003"
	CodeField      diag.Code = "WEIR1004"
	CodeMissing    diag.Code = "WEIR1005"
	CodeType       diag.Code = "WEIR1006"
	CodeValue      diag.Code = "WEIR1007"
	CodeRule       diag.Code = "WEIR1008"
	CodeIncomplete diag.Code = "WEIR1009"
	CodeConflict   diag.Code = "WEIR1010"
	CodeReference  diag.Code = "WEIR1011"
	CodeCycle      diag.Code = "WEIR1012"
	CodeName       diag.Code = "WEIR1013"
	CodeEvaluation diag.Code = "WEIR1014"
	CodeClosed     diag.Code = "WEIR1015"
	CodeTime       diag.Code = "WEIR7001"
	CodeMemory     diag.Code = "WEIR7002"
	CodeCrash      diag.Code = "WEIR7003"
	CodeTooMany    diag.Code = "WEIR7004"
)

// Options says what to load and what it may cost. A zero limit is its default.
type Options struct {
	// Paths are files and folders; folders are read with all that lies below them. A named file that is not
	// CUE is left to others.
	Paths []string
	// Files are CUE that was read elsewhere. Each stands alone, like a named file, in the working folder.
	Files []manifest.File
	// Timeout and Memory bound the evaluation: 60 s and 4 GiB by default.
	Timeout time.Duration
	Memory  int64
	// Command runs the child process, which must call ChildMain; by default this program with the one
	// argument ChildArg.
	Command []string
}

// The defaults of --eval-timeout and --eval-memory.
const (
	DefaultTimeout       = 60 * time.Second
	DefaultMemory  int64 = 4 << 30
)

// Bundle is what the files declare. With an error among its diagnostics the objects are not all that there
// are, and nothing may be concluded from an absence (S33).
type Bundle struct {
	// Objects and Tests are in the order of their places. A test's kind is "Test", its name the sentence that
	// it is filed under.
	Objects []Object
	Tests   []Object
	// Diagnostics are sorted.
	Diagnostics diag.List
	// Files are the CUE files that were read.
	Files []string
}

// Object is one evaluated object.
type Object struct {
	Kind, Namespace, Name string
	// JSON is the whole object, defaults of the language filled in.
	JSON []byte
	// Key is the name's place, which stands for the object.
	Key diag.Position
	// Fields has the place of each field and list element that was written out, by a path such as
	// spec.ingress[0].ports[1].port or metadata.labels[app.example/x].
	Fields map[string]Place
}

// Place is where a field's name and its value are. File is empty for the file of the object's key.
type Place struct {
	File       string
	Key, Value Span
}

// Span is a part of a line; columns count bytes, as diag.Position's do.
type Span struct{ Line, Col, EndCol int32 }

// Ref prints "Kind namespace/name", or "Kind name".
func (o *Object) Ref() string {
	if o.Namespace == "" {
		return o.Kind + " " + o.Name
	}
	return o.Kind + " " + o.Namespace + "/" + o.Name
}

// Pos is the place of the value at a path: for a struct or list the place of its name; of the nearest field
// above it where nothing is written at the path; of the object for the empty path.
func (o *Object) Pos(path string) diag.Position { return o.find(path, false) }

// KeyPos is the place of the field's name rather than its value.
func (o *Object) KeyPos(path string) diag.Position { return o.find(path, true) }

func (o *Object) find(path string, key bool) diag.Position {
	p := o.Key
	for at := path; at != ""; at = parentPath(at) {
		if f, ok := o.Fields[at]; ok {
			s := f.Value
			if key || s.Line == 0 {
				s = f.Key
			}
			if f.File != "" {
				p.File = f.File
			}
			p.Line, p.Col, p.EndCol = int(s.Line), int(s.Col), int(s.EndCol)
			break
		}
	}
	p.Object, p.Path = o.Ref(), path
	return p
}

// parentPath cuts the last step off a path.
func parentPath(path string) string {
	if strings.HasSuffix(path, "]") {
		if i := strings.LastIndexByte(path, '['); i >= 0 {
			return path[:i]
		}
	}
	i := strings.LastIndexByte(path, '.')
	return path[:max(i, 0)]
}
