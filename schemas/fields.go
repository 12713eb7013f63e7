package schemas

import (
	"maps"
	"slices"
	"strings"
)

// Kind is a kind of the API.
type Kind struct {
	// Name is the kind, Plural its resource, Bundle its field in a bundle.
	Name, Plural, Bundle string
	Namespaced           bool
}

// Kinds returns the kinds of the API.
func Kinds() []Kind { return kinds() }

// field is a field's name and the shape of its value: "[]" for a list and "{}" for a map, then the shape of what is in
// it; a structure's name; or nothing for a scalar.
type field struct{ name, shape string }

// Fields returns the names of the fields that a structure may have, in the language's order. The structure is what
// lies at path, such as spec, ingress, 0, from, 1, inside a value of the definition, such as MeshPolicy or Test. It
// returns false where there is no structure: at a scalar, a list, a map with keys of the user's own, or nowhere.
func Fields(def string, path ...string) ([]string, bool) {
	shape, ok := shapeAt(def, path)
	if !ok {
		return nil, false
	}
	var names []string
	for _, f := range definition(shape) {
		names = append(names, f.name)
	}
	return names, names != nil
}

// Names returns the names of all fields of the language, of its kinds and of tests, sorted.
func Names() []string {
	names, seen := map[string]bool{}, map[string]bool{}
	var visit func(shape string)
	visit = func(shape string) {
		shape = strings.TrimLeft(shape, "[]{}")
		if seen[shape] {
			return
		}
		seen[shape] = true
		for _, f := range definition(shape) {
			names[f.name] = true
			visit(f.shape)
		}
	}
	for _, k := range Kinds() {
		visit(k.Name)
	}
	visit("Test")
	return slices.Sorted(maps.Keys(names))
}

// Structure returns the name of the structure that lies at path inside a value of a definition, false where Fields does.
func Structure(def string, path ...string) (string, bool) {
	shape, ok := shapeAt(def, path)
	return shape, ok && definition(shape) != nil
}

// shapeAt returns the shape of what lies at path inside a value of a shape.
func shapeAt(shape string, path []string) (string, bool) {
	for _, name := range path {
		if elem, ok := strings.CutPrefix(shape, "[]"); ok {
			shape = elem
			continue
		}
		if elem, ok := strings.CutPrefix(shape, "{}"); ok {
			shape = elem
			continue
		}
		next, ok := lookup(shape, name)
		if !ok {
			return "", false
		}
		shape = next
	}
	return shape, true
}

func lookup(def, name string) (string, bool) {
	for _, f := range definition(def) {
		if f.name == name {
			return f.shape, true
		}
	}
	return "", false
}
