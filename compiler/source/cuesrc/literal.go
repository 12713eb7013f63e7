package cuesrc

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/token"

	"github.com/weir-mesh/weir/schemas"
)

// Most objects are plain data: fields, lists and literals. What CUE would make of one is then known without its
// evaluator, which takes some three milliseconds an object, most of them for the schema's rules; schemas.Check
// says the same in microseconds. Only an object that is accepted so goes past the evaluator: all others, right
// or wrong, are CUE's to judge and to explain. TestLiteralsAreWhatCUESays holds that both agree.

// literalObject returns the object that the bundle makes of data written at a key, if it is accepted.
func literalObject(k objectKey, o *object) (data []byte, kind string, ok bool) {
	if len(o.decls) != 1 {
		return nil, "", false // several declarations are unified
	}
	v, ok := literalValue(o.decls[0].Value)
	if !ok {
		return nil, "", false
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, "", false
	}
	kind, ok = placed(k, m)
	if !ok || len(schemas.Check(kind, m)) > 0 {
		return nil, "", false
	}
	data, err := json.Marshal(m)
	return data, kind, err == nil
}

// placed adds what an object's place in the bundle gives it. It is false where the place is not usual, or the
// object says something else itself.
func placed(k objectKey, m map[string]any) (kind string, ok bool) {
	if k.field == testsField {
		return "Test", testName(k.name)
	}
	for _, kd := range schemas.Kinds() {
		if kd.Bundle != k.field {
			continue
		}
		meta := map[string]any{}
		if given, ok := m["metadata"]; ok {
			if meta, ok = given.(map[string]any); !ok {
				return "", false
			}
		}
		namespace, name, both := strings.Cut(k.name, "/")
		if both = both && namespace != "" && name != "" && !strings.Contains(name, "/"); !both {
			name = k.name
		}
		if both && (!kd.Namespaced || !agree(meta, "namespace", namespace)) {
			return "", false
		}
		if !agree(meta, "name", name) || !agree(m, "apiVersion", schemas.APIVersion) || !agree(m, "kind", kd.Name) {
			return "", false
		}
		m["metadata"] = meta
		return kd.Name, true
	}
	return "", false
}

// testName reports whether a test may be filed under a name: #TestName of the schema.
func testName(s string) bool {
	n := utf8.RuneCountInString(s)
	return n >= 1 && n <= 256
}

// agree sets a field, unless it is there with another value.
func agree(m map[string]any, field, value string) bool {
	if v, ok := m[field]; ok {
		return v == value
	}
	m[field] = value
	return true
}

// literalValue returns an expression's value if it is plain data: what encoding/json would decode from it.
func literalValue(e ast.Expr) (any, bool) {
	switch x := e.(type) {
	case *ast.BasicLit:
		return literalScalar(x)
	case *ast.ListLit:
		l := make([]any, len(x.Elts))
		for i, elt := range x.Elts {
			v, ok := literalValue(elt) // an ellipsis or comprehension is none
			if !ok {
				return nil, false
			}
			l[i] = v
		}
		return l, true
	case *ast.StructLit:
		return literalStruct(x)
	}
	return nil, false
}

func literalStruct(x *ast.StructLit) (any, bool) {
	m := make(map[string]any, len(x.Elts))
	for _, d := range x.Elts {
		switch d := d.(type) {
		case *ast.CommentGroup:
		case *ast.Field:
			name, ok := staticName(d)
			if _, alias := d.Label.(*ast.Alias); !ok || alias || d.Alias != nil || d.Constraint != token.ILLEGAL {
				return nil, false
			}
			if _, twice := m[name]; twice {
				return nil, false
			}
			if m[name], ok = literalValue(d.Value); !ok {
				return nil, false
			}
		default:
			return nil, false
		}
	}
	return m, true
}

func literalScalar(x *ast.BasicLit) (any, bool) {
	switch x.Kind {
	case token.TRUE:
		return true, true
	case token.FALSE:
		return false, true
	case token.INT:
		if strings.Trim(x.Value, "0123456789") != "" || len(x.Value) > 1 && x.Value[0] == '0' {
			return nil, false // 8Ki, 0x1f90, 1_000
		}
		return json.Number(x.Value), true
	case token.STRING:
		if strings.HasPrefix(strings.TrimLeft(x.Value, "#"), "'") {
			return nil, false // bytes
		}
		s, err := literal.Unquote(x.Value)
		return s, err == nil
	}
	return nil, false
}

// canonical writes JSON as encoding/json does: fields in the order of their names.
func canonical(data []byte) ([]byte, error) {
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return json.Marshal(v)
}
