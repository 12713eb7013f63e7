package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
)

// TestVersionOfTheBuild holds that the version that the Makefile links in goes before what the Go tool recorded.
func TestVersionOfTheBuild(t *testing.T) {
	defer func(was string) { version = was }(version)
	version = "v9.8.7"
	var out bytes.Buffer
	a := &app{out: &out, err: &out, env: os.Getenv}
	if status := a.main(context.Background(), []string{"weir", "version"}); status != 0 || !strings.HasPrefix(out.String(), "weir v9.8.7 (go") {
		t.Errorf("status %d, printed %q", status, out.String())
	}
	version = ""
	if got := buildVersion(); got == "" || got == "v9.8.7" {
		t.Errorf("without a linked version: %q", got)
	}
}
