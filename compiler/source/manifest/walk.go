package manifest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/weir-mesh/weir/compiler/diag"
)

// walk lists the files to read. It follows kubectl: a named file is read whatever it is called, a folder is walked
// in full (hidden files too), files in it are told by their ending, links to files are followed and links to
// folders inside a folder are not. Unlike kubectl it leaves .git and compiled plans alone, follows a named link to
// a folder, says which links it did not follow, and reads a file once by whichever ways it is reached (a mounted
// ConfigMap shows each file twice).
func (r *reader) walk(ctx context.Context, paths []string) []string {
	w := walker{ctx: ctx, reader: r, seen: map[string]bool{}}
	for _, p := range paths {
		w.path(p)
	}
	for _, l := range w.links {
		if !w.walked(l.target) {
			r.diags.Add(diag.Diagnostic{Code: CodeLink, Severity: diag.Warning, Pos: diag.Position{File: l.name},
				Message: "link to a folder not followed: " + l.target, Hint: "name the folder itself to read it"})
		}
	}
	return w.files
}

type walker struct {
	ctx    context.Context
	reader *reader
	files  []string
	// seen holds the real path of each file and walked folder.
	seen  map[string]bool
	roots []string
	links []folderLink
}

type folderLink struct{ name, target string }

func (w *walker) path(p string) {
	fi, err := os.Stat(p)
	switch {
	case err != nil:
		w.unreadable(p, err)
	case fi.IsDir():
		w.folder(p)
	case Irregular(fi.Mode()) != nil && !isShellPipe(p, fi.Mode()):
		w.irregular(p, fi.Mode())
	default:
		w.file(p)
	}
}

// Irregular says what a file is that is not a regular one: reading it could block, or never end.
func Irregular(mode fs.FileMode) error {
	switch {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		return errors.New("it is a folder")
	case mode&fs.ModeNamedPipe != 0:
		return errors.New("it is a named pipe, not a file")
	case mode&fs.ModeSocket != 0:
		return errors.New("it is a socket, not a file")
	case mode&fs.ModeDevice != 0:
		return errors.New("it is a device, not a file")
	}
	return errors.New("it is not a regular file")
}

// isShellPipe reports the name of an open pipe, such as a shell's <(command): somebody writes to it already, and ends.
func isShellPipe(name string, mode fs.FileMode) bool {
	name = absolute(name)
	return mode&fs.ModeNamedPipe != 0 && (name == "/dev/stdin" || strings.HasPrefix(name, "/dev/fd/") || strings.HasPrefix(name, "/proc/self/fd/"))
}

func (w *walker) folder(p string) {
	real, err := filepath.EvalSymlinks(p)
	if err != nil {
		w.unreadable(p, err)
		return
	}
	w.roots = append(w.roots, absolute(real))
	if holdsPlan(real) {
		w.reader.errorAt(CodeRead, diag.Position{File: p}, "cannot read: the folder is a compiled plan, which is no source",
			"name the folder of the policies; if this is it, take "+PlanRecord+" out")
		return
	}
	root := p
	if real != p {
		root = real // WalkDir does not enter a link
	}
	_ = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		if rel, relErr := filepath.Rel(root, name); relErr == nil {
			name = filepath.Join(p, rel)
		}
		switch {
		case err != nil:
			w.unreadable(name, err)
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
		case d.IsDir():
			if d.Name() == ".git" || holdsPlan(name) {
				return fs.SkipDir
			}
		default:
			w.entry(name, d)
		}
		return nil
	})
}

// PlanRecord is the file that marks a folder as a compiled plan. Such a folder inside one that is read is Weir's own
// output, and no source.
const PlanRecord = "weir-plan.json"

func holdsPlan(folder string) bool {
	fi, err := os.Stat(filepath.Join(folder, PlanRecord))
	return err == nil && fi.Mode().IsRegular()
}

// leftOut says of a file that looks like a source that it is not read: kubectl knows the endings in small letters, and CUE
// keeps *_tool.cue for its own commands.
func (w *walker) leftOut(name string) {
	hint := "name the file itself to read it, or rename it"
	base := filepath.Base(name)
	lower := strings.ToLower(base)
	switch {
	case lower != base && (IsManifest(lower) || strings.HasSuffix(lower, ".cue")):
		hint = "its ending is in small letters where it is read: rename it"
	case !strings.HasSuffix(name, "_tool.cue") || strings.Contains(filepath.ToSlash(name), "cue.mod/"):
		return
	}
	w.reader.diags.Add(diag.Diagnostic{Code: CodeLeftOut, Severity: diag.Warning, Pos: diag.Position{File: name}, Message: "this file of the folder is left out", Hint: hint})
}

func (w *walker) entry(name string, d fs.DirEntry) {
	if d.Type()&fs.ModeSymlink != 0 {
		if fi, err := os.Stat(name); err == nil && fi.IsDir() {
			if target, err := filepath.EvalSymlinks(name); err == nil {
				w.links = append(w.links, folderLink{name, absolute(target)})
			}
			return
		}
	}
	if !IsManifest(name) {
		w.leftOut(name)
		return
	}
	// A pipe or device in a folder is nobody's manifest, and reading it could block.
	if fi, err := os.Stat(name); err == nil && Irregular(fi.Mode()) != nil {
		w.irregular(name, fi.Mode())
		return
	}
	w.file(name)
}

func (w *walker) file(name string) {
	if _, err := os.Stat(name); err != nil {
		w.unreadable(name, err)
		return
	}
	// What a shell's <(command) names is a link that leads to no path.
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		real = name
	}
	if real = absolute(real); w.seen[real] {
		return
	}
	w.seen[real] = true
	w.files = append(w.files, name)
}

// walked reports whether the folder lies in one that was walked.
func (w *walker) walked(target string) bool {
	for _, root := range w.roots {
		if rel, err := filepath.Rel(root, target); err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
			return true
		}
	}
	return false
}

func (w *walker) unreadable(name string, err error) {
	w.reader.errorAt(CodeRead, diag.Position{File: name}, "cannot read: "+cause(err), "nothing is concluded from what could not be read")
}

func (w *walker) irregular(name string, mode fs.FileMode) {
	w.reader.diags.Add(NotAFile(name, mode))
}

// NotAFile says that what was named is no file that could be read, whatever its name is.
func NotAFile(name string, mode fs.FileMode) diag.Diagnostic {
	return diag.Diagnostic{Code: CodeRead, Severity: diag.Error, Pos: diag.Position{File: name},
		Message: "cannot read: " + Irregular(mode).Error(), Hint: "name files and folders; what a program writes is read from -"}
}

// cause leaves out the path, which the position already says.
func cause(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

func absolute(p string) string {
	if a, err := filepath.Abs(p); err == nil {
		return a
	}
	return p
}

// readFile reads and parses a file; false stops reading.
func (r *reader) readFile(ctx context.Context, name string) bool {
	if r.limits.Files--; r.limits.Files < 0 {
		r.errorAt(CodeLimit, diag.Position{File: name}, "too many files (limit on files)", "name fewer paths")
		return false
	}
	data, err := readBounded(ctx, name, r.limits.FileBytes)
	if err != nil {
		r.errorAt(CodeRead, diag.Position{File: name}, "cannot read: "+cause(err), "nothing is concluded from what could not be read")
		return true
	}
	if int64(len(data)) > r.limits.FileBytes {
		r.tooBig(name, fileSize(name, int64(len(data))))
		return true
	}
	return r.content(File{name, data})
}

// content parses what a file holds; false stops reading.
func (r *reader) content(f File) bool {
	n := int64(len(f.Data))
	if n > r.limits.FileBytes {
		r.tooBig(f.Name, n)
		return true
	}
	if r.total += n; r.total > r.limits.TotalBytes {
		r.errorAt(CodeLimit, diag.Position{File: f.Name}, fmt.Sprintf("the files are more than %s together (limit on total size)",
			size(r.limits.TotalBytes)), "name fewer paths")
		return false
	}
	r.parse(f.Name, f.Data)
	return true
}

func (r *reader) tooBig(name string, n int64) {
	has := "the file has "
	if size(n) != size(r.limits.FileBytes) { // else no more was read
		has += size(n) + ", "
	}
	r.errorAt(CodeLimit, diag.Position{File: name}, fmt.Sprintf("%smore than %s (limit on file size)", has, size(r.limits.FileBytes)), "split it into smaller files")
}

// readBounded reads at most one byte more than the limit. A pipe may keep it waiting until the context ends.
func readBounded(ctx context.Context, name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	defer context.AfterFunc(ctx, func() { _ = f.Close() })()
	return io.ReadAll(io.LimitReader(f, limit+1))
}

func fileSize(name string, atLeast int64) int64 {
	if fi, err := os.Stat(name); err == nil && fi.Size() > atLeast {
		return fi.Size()
	}
	return atLeast
}

func size(n int64) string {
	if n < 10<<20 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
