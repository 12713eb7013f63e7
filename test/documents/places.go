package documents

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-mesh/weir/hack/gen/language"
	"github.com/weir-mesh/weir/schemas"
)

// Language reads the definitions from the embedded module.
func Language(t testing.TB) *language.Language {
	t.Helper()
	l, err := language.Read(schemas.FS, "v1alpha1")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Place is a field in a base.
type Place struct {
	// Base is the document, Path leads to the field in it.
	Base, Path string
	// Field is its structure and name, such as Port.endPort.
	Field string
	// Zero is the empty or zero value of its type, as YAML.
	Zero string
}

// Places lists every field of the language once, each where a base has it, but for those that are the API server's own:
// apiVersion, kind, and metadata.
func Places(t testing.TB, l *language.Language) []Place {
	t.Helper()
	seen := map[string]bool{}
	var out []Place
	for _, base := range Bases() {
		for _, p := range places(kindOf[base], nil, Decode(t, JSON(t, base)), seen) {
			if strings.HasPrefix(p.Field, "ObjectMeta.") || p.Path == "apiVersion" || p.Path == "kind" || p.Path == "metadata" {
				continue
			}
			p.Base = base
			out = append(out, p)
		}
	}
	if want := countFields(l); len(out) != want {
		t.Errorf("the bases have %d fields; the language has %d", len(out), want)
	}
	return out
}

func places(kind string, path []string, v any, seen map[string]bool) []Place {
	var out []Place
	def, isStruct := schemas.Structure(kind, path...)
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			p := append(slices.Clone(path), k)
			if name := def + "." + k; isStruct && !seen[name] {
				seen[name] = true
				out = append(out, Place{Path: strings.Join(p, "."), Field: name, Zero: zero(v[k])})
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

func countFields(l *language.Language) int {
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
