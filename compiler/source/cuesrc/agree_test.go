package cuesrc

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/parser"

	"github.com/weir-mesh/weir/schemas"
)

// seeds are right objects that use much of the language, by their place.
var seeds = []struct{ field, name, text string }{
	{"meshPolicies", "web", `{"metadata": {"namespace": "shop", "labels": {"a.example/b": "c"}}, "spec": {"owner": "team", "purpose": "p", "expires": "2027-01-31",
		"mode": "audit", "subject": {"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]}]},
		"ingress": [{"action": "allow", "name": "from web", "from": [{"pods": {"matchLabels": {"app": "a"}}, "namespaces": {}}, {"cidr": {"cidr": "192.0.2.0/24", "except": ["192.0.2.128/25"]}}, {"entity": "own-node"}],
			"ports": [{"port": 8080, "endPort": 8090, "protocol": "TCP"}, {"name": "http", "protocol": "TCP"}], "authentication": "none", "exception": "outside", "log": true}],
		"egress": [{"action": "deny", "to": [{"dns": "**.example.org"}], "ports": [{"protocol": "ICMP", "icmp": {"type": 8, "code": 0}}, {"protocolNumber": 47}]}],
		"isolate": ["ingress", "egress"]}}`},
	{"meshPolicies", "shop/api", `{"spec": {"subject": {"serviceAccounts": ["api"]}, "ingress": [{"action": "allow", "http": [{"methods": ["GET"], "path": {"prefix": "/v1"}}], "from": [{"spiffe": ["spiffe://example.org/ns/a/*"]}]}]}}`},
	{"clusterMeshPolicies", "base", `{"spec": {"tier": "admin", "priority": 10, "subject": {"namespaces": {}}, "ingress": [{"action": "pass", "from": [{"entity": "host"}]}]}}`},
	{"meshExceptions", "outside", `{"spec": {"owner": "a", "approver": "b", "reason": "r", "risk": "R-1", "expires": "2027-01-31", "covers": [{"policy": "web", "namespace": "shop"}]}}`},
	{"meshConfigs", "default", `{"spec": {"trustDomain": "example.org"}}`},
	{"meshRoutes", "shop/reviews", `{"spec": {"service": "reviews", "rules": [{"backends": [{"service": "reviews-v1", "port": 9080, "weight": 10}]}]}}`},
	{"tests", "web may", `{"from": "shop/a", "to": "shop/b", "port": 80, "protocol": "TCP", "expect": "allow", "http": {"method": "GET", "path": "/"}}`},
}

// spoil changes a value somewhere, mostly so that it is wrong.
func spoil(r *rand.Rand, v any) any {
	odd := []any{json.Number("0"), json.Number("70000"), "", "x", "ingress", "TCP", true, []any{}, map[string]any{}, []any{"a"}, map[string]any{"a": "b"}, "Ünï/ö", "10.0.0.0/33", "2027-13-01", "none"}
	switch x := v.(type) {
	case map[string]any:
		if len(x) == 0 || r.IntN(8) == 0 {
			if r.IntN(2) == 0 {
				return odd[r.IntN(len(odd))]
			}
			m := maps.Clone(x)
			m[[]string{"name", "ports", "mode", "extra", "port", "Key!"}[r.IntN(6)]] = odd[r.IntN(len(odd))]
			return m
		}
		m := maps.Clone(x)
		k := slices.Sorted(maps.Keys(m))[r.IntN(len(m))]
		if r.IntN(6) == 0 {
			delete(m, k)
			return m
		}
		m[k] = spoil(r, m[k])
		return m
	case []any:
		if len(x) == 0 || r.IntN(6) == 0 {
			return odd[r.IntN(len(odd))]
		}
		l := slices.Clone(x)
		i := r.IntN(len(l))
		l[i] = spoil(r, l[i])
		return l
	}
	return odd[r.IntN(len(odd))]
}

// TestLiteralsAreWhatCUESays: an object that goes past the evaluator is one that CUE accepts as part of the closed
// bundle, and the same one; an object that CUE accepts, the check in Go accepts too.
func TestLiteralsAreWhatCUESays(t *testing.T) {
	inst, err := loadSchema(schemas.FS)
	if err != nil {
		t.Fatal(err)
	}
	ctx := cuecontext.New()
	bundle := ctx.BuildInstance(inst).LookupPath(cue.MakePath(cue.Def("#Bundle")))
	r := rand.New(rand.NewPCG(1, 2))
	accepted := 0
	const n = 600
	for i := range n {
		s := seeds[i%len(seeds)]
		var v any
		if err := json.Unmarshal([]byte(s.text), &v); err != nil {
			t.Fatal(err)
		}
		for range min(i/len(seeds), 1+r.IntN(2)) { // the first of each as they are
			v = spoil(r, v)
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		src := fmt.Sprintf("%s: %q: %s\n", s.field, s.name, text)
		f, err := parser.ParseFile("t.cue", src)
		if err != nil {
			t.Fatal(err)
		}
		full := bundle.Unify(ctx.BuildFile(f)).LookupPath(cue.MakePath(cue.Str(s.field), cue.Str(s.name)))
		want, cueErr := marshal(full)
		outer := f.Decls[0].(*ast.Field).Value.(*ast.StructLit)
		k := objectKey{s.field, s.name}
		got, _, ok := literalObject(k, &object{key: k, decls: []*ast.Field{outer.Elts[0].(*ast.Field)}})
		switch {
		case ok && cueErr != nil:
			t.Errorf("taken as data, refused by CUE (%v):\n%s", cueErr, src)
		case !ok && cueErr == nil:
			t.Errorf("CUE accepts what the check refuses (%v):\n%s", check(k, kindOf(k.field), want), src)
		case ok && string(got) != string(want):
			t.Errorf("%s\ngot  %s\nwant %s", src, got, want)
		}
		if ok {
			accepted++
		}
	}
	if accepted < n/20 || accepted > n*19/20 {
		t.Errorf("%d of %d objects were accepted: the test says nothing", accepted, n)
	}
	t.Logf("%d of %d accepted", accepted, n)
}

// TestPlacesAreTheSchemas: what place.cue gives an object is what the schema gives it.
func TestPlacesAreTheSchemas(t *testing.T) {
	inst, err := loadSchema(schemas.FS)
	if err != nil {
		t.Fatal(err)
	}
	ctx := cuecontext.New()
	bundle := ctx.BuildInstance(inst).LookupPath(cue.MakePath(cue.Def("#Bundle")))
	e := &evaluator{}
	if err := e.fresh(); err != nil {
		t.Fatal(err)
	}
	for _, s := range seeds {
		src := fmt.Sprintf("%s: %q: %s\n", s.field, s.name, s.text)
		at := cue.MakePath(cue.Str(s.field), cue.Str(s.name))
		want, err := marshal(bundle.Unify(ctx.CompileString(src)).LookupPath(at))
		if err != nil {
			t.Fatalf("%s: %v", src, err)
		}
		got, err := marshal(e.place.Unify(e.cue.CompileString(src)).LookupPath(at))
		if err != nil || string(got) != string(want) {
			t.Errorf("got  %s, %v\nwant %s", got, err, want)
		}
	}
	fields := map[string]bool{}
	it, err := bundle.Fields(cue.Optional(true))
	if err != nil {
		t.Fatal(err)
	}
	for it.Next() {
		fields[it.Selector().Unquoted()] = true
	}
	want := map[string]bool{testsField: true}
	for _, k := range schemas.Kinds() {
		want[k.Bundle] = true
	}
	if !maps.Equal(fields, want) {
		t.Errorf("the bundle has the fields %v, and the kinds say %v", fields, want)
	}
}
