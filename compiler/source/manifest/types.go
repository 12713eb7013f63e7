package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/weir-mesh/weir/compiler/diag"
)

// misfits finds each value of the object that a Go type has no room for. A decoder stops at the first, does not say
// where those are that read themselves (a port that may be a name, a time, a quantity), and leaves the keys of maps and
// the indexes of lists out of the path.
func (o *Object) misfits(t reflect.Type) diag.List {
	d := json.NewDecoder(bytes.NewReader(o.JSON))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil
	}
	m := misfits{object: o}
	m.value("", v, t)
	return m.found
}

type misfits struct {
	object *Object
	found  diag.List
}

func (m *misfits) value(path string, v any, t reflect.Type) {
	t = element(t)
	if v == nil {
		return // the zero value, as everywhere in the API
	}
	_, reads := reflect.New(t).Interface().(json.Unmarshaler)
	switch list, isList := v.([]any); {
	case reads || !holds(t):
		m.leaf(path, v, t)
	case t.Kind() == reflect.Slice && isList:
		for i, e := range list {
			m.value(fmt.Sprintf("%s[%d]", path, i), e, t.Elem())
		}
	case t.Kind() == reflect.Slice:
		m.refuse(path, "a list", describe(v), "")
	default:
		m.mapping(path, v, t)
	}
}

// holds reports whether values of the type hold others.
func holds(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return true
	case reflect.Slice:
		return t.Elem().Kind() != reflect.Uint8 // bytes are written as a string
	}
	return false
}

func (m *misfits) mapping(path string, v any, t reflect.Type) {
	o, ok := v.(map[string]any)
	if !ok {
		m.refuse(path, "a mapping", describe(v), "")
		return
	}
	of := func(string) (reflect.Type, bool) { return t.Elem(), true }
	if t.Kind() == reflect.Struct {
		fields := structFields(t)
		of = func(name string) (reflect.Type, bool) { f, ok := fields[name]; return f, ok }
	}
	for _, name := range slices.Sorted(maps.Keys(o)) {
		if below, ok := of(name); ok { // an unknown field is another finding's
			m.value(join(path, name), o[name], below)
		}
	}
}

// join adds a field's name to a path.
func join(path, name string) string {
	switch {
	case path == "":
		return name
	case strings.ContainsAny(name, ".[/"):
		return path + "[" + name + "]"
	}
	return path + "." + name
}

// leaf checks a value that holds no others as far as its type says: by reading it.
func (m *misfits) leaf(path string, v any, t reflect.Type) {
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, reflect.New(t).Interface())
	}
	if err == nil {
		return
	}
	want := typeName(t)
	if n, ok := v.(json.Number); ok && strings.Trim(n.String(), "-0123456789") == "" {
		want = rangeOf(t, want)
	}
	is := describe(v)
	if s, ok := v.(string); ok && t.Kind() == reflect.Struct { // a string as it must be, but not this one
		is = strconv.Quote(clip(s))
	}
	m.refuse(path, want, is, quoting(v, t))
}

func (m *misfits) refuse(path, want, is, hint string) {
	m.found.Add(diag.Diagnostic{Code: CodeWrongType, Severity: diag.Error, Pos: m.object.Pos(path),
		Message: fmt.Sprintf("%s must be %s, not %s", path, want, is), Hint: hint})
}

// quoting is the hint where only the quotes are wrong.
func quoting(v any, t reflect.Type) string {
	switch v := v.(type) {
	case bool, json.Number:
		if t.Kind() == reflect.String {
			return "put it in quotes"
		}
	case string:
		if t.Kind() != reflect.Struct && json.Unmarshal([]byte(v), reflect.New(t).Interface()) == nil {
			return "leave the quotes out"
		}
	}
	return ""
}

// typeName says what a value of the type is in a file. Those that read themselves and are structures in Go are no
// mappings there.
func typeName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[intstr.IntOrString]():
		return "a number or a string"
	case reflect.TypeFor[metav1.Time](), reflect.TypeFor[metav1.MicroTime]():
		return "a time such as 2027-01-31T18:00:00Z"
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number"
	case reflect.Float32, reflect.Float64:
		return "a number"
	default:
		return "a " + strings.ToLower(t.Name()) // resource.Quantity
	}
}

// rangeOf names the bounds of the type where a whole number lies outside them.
func rangeOf(t reflect.Type, otherwise string) string {
	switch {
	case t.Kind() == reflect.Int32 || t == reflect.TypeFor[intstr.IntOrString]():
		return fmt.Sprintf("from %d to %d", math.MinInt32, math.MaxInt32)
	case t.Kind() == reflect.Int64:
		return fmt.Sprintf("from %d to %d", math.MinInt64, math.MaxInt64)
	}
	return otherwise
}

func describe(v any) string {
	switch v := v.(type) {
	case string:
		return "a string"
	case bool:
		return "true or false"
	case []any:
		return "a list"
	case map[string]any:
		return "a mapping"
	default:
		return "the number " + firstLine(fmt.Sprint(v))
	}
}
