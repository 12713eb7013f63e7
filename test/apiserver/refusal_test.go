//go:build linux

package apiserver

import (
	"encoding/json"
	"flag"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/weir-mesh/weir/schemas"
	"github.com/weir-mesh/weir/test/documents"
)

var (
	seed  = flag.Uint64("seed", 1, "of the generated documents")
	count = flag.Int("documents", 500, "how many documents are generated")
)

// TestBases: the documents that every judge accepts get in, whole, in every way.
func TestBases(t *testing.T) {
	c := live(t)
	for _, name := range documents.Bases() {
		if documents.Kind(name) == "Test" {
			continue
		}
		base := object(t, documents.Kind(name), documents.JSON(t, name))
		for _, w := range ways {
			w.agrees(t, c, name, documents.Kind(name), base, base)
		}
	}
}

// TestRefusals: what every judge in process refuses, the API server refuses, and says why in the same words.
func TestRefusals(t *testing.T) {
	c := live(t)
	for _, r := range documents.Refusals() {
		kind := documents.Kind(r.Base)
		if kind == "Test" {
			continue
		}
		t.Run(r.Base+" "+r.Path+"="+r.Value, func(t *testing.T) {
			base := object(t, kind, documents.JSON(t, r.Base))
			o := object(t, kind, documents.Changed(t, r.Base, r.Path, r.Value))
			for _, w := range ways {
				if w.status != strings.HasPrefix(r.Path, "status.") || w.prepare != nil && base.path != o.path {
					continue
				}
				got := w.try(t, c, base, o)
				if got.why == nil {
					t.Errorf("%s: accepted:\n%s", w.name, o.json())
				} else if r.Message != "" && !strings.Contains(got.why.Error(), r.Message) && r.Message != "unknown field" {
					t.Errorf("%s: the API server does not say %q:\n%v", w.name, r.Message, got.why)
				}
			}
		})
	}
}

// TestMisspeltField puts a field that is not in the language into each structure: it is refused by name, in every way.
func TestMisspeltField(t *testing.T) {
	c := live(t)
	structures := map[string]bool{}
	for _, p := range documents.Places(t, documents.Language(t)) {
		kind := documents.Kind(p.Base)
		structure, _, _ := strings.Cut(p.Field, ".")
		if kind == "Test" || structures[structure] {
			continue
		}
		structures[structure] = true
		t.Run(structure, func(t *testing.T) {
			parent := p.Path[:strings.LastIndex("."+p.Path, ".")]
			base := object(t, kind, documents.JSON(t, p.Base))
			o := object(t, kind, documents.Changed(t, p.Base, strings.TrimPrefix(parent+"misspelt", "."), "1"))
			for _, w := range ways {
				if parent != "" && w.status != strings.HasPrefix(parent, "status.") {
					continue
				}
				if got := w.try(t, c, base, o); got.why == nil || !strings.Contains(got.why.Error(), "misspelt") {
					t.Errorf("%s: the misspelt field in %s is not refused by its name: %v", w.name, o.json(), got.why)
				}
			}
		})
	}
}

// TestNullIsNoValue: null is legal nowhere in the language. Server-side apply refuses it; elsewhere the API server drops
// it before anything can look at it, also a webhook, and the field is absent: only schemas.Check, which sees what a
// person wrote, refuses it then.
func TestNullIsNoValue(t *testing.T) {
	c := live(t)
	for _, p := range documents.Places(t, documents.Language(t)) {
		kind := documents.Kind(p.Base)
		if kind == "Test" {
			continue
		}
		t.Run(p.Field, func(t *testing.T) {
			base := object(t, kind, documents.JSON(t, p.Base))
			null := object(t, kind, documents.Changed(t, p.Base, p.Path, "null"))
			absent := object(t, kind, documents.Changed(t, p.Base, p.Path, "-"))
			if problems := schemas.Check(kind, null.doc); len(problems) == 0 {
				t.Errorf("schemas.Check accepts %s", null.json())
			}
			for _, w := range ways {
				if w.status != (p.Path == "status" || strings.HasPrefix(p.Path, "status.")) {
					continue
				}
				got, want := w.try(t, c, base, null), w.try(t, c, base, absent)
				if strings.HasPrefix(w.name, "apply") && got.why != nil {
					continue
				}
				if fmt.Sprint(got.why) != fmt.Sprint(want.why) || !reflect.DeepEqual(got.stored, want.stored) {
					t.Errorf("%s: null is %v, %v\nabsent is %v, %v", w.name, got.stored, got.why, want.stored, want.why)
				}
			}
		})
	}
}

// TestGeneratedDocuments: on documents of the language's definitions, good and bad, the API server and schemas.Check agree.
func TestGeneratedDocuments(t *testing.T) {
	c := live(t)
	g := documents.NewGenerator(documents.Language(t), *seed)
	kinds, accepted := schemas.Kinds(), 0
	for i := range *count {
		kind := kinds[i%len(kinds)].Name
		doc := g.Document(kind, []int{0, 0, 3, 30}[i%4])
		delete(doc, "status")
		text, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), ":null") || strings.Contains(string(text), "[null") {
			continue // TestNullIsNoValue
		}
		o := object(t, kind, text)
		for _, w := range ways {
			if w.prepare == nil {
				w.agrees(t, c, fmt.Sprintf("document %d of seed %d", i, *seed), kind, o, o)
			}
		}
		if len(schemas.Check(kind, o.doc)) == 0 {
			accepted++
		}
	}
	t.Logf("accepted %d of %d", accepted, *count)
	if accepted < *count/30 {
		t.Errorf("only %d of %d documents are accepted: this tests too little", accepted, *count)
	}
}
