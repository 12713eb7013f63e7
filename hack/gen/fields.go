package main

import (
	"bytes"
	"fmt"
	"go/format"

	"github.com/weir-mesh/weir/hack/gen/language"
)

// fieldTable returns the Go table behind schemas.Fields and schemas.Kinds.
func fieldTable(l *language.Language) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(generated + "package schemas\n\n")
	b.WriteString("func kinds() []Kind {\nreturn []Kind{\n")
	for _, d := range l.Kinds() {
		fmt.Fprintf(&b, "{Name: %q, Plural: %q, Bundle: %q, Namespaced: %t},\n",
			d.Name, d.CRD.Plural(), d.CRD.Bundle, d.CRD.Scope == "Namespaced")
	}
	b.WriteString("}\n}\n\nfunc definition(name string) []field {\nswitch name {\n")
	for _, d := range l.Defs {
		if d.Struct == nil {
			continue
		}
		fmt.Fprintf(&b, "case %q:\nreturn []field{\n", d.Name)
		for _, f := range l.AllFields(d.Struct) {
			fmt.Fprintf(&b, "{%q, %q},\n", f.Name, shape(l, f.Type))
		}
		b.WriteString("}\n")
	}
	b.WriteString("}\nreturn nil\n}\n")
	src, err := format.Source(b.Bytes())
	if err != nil {
		return nil, fmt.Errorf("formatting the table of fields: %w", err)
	}
	return src, nil
}

// shape writes a type as schemas.field does: "[]" a list, "{}" a map, then a structure's name or nothing.
func shape(l *language.Language, t *language.Type) string {
	if t.Kind == language.Ref {
		d := l.Def(t.Ref)
		if d.Struct != nil {
			return d.Name
		}
		return shape(l, d.Type)
	}
	switch t.Kind {
	case language.List:
		return "[]" + shape(l, t.Elem)
	case language.Map:
		return "{}" + shape(l, t.Elem)
	}
	return ""
}
