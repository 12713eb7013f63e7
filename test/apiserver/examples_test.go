//go:build linux

package apiserver

import (
	"reflect"
	"testing"

	"github.com/weir-mesh/weir/compiler/source/cuesrc"
)

// TestShippedPolicies creates what the shipped packages evaluate to: first as a dry run, then in earnest.
func TestShippedPolicies(t *testing.T) {
	c := live(t)
	for _, name := range []string{"baseline", "examples/shop", "examples/online-boutique"} {
		t.Run(name, func(t *testing.T) {
			bundle, err := cuesrc.Evaluate(t.Context(), []string{"../../policies/" + name}, func([]string) {})
			if err != nil {
				t.Fatal(err)
			}
			if bundle.Diagnostics.HasErrors() || len(bundle.Objects) == 0 {
				t.Fatalf("%d objects: %v", len(bundle.Objects), bundle.Diagnostics)
			}
			for _, e := range bundle.Objects {
				if e.Namespace != "" {
					if err := ensureNamespace(t.Context(), c, e.Namespace); err != nil {
						t.Fatal(err)
					}
				}
				o := object(t, e.Kind, e.JSON)
				if err := o.create(t.Context(), c, "dryRun", "All"); err != nil {
					t.Errorf("%s, dry run: %v", e.Ref(), err)
				}
				for _, w := range ways {
					if w.status {
						continue
					}
					if got := w.try(t, c, o, o); got.why != nil || !reflect.DeepEqual(got.stored, w.part(o.doc)) {
						t.Errorf("%s, %s: %v\n%s\nbecomes\n%v", e.Ref(), w.name, got.why, o.json(), got.stored)
					}
				}
			}
		})
	}
}
