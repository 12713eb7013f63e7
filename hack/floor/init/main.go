//go:build linux

// Command init is the first and only process of the machine that hack/floor boots: it mounts what a Linux system has,
// loads modules, runs its script's jobs and turns the machine off.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weir-mesh/weir/hack/floor/script"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "this is the first process of a machine that `make floor` boots: it turns the machine off")
		os.Exit(2)
	}
	if err := run(); err != nil {
		say("%v", err)
	}
	unix.Sync()
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		say("turning off: %v", err)
	}
}

func say(format string, args ...any) { fmt.Printf(script.Marker+format+"\n", args...) }

func run() error {
	if err := errors.Join(mounts(), os.Setenv("PATH", "/bin"), os.Setenv("HOME", "/tmp")); err != nil {
		return err
	}
	b, err := os.ReadFile(script.Path)
	if err != nil {
		return fmt.Errorf("reading the script: %w", err)
	}
	var s script.Script
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("reading the script: %w", err)
	}
	for _, m := range s.Modules {
		if err := load(m); err != nil {
			return err
		}
	}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		return fmt.Errorf("bringing the loopback up: %w", err)
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return fmt.Errorf("asking for the kernel's name: %w", err)
	}
	say("Linux %s, %s, %s", unix.ByteSliceToString(u.Release[:]), unix.ByteSliceToString(u.Version[:]), runtime.GOARCH)
	failed := 0
	for i := range s.Jobs {
		if !do(&s.Jobs[i]) {
			failed++
		}
	}
	say(script.End, len(s.Jobs)-failed, failed)
	return nil
}

func mounts() error {
	for _, m := range [][2]string{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/tmp"}, {"tmpfs", "/run"}, {"bpf", "/sys/fs/bpf"}} {
		if err := os.MkdirAll(m[1], 0o755); err != nil {
			return fmt.Errorf("mounting %s: %w", m[1], err)
		}
		if err := unix.Mount(m[0], m[1], m[0], 0, ""); err != nil {
			return fmt.Errorf("mounting %s: %w", m[1], err)
		}
	}
	return errors.Join(os.MkdirAll("/var", 0o755), os.Symlink("/run", "/var/run"))
}

func load(module string) error {
	f, err := os.Open(module)
	if err != nil {
		return fmt.Errorf("loading a module: %w", err)
	}
	err = unix.FinitModule(int(f.Fd()), "", 0)
	if errors.Is(err, unix.EEXIST) {
		err = nil
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("loading %s: %w", module, err)
	}
	return nil
}

// do runs a job, shows what it prints, and says whether it ended as it has to.
func do(j *script.Job) bool {
	say("run %s", j.Name)
	var out bytes.Buffer
	cmd := exec.Command(j.Args[0], j.Args[1:]...) //nolint:noctx // the host ends the machine when it takes too long
	cmd.Dir, cmd.Env = j.Dir, append(os.Environ(), j.Env...)
	cmd.Stdout = io.MultiWriter(os.Stdout, &out)
	cmd.Stderr = cmd.Stdout
	begin := time.Now()
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err != nil && !errors.As(err, &exit):
	case cmd.ProcessState.ExitCode() != j.Exit:
		err = fmt.Errorf("%s, not exit status %d", cmd.ProcessState, j.Exit)
	default:
		err = said(j, out.Bytes())
	}
	if took := time.Since(begin).Seconds(); err != nil {
		say("FAIL %s: %v, after %.1f s", j.Name, err, took)
	} else {
		say("PASS %s: %.1f s", j.Name, took)
	}
	return err == nil
}

// said compares what a job printed with what it has to.
func said(j *script.Job, out []byte) error {
	if !regexp.MustCompile(j.Says).Match(out) {
		return fmt.Errorf("it does not say %s", j.Says)
	}
	if !j.Tests {
		return nil
	}
	if !passed.Match(out) {
		return errors.New("no test passed")
	}
	var reasons [][]byte
	if j.Skips != "" {
		reasons = regexp.MustCompile(`(?m)^\s*\w+_test\.go:\d+: `+j.Skips+`$`).FindAll(out, -1)
	}
	if n := len(skipped.FindAll(out, -1)); n != len(reasons) {
		return fmt.Errorf("%d skipped tests, %d of them because of: %s", n, len(reasons), j.Skips)
	}
	return nil
}

// The verdicts of tests: subtests' are indented, and as each skipped one has its own reason, the parents' count too.
var (
	passed  = regexp.MustCompile(`(?m)^--- PASS: `)
	skipped = regexp.MustCompile(`(?m)^\s*--- SKIP: `)
)
