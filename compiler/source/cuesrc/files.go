package cuesrc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/source/manifest"
)

// What the files may weigh; CUE's syntax trees take some forty times the text.
const (
	maxFileBytes  = 32 << 20
	maxTotalBytes = 128 << 20
	maxFiles      = 100_000
)

// sourceFile is a CUE file as it was read.
type sourceFile struct {
	name string // as findings name it
	dir  string // cleaned, absolute
	data []byte
	// explicit files were named one by one: they stand alone, without the rest of their folder's package.
	explicit bool

	pkg     string   // its package clause, "" for none
	imports []string // what it imports
}

// reader finds and reads the files.
type reader struct {
	ctx   context.Context
	files []*sourceFile
	diags diag.List
	seen  map[string]bool // real paths
	// roots are the folders that were named, absolute.
	roots []string
	total int64
	// imported are the packages that the files import, as path:name; nil until it is asked.
	imported map[string]bool
}

func (r *reader) errorAt(code diag.Code, file, message, hint string) {
	r.diags.Add(diag.Diagnostic{Code: code, Severity: diag.Error, Pos: diag.Position{File: file}, Message: message, Hint: hint})
}

func (r *reader) unreadable(name string, err error) {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	r.errorAt(manifest.CodeRead, name, "cannot read: "+err.Error(), "nothing is concluded from what could not be read")
}

// paths reads what was named: folders first, so that a file in one of them belongs to its package.
func (r *reader) paths(paths []string) {
	for _, folders := range []bool{true, false} {
		for _, p := range paths {
			if fi, err := os.Stat(p); (err == nil && fi.IsDir()) == folders {
				r.path(p)
			}
		}
	}
}

// path reads a file or folder that was named.
func (r *reader) path(p string) {
	fi, err := os.Stat(p)
	switch {
	case err != nil:
		r.unreadable(p, err)
	case fi.IsDir():
		if abs, err := filepath.Abs(p); err == nil {
			r.roots = append(r.roots, abs)
		}
		r.folder(p)
	case filepath.Ext(p) == ".cue":
		r.read(p, true)
	}
}

// folder reads the CUE files of a folder and of those below it, leaving out what CUE leaves out: names that
// begin with "." or "_", testdata, cue.mod, and files of `cue cmd`.
func (r *reader) folder(dir string) {
	if r.ctx.Err() != nil {
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		r.unreadable(dir, err)
		return
	}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if strings.HasPrefix(e.Name(), ".") || strings.HasPrefix(e.Name(), "_") {
			continue
		}
		isDir := e.IsDir()
		if e.Type()&fs.ModeSymlink != 0 {
			fi, err := os.Stat(name)
			if err == nil && fi.IsDir() {
				r.diags.Add(diag.Diagnostic{Code: manifest.CodeLink, Severity: diag.Warning, Pos: diag.Position{File: name},
					Message: "link to a folder not followed", Hint: "name the folder itself to read it"})
				continue
			}
		}
		switch {
		case isDir && e.Name() != "testdata" && e.Name() != "cue.mod":
			r.folder(name)
		case !isDir && isSource(e.Name()):
			r.read(name, false)
		}
	}
}

func isSource(name string) bool {
	return strings.HasSuffix(name, ".cue") && !strings.HasSuffix(name, "_tool.cue")
}

func (r *reader) read(name string, explicit bool) {
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		real = name
	}
	abs, err := filepath.Abs(real)
	if err != nil {
		r.unreadable(name, err)
		return
	}
	if r.seen[abs] {
		return
	}
	r.seen[abs] = true
	if len(r.files) >= maxFiles || r.total > maxTotalBytes {
		return
	}
	if data, ok := r.content(name); ok {
		r.add(name, filepath.Dir(name), data, explicit)
	}
}

// given takes a file that was read elsewhere.
func (r *reader) given(f manifest.File) {
	if r.judge(f.Name, f.Data) {
		r.add(f.Name, ".", f.Data, true)
	}
}

// add keeps a file's content, within the bounds on all files together.
func (r *reader) add(name, folder string, data []byte, explicit bool) {
	dir, err := filepath.Abs(folder)
	if err != nil {
		r.unreadable(name, err)
		return
	}
	r.files = append(r.files, newSourceFile(name, dir, data, explicit))
	if len(r.files) == maxFiles {
		r.errorAt(manifest.CodeLimit, name, fmt.Sprintf("more than %d files (limit on files)", maxFiles), "name fewer paths")
	}
	if r.total += int64(len(data)); r.total > maxTotalBytes {
		r.errorAt(manifest.CodeLimit, name, fmt.Sprintf("the files are more than %d MiB together (limit on total size)", maxTotalBytes>>20), "name fewer paths")
	}
}

// content reads a file within the bounds, and reports what it is not.
func (r *reader) content(name string) ([]byte, bool) {
	if fi, err := os.Stat(name); err == nil && manifest.Irregular(fi.Mode()) != nil {
		r.diags.Add(manifest.NotAFile(name, fi.Mode()))
		return nil, false
	}
	f, err := os.Open(name)
	if err != nil {
		r.unreadable(name, err)
		return nil, false
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		r.unreadable(name, err)
		return nil, false
	}
	return data, r.judge(name, data)
}

// judge reports content that is too large, or no text.
func (r *reader) judge(name string, data []byte) bool {
	if len(data) > maxFileBytes {
		r.errorAt(manifest.CodeLimit, name, fmt.Sprintf("the file has more than %d MiB (limit on file size)", maxFileBytes>>20), "split it into smaller files")
		return false
	}
	if at := invalidUTF8(data); at >= 0 {
		line, col := 1+bytes.Count(data[:at], []byte("\n")), at-bytes.LastIndexByte(data[:at], '\n')
		r.diags.Add(diag.Diagnostic{Code: manifest.CodeEncoding, Severity: diag.Error, Message: "the file is not UTF-8", Hint: "save it as UTF-8",
			Pos: diag.Position{File: filepath.ToSlash(name), Line: line, Col: col, EndCol: col + 1}})
		return false
	}
	return true
}

// invalidUTF8 returns the offset of the first byte that is not UTF-8, or -1.
func invalidUTF8(b []byte) int {
	if utf8.Valid(b) {
		return -1
	}
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}
