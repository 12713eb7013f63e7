package main

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// moduleSet collects modules in the order in which they can be loaded.
type moduleSet struct {
	files map[string]string // by name, with underscores
	done  map[string]bool
	order []string
}

// add puts what a module depends on before it. Debian's packages have no modules.dep: the module itself says it.
func (s *moduleSet) add(ctx context.Context, name string) error {
	if s.done[name] {
		return nil
	}
	s.done[name] = true
	path := s.files[name]
	if path == "" {
		return fmt.Errorf("this kernel has no module %s, nor has it built in", name)
	}
	if packed := path; strings.HasSuffix(packed, ".xz") {
		path = strings.TrimSuffix(packed, ".xz")
		b, err := exec.CommandContext(ctx, "xz", "-dc", packed).Output()
		if err == nil {
			err = os.WriteFile(path, b, 0o600)
		}
		if err != nil {
			return fmt.Errorf("unpacking %s: %w", packed, err)
		}
	}
	needs, err := moduleNeeds(path)
	if err != nil {
		return err
	}
	for _, n := range needs {
		if err := s.add(ctx, strings.ReplaceAll(n, "-", "_")); err != nil {
			return fmt.Errorf("%w (for %s)", err, name)
		}
	}
	s.order = append(s.order, path)
	return nil
}

// moduleNeeds reads "depends=a,b" in a module's own description.
func moduleNeeds(path string) ([]string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	defer func() { _ = f.Close() }()
	info := f.Section(".modinfo")
	if info == nil {
		return nil, fmt.Errorf("%s is no kernel module", path)
	}
	b, err := info.Data()
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	for line := range bytes.SplitSeq(b, []byte{0}) {
		if list, ok := strings.CutPrefix(string(line), "depends="); ok && list != "" {
			return strings.Split(list, ","), nil
		}
	}
	return nil, nil
}

// addProgram puts a program of the unpacked release into the archive's /bin, and the libraries that it is linked with
// where its loader looks for them.
func (a *archive) addProgram(root, path string) error {
	if err := a.addFile("bin/"+filepath.Base(path), filepath.Join(root, path)); err != nil {
		return err
	}
	loaded := map[string]bool{}
	return a.addLibraries(root, filepath.Join(root, path), loaded)
}

func (a *archive) addLibraries(root, path string, loaded map[string]bool) error {
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	defer func() { _ = f.Close() }()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			b := make([]byte, p.Filesz-1) // without its last byte, 0
			if _, err := p.ReadAt(b, 0); err != nil {
				return fmt.Errorf("reading %s: %w", path, err)
			}
			name := strings.TrimPrefix(string(b), "/")
			if err := a.addLibrary(root, name, filepath.Base(name), loaded); err != nil {
				return err
			}
		}
	}
	libraries, err := f.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	for _, l := range libraries {
		if err := a.addLibrary(root, "lib/"+l, l, loaded); err != nil {
			return fmt.Errorf("%w (for %s)", err, path)
		}
	}
	return nil
}

// addLibrary finds a library of the release by its name and puts it at a place in the archive.
func (a *archive) addLibrary(root, at, name string, loaded map[string]bool) error {
	if loaded[at] {
		return nil
	}
	loaded[at] = true
	for _, dir := range []string{"lib/*-linux-gnu", "usr/lib/*-linux-gnu", "lib", "usr/lib"} {
		if found, err := filepath.Glob(filepath.Join(root, dir, name)); err == nil && len(found) > 0 {
			if err := a.addFile(at, found[0]); err != nil {
				return err
			}
			return a.addLibraries(root, found[0], loaded)
		}
	}
	return fmt.Errorf("the release's packages have no %s", name)
}
