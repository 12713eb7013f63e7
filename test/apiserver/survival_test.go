//go:build linux

package apiserver

import (
	"reflect"
	"strings"
	"testing"

	"github.com/weir-mesh/weir/schemas"
	"github.com/weir-mesh/weir/test/documents"
)

// TestEveryFieldSurvives holds S14 for every field on the way through the API server: absent, empty and zero are each
// accepted where schemas.Check accepts them, and come back as they were sent, and are refused where it refuses them.
func TestEveryFieldSurvives(t *testing.T) {
	c := live(t)
	for _, p := range documents.Places(t, documents.Language(t)) {
		kind := documents.Kind(p.Base)
		if kind == "Test" {
			continue // no kind of the API
		}
		t.Run(p.Field, func(t *testing.T) {
			base := object(t, kind, documents.JSON(t, p.Base))
			for name, value := range map[string]string{"absent": "-", "zero": p.Zero} {
				o := object(t, kind, documents.Changed(t, p.Base, p.Path, value))
				for _, w := range ways {
					if w.status == (p.Path == "status" || strings.HasPrefix(p.Path, "status.")) {
						w.agrees(t, c, name, kind, base, o)
					}
				}
			}
		})
	}
}

// agrees holds that the API server accepts what schemas.Check accepts, and keeps it as it is, and refuses what it
// refuses.
func (w way) agrees(t *testing.T, c *client, name, kind string, base, o instance) {
	t.Helper()
	problems := schemas.Check(kind, o.doc)
	got := w.try(t, c, base, o)
	switch {
	case (got.why == nil) != (len(problems) == 0):
		t.Errorf("%s, %s: schemas.Check says %v, the API server says %v of\n%s", name, w.name, problems, got.why, o.json())
	case got.why == nil && !reflect.DeepEqual(got.stored, w.part(o.doc)):
		t.Errorf("S14: %s, %s:\n%s\nbecomes\n%v", name, w.name, o.json(), got.stored)
	}
}
