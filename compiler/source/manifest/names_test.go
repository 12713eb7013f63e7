package manifest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A name is judged where it is written, and a generateName as the beginning that it is.
func TestCheckNames(t *testing.T) {
	for in, want := range map[string]string{
		"metadata: {name: a.b, namespace: c}":         "",
		"metadata: {name: a_b, namespace: c}":         `a.yaml:3:18: error WEIR1041: metadata.name "a_b" is no name`,
		"metadata: {name: a, namespace: C}":           `a.yaml:3:32: error WEIR1041: metadata.namespace "C" is no name`,
		"metadata: {generateName: a-}":                "",
		"metadata: {generateName: A-}":                `a.yaml:3:26: error WEIR1041: metadata.generateName "A-" is no name`,
		"metadata: {name: a-, generateName: a-}":      `a.yaml:3:18: error WEIR1041: metadata.name "a-" is no name`,
		"metadata: {generateName: a, namespace: a.b}": `a.yaml:3:40: error WEIR1041: metadata.namespace "a.b" is no name`,
		"metadata: {namespace: C, name: a_b}": `a.yaml:3:23: error WEIR1041: metadata.namespace "C" is no name
a.yaml:3:32: error WEIR1041: metadata.name "a_b" is no name`,
	} {
		objs, diags := Parse("a.yaml", []byte("apiVersion: v1\nkind: Pod\n"+in+"\n"), Limits{})
		if len(objs) != 1 || len(diags) > 0 {
			t.Fatalf("%s: %v", in, show(objs, diags))
		}
		if d := cmp.Diff(want, strings.Join(showDiags(objs[0].CheckNames()), "\n")); d != "" {
			t.Errorf("%s: -want +got\n%s", in, d)
		}
	}
}
