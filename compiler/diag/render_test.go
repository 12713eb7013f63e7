package diag

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
)

var update = flag.Bool("update", false, "write the golden files anew")

// files are the sources of the tests' findings.
var files = map[string]string{
	"policies/payments.cue": strings.Repeat("\n", 13) + "\t\tsubject: matchLabel: app: \"payments\"\n",
	"policies/orders.cue": strings.Repeat("\n", 30) +
		"\t\t\t{action: \"allow\", from: [{pods: matchLabels: app: \"web\"}], ports: [{port: 8080, protocol: \"TCP\"}]},\n",
	"odd/wide.yaml":    "name: \"日本語\" # ünïcode\r\nnext: x\r\n",
	"odd/escape.yaml":  "a: \x1b[2Jb\u202e evil\n",
	"odd/long.json":    strings.Repeat("x", 500) + "HERE" + strings.Repeat("y", 500),
	"odd/invalid.cue":  "a: \"\xff\xfe\" b\n",
	"dir, 100%/a:b.md": "text\n",
}

func sources(file string) ([]byte, error) {
	s, ok := files[file]
	if !ok {
		return nil, errors.New("no such file")
	}
	return []byte(s), nil
}

// findings has one of everything that a renderer must show.
func findings() List {
	return List{
		{Code: "WEIR1004", Severity: Error, Message: `unknown field "matchLabel"`, Hint: `did you mean "matchLabels"?`,
			Pos: Position{File: "policies/payments.cue", Line: 14, Col: 12, EndCol: 22}},
		{Code: "WEIR1004", Severity: Warning, Message: "this rule never decides",
			Pos: Position{File: "policies/orders.cue", Line: 31, Col: 5},
			Related: []Related{{Pos: Position{File: "policies/orders.cue", Line: 12, Col: 3},
				Message: "already allows every pod of namespace web on TCP 8080"}}},
		{Code: "WEIR1004", Severity: Note, Message: "wide characters", Pos: Position{File: "odd/wide.yaml", Line: 1, Col: 7},
			Related: []Related{{Pos: Position{Object: "MeshPolicy shop/base", Path: "spec.ingress[0]"}, Message: "is the other one"}}},
		{Code: "WEIR1004", Severity: Error, Message: "a value\x1b[31m with\nbreaks\u202e", Hint: "cut, 100 %: a, b",
			Pos: Position{File: "odd/escape.yaml", Line: 1, Col: 4}},
		{Code: "WEIR1004", Severity: Error, Message: "far to the right", Pos: Position{File: "odd/long.json", Line: 1, Col: 501, EndCol: 505}},
		{Code: "WEIR1004", Severity: Error, Message: "not UTF-8", Pos: Position{File: "odd/invalid.cue", Line: 1, Col: 4, EndCol: 8}},
		{Code: "WEIR1004", Severity: Error, Message: "something is missing after this", Pos: Position{File: "odd/wide.yaml", Line: 2, Col: 8}},
		{Code: "WEIR1004", Severity: Error, Message: "a line that the file has not", Pos: Position{File: "odd/wide.yaml", Line: 99, Col: 1}},
		{Code: "WEIR1004", Severity: Error, Message: "a file that cannot be read again", Pos: Position{File: "gone.cue", Line: 3, Col: 2, EndCol: 9}},
		{Code: "WEIR1004", Severity: Warning, Message: "a name to escape", Pos: Position{File: "dir, 100%/a:b.md", Line: 1, Col: 1}},
		{Code: "WEIR1004", Severity: Error, Message: "an object", Pos: Position{Object: "MeshPolicy shop/payments", Path: "spec.ingress[0].ports[0].port"}},
		{Code: "WEIR1004", Severity: Error, Message: "nowhere in particular"},
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got):\n%s", path, d)
	}
}

// TestTextIsTheSample holds the form that the specification of the command line shows.
func TestTextIsTheSample(t *testing.T) {
	const want = `policies/payments.cue:14:12: error WEIR1004: unknown field "matchLabel"
   14 |         subject: matchLabel: app: "payments"
      |                  ^^^^^^^^^^
   did you mean "matchLabels"?

policies/orders.cue:31:5: warning WEIR1004: this rule never decides
   31 |             {action: "allow", from: [{pods: matchLabels: app: "web"}], ports: [{port: 8080, protocol: "TCP"}]},
      |              ^^^^^^
   orders.cue:12 already allows every pod of namespace web on TCP 8080

`
	var b bytes.Buffer
	l := findings()[:2]
	if err := Text(&b, l, TextOptions{Sources: sources}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	l[1].Code = "WEIR2011"
	const summary = "14 policies, 52 rules, 31 workloads · 1 error, 1 warning · `weir docs WEIR2011` explains"
	if got := Summary("14 policies, 52 rules, 31 workloads", l); got != summary {
		t.Errorf("got  %s\nwant %s", got, summary)
	}
}

// TestFolding holds that what several objects have from one place is shown once, with their names, and that nothing else is
// put together.
func TestFolding(t *testing.T) {
	at := func(object string, line int, message string) Diagnostic {
		return Diagnostic{Code: "WEIR1004", Severity: Error, Message: message, Pos: Position{File: "a.cue", Line: line, Col: 3, Object: object}}
	}
	var l List
	for _, o := range []string{"a", "b", "c", "d"} {
		l.Add(at("MeshPolicy "+o, 1, "four have it"))
		l.Add(at("MeshPolicy "+o, 1, "as many have this"))
		l.Add(at("MeshPolicy "+o, 2, "a word from "+o))
	}
	for i := range 1000 {
		l.Add(at(fmt.Sprintf("MeshPolicy %04d", i), 3, "a thousand have it"))
	}
	l.Add(Diagnostic{Code: "WEIR1004", Message: "no place", Pos: Position{Object: "MeshPolicy a"}})
	l.Add(Diagnostic{Code: "WEIR1004", Message: "no place", Pos: Position{Object: "MeshPolicy b"}})
	two := at("MeshPolicy a", 4, "twice in one")
	two.Pos.Path = "spec.ingress[0]"
	l.Add(two)
	two.Pos.Path = "spec.ingress[1]"
	l.Add(two)
	const want = `a.cue:1:3: error WEIR1004: four have it
   in MeshPolicy a, MeshPolicy b, MeshPolicy c and MeshPolicy d

a.cue:1:3: error WEIR1004: as many have this
   in MeshPolicy a, MeshPolicy b, MeshPolicy c and MeshPolicy d

a.cue:2:3: error WEIR1004: a word from a

a.cue:2:3: error WEIR1004: a word from b

a.cue:2:3: error WEIR1004: a word from c

a.cue:2:3: error WEIR1004: a word from d

a.cue:3:3: error WEIR1004: a thousand have it
   in MeshPolicy 0000, MeshPolicy 0001, MeshPolicy 0002 and 997 more

MeshPolicy a: note WEIR1004: no place

MeshPolicy b: note WEIR1004: no place

a.cue:4:3: error WEIR1004: twice in one

`
	var text, annotations bytes.Buffer
	if err := errors.Join(Text(&text, l, TextOptions{Sources: sources}), GitHub(&annotations, l, sources)); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, text.String()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if n := strings.Count(annotations.String(), "\n"); n != 10 || !strings.Contains(annotations.String(), "%0Ain MeshPolicy 0000, MeshPolicy 0001, MeshPolicy 0002 and 997 more") {
		t.Errorf("%d annotations:\n%s", n, &annotations)
	}
}

func TestSummary(t *testing.T) {
	for _, tc := range []struct {
		read, want string
		l          List
	}{
		{"3 policies", "3 policies · no findings", nil},
		{"", "no findings", List{}},
		{"3 policies", "3 policies · 2 errors, 1 note · `weir docs WEIR9002` explains",
			List{{Code: "WEIR9001", Severity: Error}, {Code: "WEIR9001", Severity: Error}, {Code: "WEIR9002"}}},
	} {
		if got := Summary(tc.read, tc.l); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
}

func TestRenderers(t *testing.T) {
	render := map[string]func(*bytes.Buffer) error{
		"all.txt":       func(b *bytes.Buffer) error { return Text(b, findings(), TextOptions{Sources: sources}) },
		"all.color.txt": func(b *bytes.Buffer) error { return Text(b, findings(), TextOptions{Sources: sources, Color: true}) },
		"all.json":      func(b *bytes.Buffer) error { return JSON(b, findings()) },
		"all.github":    func(b *bytes.Buffer) error { return GitHub(b, findings(), sources) },
		"all.sarif":     func(b *bytes.Buffer) error { return SARIF(b, findings(), "0.1.0", sources) },
	}
	for name, f := range render {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := f(&b); err != nil {
				t.Fatal(err)
			}
			golden(t, name, b.Bytes())
		})
	}
}

// TestColorOnlyAdds: without the escapes, coloured text is the plain text.
func TestColorOnlyAdds(t *testing.T) {
	var plain, coloured bytes.Buffer
	if err := errors.Join(Text(&plain, findings(), TextOptions{Sources: sources}),
		Text(&coloured, findings(), TextOptions{Sources: sources, Color: true})); err != nil {
		t.Fatal(err)
	}
	stripped := strings.NewReplacer(red, "", yellow, "", dim, "", bold, "", reset, "").Replace(coloured.String())
	if d := cmp.Diff(plain.String(), stripped); d != "" {
		t.Errorf("-plain +coloured:\n%s", d)
	}
	if strings.ContainsAny(plain.String(), "\x1b\u202e\r\t") {
		t.Error("a control character of the input reaches the terminal")
	}
}

// TestSARIFIsValid checks the log against the schema that OASIS publishes (carried by go-sarif).
func TestSARIFIsValid(t *testing.T) {
	for name, l := range map[string]List{"all": findings(), "none": nil} {
		var b bytes.Buffer
		if err := SARIF(&b, l, "0.1.0", sources); err != nil {
			t.Fatal(err)
		}
		r, err := sarif.FromBytes(b.Bytes(), sarif.WithStrictValidation())
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := SARIF(&bytes.Buffer{}, List{{Code: "WEIR9999"}}, "0.1.0", nil); err == nil {
		t.Error("a code without a page was written")
	}
}

func TestJSONRoundTrip(t *testing.T) {
	l := findings()[:3]
	b, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	var back List
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(l, back); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if err := json.Unmarshal([]byte(`[{"severity":"fatal"}]`), &back); err == nil {
		t.Error("an unknown severity was read")
	}
	var none bytes.Buffer
	if err := JSON(&none, nil); err != nil || !strings.Contains(none.String(), `"diagnostics": []`) {
		t.Errorf("%v %s", err, none.String())
	}
}

func TestSort(t *testing.T) {
	at := func(line int) Position { return Position{File: "a.cue", Line: line} }
	l := List{
		{Code: "WEIR9002", Severity: Warning, Pos: at(2)},
		{Code: "WEIR9001", Severity: Error, Pos: at(2), Message: "x"},
		{Code: "WEIR9003", Severity: Note, Pos: at(1)},
		{Code: "WEIR9001", Severity: Error, Pos: at(2), Message: "x"},
	}
	l.Sort()
	want := List{
		{Code: "WEIR9003", Severity: Note, Pos: at(1)},
		{Code: "WEIR9001", Severity: Error, Pos: at(2), Message: "x"},
		{Code: "WEIR9002", Severity: Warning, Pos: at(2)},
	}
	if d := cmp.Diff(want, l); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if !l.HasErrors() || l[:1].HasErrors() {
		t.Error("HasErrors is wrong")
	}
}

// TestSortKeepsTheFirst adds findings that say the same with another place beside them, in both orders.
func TestSortKeepsTheFirst(t *testing.T) {
	at := func(line int) Diagnostic {
		return Diagnostic{Code: "WEIR2012", Message: "m", Related: []Related{{Pos: Position{File: "a", Line: line}}}}
	}
	for _, l := range []List{{at(2), at(1)}, {at(1), at(2)}} {
		l.Sort()
		if len(l) != 1 || l[0].Related[0].Pos.Line != 1 {
			t.Errorf("kept %+v", l)
		}
	}
}

func TestFailedWrite(t *testing.T) {
	for name, f := range map[string]func() error{
		"text":   func() error { return Text(broken{}, findings(), TextOptions{}) },
		"json":   func() error { return JSON(broken{}, findings()) },
		"sarif":  func() error { return SARIF(broken{}, findings(), "", nil) },
		"github": func() error { return GitHub(broken{}, findings(), nil) },
	} {
		if f() == nil {
			t.Errorf("%s: a failed write was not reported", name)
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func FuzzText(f *testing.F) {
	f.Add("\t\tsubject: matchLabel", 11, 0, "message", false)
	f.Add("a: \xff\x1b日本", 4, 9, "\u202e", true)
	f.Add(strings.Repeat("日", 200), 300, 303, "", true)
	f.Fuzz(func(t *testing.T, line string, col, end int, message string, color bool) {
		src := func(string) ([]byte, error) { return []byte(line), nil }
		l := List{{Code: "WEIR9001", Message: message, Pos: Position{File: "f", Line: 1, Col: col, EndCol: end}}}
		var b, g bytes.Buffer
		if err := errors.Join(Text(&b, l, TextOptions{Sources: src}), GitHub(&g, l, src)); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(b.String(), "\x1b\r\t") {
			t.Errorf("control character in %q", b.String())
		}
		if n := strings.Count(g.String(), "\n"); n != 1 {
			t.Errorf("%d lines in one annotation: %q", n, g.String())
		}
	})
}
