package compile

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"cuelang.org/go/cue/parser"

	"github.com/weir-mesh/weir/compiler/source/manifest"
	"github.com/weir-mesh/weir/schemas"
)

// Stdin is the path that stands for standard input.
const Stdin = "-"

// stdinName is how findings name it: it is no file that could be opened.
const stdinName = "<stdin>"

// maxStdin is one byte more than any source may have, so that the source says that it is too large.
const maxStdin = 64<<20 + 1

// takeStdin reads standard input where a path stands for it, and returns the other paths.
func (r *Result) takeStdin(ctx context.Context, o *Options) error {
	if o.Stdin == nil || !slices.Contains(o.Paths, Stdin) {
		return nil
	}
	o.Paths = slices.DeleteFunc(slices.Clone(o.Paths), func(p string) bool { return p == Stdin })
	data, err := readAll(ctx, o.Stdin)
	if err != nil {
		return fmt.Errorf("reading standard input: %w", err)
	}
	r.stdin = &manifest.File{Name: stdinName, Data: data}
	return nil
}

// readAll waits no longer than the context says. A read from a terminal cannot be interrupted: it is left to end with
// the program.
func readAll(ctx context.Context, in io.Reader) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		data, err := io.ReadAll(io.LimitReader(in, maxStdin))
		done <- result{data, err}
	}()
	select {
	case r := <-done:
		return r.data, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// stdinAs returns what came by standard input if it is CUE, or if it is not.
func (r *Result) stdinAs(cue bool) []manifest.File {
	if r.stdin == nil || isCUE(r.stdin.Data) != cue {
		return nil
	}
	return []manifest.File{*r.stdin}
}

// objectLine begins what only a Kubernetes object, or a stream of them, has at the left margin.
var objectLine = regexp.MustCompile(`(?m)^(- |\{[ \t]*)?["']?(apiVersion|kind)["']?[ \t]*:|^(---|%YAML)`)

// isCUE tells CUE from YAML and JSON, which mostly parse as CUE, too: a Kubernetes object says apiVersion and kind, CUE
// of ours a package, an import or a field of the bundle.
func isCUE(data []byte) bool {
	if trimmed := bytes.TrimSpace(data); len(trimmed) > 0 && trimmed[0] == '{' {
		var object map[string]json.RawMessage
		if json.NewDecoder(bytes.NewReader(trimmed)).Decode(&object) == nil {
			return object["apiVersion"] == nil && object["kind"] == nil
		}
	}
	if objectLine.Match(data) {
		return false
	}
	if cueLine().Match(data) {
		return true
	}
	f, err := parser.ParseFile(stdinName, data)
	return err == nil && len(f.Decls) > 0
}

// cueLine begins what only CUE has at the left margin; it tells broken CUE from broken YAML.
func cueLine() *regexp.Regexp {
	fields := []string{"tests"}
	for _, k := range schemas.Kinds() {
		fields = append(fields, k.Bundle)
	}
	return regexp.MustCompile(`(?m)^(package [\pL_]|import [("]|(` + strings.Join(fields, "|") + `)[ \t]*:)`)
}
