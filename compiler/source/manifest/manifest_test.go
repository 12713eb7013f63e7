package manifest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	netv1 "k8s.io/api/networking/v1"

	"github.com/weir-mesh/weir/compiler/diag"
)

// show prints objects and findings, one a line.
func show(objs []*Object, diags diag.List) []string {
	var out []string
	for _, o := range objs {
		out = append(out, fmt.Sprintf("%s %s %s %s", o.Pos(""), o.APIVersion, o.Ref(), o.JSON))
	}
	return append(out, showDiags(diags)...)
}

func showDiags(diags diag.List) []string {
	var out []string
	for i := range diags {
		s := diags[i].Error()
		for _, r := range diags[i].Related {
			s += " | " + r.Pos.String() + ": " + r.Message
		}
		out = append(out, s)
	}
	return out
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name, file, in string
		want           []string
	}{
		{"several documents", "a.yaml", "# nothing\n---\napiVersion: v1\nkind: A\nmetadata: {name: x}\n---\n---\napiVersion: g/v2\nkind: B\nmetadata:\n  name: b\n  namespace: ns\n",
			[]string{`a.yaml:3:1 v1 A x {"apiVersion":"v1","kind":"A","metadata":{"name":"x"}}`,
				`a.yaml:8:1 g/v2 B ns/b {"apiVersion":"g/v2","kind":"B","metadata":{"name":"b","namespace":"ns"}}`}},
		{"nothing", "a.yaml", "", nil},
		{"list", "a.yaml", "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: A\n  metadata: {name: x}\n- apiVersion: v1\n  kind: BList\n  items:\n  - metadata: {name: b}\n",
			[]string{`a.yaml:4:3 v1 A x {"apiVersion":"v1","kind":"A","metadata":{"name":"x"}}`, `a.yaml:10:5 v1 B b {"metadata":{"name":"b"}}`}},
		{"list without items", "a.yaml", "apiVersion: v1\nkind: PodList\nitems: null\n", nil},
		{"items of a plain list say what they are", "a.yaml", "apiVersion: v1\nkind: List\nitems:\n- kind: A\n  metadata: {name: x}\n", []string{`a.yaml:4:3: error WEIR1032: an object without apiVersion`}},
		{"list that is none", "a.yaml", "apiVersion: v1\nkind: PodList\nitems: 3\n", []string{`a.yaml:3:8: error WEIR1040: items of PodList is no list`}},
		{"JSON stream with tabs", "a.json", "{\n\t\"apiVersion\": \"v1\", \"kind\": \"A\",\n\t\"metadata\": {\"name\": \"x\", \"n\": [1, 1.50, 1e3, true, null, \"\\u00e9\"]}}\n{\"apiVersion\":\"v1\",\"kind\":\"A\",\"metadata\":{\"name\":\"y\"}}",
			[]string{`a.json:1:1 v1 A x {"apiVersion":"v1","kind":"A","metadata":{"name":"x","n":[1,1.50,1e3,true,null,"é"]}}`,
				`a.json:4:1 v1 A y {"apiVersion":"v1","kind":"A","metadata":{"name":"y"}}`}},
		{"flow YAML", "a.yaml", "{apiVersion: v1, kind: A, metadata: {name: x}}", []string{`a.yaml:1:1 v1 A x {"apiVersion":"v1","kind":"A","metadata":{"name":"x"}}`}},
		{"scalars as kubectl reads them", "a.yaml", "apiVersion: v1\nkind: A\nmetadata: {name: x}\nv: [yes, 'yes', off, 010, 0x10, 1.5, .5, ~, 2020-01-01, \"1\", 1_000, +3]\n1: a\ntrue: b\n",
			[]string{`a.yaml:1:1 v1 A x {"apiVersion":"v1","kind":"A","metadata":{"name":"x"},"v":[true,"yes",false,8,16,1.5,0.5,null,"2020-01-01","1",1000,3],"1":"a","true":"b"}`}},
		{"anchors and merges", "a.yaml", "apiVersion: v1\nkind: A\nmetadata: {name: x}\na: &a {p: 1, q: 2}\nb: {<<: *a, q: 3}\nc: {<<: [{r: 1}, *a]}\nd: *a\n",
			[]string{`a.yaml:1:1 v1 A x {"apiVersion":"v1","kind":"A","metadata":{"name":"x"},"a":{"p":1,"q":2},"b":{"q":3,"p":1},"c":{"r":1,"p":1,"q":2},"d":{"p":1,"q":2}}`}},
		{"broken behind a good one", "a.yaml", "apiVersion: v1\nkind: A\nmetadata: {name: x}\n---\nkind: [\n",
			[]string{`a.yaml:1:1 v1 A x {"apiVersion":"v1","kind":"A","metadata":{"name":"x"}}`, `a.yaml:5:7: error WEIR1030: not YAML: did not find expected node content`}},
		{"broken JSON", "a.json", "{\"kind\": \"A\",\n  x}", []string{`a.json:2:3: error WEIR1030: not JSON: invalid character 'x' looking for beginning of object key string`}},
		{"half a JSON", "a.json", "{\"kind\": [1,", []string{`a.json:1:12: error WEIR1030: not JSON: unexpected EOF`}},
		{"field twice", "a.yaml", "apiVersion: v1\nkind: A\nmetadata: {name: x}\nspec:\n  é: {a: 1, a: 2}\n",
			[]string{`a.yaml:1:1 v1 A x {"apiVersion":"v1","kind":"A","metadata":{"name":"x"},"spec":{"é":{"a":1}}}`,
				`a.yaml:5:14: error WEIR1031: field "a" is given twice | a.yaml:5:8: first given here`}},
		{"field twice in JSON", "a.json", `{"apiVersion":"v1","kind":"A","metadata":{"name":"x","name":"y"}}`,
			[]string{`a.json:1:1 v1 A x {"apiVersion":"v1","kind":"A","metadata":{"name":"x"}}`, `a.json:1:54: error WEIR1031: field "name" is given twice | a.json:1:43: first given here`}},
		{"object twice", "a.yaml", "apiVersion: apps/v1\nkind: A\nmetadata: {name: x}\n---\napiVersion: apps/v1beta1\nkind: A\nmetadata: {name: x, namespace: default}\n",
			[]string{`a.yaml:1:1 apps/v1 A x {"apiVersion":"apps/v1","kind":"A","metadata":{"name":"x"}}`,
				`a.yaml:5:1 apps/v1beta1 A default/x {"apiVersion":"apps/v1beta1","kind":"A","metadata":{"name":"x","namespace":"default"}}`,
				`a.yaml:7:18: error WEIR1033: A default/x is given twice | a.yaml:3:18: first given here`}},
		{"no object", "a.yaml", "- 1\n---\nname: x\n---\napiVersion: v1\nkind: A\n---\nkind: A\n---\napiVersion: v1\n---\nword\n",
			[]string{`a.yaml:1:1: error WEIR1032: this is no Kubernetes object`, `a.yaml:3:1: error WEIR1032: an object without apiVersion`,
				`a.yaml:5:1: error WEIR1040: A without metadata.name`, `a.yaml:8:1: error WEIR1032: an object without apiVersion`,
				`a.yaml:10:1: error WEIR1032: an object without kind`, `a.yaml:12:1: error WEIR1032: this is no Kubernetes object`}},
		{"what names it is no text", "a.yaml", "apiVersion: [v1]\n---\napiVersion: v1\nkind: {a: b}\n---\napiVersion: v1\nkind: A\nmetadata: {name: [x], namespace: {}}\n---\napiVersion: v1\nkind: A\nmetadata: x\n",
			[]string{`a.yaml:1:13: error WEIR1034: apiVersion must be a string, not a list`, `a.yaml:4:7: error WEIR1034: kind must be a string, not a mapping`,
				`a.yaml:8:18: error WEIR1034: metadata.name must be a string, not a list`, `a.yaml:8:34: error WEIR1034: metadata.namespace must be a string, not a mapping`,
				`a.yaml:12:11: error WEIR1034: metadata must be a mapping, not a single value`}},
		{"generated name", "a.yaml", "apiVersion: v1\nkind: A\nmetadata: {generateName: x-}\n---\napiVersion: v1\nkind: A\nmetadata: {generateName: x-}\n",
			[]string{`a.yaml:1:1 v1 A x- {"apiVersion":"v1","kind":"A","metadata":{"generateName":"x-"}}`, `a.yaml:5:1 v1 A x- {"apiVersion":"v1","kind":"A","metadata":{"generateName":"x-"}}`,
				`a.yaml:7:26: error WEIR1033: A x- is given twice | a.yaml:3:26: first given here`}},
		{"tag", "a.yaml", "apiVersion: v1\nkind: A\nmetadata: {name: x}\na: !Ref b\n", []string{`a.yaml:4:4: error WEIR1030: the tag !Ref means nothing in Kubernetes`}},
		{"not a number", "a.yaml", "apiVersion: v1\nkind: A\nmetadata: {name: x}\na: .nan\n", []string{`a.yaml:4:4: error WEIR1030: ".nan" has no form in JSON`}},
		{"list as key", "a.yaml", "apiVersion: v1\nkind: A\nmetadata: {name: x}\n? [a]\n: b\n", []string{`a.yaml:4:3: error WEIR1030: a key must be a string`}},
		{"byte order mark", "a.yaml", "\ufeffapiVersion: v1\nkind: A\nmetadata: {name: x}\n", []string{`a.yaml:1:1 v1 A x {"apiVersion":"v1","kind":"A","metadata":{"name":"x"}}`}},
		{"not UTF-8", "a.yaml", "apiVersion: v1\nkind: \xff\n", []string{`a.yaml:2:7: error WEIR7011: the file is not UTF-8`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, show(Parse(tt.file, []byte(tt.in), Limits{}))); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
		})
	}
}

func bomb(levels int) string {
	s := "apiVersion: v1\nkind: A\nmetadata: {name: x}\nl0: &l0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
	for i := 1; i < levels; i++ {
		s += fmt.Sprintf("l%d: &l%d [*l%[3]d, *l%[3]d, *l%[3]d, *l%[3]d, *l%[3]d, *l%[3]d, *l%[3]d, *l%[3]d]\n", i, i, i-1)
	}
	return s
}

// Hostile input ends soon, with the limit named.
func TestLimits(t *testing.T) {
	head := "apiVersion: v1\nkind: A\nmetadata: {name: x}\nspec: "
	for _, tt := range []struct{ name, file, in, want string }{
		{"alias bomb", "a.yaml", bomb(30), "aliases repeat more than 100000 values (limit on aliases)"},
		{"merge bomb", "a.yaml", strings.ReplaceAll(bomb(30), "[*", "[{<<: *") + "z: 1\n", ""},
		{"alias in a circle", "a.yaml", head + "&a [*a]\n", "values nest more than 100 deep (limit on depth)"},
		{"merge in a circle", "a.yaml", head + "&a {<<: *a}\n", "values nest more than 100 deep (limit on depth)"},
		{"merges in circles", "a.yaml", "&a {apiVersion: v1, kind: A, metadata: {name: x}, <<: [*a, *a, *a]}", "values nest more than 100 deep (limit on depth)"},
		{"merges in circles before the kind", "a.yaml", "&a {<<: [*a, *a, *a]}", ""},
		{"deep flow", "a.yaml", head + strings.Repeat("[", 200) + strings.Repeat("]", 200), "values nest more than 100 deep (limit on depth)"},
		{"very deep flow", "a.yaml", head + strings.Repeat("[", 1<<20), "values nest more than 100 deep (limit on depth)"},
		{"very deep blocks", "a.yaml", head + "\n" + strings.Repeat("- ", 1<<20), "values nest more than 100 deep (limit on depth)"},
		{"deep JSON", "a.json", strings.Repeat(`{"a":`, 1<<18), "values nest more than 100 deep (limit on depth)"},
		{"deep JSON by another name", "a.yaml", strings.Repeat(`{"a":`, 1<<18), "values nest more than 100 deep (limit on depth)"},
		{"many small values", "a.yaml", head + "[" + strings.Repeat("1,", 5_000_000) + "1]", "the files hold more than 4000000 values (limit on values)"},
		{"100 MB", "a.yaml", head + strings.Repeat("x", 100<<20), "the file has 100 MiB, more than 64 MiB (limit on file size)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Now()
			_, diags := Parse(tt.file, []byte(tt.in), Limits{})
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("took %v", took)
			}
			if !diags.HasErrors() {
				t.Fatal("no error")
			}
			if d := diags[0]; tt.want != "" && (d.Message != tt.want || d.Code != CodeLimit) {
				t.Errorf("got %s", d.Error())
			}
		})
	}
}

func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	p := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

func object(name string) string {
	return "apiVersion: v1\nkind: A\nmetadata: {name: " + name + "}\n"
}

// TestKustomization holds that a kustomization is known by its file, as kustomize knows it, and other files have to say what
// they hold.
func TestKustomization(t *testing.T) {
	for name, want := range map[string]string{"a/kustomization.yaml": "kustomize.config.k8s.io/v1beta1 Kustomization kustomization.yaml",
		"Kustomization.yml": "kustomize.config.k8s.io/v1beta1 Kustomization Kustomization.yml", "a/other.yaml": ""} {
		objs, diags := Parse(name, []byte("resources: [a.yaml]\n"), Limits{})
		got := ""
		if len(objs) == 1 {
			got = objs[0].APIVersion + " " + objs[0].Kind + " " + objs[0].Name
		}
		if got != want || (len(diags) == 0) != (want != "") {
			t.Errorf("%s: %q %v", name, got, diags)
		}
	}
	objs, diags := Parse("kustomization.yaml", []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"), Limits{})
	if len(objs) != 1 || objs[0].Kind != "ConfigMap" || len(diags) != 0 {
		t.Errorf("what says what it is: %v %v", objs, diags)
	}
}

func TestReadFolders(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", object("a"))
	write(t, dir, "deep/er/b.yml", object("b"))
	write(t, dir, "deep/c.json", `{"apiVersion":"v1","kind":"A","metadata":{"name":"c"}}`)
	write(t, dir, ".hidden/d.yaml", object("d"))
	write(t, dir, ".e.yaml", object("e"))
	write(t, dir, "notes.txt", "not read")
	write(t, dir, "policy.cue", "not read")
	write(t, dir, ".git/refs/f.yaml", "not: read")
	named := write(t, dir, "named.txt", object("named"))
	outside := t.TempDir()
	write(t, outside, "g.yaml", object("g"))
	link := func(target, name string) {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link(filepath.Join(outside, "g.yaml"), "g.yaml")
	link("a.yaml", "again.yaml")
	link("deep", "..data")
	link(outside, "elsewhere")
	link(dir, "circle")
	objs, diags := Read(context.Background(), []string{dir, named, filepath.Join(dir, "a.yaml")}, Limits{})
	var names []string
	for _, o := range objs {
		names = append(names, o.Name)
	}
	if d := cmp.Diff([]string{"e", "d", "a", "c", "b", "g", "named"}, names); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	want := []string{filepath.Join(dir, "elsewhere") + ": warning WEIR7013: link to a folder not followed: " + outside}
	if d := cmp.Diff(want, showDiags(diags)); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	t.Run("a named link to a folder is followed", func(t *testing.T) {
		objs, diags := Read(context.Background(), []string{filepath.Join(dir, "elsewhere")}, Limits{})
		if len(objs) != 1 || len(diags) != 0 || objs[0].Pos("").File != filepath.Join(dir, "elsewhere", "g.yaml") {
			t.Errorf("got %v", show(objs, diags))
		}
	})
}

// TestLeftOut: what looks like a source and is not read is told.
func TestLeftOut(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.yaml", "b.YAML", "c.Json", "d_tool.cue", "e.CUE", "f.txt", "g.cue", "cue.mod/pkg/h_tool.cue"} {
		write(t, dir, name, object("a"))
	}
	_, diags := Read(context.Background(), []string{dir}, Limits{})
	var want []string
	for _, name := range []string{"b.YAML", "c.Json", "d_tool.cue", "e.CUE"} {
		want = append(want, filepath.Join(dir, name)+": warning WEIR7014: this file of the folder is left out")
	}
	if d := cmp.Diff(want, showDiags(diags)); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

func TestReadFailures(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "good.yaml", object("a"))
	write(t, dir, "broken.yaml", "kind: [")
	if err := os.Symlink("nowhere", filepath.Join(dir, "dangling.yaml")); err != nil {
		t.Fatal(err)
	}
	check := func(name string, limits Limits, want ...string) {
		t.Run(name, func(t *testing.T) {
			_, diags := Read(context.Background(), []string{dir, filepath.Join(dir, "missing")}, limits)
			var got []string
			for _, s := range showDiags(diags) {
				got = append(got, strings.ReplaceAll(s, dir+"/", ""))
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
		})
	}
	broken := "broken.yaml:1:7: error WEIR1030: not YAML: did not find expected node content"
	dangling := "dangling.yaml: error WEIR7012: cannot read: no such file or directory"
	gone := "missing: error WEIR7012: cannot read: no such file or directory"
	check("every failure shows", Limits{}, broken, dangling, gone)
	check("total size", Limits{TotalBytes: 20}, broken, dangling, "good.yaml: error WEIR7010: the files are more than 20 bytes together (limit on total size)", gone)
	check("file size", Limits{FileBytes: 20}, broken, dangling, "good.yaml: error WEIR7010: the file has 43 bytes, more than 20 bytes (limit on file size)", gone)
	check("files", Limits{Files: 1}, broken, dangling, "good.yaml: error WEIR7010: too many files (limit on files)", gone)
}

func TestReadStops(t *testing.T) {
	dir := t.TempDir()
	f := write(t, dir, "good.yaml", object("a"))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if objs, diags := Read(ctx, []string{f}, Limits{}); len(objs) != 0 || !diags.HasErrors() {
		t.Errorf("got %v", show(objs, diags))
	}
}

func TestPositions(t *testing.T) {
	objs, diags := Parse("p.yaml", []byte(`apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: x
  labels: {app.example/é: "1", b: 'two'}
spec:
  common: &c {port: 80}
  ingress:
  - ports: [{<<: *c, protocol: TCP}]
`), Limits{})
	if len(objs) != 1 || len(diags) != 0 {
		t.Fatal(show(objs, diags))
	}
	o := objs[0]
	for path, want := range map[string]string{
		"":                                   "1:1-0 1:1",
		"metadata.name":                      "4:9-10 4:3",
		"metadata.labels[app.example/é]":     "5:28-31 5:12",
		"metadata.labels[b]":                 "5:36-41 5:33",
		"spec.ingress[0]":                    "9:5-0 9:5",
		"spec.ingress[0].ports[0].protocol":  "9:32-35 9:22",
		"spec.ingress[0].ports[0].port":      "7:21-23 7:15",
		"spec.ingress[0].ports[0].port.more": "7:21-23 7:15",
		"spec.ingress[7].ports":              "9:3-0 8:3",
	} {
		p, k := o.Pos(path), o.KeyPos(path)
		if got := fmt.Sprintf("%d:%d-%d %d:%d", p.Line, p.Col, p.EndCol, k.Line, k.Col); got != want {
			t.Errorf("%q: got %s, want %s", path, got, want)
		}
		if p.Object != "NetworkPolicy x" || p.Path != path {
			t.Errorf("%q: got %q %q", path, p.Object, p.Path)
		}
	}
}

func TestDecode(t *testing.T) {
	objs, _ := Parse("p.yaml", []byte(`apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: x, lables: {}}
spec:
  podSelector: {matchLabel: {a: b}}
  ingress:
  - ports: [{prot: TCP, Port: 80}]
  zzz: 1
`), Limits{})
	var np netv1.NetworkPolicy
	var got []string
	for _, d := range objs[0].DecodeStrict(&np) {
		got = append(got, d.Error()+" ("+d.Hint+")")
	}
	if d := cmp.Diff([]string{
		`p.yaml:3:21: error WEIR1004: unknown field "lables" (did you mean "labels"?)`,
		`p.yaml:5:17: error WEIR1004: unknown field "matchLabel" (did you mean "matchLabels"?)`,
		`p.yaml:7:14: error WEIR1004: unknown field "prot" (did you mean "port"?)`,
		`p.yaml:7:25: error WEIR1004: unknown field "Port" (did you mean "port"?)`,
		`p.yaml:8:3: error WEIR1004: unknown field "zzz" ()`}, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if ds := objs[0].DecodeKnown(&np); ds.HasErrors() || len(ds) != 5 {
		t.Errorf("DecodeKnown: %v", showDiags(ds))
	}
}

func TestNearest(t *testing.T) {
	names := []string{"matchLabels", "matchExpressions", "ports", "from"}
	for in, want := range map[string]string{"matchLabel": "matchLabels", "prots": "ports", "form": "from", "peers": "", "": "", "MATCHLABELS": "matchLabels"} {
		if got := Nearest(in, names); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{object("a"), bomb(4), "{\"apiVersion\":\"v1\",\"kind\":\"A\",\"metadata\":{\"name\":\"x\"}}", "a: &a [*a]", "a: &a {<<: *a}", "&a {<<: [*a, *a, *a]}", "- - -", "? [a]\n: b",
		"apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: A, metadata: {name: x}}]", "\ufeff---\n...\n", "{\"a\":[", "a: !!binary x", "%YAML 1.1\n---\na: 010"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		objs, diags := Parse("f.yaml", data, Limits{AliasNodes: 1000})
		for _, o := range objs {
			if o.Kind == "" || o.Name == "" || !o.Pos("metadata.name").IsValid() {
				t.Errorf("%q: %v", data, o)
			}
			var v map[string]any
			if err := json.Unmarshal(o.JSON, &v); err != nil {
				t.Errorf("%q: %s is not JSON: %v", data, o.JSON, err)
			}
		}
		for i := range diags {
			if diags[i].Pos.File == "" || diags[i].Message == "" {
				t.Errorf("%q: %v", data, diags[i])
			}
		}
	})
}
