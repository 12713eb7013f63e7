package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// results is the file in which a run keeps what it found out, so that a run can be stopped and gone on with. What was
// found out holds as long as everything that decides it stays the same: of another state of the code only who noticed a
// mutant is used, to ask that one first.
type results struct {
	mu   sync.Mutex
	file *os.File
	// mutants and covered are what is known of this state of the code; hints are who noticed a mutant once, or nobody.
	mutants map[string]record
	covered map[string]record
	hints   map[string]string
}

// nobody is the hint of a mutant that survived.
const nobody = "nobody"

// record is a line of the file. The lines that follow one with a digest belong to that state of the code.
type record struct {
	Digest string `json:"digest,omitempty"`
	// Mutant is a mutant's key; State and By are what became of it.
	Mutant string `json:"mutant,omitempty"`
	State  string `json:"state,omitempty"`
	By     string `json:"by,omitempty"`
	// Covered is a trial or a test; Cost is its processor time, Reached the mutants that make a difference in it.
	Covered string        `json:"covered,omitempty"`
	Cost    time.Duration `json:"cost,omitempty"`
	Reached idSet         `json:"reached,omitempty"`
}

// idSet is a set of mutants' numbers.
type idSet []byte

func (s *idSet) add(id int) {
	for len(*s) <= id/8 {
		*s = append(*s, 0)
	}
	(*s)[id/8] |= 1 << (id % 8)
}

func (s idSet) has(id int) bool { return id/8 < len(s) && s[id/8]&(1<<(id%8)) != 0 }

// openResults reads the file and writes it again: what belongs to the digest, and the hints.
func openResults(path, digest string) (*results, error) {
	r := &results{mutants: map[string]record{}, covered: map[string]record{}, hints: map[string]string{}}
	if err := r.read(path, digest); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	var err error
	if r.file, err = os.Create(path + ".part"); err != nil {
		return nil, err
	}
	for key, by := range r.hints {
		r.write(record{Mutant: key, By: by})
	}
	r.write(record{Digest: digest})
	for _, known := range []map[string]record{r.covered, r.mutants} {
		for _, rec := range known {
			r.write(rec)
		}
	}
	return r, os.Rename(path+".part", path)
}

func (r *results) read(path, digest string) error {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	current := false
	for line := range bytes.Lines(text) {
		var rec record
		if json.Unmarshal(line, &rec) != nil {
			continue // the line at which a run was cut off
		}
		if rec.Digest != "" {
			current = rec.Digest == digest
		}
		switch {
		case rec.Mutant != "" && rec.By != "":
			r.hints[rec.Mutant] = rec.By
		case rec.State == survived.String():
			r.hints[rec.Mutant] = nobody
		}
		switch {
		case !current:
		case rec.Mutant != "":
			r.mutants[rec.Mutant] = rec
		case rec.Covered != "":
			r.covered[rec.Covered] = rec
		}
	}
	return nil
}

// write appends a record. A line that cannot be written is only asked for again by the next run.
func (r *results) write(rec record) {
	b, err := json.Marshal(rec)
	if err != nil {
		panic(err) // strings and numbers only
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.file.Write(append(b, '\n')); err != nil {
		fmt.Fprintln(os.Stderr, "mutate: the results are not kept:", err)
	}
}

// take gives the mutants the states that are known.
func (r *results) take(all []*mutant) {
	for _, m := range all {
		switch rec := r.mutants[m.key]; rec.State {
		case killed.String():
			m.state, m.by = killed, rec.By
		case survived.String():
			m.state = survived
		case notCompiled.String():
			m.state = notCompiled
		}
	}
}

func (r *results) keep(m *mutant) {
	r.write(record{Mutant: m.key, State: m.state.String(), By: m.by})
}

// digestOf hashes everything that decides what becomes of a mutant: the files of all packages of the module that the tests
// are built from, the modules, what makes and tries the mutants, the compiler and the options.
func digestOf(ctx context.Context, root string, o *options) (string, error) {
	args := []string{"list", "-deps", "-test", "-f", "{{with .Module}}{{if .Main}}{{$.Dir}}{{end}}{{end}}"}
	for _, s := range suites() {
		args = append(args, s.pkg)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Stderr = root, os.Stderr
	list, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("listing what the tests are built from: %w", err)
	}
	version, err := exec.CommandContext(ctx, "go", "version").Output()
	if err != nil {
		return "", err
	}
	files := []string{filepath.Join(root, "go.mod"), filepath.Join(root, "go.sum")}
	for _, f := range []string{"build.go", "find.go", "rewrite.go", "source.go", "helpers.go.txt", "mutants_test.go.txt"} {
		files = append(files, filepath.Join(root, "hack/mutate", f))
	}
	for dir := range strings.FieldsSeq(string(list)) {
		if files, err = filesOf(dir, files); err != nil {
			return "", err
		}
	}
	slices.Sort(files)
	h := sha256.New()
	fmt.Fprintf(h, "%s%d\n", version, o.pairs)
	for _, f := range slices.Compact(files) {
		b, err := os.ReadFile(f)
		if err != nil {
			return "", err
		}
		rel, err := filepath.Rel(root, f)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %x\n", rel, sha256.Sum256(bytes.TrimSpace(b)))
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}

// filesOf appends a package's files and those of its testdata.
func filesOf(dir string, files []string) ([]string, error) {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != dir && !strings.Contains(path[len(dir):], "testdata"):
			return fs.SkipDir
		case d.Type().IsRegular():
			files = append(files, path)
		}
		return nil
	})
	return files, err
}
