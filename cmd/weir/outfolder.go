package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// checkOut refuses a folder for a plan in which something of the user's lies: the plan's files would take its place, and
// the folder of a plan is no source for the next compile.
func checkOut(out string, sources []string) error {
	fi, err := os.Stat(out)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("--out %s: %w", out, err)
	case !fi.IsDir():
		return fmt.Errorf("--out %s is a file: name a folder", out)
	}
	if len(sources) == 0 {
		sources = []string{"."}
	}
	for _, s := range sources {
		if liesIn(s, fi) {
			return fmt.Errorf("--out %s holds what is compiled (%s), and a plan needs a folder of its own: name another, such as %s", out, s, filepath.Join(out, "plan"))
		}
	}
	if _, err := os.Stat(filepath.Join(out, planFile)); err == nil {
		return nil
	}
	entries, err := os.ReadDir(out)
	if err != nil {
		return fmt.Errorf("--out %s: %w", out, err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("--out %s holds %s and no plan: name a new or empty folder, or one with a plan", out, entries[0].Name())
	}
	return nil
}

// liesIn reports whether a path is the folder or lies in it, whatever links lead there.
func liesIn(path string, folder os.FileInfo) bool {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false // reading it says so
	}
	if real, err = filepath.Abs(real); err != nil {
		return false
	}
	for {
		if fi, err := os.Stat(real); err == nil && os.SameFile(fi, folder) {
			return true
		}
		parent := filepath.Dir(real)
		if parent == real {
			return false
		}
		real = parent
	}
}

// writeFolder writes files, each whole or not at all, and removes parts of an older plan that this one has not. The
// record comes last: who finds it finds the rest.
func writeFolder(folder string, files map[string][]byte) error {
	if _, err := os.Stat(filepath.Join(folder, planFile)); err == nil {
		if err := removeOld(folder, files); err != nil {
			return err
		}
	}
	for name, b := range files {
		if name != planFile {
			if err := writeFile(filepath.Join(folder, name), b); err != nil {
				return err
			}
		}
	}
	return writeFile(filepath.Join(folder, planFile), files[planFile])
}

func removeOld(folder string, files map[string][]byte) error {
	for _, sub := range []string{nodesFolder, wayFolder} {
		old, err := filepath.Glob(filepath.Join(folder, sub, "*.json"))
		if err != nil {
			return err
		}
		for _, name := range old {
			rel, err := filepath.Rel(folder, name)
			if err != nil {
				return err
			}
			if _, keep := files[rel]; !keep {
				if err := os.Remove(name); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func writeFile(name string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".weir-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
