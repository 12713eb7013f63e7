package schemas_test

import (
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cuelang.org/go/cue/errors"
	"sigs.k8s.io/yaml"

	"github.com/weir-mesh/weir/hack/gen/language"
	"github.com/weir-mesh/weir/schemas"
)

// edit puts a value at a path of a document, or takes what is there away.
func edit(t testing.TB, doc any, path, value string) any {
	t.Helper()
	var v any
	if value != "-" {
		if err := yaml.Unmarshal([]byte(value), &v); err != nil {
			t.Fatal(err)
		}
	}
	return put(t, doc, strings.Split(path, "."), v, value == "-")
}

func put(t testing.TB, doc any, path []string, v any, remove bool) any {
	t.Helper()
	if len(path) == 0 {
		return v
	}
	switch d := doc.(type) {
	case map[string]any:
		if len(path) == 1 && remove {
			if _, ok := d[path[0]]; !ok {
				t.Fatalf("nothing to remove at %s", path[0])
			}
			delete(d, path[0])
			return d
		}
		if len(path) > 1 && path[0] == "ingress" { // the other direction only costs time
			delete(d, "egress")
		}
		d[path[0]] = put(t, d[path[0]], path[1:], v, remove)
		return d
	case []any:
		i, err := strconv.Atoi(path[0])
		if err != nil || i >= len(d) {
			t.Fatalf("no element %s", path[0])
		}
		d[i] = put(t, d[i], path[1:], v, remove)
		return d[:i+1] // what follows only costs time
	}
	t.Fatalf("nothing at %s", strings.Join(path, "."))
	return nil
}

// changed returns a base as JSON after one change, without what lies behind it.
func changed(t testing.TB, base, path, value string) []byte {
	t.Helper()
	doc, err := json.Marshal(edit(t, decode(t, toJSON(t, bases[base])), path, value))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestBasesAreAccepted: every base passes all judges and comes back unchanged (S14). Together they use every field.
func TestBasesAreAccepted(t *testing.T) {
	j := newJudges(t)
	used := map[string]bool{}
	for name, text := range bases {
		doc := toJSON(t, text)
		v := j.judge(t, kindOf[name], doc)
		if accepted, agree := v.agree(); !accepted || !agree {
			t.Errorf("%s is refused:\n%v", name, v)
			continue
		}
		j.roundTrips(t, kindOf[name], doc)
		markFields(kindOf[name], nil, decode(t, doc), used)
	}
	l := readLanguage(t)
	for _, d := range l.Defs {
		if d.Struct == nil || d.Name == "RuleCommon" {
			continue
		}
		for _, f := range l.AllFields(d.Struct) {
			if !used[d.Name+"."+f.Name] {
				t.Errorf("no base uses %s.%s", d.Name, f.Name)
			}
		}
	}
}

// markFields records each structure's fields that a value uses.
func markFields(kind string, path []string, v any, used map[string]bool) {
	def, ok := schemas.Structure(kind, path...)
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if ok {
				used[def+"."+k] = true
			}
			markFields(kind, append(slices.Clone(path), k), e, used)
		}
	case []any:
		for i, e := range v {
			markFields(kind, append(slices.Clone(path), strconv.Itoa(i)), e, used)
		}
	}
}

func readLanguage(t testing.TB) *language.Language {
	t.Helper()
	l, err := language.Read(os.DirFS("."), "v1alpha1")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestRefusals: every judge refuses each case, with the message that a user can act on. Every guard of every structure
// has a case, so every CEL rule is seen to refuse; TestBasesAreAccepted sees each accept.
func TestRefusals(t *testing.T) {
	j := newJudges(t)
	cases := slices.Clone(refused)
	for _, p := range rulePlaces {
		for _, r := range refusedRules {
			cases = append(cases, refusedCase{p.base, p.path, r.rule, r.message})
		}
	}
	seen := map[string]bool{}
	for _, c := range cases {
		t.Run(c.base+" "+c.path+"="+c.value, func(t *testing.T) {
			for _, p := range j.refuses(t, kindOf[c.base], changed(t, c.base, c.path, c.value), c.message) {
				for n := range len(p.Path) + 1 { // a guard may point at an element below its structure
					if def, ok := schemas.Structure(kindOf[c.base], p.Path[:n]...); ok {
						seen[def+": "+p.Message] = true
					}
				}
			}
		})
	}
	l := readLanguage(t)
	for _, d := range l.Defs {
		if d.Struct == nil || d.Name == "RuleCommon" {
			continue
		}
		for _, g := range l.AllGuards(d.Struct) {
			if !seen[d.Name+": "+g.Message] && !strings.HasSuffix(g.Message, "has no namespace") {
				t.Errorf("no case is refused by %s: %s", d.Name, g.Message)
			}
		}
	}
}

// refuses holds that all judges refuse a document and say the message, and returns what the Go check says.
func (j *judges) refuses(t *testing.T, kind string, doc []byte, message string) []schemas.Problem {
	t.Helper()
	v := j.judge(t, kind, doc)
	if accepted, agree := v.agree(); accepted || !agree {
		t.Fatalf("not refused by all:\n%v", v)
	}
	if message == "" {
		return v.check
	}
	if !slices.ContainsFunc(v.check, func(p schemas.Problem) bool { return strings.HasPrefix(p.Message, message) }) {
		t.Errorf("the Go check does not say %q:\n%v", message, v)
	}
	if _, ok := j.kinds[kind]; ok && !strings.Contains(messages(v.server), message) {
		t.Errorf("the API server does not say %q:\n%v", message, v)
	}
	// For a field or key that is not allowed CUE has words of its own.
	own := message == "unknown field" || strings.HasPrefix(message, "a label's key")
	if text := errors.Details(v.cue, nil); !own && !strings.Contains(text, message) {
		t.Errorf("CUE does not say %q:\n%s", message, text)
	}
	return v.check
}

// TestClusterKindsHaveNoNamespace: the API server knows it from the scope, which no schema sees.
func TestClusterKindsHaveNoNamespace(t *testing.T) {
	j := newJudges(t)
	for _, base := range []string{"cluster", "config", "exception"} {
		doc := changed(t, base, "metadata.namespace", "shop")
		kind := kindOf[base]
		want := "a " + kind + " has no namespace"
		if err := j.cue(t, kind, doc); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("CUE does not say %q: %v", want, err)
		}
		if p := schemas.Check(kind, decode(t, doc)); len(p) != 1 || p[0].Message != want {
			t.Errorf("the Go check does not say %q: %v", want, p)
		}
		if crd := readCRD(t, plural(kind)); crd.Spec.Scope != "Cluster" {
			t.Errorf("%s has the scope %s", kind, crd.Spec.Scope)
		}
	}
}

func plural(kind string) string {
	for _, k := range schemas.Kinds() {
		if k.Name == kind {
			return k.Plural
		}
	}
	return ""
}
