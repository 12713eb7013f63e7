package language

import (
	"strings"
	"testing"
	"testing/fstest"
)

// files is the smallest language, and one more definition.
func files(def string) fstest.MapFS {
	return fstest.MapFS{
		"cue.mod/module.cue": {Data: []byte("module: \"weir.dev/schemas@v0\"\nlanguage: version: \"v0.17.0\"\n")},
		"v1/kind.cue": {Data: []byte(`package v1

import "strings"

// Thing is a kind.
#Thing: {
	@crd(scope="Cluster", bundle="things", short="th")
	@column(name="Age", type="date", path=".metadata.creationTimestamp")
	// API group and version.
	apiVersion: "example.org/v1"
	// What it says.
	spec!: #X
}
` + def)},
	}
}

func TestRead(t *testing.T) {
	_, err := Read(files(`
// X is a structure
// of two lines.
#X: P={
	_used?: true
	#Base
	// A word.
	a?: "x" | "y" | error("a is x or y")
	// Numbers.
	n?: [...int & >=1 & <=9 | error("1 to 9")] & list.MaxItems(3)
	if _used != _|_ if P.a == _|_ && n == _|_ {error("say something")}
	if n != _|_ for i in n if i > 5 {error("too much")}
}

// Base is what X takes over.
#Base: {
	// A name.
	name!: string & strings.MaxRunes(5) & =~"^[a-z]+$" & !~"^b" | error("a name")
}
`), "v1")
	if err == nil || !strings.Contains(err.Error(), "disagree about _used") {
		t.Fatalf("a use without _used: %v", err)
	}
	fsys := files(`
// X is a structure
// of two lines.
#X: P={
	#Base
	// A word.
	a?: "x" | "y" | error("a is x or y")
	// Numbers.
	n?: [...int & >=1 & <=9 | error("1 to 9")] & list.MaxItems(3)
	if P.a == "x" if n != _|_ for i in n if i > 5 {error("too much")}
}

// Base is what X takes over.
#Base: {
	// A name.
	name!: string & strings.MaxRunes(5) & =~"^[a-z]+$" | error("a name")
}
`)
	l, err := Read(fsys, "v1")
	if err != nil {
		t.Fatal(err)
	}
	if l.Group != "example.org" || l.Version != "v1" || l.ImportPath != "weir.dev/schemas/v1" {
		t.Errorf("the API is %s/%s in %s", l.Group, l.Version, l.ImportPath)
	}
	kinds := l.Kinds()
	if len(kinds) != 1 || kinds[0].CRD.Plural() != "things" || kinds[0].CRD.Columns[0].Path != ".metadata.creationTimestamp" {
		t.Fatalf("kinds: %+v", kinds)
	}
	x := l.Def("X")
	if x.Doc != "X is a structure\nof two lines." {
		t.Errorf("the doc is %q", x.Doc)
	}
	fields := l.AllFields(x.Struct)
	if len(fields) != 3 || !fields[0].Required || fields[0].Type.MaxLen != 5 || fields[1].Type.Message != "a is x or y" ||
		*fields[2].Type.Elem.Max != 9 || fields[2].Type.MaxLen != 3 {
		t.Errorf("fields: %+v", fields)
	}
	g := x.Struct.Guards
	if len(g) != 1 || g[0].Message != "too much" || len(g[0].Clauses) != 4 || g[0].Clauses[2].Var != "i" {
		t.Errorf("guards: %+v", g)
	}
}

// TestRefused: what the dialect does not have is refused, not skipped.
func TestRefused(t *testing.T) {
	for _, c := range []struct{ def, want string }{
		{`#X: {}`, "needs a doc comment"},
		{"// Y is another.\n#X: {}", "needs a doc comment"},
		{"x: 1", "not a definition"},
		{"// X is.\n#X: {\n\ta?: bool\n}", "a has no doc comment"},
		{"// X is.\n#X: {\n\t// A.\n\ta: bool\n}", "neither optional nor required"},
		{"// X is.\n#X: {\n\t// A.\n\ta?: string\n}", "a string without a bound"},
		{"// X is.\n#X: {\n\t// A.\n\ta?: int & >=1\n}", "an integer without bounds"},
		{"// X is.\n#X: {\n\t// A.\n\ta?: [...bool]\n}", "without a bound"},
		{"// X is.\n#X: {\n\t// A.\n\ta?: {[string & strings.MaxRunes(3)]: bool}\n}", "without a bound"},
		{"// X is.\n#X: {\n\t// A.\n\ta?: [...string] & list.MaxItems(2)\n}", "a string without a bound"},
		{"// X is.\n#X: {\n\t// A.\n\ta?: {b?: bool}\n}", "a structure needs a definition of its own"},
		{"// X is.\n#X: {\n\t// A.\n\ta?: #Z\n}", "there is no #Z"},
		{"// X is.\n#X: {\n\t// A.\n\ta?: number\n}", "unknown type number"},
		{"// X is.\n#X: {\n\t// A.\n\ta?: bool | int\n}", "alternatives are literals"},
		{"// X is.\n#X: {\n\t// A.\n\ta?: string & strings.HasPrefix(3)\n}", "unknown constraint strings.HasPrefix"},
		{"// X is.\n#X: {\n\t// A.\n\ta?: string & strings.MaxRunes(3) & net.IP\n}", "needs @cel"},
		{"// X is.\n#X: {\n\t// A.\n\ta?: bool\n\tif a == true {error(\"no\")}\n}", "it needs {}"},
		{"// X is.\n#X: {\n\t{}\n\t// A.\n\ta?: bool\n\tif a == true {b: 1}\n}", "a guard's body is"},
		{"// X is.\n#X: {\n\t{}\n\t// A.\n\ta?: bool\n\tif a == true {error(\"no \\(a)\")}\n}", "where a string is needed"},
		{"// X is.\n#X: {\n\t{}\n\t// A.\n\ta?: bool\n\tif strings.ToUpper(a) == \"A\" {error(\"no\")}\n}", "has no place in a guard"},
		{"// X is.\n#X: {\n\t{}\n\t// A.\n\ta?: bool\n\tif a > _|_ {error(\"no\")}\n}", "only == and != compare with _|_"},
		{"// X is.\n#X: {\n\t{}\n\t// A.\n\ta?: bool\n\tlet b = a\n\tif b == true {error(\"no\")}\n}", "has no place in a structure"},
		{"// X is.\n#X: {\n\t#Z\n}", "embeds #Z, which is no structure"},
		{"// X is.\n#X: {\n\t{b: 1}\n}", "only a definition is embedded"},
	} {
		_, err := Read(files(c.def), "v1")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\nwant %q, got %v", c.def, c.want, err)
		}
	}
}
