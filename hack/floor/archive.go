package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// archive is an initramfs: a cpio archive in the "newc" format (Documentation/driver-api/early-userspace/buffer-format.rst
// of the kernel). Everything in it belongs to root.
type archive struct {
	files []file
	dirs  map[string]bool
}

type file struct {
	name string
	mode uint32
	data []byte
}

// The file types in a mode.
const (
	modeDir  = 0o040000
	modeFile = 0o100000
)

// add puts a file at a place, and makes the folders above it; a file that is there stays.
func (a *archive) add(name string, data []byte) {
	a.addDir(path.Dir(name))
	for i := range a.files {
		if a.files[i].name == name {
			return
		}
	}
	a.files = append(a.files, file{name, modeFile | 0o755, data})
}

func (a *archive) addDir(name string) {
	if name == "." || a.dirs[name] {
		return
	}
	a.addDir(path.Dir(name))
	if a.dirs == nil {
		a.dirs = map[string]bool{}
	}
	a.dirs[name] = true
	a.files = append(a.files, file{name: name, mode: modeDir | 0o755})
}

func (a *archive) addFile(name, from string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("reading what goes into the initramfs: %w", err)
	}
	a.add(name, b)
	return nil
}

// addTree puts all files below a folder below a place.
func (a *archive) addTree(name, from string) error {
	return filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(from, p)
		if err != nil {
			return err
		}
		return a.addFile(path.Join(name, filepath.ToSlash(rel)), p)
	})
}

func (a *archive) write(to string) (err error) {
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriter(f)
	for i := range a.files {
		if err := a.files[i].write(w, i+1); err != nil {
			return err
		}
	}
	trailer := file{name: "TRAILER!!!"}
	if err := trailer.write(w, 0); err != nil {
		return err
	}
	return w.Flush()
}

// write writes a header of 13 numbers in hexadecimal, the name and the data, each padded to four bytes.
func (f *file) write(w io.Writer, inode int) error {
	const headerLen = 110
	name := f.name + "\x00"
	head := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		inode, f.mode, 0, 0, 1, 0, len(f.data), 0, 0, 0, 0, len(name), 0)
	for _, part := range []string{head + name + pad(headerLen+len(name)), string(f.data) + pad(len(f.data))} {
		if _, err := io.WriteString(w, part); err != nil {
			return err
		}
	}
	return nil
}

func pad(n int) string { return strings.Repeat("\x00", -n&3) }
