package cuesrc

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-mesh/weir/compiler/diag"
)

// policy is a right policy's declaration.
func policy(name string) string {
	return fmt.Sprintf("meshPolicies: %s: spec: {subject: {}, isolate: [\"ingress\"]}\n", name)
}

// refs lists what was found: objects with their file, findings with code and place.
func refs(b *Bundle) string {
	var s strings.Builder
	for _, o := range append(append([]Object{}, b.Objects...), b.Tests...) {
		fmt.Fprintf(&s, "%s %s\n", o.Key.File, o.Ref())
	}
	for _, d := range b.Diagnostics {
		fmt.Fprintf(&s, "%s %s %s\n", d.Pos, d.Code, d.Message)
	}
	return s.String()
}

// TestWhatIsRead: which files are read, and which of them belong together.
func TestWhatIsRead(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		paths []string
		want  string
	}{
		"nothing": {map[string]string{"a.yaml": "a: 1\n"}, []string{"."}, ""},
		"folders are packages of their own": {
			map[string]string{"a/a.cue": "_x: \"a\"\n" + policy("a"), "b/b.cue": "_x: \"b\"\n" + policy("b")}, []string{"."},
			"a/a.cue MeshPolicy a\nb/b.cue MeshPolicy b\n"},
		"a package reaches into the folders below": {
			map[string]string{"top.cue": "package p\n\n_owner: \"team\"\n" + policy("top"), "sub/sub.cue": "package p\n\nmeshPolicies: sub: spec: {subject: {}, owner: _owner, isolate: [\"ingress\"]}\n"},
			[]string{"."}, "sub/sub.cue MeshPolicy sub\ntop.cue MeshPolicy top\n"},
		"of a module, also those that were not named": {
			map[string]string{"cue.mod/module.cue": "module: \"example.org/p@v0\"\nlanguage: version: \"v0.17.0\"\n", "top.cue": "package p\n\n_owner: \"team\"\n" + policy("top"),
				"sub/sub.cue": "package p\n\nmeshPolicies: sub: spec: {subject: {}, owner: _owner, isolate: [\"ingress\"]}\n"},
			[]string{"sub"}, "sub/sub.cue MeshPolicy sub\n"},
		"a file named stands alone": {
			map[string]string{"a.cue": "package p\n\n" + policy("a"), "b.cue": "package p\n\n" + policy("b")}, []string{"a.cue"},
			"a.cue MeshPolicy a\n"},
		"a file and its folder are one": {
			map[string]string{"a.cue": "package p\n\n" + policy("a"), "b.cue": "package p\n\n_x: 1\n" + policy("b")}, []string{"a.cue", ".", "./b.cue"},
			"a.cue MeshPolicy a\nb.cue MeshPolicy b\n"},
		"two packages of one folder": {
			map[string]string{"a.cue": "package a\n\n_x: 1\n" + policy("a"), "b.cue": "package b\n\n_x: 2\n" + policy("b"), "c.cue": "_x: 3\n" + policy("c")}, []string{"."},
			"a.cue MeshPolicy a\nb.cue MeshPolicy b\nc.cue MeshPolicy c\n"},
		"what CUE leaves out": {
			map[string]string{"a.cue": policy("a"), "_b.cue": policy("b"), ".c.cue": policy("c"), "_d/d.cue": policy("d"), "testdata/e.cue": policy("e"), "f_tool.cue": policy("f")}, []string{"."},
			"a.cue MeshPolicy a\n"},
		"a folder that is not there": {map[string]string{"a.cue": policy("a")}, []string{".", "none", "none.cue"},
			"a.cue MeshPolicy a\nnone WEIR7012 cannot read: no such file or directory\nnone.cue WEIR7012 cannot read: no such file or directory\n"},
		"two folders declare one object": {map[string]string{"a/a.cue": policy("x"), "b/b.cue": policy("x")}, []string{"."},
			"a/a.cue MeshPolicy x\nb/b.cue MeshPolicy x\nb/b.cue:1:15 WEIR1033 MeshPolicy x is given twice\n"},
		"a broken file of a package": {map[string]string{"a.cue": "package p\n\n" + policy("a"), "b.cue": "package p\n\nx: {\n"}, []string{"."},
			"b.cue:3:6 WEIR1001 expected '}', found 'EOF'\n"},
		"a library": {map[string]string{"cue.mod/module.cue": "module: \"example.org/p@v0\"\n", "lib/lib.cue": "package lib\n\nports: https: 443\n", "a/a.cue": "package a\n\nimport \"example.org/p/lib\"\n\nmeshPolicies: a: spec: {subject: {}, ingress: [{action: \"allow\", ports: [{port: lib.ports.https, protocol: \"TCP\"}]}]}\n"}, []string{"."},
			"a/a.cue MeshPolicy a\n"},
		"no library": {map[string]string{"lib/lib.cue": "package lib\n\nports: https: 443\n"}, []string{"."},
			"lib/lib.cue:3:1 WEIR1004 unknown field \"ports\"\n"},
		"an error in a library": {map[string]string{"cue.mod/module.cue": "module: \"example.org/p@v0\"\n", "lib/lib.cue": "package lib\n\nports: https: 443\nports: https: 444\n", "a/a.cue": "package a\n\nimport \"example.org/p/lib\"\n\nmeshPolicies: a: spec: {subject: {}, ingress: [{action: \"allow\", ports: [{port: lib.ports.https, protocol: \"TCP\"}]}]}\n"}, []string{"a"},
			"a/a.cue:5:81 WEIR1010 port has 444 and 443 for values\n"},
		"an import that the module has not": {map[string]string{"cue.mod/module.cue": "module: \"example.org/p@v0\"\n", "a/a.cue": "package a\n\nimport \"example.org/p/lib\"\n\nx: lib.y\n"}, []string{"."},
			"a/a.cue:3:8 WEIR1002 no files of package lib in lib\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			for f, text := range c.files {
				write(t, ".", f, text)
			}
			got := refs(evaluateHere(t, how{pieceSize, true}, c.paths...))
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func TestUnreadable(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, ".", "real/a.cue", policy("a"))
	for link, target := range map[string]string{"dangling.cue": "nowhere", "again.cue": "real/a.cue", "folder": "real"} {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir("folder.cue", 0o750); err != nil {
		t.Fatal(err)
	}
	want := "again.cue MeshPolicy a\ndangling.cue WEIR7012 cannot read: no such file or directory\nfolder WEIR7013 link to a folder not followed\n"
	if d := cmp.Diff(want, refs(evaluateHere(t, how{pieceSize, true}, "."))); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestTooLarge(t *testing.T) {
	t.Chdir(t.TempDir())
	f, err := os.Create("big.cue")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(maxFileBytes + 1); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	want := "big.cue WEIR7010 the file has more than 32 MiB (limit on file size)\n"
	if d := cmp.Diff(want, refs(evaluateHere(t, how{pieceSize, true}, "."))); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestTooManyFindings(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, ".", "a.cue", "import \"list\"\n\nfor i in list.Range(0, 3000, 1) {meshPolicies: \"p-\\(i)\": spec: sub: 1}\n")
	b := evaluateHere(t, how{pieceSize, true}, ".")
	n := 0
	for _, d := range b.Diagnostics {
		if d.Code == CodeTooMany {
			n++
		}
	}
	if n != 1 || len(b.Diagnostics) > maxDiagnostics+1 {
		t.Errorf("%d findings, %d that say so", len(b.Diagnostics), n)
	}
}

// TestPlaces: every field that is written has its place; what is not has that of the nearest field above.
func TestPlaces(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, ".", "a.cue", `package p

_port: {port: 80, protocol: "TCP"}
meshPolicies: web: {
	metadata: labels: "app.example/x": "y"
	spec: {
		subject: matchLabels: app: "web"
		ingress: [
			{action: "allow", from: [{pods: {}}], ports: [_port, {port: 443, protocol: "TCP"}]},
			for p in [1, 2] {action: "deny", ports: [{port: p, protocol: "TCP"}]},
		]
	}
}
`)
	write(t, ".", "b.cue", "package p\n\nmeshPolicies: web: spec: owner: \"team\"\n")
	b := evaluateHere(t, how{pieceSize, true}, ".")
	if len(b.Objects) != 1 || len(b.Diagnostics) > 0 {
		t.Fatal(refs(b))
	}
	o := &b.Objects[0]
	for path, want := range map[string][2]string{ // value, key
		"":                                       {"a.cue:4:15-18", "a.cue:4:15-18"},
		"kind":                                   {"a.cue:4:15-18", "a.cue:4:15-18"},
		"metadata.labels[app.example/x]":         {"a.cue:5:37-40", "a.cue:5:20-35"},
		"metadata.name":                          {"a.cue:5:2-10", "a.cue:5:2-10"},
		"spec":                                   {"a.cue:6:2-6", "a.cue:6:2-6"},
		"spec.owner":                             {"b.cue:3:33-39", "b.cue:3:26-31"},
		"spec.subject.matchLabels.app":           {"a.cue:7:30-35", "a.cue:7:25-28"},
		"spec.ingress":                           {"a.cue:8:3-10", "a.cue:8:3-10"},
		"spec.ingress[0]":                        {"a.cue:9:5-11", "a.cue:9:5-11"},
		"spec.ingress[0].action":                 {"a.cue:9:13-20", "a.cue:9:5-11"},
		"spec.ingress[0].from[0].pods":           {"a.cue:9:30-34", "a.cue:9:30-34"},
		"spec.ingress[0].ports[0]":               {"a.cue:9:50-55", "a.cue:9:50-55"},
		"spec.ingress[0].ports[0].port":          {"a.cue:3:15-17", "a.cue:3:9-13"},
		"spec.ingress[0].ports[1].port":          {"a.cue:9:64-67", "a.cue:9:58-62"},
		"spec.ingress[1].ports[0].port":          {"a.cue:10:52-53", "a.cue:10:46-50"},
		"spec.ingress[0].from[0].namespaces.x.y": {"a.cue:9:30-34", "a.cue:9:30-34"},
	} {
		show := func(p diag.Position) string { return fmt.Sprintf("%s:%d:%d-%d", p.File, p.Line, p.Col, p.EndCol) }
		if got := [2]string{show(o.Pos(path)), show(o.KeyPos(path))}; got != want {
			t.Errorf("%q: got %v, want %v", path, got, want)
		}
		if p := o.Pos(path); p.Object != "MeshPolicy web" || p.Path != path {
			t.Errorf("%q: %q %q", path, p.Object, p.Path)
		}
	}
}
