// Package language reads the CUE definitions in schemas/v1alpha1 into a model that generators walk. It knows the
// dialect that v1alpha1/bundle.cue describes, and refuses what it does not know.
package language

import "strings"

// Language is what the definitions say, in the order of the files' names and of the text.
type Language struct {
	// ImportPath is the CUE package, Group and Version the API of its kinds.
	ImportPath, Group, Version string
	Defs                       []*Def
	defs                       map[string]*Def
}

// Def returns the definition with a name such as "MeshPolicySpec", nil if there is none.
func (l *Language) Def(name string) *Def { return l.defs[name] }

// Kinds returns the definitions that are kinds of the API.
func (l *Language) Kinds() []*Def {
	var out []*Def
	for _, d := range l.Defs {
		if d.CRD != nil {
			out = append(out, d)
		}
	}
	return out
}

// Def is one definition: a structure, or a type by name.
type Def struct {
	Name, Doc, File string
	// Struct is nil for a definition that is a type by name.
	Struct *Struct
	Type   *Type
	// CRD is set for the kinds of the API.
	CRD *CRD
}

// CRD is what @crd and @column say about a kind: Bundle is its field in a bundle.
type CRD struct {
	Scope, Bundle, Short string
	Columns              []Column
}

// Plural is the resource's name.
func (c *CRD) Plural() string { return strings.ToLower(c.Bundle) }

// Column is a column of kubectl get.
type Column struct{ Name, Type, Path string }

// Struct is a closed structure.
type Struct struct {
	// Embeds are the names of the structures whose fields and guards it takes over.
	Embeds []string
	Fields []*Field
	Guards []Guard
	// UsedGuard is true where a guard needs the `_used` that every use must set.
	UsedGuard bool
	// firm is true where the definition can be nothing but a structure.
	firm bool
}

// Field is one field of a structure.
type Field struct {
	Name, Doc string
	Required  bool
	Type      *Type
}

// Kind is what a type's values are.
type Kind uint8

// The kinds.
const (
	String Kind = iota
	Int
	Bool
	List
	Map
	// Ref is a definition by name.
	Ref
)

// Type is the type of a field, an element or a definition.
type Type struct {
	Kind Kind
	// Ref names the definition; Used is true where the use sets `_used`.
	Ref  string
	Used bool
	// Elem is the element of a list or map, Key the key of a map.
	Elem, Key *Type
	// MaxLen bounds runes, elements or entries; MinLen runes.
	MinLen, MaxLen int
	Min, Max       *int64
	Patterns       []string
	// Unlike are patterns that must not match.
	Unlike []string
	// Enum and IntEnum are the only values; Const is a string's one value, filled in by the schema.
	Enum    []string
	IntEnum []int64
	// True says that the only value of a bool is true.
	True  bool
	Const string
	// Format is cidr, ip, date-time, or end (a date or a time).
	Format string
	// CEL is a rule on the value that its constraints can't say in OpenAPI.
	CEL string
	// Message is what a user reads when the value is refused.
	Message string
}

// Resolve follows references until a structure or a type of another kind: one of the results is nil.
func (l *Language) Resolve(t *Type) (*Struct, *Type) {
	for t.Kind == Ref {
		d := l.Def(t.Ref)
		if d.Struct != nil {
			return d.Struct, nil
		}
		t = d.Type
	}
	return nil, t
}

// AllFields returns a structure's fields, those of the structures that it embeds first.
func (l *Language) AllFields(s *Struct) []*Field {
	var out []*Field
	for _, e := range s.Embeds {
		out = append(out, l.AllFields(l.Def(e).Struct)...)
	}
	return append(out, s.Fields...)
}

// AllGuards returns a structure's guards, those of the structures that it embeds first.
func (l *Language) AllGuards(s *Struct) []Guard {
	var out []Guard
	for _, e := range s.Embeds {
		out = append(out, l.AllGuards(l.Def(e).Struct)...)
	}
	return append(out, s.Guards...)
}
