//go:build linux

package main

import (
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-mesh/weir/datapath"
)

// TestFlags refuses what makes no sense before it asks the machine for anything: these need no root and no kernel.
func TestFlags(t *testing.T) {
	file := filepath.Join(t.TempDir(), "plan.json")
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "--plan FILE is missing"},
		{[]string{"--poll", "-1s"}, "--poll -1s: it must be more than 0"},
		{[]string{"--poll", "0"}, "--poll 0s: it must be more than 0"},
		{[]string{"--grace", "0"}, "--grace 0s: it must be more than 0"},
		{[]string{"--attach", "xdp"}, "--attach xdp: tcx, clsact or auto"},
		{[]string{"--attach", "TCX"}, "--attach TCX: tcx, clsact or auto"},
		{[]string{"--log-format", "xml"}, "--log-format xml: text or json"},
		{[]string{"--event-rate", "-1"}, `--event-rate "-1": write a whole number, 0 or more`},
		{[]string{"--generation", "0"}, "there is no flag --generation"},
		{[]string{"unistall"}, `there is no verb "unistall": did you mean uninstall?`},
	} {
		cmd := command(io.Discard, io.Discard)
		args := c.args
		if args != nil {
			args = append(args, "--plan", file, "--listen", "")
		}
		cmd.SetArgs(append(args, "--root", "/sys/fs/bpf/weir-agent-test-flags"))
		if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %s", c.args, err, c.want)
		}
	}
}

func TestAttachMode(t *testing.T) {
	for s, want := range map[string]datapath.AttachMode{"": datapath.Auto, "auto": datapath.Auto, "tcx": datapath.TCX, "clsact": datapath.Clsact} {
		if got, err := attachMode(s); err != nil || got != want {
			t.Errorf("%q: %q %v, want %q", s, got, err, want)
		}
	}
}
