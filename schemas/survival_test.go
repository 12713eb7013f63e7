package schemas_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/weir-mesh/weir/schemas"
	"github.com/weir-mesh/weir/test/documents"
)

// TestEveryFieldSurvives holds S14 for every field: absent, null, and empty or zero are each accepted or refused by all
// judges alike, and what is accepted comes back as it was. Null is legal nowhere; the API server, which drops a null
// of any field before it looks, then stores what it stores without the field.
func TestEveryFieldSurvives(t *testing.T) {
	j := newJudges(t)
	for _, p := range documents.Places(t, documents.Language(t)) {
		t.Run(p.Field, func(t *testing.T) {
			kind := documents.Kind(p.Base)
			absent := documents.Changed(t, p.Base, p.Path, "-")
			j.survives(t, kind, absent)
			j.survives(t, kind, documents.Changed(t, p.Base, p.Path, p.Zero))
			j.nullIsRefused(t, kind, documents.Changed(t, p.Base, p.Path, "null"), absent)
		})
	}
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
	if back, err := goTypes(kind, doc); err == nil && !reflect.DeepEqual(documents.Decode(t, back), documents.Decode(t, doc)) {
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
