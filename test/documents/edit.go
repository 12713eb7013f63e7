package documents

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// JSON returns a base as JSON.
func JSON(t testing.TB, base string) []byte {
	t.Helper()
	doc, err := yaml.YAMLToJSONStrict([]byte(bases[base]))
	if err != nil {
		t.Fatalf("%v in\n%s", err, bases[base])
	}
	return doc
}

// Decode returns a document as schemas.Check takes it, numbers exact.
func Decode(t testing.TB, doc []byte) any {
	t.Helper()
	v, err := Parse(doc)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Parse is Decode for who can go on after an error.
func Parse(doc []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

// Changed returns a base as JSON after one change, without what lies behind it: value is the YAML that is put at a path
// such as spec.ingress.0.from, or "-" to take away what is there.
func Changed(t testing.TB, base, path, value string) []byte {
	t.Helper()
	var v any
	if value != "-" {
		if err := yaml.Unmarshal([]byte(value), &v); err != nil {
			t.Fatal(err)
		}
	}
	doc, err := json.Marshal(put(t, Decode(t, JSON(t, base)), strings.Split(path, "."), v, value == "-"))
	if err != nil {
		t.Fatal(err)
	}
	return doc
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
