package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/weir-mesh/weir/hack/floor/script"
)

// suite is a package whose tests go to the guest.
type suite struct {
	pkg string
	// run are the tests that have to do with the kernel, without the ones of them that have not; empty for all and none.
	run, without string
}

var suites = []suite{
	{pkg: "datapath/load"},
	{pkg: "datapath/progrun"},
	{pkg: "datapath"},
	{pkg: "datapath/agent", without: "^Test(Dependencies|Plugins)$"}, // ask the go command, and CNI plugins that are built for this machine
	{pkg: "datapath/lab"},
	{pkg: "cmd/weir", run: "^Test(Kernel|Lab)"},
}

// examples is what tests and commands read, from the repository's root.
const examples = "policies/examples"

// The guest's places: the repository's folders below one, so that tests find what they read.
const (
	guestRepo  = "weir"
	guestShop  = "/" + guestRepo + "/" + examples + "/shop"
	guestAgent = "/bin/weir-agent"
	guestWeir  = "/bin/weir"
)

// fill puts everything into the archive that the machine needs.
func (m *machine) fill(ctx context.Context, a *archive, dir, root string, modules []string, o *options) error {
	var s script.Script
	for _, p := range modules {
		at := "modules/" + filepath.Base(p)
		if err := a.addFile(at, p); err != nil {
			return err
		}
		s.Modules = append(s.Modules, "/"+at)
	}
	for _, p := range []string{"bin/ip", "usr/sbin/nft"} {
		if err := a.addProgram(root, p); err != nil {
			return err
		}
	}
	jobs := m.refusals
	if !m.refused {
		jobs = m.tests
	}
	var err error
	if s.Jobs, err = jobs(ctx, a, dir, o); err != nil {
		return err
	}
	s.Jobs = slices.DeleteFunc(s.Jobs, func(j script.Job) bool { return !o.only.MatchString(j.Name) })
	for at, pkg := range map[string]string{"init": "./hack/floor/init", guestAgent[1:]: "./cmd/weir-agent", guestWeir[1:]: "./cmd/weir"} {
		if err := m.build(ctx, a, dir, at, "build", pkg); err != nil {
			return err
		}
	}
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	a.add(script.Path[1:], b)
	return nil
}

// build builds a package for the guest and puts the result at a place in the archive.
func (m *machine) build(ctx context.Context, a *archive, dir, at string, args ...string) error {
	out := filepath.Join(dir, "built")
	cmd := exec.CommandContext(ctx, "go", append([]string{args[0], "-trimpath", "-ldflags", "-s -w", "-o", out}, args[1:]...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+m.arch)
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", at, err, b)
	}
	return a.addFile(at, out)
}

// tests are the jobs of a kernel that Weir runs on: the packages' tests, and the commands as users run them.
func (m *machine) tests(ctx context.Context, a *archive, dir string, o *options) ([]script.Job, error) {
	var jobs []script.Job
	for _, s := range suites {
		if !o.only.MatchString(s.pkg) {
			continue
		}
		in := path.Join(guestRepo, s.pkg)
		binary := path.Join(in, path.Base(s.pkg)+".test")
		if err := m.build(ctx, a, dir, binary, "test", "-c", "./"+s.pkg); err != nil {
			return nil, err
		}
		j := script.Job{Name: s.pkg, Dir: "/" + in, Args: []string{"/" + binary, "-test.v", "-test.timeout", o.timeout.String(), "-test.run", cmp.Or(o.run, s.run),
			"-test.skip", s.without},
			Env: []string{"WEIR_STRICT=1", "WEIR_AGENT=" + guestAgent, "WEIR_SWAP_PACKETS=1000000"}, Tests: true}
		if !m.tcx {
			j.Skips = `TCX came with Linux 6\.6; this is ` + regexp.QuoteMeta(m.kernel)
		}
		jobs = append(jobs, j)
	}
	if o.run == "" {
		jobs = append(jobs, m.commands()...)
	}
	return jobs, a.addTree(path.Join(guestRepo, examples), examples)
}

// commands are what a user types.
func (m *machine) commands() []script.Job {
	jobs := []script.Job{
		{Name: "weir test --kernel", Args: []string{guestWeir, "test", "--kernel", guestShop},
			Says: `kernel: [1-9]\d* packets of the tests and [1-9]\d* sampled through the BPF program, 0 mismatches\n`},
		{Name: "weir lab run", Args: []string{guestWeir, "lab", "run", guestShop}, Says: ` 0 mismatches\n`},
	}
	if !m.tcx {
		jobs = append(jobs, script.Job{Name: "weir-agent --attach tcx", Args: []string{guestAgent, "--plan", "/none", "--attach", "tcx"}, Exit: 2,
			Says: `\Aweir-agent: attaching by TCX needs Linux 6\.6 or later, and this kernel has none: attach by clsact\n\z`})
	}
	return jobs
}

// refusals are the jobs of a kernel below the floor: each command that needs the kernel says in one sentence what is
// missing, and exits 2.
func (m *machine) refusals(_ context.Context, a *archive, _ string, _ *options) ([]script.Job, error) {
	var jobs []script.Job
	for _, c := range [][]string{
		{guestAgent, "--plan", "/none"},
		{guestAgent, "uninstall"},
		{guestWeir, "test", "--kernel", guestShop},
		{guestWeir, "lab", "run", guestShop},
		{guestWeir, "lab", "up", guestShop},
		{guestWeir, "lab", "probe", "shop/a", "shop/b", "80"},
		{guestWeir, "lab", "shell", "shop/a"},
		{guestWeir, "lab", "down"},
	} {
		program := path.Base(c[0])
		jobs = append(jobs, script.Job{Name: program + " " + strings.Join(c[1:], " "), Args: c, Exit: 2,
			Says: `\A` + program + `: the datapath needs Linux 6\.1 or later; this is ` + regexp.QuoteMeta(m.kernel) + `\n\z`})
	}
	return jobs, a.addTree(path.Join(guestRepo, examples), examples)
}
