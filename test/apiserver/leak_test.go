//go:build linux

package apiserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// endsAs is the variable that makes this test program start a child, print its process id, and end badly.
const endsAs = "WEIR_TEST_ENDS_AS"

func leaveChildBehind() {
	c, err := run(context.Background(), filepath.Join(os.TempDir(), "weir-leak.log"), "sleep", "1000")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(c.process.Pid)
	switch os.Getenv(endsAs) {
	case "panic":
		panic("as the test wants it")
	default:
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
}

// TestNothingIsLeftBehind: what a test program started ends with it, however it ends.
func TestNothingIsLeftBehind(t *testing.T) {
	for _, how := range []string{"panic", "kill"} {
		t.Run(how, func(t *testing.T) {
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), self)
			cmd.Env = append(os.Environ(), endsAs+"="+how, "TMPDIR="+t.TempDir())
			var out bytes.Buffer
			cmd.Stdout = &out
			if err := cmd.Run(); err == nil {
				t.Fatal("the program ended well")
			}
			pid, err := strconv.Atoi(strings.TrimSpace(out.String()))
			if err != nil {
				t.Fatalf("the program printed %q", out.String())
			}
			for deadline := time.Now().Add(10 * time.Second); !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH); time.Sleep(10 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("process %d goes on", pid)
				}
			}
		})
	}
}
