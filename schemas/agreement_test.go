package schemas_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"cuelang.org/go/cue/errors"

	"github.com/weir-mesh/weir/schemas"
	"github.com/weir-mesh/weir/test/documents"
)

// TestBasesAreAccepted: every base passes all judges and comes back unchanged (S14). Together they use every field.
func TestBasesAreAccepted(t *testing.T) {
	j := newJudges(t)
	used := map[string]bool{}
	for _, name := range documents.Bases() {
		kind, doc := documents.Kind(name), documents.JSON(t, name)
		v := j.judge(t, kind, doc)
		if accepted, agree := v.agree(); !accepted || !agree {
			t.Errorf("%s is refused:\n%v", name, v)
			continue
		}
		j.roundTrips(t, kind, doc)
		markFields(kind, nil, documents.Decode(t, doc), used)
	}
	l := documents.Language(t)
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

// TestRefusals: every judge refuses each case, with the message that a user can act on. Every guard of every structure
// has a case, so every CEL rule is seen to refuse; TestBasesAreAccepted sees each accept.
func TestRefusals(t *testing.T) {
	j := newJudges(t)
	seen := map[string]bool{}
	for _, c := range documents.Refusals() {
		t.Run(c.Base+" "+c.Path+"="+c.Value, func(t *testing.T) {
			kind := documents.Kind(c.Base)
			for _, p := range j.refuses(t, kind, documents.Changed(t, c.Base, c.Path, c.Value), c.Message) {
				for n := range len(p.Path) + 1 { // a guard may point at an element below its structure
					if def, ok := schemas.Structure(kind, p.Path[:n]...); ok {
						seen[def+": "+p.Message] = true
					}
				}
			}
		})
	}
	l := documents.Language(t)
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
		doc := documents.Changed(t, base, "metadata.namespace", "shop")
		kind := documents.Kind(base)
		want := "a " + kind + " has no namespace"
		if err := j.cue(t, kind, doc); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("CUE does not say %q: %v", want, err)
		}
		if p := schemas.Check(kind, documents.Decode(t, doc)); len(p) != 1 || p[0].Message != want {
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
