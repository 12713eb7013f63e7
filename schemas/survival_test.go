package schemas_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-mesh/weir/schemas"
)

// place is a field in a base: its path, its name as structure and field, and its value.
type place struct {
	path, name string
	value      any
}

// places lists the fields of a document, each once by structure and name.
func places(kind string, path []string, v any, seen map[string]bool) []place {
	var out []place
	def, isStruct := schemas.Structure(kind, path...)
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			p := append(slices.Clone(path), k)
			if name := def + "." + k; isStruct && !seen[name] {
				seen[name] = true
				out = append(out, place{strings.Join(p, "."), name, v[k]})
			}
			out = append(out, places(kind, p, v[k], seen)...)
		}
	case []any:
		for i, e := range v {
			out = append(out, places(kind, append(slices.Clone(path), strconv.Itoa(i)), e, seen)...)
		}
	}
	return out
}

// zero returns the empty or zero value of a field's type, as YAML.
func zero(v any) string {
	switch v.(type) {
	case string:
		return `""`
	case bool:
		return "false"
	case []any:
		return "[]"
	case map[string]any:
		return "{}"
	default:
		return "0"
	}
}

// TestEveryFieldSurvives holds S14 for every field: absent, null, and empty or zero are each accepted or refused by all
// judges alike, and what is accepted comes back as it was. Null is legal nowhere; the API server, which drops a null
// of any field before it looks, then stores what it stores without the field.
func TestEveryFieldSurvives(t *testing.T) {
	j := newJudges(t)
	seen := map[string]bool{}
	n := 0
	for _, base := range slices.Sorted(maps.Keys(bases)) {
		kind := kindOf[base]
		for _, p := range places(kind, nil, decode(t, toJSON(t, bases[base])), seen) {
			if strings.HasPrefix(p.name, "ObjectMeta.") || p.path == "apiVersion" || p.path == "kind" || p.path == "metadata" {
				continue // the API server's own
			}
			n++
			t.Run(p.name, func(t *testing.T) {
				absent := changed(t, base, p.path, "-")
				j.survives(t, kind, absent)
				j.survives(t, kind, changed(t, base, p.path, zero(p.value)))
				j.nullIsRefused(t, kind, changed(t, base, p.path, "null"), absent)
			})
		}
	}
	if want := countFields(t); n != want {
		t.Errorf("%d fields were tried; the language has %d", n, want)
	}
}

// countFields counts what TestEveryFieldSurvives must try.
func countFields(t *testing.T) int {
	l := readLanguage(t)
	n := 0
	for _, d := range l.Defs {
		if d.Struct == nil || d.Name == "ObjectMeta" || d.Name == "RuleCommon" {
			continue
		}
		n += len(l.AllFields(d.Struct))
		if d.CRD != nil {
			n -= 3 // apiVersion, kind, metadata
		}
	}
	return n
}

func (j *judges) survives(t *testing.T, kind string, doc []byte) {
	t.Helper()
	v := j.judge(t, kind, doc)
	accepted, agree := v.agree()
	if !agree {
		t.Errorf("the judges differ:\n%s\n%v", doc, v)
	}
	if accepted && agree {
		j.roundTrips(t, kind, doc)
		return
	}
	// The Go type must not turn a refused document into an accepted one either. (A required field is no pointer: where
	// it is missing the type can't say so, and Check must come first.)
	if slices.ContainsFunc(v.check, func(p schemas.Problem) bool { return p.Class == schemas.MissingField }) {
		return
	}
	if back, err := goTypes(kind, doc); err == nil && !reflect.DeepEqual(decode(t, back), decode(t, doc)) {
		t.Errorf("S14: through the Go type the refused document\n%s\nbecomes\n%s", doc, back)
	}
}

func (j *judges) nullIsRefused(t *testing.T, kind string, doc, absent []byte) {
	t.Helper()
	v := j.judge(t, kind, doc)
	if v.cue == nil || len(v.check) == 0 {
		t.Errorf("null is accepted:\n%s\n%v", doc, v)
	}
	s, ok := j.kinds[kind]
	if !ok {
		return
	}
	withNull, refusedNull := s.create(t, doc)
	without, refusedWithout := s.create(t, absent)
	if fmt.Sprint(refusedNull) != fmt.Sprint(refusedWithout) || !reflect.DeepEqual(withNull, without) {
		a, _ := json.Marshal(withNull)
		t.Errorf("null is neither dropped nor refused by the API server: %s\n%v\n%v", a, refusedNull, refusedWithout)
	}
}
