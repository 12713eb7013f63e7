package manifest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestNotAFile: what is no file ends at once, named or found in a folder.
func TestNotAFile(t *testing.T) {
	dir := t.TempDir()
	socket, pipe := filepath.Join(dir, "socket.yaml"), filepath.Join(dir, "pipe.yaml")
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, want string }{
		{"/dev/zero", "cannot read: it is a device, not a file"},
		{socket, "cannot read: it is a socket, not a file"},
		{pipe, "cannot read: it is a named pipe, not a file"},
		{dir, "cannot read: it is a named pipe, not a file"},
	} {
		if _, diags := Read(t.Context(), []string{c.path}, Limits{}); len(diags) == 0 || diags[0].Code != CodeRead || diags[0].Message != c.want {
			t.Errorf("%s: %v, want %s", c.path, diags, c.want)
		}
	}
}

// TestShellPipe: a shell's <(command) is read to its end, and waited for no longer than the context says.
func TestShellPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	name := fmt.Sprintf("/dev/fd/%d", r.Fd())
	if _, err := w.WriteString("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, diags := Read(ctx, []string{name}, Limits{}); len(diags) != 1 || !strings.HasPrefix(diags[0].Message, "cannot read: ") {
		t.Errorf("a pipe that nobody closes: %v", diags)
	}
	if _, err := w.WriteString("apiVersion: v1\nkind: Pod\nmetadata: {name: b}\n"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if objects, diags := Read(t.Context(), []string{name}, Limits{}); len(objects) != 1 || len(diags) > 0 {
		t.Errorf("%d objects, %v", len(objects), diags)
	}
}
