package schemas_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/build"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/parser"
	cuejson "cuelang.org/go/encoding/json"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	celvalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	crvalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apiserver/pkg/apis/cel"

	"github.com/weir-mesh/weir/schemas"
	"github.com/weir-mesh/weir/schemas/v1alpha1"
	"github.com/weir-mesh/weir/test/documents"
)

// The judges of a document: the CUE definitions, the API server's own code over the CRD, and the Go check. They must
// always agree.
type judges struct {
	schema cue.Value
	kinds  map[string]*server
}

func newJudges(t testing.TB) *judges {
	t.Helper()
	j := &judges{schema: cueSchema(t), kinds: map[string]*server{}}
	for _, k := range schemas.Kinds() {
		j.kinds[k.Name] = newServer(t, k.Plural)
	}
	return j
}

// cueSchema builds the definitions from the embedded module.
func cueSchema(t testing.TB) cue.Value {
	t.Helper()
	v := cuecontext.New().BuildInstance(schemaInstance(t))
	if err := v.Err(); err != nil {
		t.Fatal(err)
	}
	return v
}

// cue returns what the CUE definition refuses.
func (j *judges) cue(t testing.TB, kind string, doc []byte) error {
	t.Helper()
	expr, err := cuejson.Extract("doc.json", doc)
	if err != nil {
		t.Fatal(err)
	}
	return j.unify(kind, expr)
}

func (j *judges) unify(def string, expr ast.Expr) error {
	v := cuecontext.New().BuildExpr(expr)
	d := j.schema.LookupPath(cue.MakePath(cue.Def(def)))
	return d.Unify(v).Validate(cue.Concrete(true), cue.Final())
}

// server is what the API server holds of one CRD.
type server struct {
	structural *structural.Structural
	schema     crvalidation.SchemaValidator
	cel        *celvalidation.Validator
}

func newServer(t testing.TB, plural string) *server {
	t.Helper()
	crd := readCRD(t, plural)
	props := versionSchema(crd)
	s, err := structural.NewStructural(props)
	if err != nil {
		t.Fatal(err)
	}
	v, _, err := crvalidation.NewSchemaValidator(props)
	if err != nil {
		t.Fatal(err)
	}
	return &server{structural: s, schema: v, cel: celvalidation.NewValidator(s, true, cel.PerCallLimit)}
}

func versionSchema(crd *apiextensions.CustomResourceDefinition) *apiextensions.JSONSchemaProps {
	if crd.Spec.Validation != nil {
		return crd.Spec.Validation.OpenAPIV3Schema
	}
	return crd.Spec.Versions[0].Schema.OpenAPIV3Schema
}

// refusal is one thing that the API server refuses: a path and why.
type refusal struct{ Path, Message string }

// create does what the API server does with a new object under strict field validation: it returns what is stored, or
// what is refused. (apiserver/customresource_handler.go, registry/customresource/strategy.go)
func (s *server) create(t testing.TB, doc []byte) (map[string]any, []refusal) {
	t.Helper()
	var obj map[string]any
	if err := utiljson.Unmarshal(doc, &obj); err != nil {
		t.Fatal(err)
	}
	var out []refusal
	defaulting.PruneNonNullableNullsWithoutDefaults(obj, s.structural)
	defaulting.Default(obj, s.structural)
	unknown := pruning.PruneWithOptions(obj, s.structural, true, structural.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	for _, path := range unknown {
		out = append(out, refusal{path, "unknown field"})
	}
	errs := crvalidation.ValidateCustomResource(nil, obj, s.schema)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, s.structural, obj)...)
	if len(errs) == 0 {
		found, _ := s.cel.Validate(context.Background(), nil, s.structural, obj, nil, cel.RuntimeCELCostBudget)
		errs = append(errs, found...)
	}
	for _, err := range errs {
		out = append(out, refusal{err.Field, err.Detail})
	}
	return obj, out
}

// goTypes decodes a document into the Go type strictly, and encodes it again.
func goTypes(kind string, doc []byte) ([]byte, error) {
	types := map[string]any{
		"MeshPolicy": &v1alpha1.MeshPolicy{}, "ClusterMeshPolicy": &v1alpha1.ClusterMeshPolicy{}, "MeshRoute": &v1alpha1.MeshRoute{},
		"MeshConfig": &v1alpha1.MeshConfig{}, "MeshException": &v1alpha1.MeshException{}, "Test": &v1alpha1.Test{},
	}
	v, ok := types[kind]
	if !ok {
		return nil, fmt.Errorf("no Go type for %s", kind)
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

// verdict is what the three judges say about a document.
type verdict struct {
	cue    error
	server []refusal
	check  []schemas.Problem
}

func (j *judges) judge(t testing.TB, kind string, doc []byte) verdict {
	t.Helper()
	v := verdict{cue: j.cue(t, kind, doc), check: schemas.Check(kind, documents.Decode(t, doc))}
	if s, ok := j.kinds[kind]; ok {
		_, v.server = s.create(t, doc)
	} else if len(v.check) > 0 { // a Test has no CRD
		v.server = []refusal{{"", "not a kind of the API"}}
	}
	return v
}

// agree reports whether the judges do, and what they say together.
func (v verdict) agree() (accepted, agree bool) {
	accepted = len(v.check) == 0
	return accepted, accepted == (v.cue == nil) && accepted == (len(v.server) == 0)
}

func (v verdict) String() string {
	return fmt.Sprintf("CUE: %v\nAPI server: %v\nGo check: %v", v.cue, v.server, v.check)
}

// roundTrips holds S14 for an accepted document: through the Go types, and through what the API server stores, it comes
// back as it was.
func (j *judges) roundTrips(t testing.TB, kind string, doc []byte) {
	t.Helper()
	want := documents.Decode(t, doc)
	back, err := goTypes(kind, doc)
	if err != nil {
		t.Fatalf("the Go type refuses an accepted document: %v\n%s", err, doc)
	}
	if got := documents.Decode(t, back); !reflect.DeepEqual(got, want) {
		t.Errorf("S14: through the Go type\n%s\nbecomes\n%s", doc, back)
	}
	if s, ok := j.kinds[kind]; ok {
		stored, _ := s.create(t, doc)
		raw, err := json.Marshal(stored)
		if err != nil {
			t.Fatal(err)
		}
		if got := documents.Decode(t, raw); !reflect.DeepEqual(got, want) {
			t.Errorf("S14: through the API server\n%s\nbecomes\n%s", doc, raw)
		}
	}
}

func messages(list []refusal) string {
	var out []string
	for _, r := range list {
		out = append(out, r.Path+": "+r.Message)
	}
	return strings.Join(out, "\n")
}

// schemaInstance is the embedded CUE package.
func schemaInstance(t testing.TB) *build.Instance {
	t.Helper()
	inst := build.NewContext().NewInstance("v1alpha1", nil)
	inst.ImportPath = schemas.ImportPath
	entries, err := schemas.FS.ReadDir("v1alpha1")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		src, err := schemas.FS.ReadFile("v1alpha1/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		addFile(t, inst, e.Name(), src)
	}
	if err := inst.Complete(); err != nil {
		t.Fatal(err)
	}
	return inst
}

// addFile adds CUE source, a string or bytes, to a package.
func addFile(t testing.TB, inst *build.Instance, name string, src any) {
	t.Helper()
	f, err := parser.ParseFile(name, src, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	if err := inst.AddSyntax(f); err != nil {
		t.Fatal(err)
	}
}
