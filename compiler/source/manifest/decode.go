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
		d.Hint = DidYouMean(name, fieldNames(reflect.TypeOf(into), path))
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
