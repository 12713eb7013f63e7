package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/weir-mesh/weir/hack/floor/script"
)

// emulators are the programs by architecture.
var emulators = map[string]struct {
	command string
	args    []string
	console string
}{
	"amd64": {"qemu-system-x86_64", []string{"-machine", "q35", "-cpu", "max,la57=off"}, "ttyS0"},
	"arm64": {"qemu-system-aarch64", []string{"-machine", "virt", "-cpu", "cortex-a72"}, "ttyAMA0"},
}

// accelerate emulates every instruction, and has the machine's clock count them, four nanoseconds each: what a test gives a
// second takes one there, however slow and busy this machine is, and nobody waits for a machine that sleeps. One CPU, as
// all would take turns.
var accelerate = []string{"-accel", "tcg,thread=single", "-icount", "shift=2,sleep=off", "-smp", "1"}

// memory is what the tests of the agent's memory need, several times.
const memory = "3G"

// boot runs the machine until it turns itself off, and shows its console.
func (m *machine) boot(ctx context.Context, kernel, initramfs string, o *options) error {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	e := emulators[m.arch]
	args := append([]string{"-n", "10", e.command}, e.args...)
	args = append(args, accelerate...)
	args = append(args, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio", "-m", memory,
		"-kernel", kernel, "-initrd", initramfs, "-append", "console="+e.console+" quiet panic=-1")
	cmd := exec.CommandContext(ctx, "nice", args...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	fmt.Printf("booting Debian %s's kernel on %s\n", m.name, m.arch)
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the emulator: %w", err)
	}
	r := watch(out)
	err = errors.Join(cmd.Wait(), context.Cause(ctx))
	if err == nil && !r.ended {
		err = errors.New("its last line is missing")
	}
	if err != nil {
		return fmt.Errorf("the machine did not come to its end within %s: %w\n%s", o.timeout, err, errs.String())
	}
	fmt.Printf("%s: %d jobs as they should, %d not, in %.0f s", r.kernel, r.good, r.bad, time.Since(begin).Seconds())
	if !m.refused {
		fmt.Printf("; tests: %d passed, %d failed, %d skipped", r.passed, r.failed, r.skipped)
	}
	fmt.Println()
	if r.bad > 0 || r.good == 0 {
		return errFailed
	}
	return nil
}

// result is what a machine's console said.
type result struct {
	kernel    string // its name, version and architecture
	ended     bool
	good, bad int
	// The tests', subtests' too.
	passed, failed, skipped int
}

var verdict = regexp.MustCompile(`^\s*--- (PASS|FAIL|SKIP): `)

// watch prints the console as it comes and counts.
func watch(console io.Reader) *result {
	r := &result{}
	lines := bufio.NewScanner(console)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), "\r")
		fmt.Println(line)
		if m := verdict.FindStringSubmatch(line); m != nil {
			*map[string]*int{"PASS": &r.passed, "FAIL": &r.failed, "SKIP": &r.skipped}[m[1]]++
		}
		own, ok := strings.CutPrefix(line, script.Marker)
		if !ok {
			continue
		}
		if strings.HasPrefix(own, "Linux ") {
			r.kernel = own
		}
		if n, err := fmt.Sscanf(own, script.End, &r.good, &r.bad); n == 2 && err == nil {
			r.ended = true
		}
	}
	return r
}
