package manifest

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	strictjson "sigs.k8s.io/json"

	"github.com/weir-mesh/weir/compiler/diag"
)

// The findings of Decode.
const (
	CodeUnknownField diag.Code = "WEIR1004"
	CodeWrongType    diag.Code = "WEIR1034"
	CodeNewField     diag.Code = "WEIR1035"
)

// DecodeStrict fills a pointer to a struct from the object, as the API server does: names with their case. Fields
// that the struct does not have and values of the wrong type are errors at their place.
func (o *Object) DecodeStrict(into any) diag.List {
	return o.decode(into, CodeUnknownField, diag.Error)
}

// DecodeKnown is DecodeStrict for objects that a newer cluster may have written: fields that the struct does not
// have are warnings.
func (o *Object) DecodeKnown(into any) diag.List {
	return o.decode(into, CodeNewField, diag.Warning)
}

func (o *Object) decode(into any, unknown diag.Code, severity diag.Severity) diag.List {
	var out diag.List
	strict, err := strictjson.UnmarshalStrict(o.JSON, into)
	if err != nil {
		if out = o.misfits(reflect.TypeOf(into)); len(out) == 0 { // it must not pass
			out.Add(diag.Diagnostic{Code: CodeWrongType, Severity: diag.Error, Pos: o.Pos(""), Message: "cannot read the " + o.Kind + ": " + firstLine(err.Error())})
		}
	}
	for _, s := range strict {
		var fe strictjson.FieldError
		if !errors.As(s, &fe) || !strings.HasPrefix(s.Error(), "unknown field") {
			continue // a field given twice is reported when the file is read
		}
		path := fe.FieldPath()
		name := path[strings.LastIndexByte(path, '.')+1:]
		d := diag.Diagnostic{Code: unknown, Severity: severity, Pos: o.KeyPos(path),
			Message: fmt.Sprintf("unknown field %q", name)}
		if near := Nearest(name, fieldNames(reflect.TypeOf(into), path)); near != "" {
			d.Hint = fmt.Sprintf("did you mean %q?", near)
		}
		out.Add(d)
	}
	return out
}

// fieldNames lists the names that the struct at the path's parent has.
func fieldNames(t reflect.Type, path string) []string {
	parts := steps(path)
	for _, p := range parts[:max(len(parts)-1, 0)] {
		t = element(t)
		switch t.Kind() {
		case reflect.Slice, reflect.Array, reflect.Map:
			t = t.Elem()
		case reflect.Struct:
			f, ok := structFields(t)[p]
			if !ok {
				return nil
			}
			t = f
		default:
			return nil
		}
	}
	if t = element(t); t.Kind() != reflect.Struct {
		return nil
	}
	var out []string
	for name := range structFields(t) {
		out = append(out, name)
	}
	return out
}

func element(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// structFields maps JSON names to types, embedded structs included.
func structFields(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "" && f.Anonymous:
			if e := element(f.Type); e.Kind() == reflect.Struct {
				for n, ft := range structFields(e) {
					out[n] = ft
				}
			}
		case name != "" && name != "-":
			out[name] = f.Type
		}
	}
	return out
}

// Nearest returns the candidate that is a plausible misspelling away, or "": at most a third of the letters differ.
func Nearest(name string, candidates []string) string {
	best, bestDistance := "", len(name)/3+1
	for _, c := range candidates {
		d := distance(strings.ToLower(name), strings.ToLower(c))
		if d < bestDistance || d == bestDistance && best != "" && c < best {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance counts insertions, removals, replacements and swaps of neighbours.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := 1; i <= len(a); i++ {
		prev2, prev, cur := rows[(i+2)%3], rows[i%3], rows[(i+1)%3]
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
	}
	return rows[(len(a)+1)%3][len(b)]
}
