package schemas_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/build"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/token"

	"github.com/weir-mesh/weir/schemas"
	"github.com/weir-mesh/weir/test/documents"
)

// evaluate builds a policy package of one file against the embedded module.
func evaluate(t *testing.T, src string) cue.Value {
	t.Helper()
	inst := build.NewContext(build.Loader(func(_ token.Pos, path string) *build.Instance {
		if path != schemas.ImportPath {
			return nil
		}
		return schemaInstance(t)
	})).NewInstance("user", nil)
	addFile(t, inst, "policy.cue", src)
	if err := inst.Complete(); err != nil {
		t.Fatal(err)
	}
	return cuecontext.New().BuildInstance(inst)
}

const header = "package shop\nimport \"weir.dev/schemas/v1alpha1\"\nv1alpha1.#Bundle\n"

// TestExamplesAreAccepted: every object of the examples in docs/reference passes all judges.
func TestExamplesAreAccepted(t *testing.T) {
	j := newJudges(t)
	files, err := filepath.Glob("examples/*.cue")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(schemas.Kinds())+1 {
		t.Errorf("%d examples for %d kinds and tests", len(files), len(schemas.Kinds()))
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			objects := 0
			for place, kind := range bundlePlaces() {
				for name, v := range members(t, evaluate(t, string(src)), place) {
					objects++
					doc, err := v.MarshalJSON()
					if err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					if verdict := j.judge(t, kind, doc); verdict.cue != nil || len(verdict.check)+len(verdict.server) > 0 {
						t.Errorf("%s is refused:\n%v", name, verdict)
					}
					j.roundTrips(t, kind, doc)
				}
			}
			if objects == 0 {
				t.Error("no objects")
			}
		})
	}
}

// bundlePlaces are the fields of a bundle and what they hold.
func bundlePlaces() map[string]string {
	out := map[string]string{"tests": "Test"}
	for _, k := range schemas.Kinds() {
		out[k.Bundle] = k.Name
	}
	return out
}

func members(t *testing.T, v cue.Value, place string) map[string]cue.Value {
	t.Helper()
	out := map[string]cue.Value{}
	iter, err := v.LookupPath(cue.ParsePath(place)).Fields()
	if err != nil {
		t.Fatal(err)
	}
	for iter.Next() {
		out[iter.Selector().Unquoted()] = iter.Value()
	}
	return out
}

// TestPlaceGivesKindAndName: what an object is follows from its place in the bundle.
func TestPlaceGivesKindAndName(t *testing.T) {
	v := evaluate(t, header+`
meshPolicies: {
	plain: {metadata: namespace: "shop", spec: {subject: {}, isolate: ["ingress"]}}
	"shop/keyed": spec: {subject: {}, isolate: ["ingress"]}
}
meshRoutes: "shop/r": spec: {service: "a", rules: [{}]}
`)
	for path, want := range map[string]string{
		"meshPolicies.plain.kind":                      "MeshPolicy",
		"meshPolicies.plain.apiVersion":                schemas.APIVersion,
		"meshPolicies.plain.metadata.name":             "plain",
		`meshPolicies."shop/keyed".metadata.name`:      "keyed",
		`meshPolicies."shop/keyed".metadata.namespace`: "shop",
		`meshRoutes."shop/r".metadata.namespace`:       "shop",
	} {
		if got, err := v.LookupPath(cue.ParsePath(path)).String(); err != nil || got != want {
			t.Errorf("%s is %q, want %q (%v)", path, got, want, err)
		}
	}
}

// TestPlaceIsNotContradicted: an object that says another kind, name or namespace than its place is refused.
func TestPlaceIsNotContradicted(t *testing.T) {
	for _, src := range []string{
		`meshPolicies: a: {kind: "MeshRoute", spec: {subject: {}, isolate: ["ingress"]}}`,
		`meshPolicies: a: {metadata: name: "b", spec: {subject: {}, isolate: ["ingress"]}}`,
		`meshPolicies: "shop/a": {metadata: namespace: "web", spec: {subject: {}, isolate: ["ingress"]}}`,
		`meshPolicies: "Shop/a": spec: {subject: {}, isolate: ["ingress"]}`,
		`meshConfigs: other: spec: {}`,
	} {
		if err := evaluate(t, header+src).Validate(); err == nil {
			t.Errorf("accepted: %s", src)
		}
	}
}

// TestModule: the constants say what the embedded module says, and name the definitions' place.
func TestModule(t *testing.T) {
	mod, err := schemas.FS.ReadFile("cue.mod/module.cue")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(mod), `module: "`+schemas.ModulePath+`"`) {
		t.Errorf("ModulePath is %s; module.cue says\n%s", schemas.ModulePath, mod)
	}
	l := documents.Language(t)
	if l.Group != schemas.Group || l.Version != schemas.Version || l.ImportPath != schemas.ImportPath {
		t.Errorf("the definitions are %s/%s in %s", l.Group, l.Version, l.ImportPath)
	}
	bundle := members(t, cueSchema(t), "#Bundle")
	for place := range bundlePlaces() {
		if _, ok := bundle[place]; !ok {
			t.Errorf("#Bundle has no %s", place)
		}
	}
	if len(bundle) != len(bundlePlaces()) {
		t.Errorf("#Bundle has %d places, the kinds and tests %d", len(bundle), len(bundlePlaces()))
	}
}

func TestFields(t *testing.T) {
	for _, c := range []struct {
		def  string
		path []string
		want string // a field that must be there; "" where there is no structure
	}{
		{"MeshPolicy", nil, "spec"},
		{"MeshPolicy", []string{"spec"}, "subject"},
		{"MeshPolicy", []string{"spec", "ingress"}, ""},
		{"MeshPolicy", []string{"spec", "ingress", "3"}, "authentication"},
		{"MeshPolicy", []string{"spec", "ingress", "3", "from", "0", "pods"}, "matchLabels"},
		{"MeshPolicy", []string{"spec", "subject", "matchLabels"}, ""},
		{"MeshPolicy", []string{"spec", "subject", "matchLabels", "app"}, ""},
		{"MeshPolicy", []string{"spec", "nothing"}, ""},
		{"Test", []string{"http", "claims", "idp"}, ""},
		{"Nothing", nil, ""},
	} {
		names, ok := schemas.Fields(c.def, c.path...)
		if ok != (c.want != "") || ok && !slices.Contains(names, c.want) {
			t.Errorf("Fields(%s, %v) is %v, %t", c.def, c.path, names, ok)
		}
	}
}

func TestCheckSaysWhere(t *testing.T) {
	doc := documents.Changed(t, "policy", "spec.ingress.0.from.0.pod", "{}")
	got := schemas.Check("MeshPolicy", documents.Decode(t, doc))
	want := []string{"spec", "ingress", "0", "from", "0", "pod"}
	if len(got) != 1 || got[0].Class != schemas.UnknownField || !slices.Equal(got[0].Path, want) {
		t.Errorf("got %+v, want one unknown field at %v", got, want)
	}
	// A guard over a list points at the element.
	doc = documents.Changed(t, "policy", "spec.ingress.1.from", "[{entity: world}, {dns: a.b}]")
	got = schemas.Check("MeshPolicy", documents.Decode(t, doc))
	if want := []string{"spec", "ingress", "1", "from", "1"}; len(got) != 1 || !slices.Equal(got[0].Path, want) {
		t.Errorf("got %+v, want one problem at %v", got, want)
	}
	// An empty list is a problem of the list.
	got = schemas.Check("MeshPolicy", documents.Decode(t, documents.Changed(t, "policy", "spec.ingress.1.ports", "[]")))
	if want := []string{"spec", "ingress", "1", "ports"}; len(got) != 1 || !slices.Equal(got[0].Path, want) {
		t.Errorf("got %+v, want one problem at %v", got, want)
	}
	// All problems, not only the first of a list.
	doc = documents.Changed(t, "policy", "spec.ingress.0.ports", "[{port: 0, protocol: TCP}, {port: 1, name: a, protocol: TCP}, {protocol: tcp}]")
	if got := schemas.Check("MeshPolicy", documents.Decode(t, doc)); len(got) != 3 {
		t.Errorf("got %d problems, want 3: %+v", len(got), got)
	}
}

func BenchmarkCheck(b *testing.B) {
	doc := documents.Decode(b, documents.JSON(b, "policy"))
	for b.Loop() {
		schemas.Check("MeshPolicy", doc)
	}
}
