package schemas

import (
	"maps"
	"slices"
	"strconv"
)

// Problem is one thing that is wrong with a value.
type Problem struct {
	// Path leads to it from the value: field names, and the indexes of lists as decimal numbers.
	Path  []string
	Class Class
	// Field is the name of a field that is missing from what Path leads to.
	Field string
	// Message is one line that says what is wrong; Hint, where it is not empty, the way out.
	Message, Hint string
}

// Class is a kind of problem.
type Class uint8

// The classes.
const (
	// WrongValue is out of bounds, not of the pattern, none of the words, or null.
	WrongValue Class = iota
	// WrongType is a string for a number, a list for a structure.
	WrongType
	// MissingField is a required field that is not there.
	MissingField
	// UnknownField is the last name of the path, which is no field there; Fields gives the names that are.
	UnknownField
	// WrongKey is a key of a map, the last name of the path.
	WrongKey
	// BrokenRule is fields that do not go together, or a list that must not be empty.
	BrokenRule
)

// Check returns all that is wrong with a value of a definition such as MeshPolicy, MeshRoute or Test, in the order of
// the value's fields in the language; nil where CUE and the API server accept it, too. The value is what encoding/json
// decodes into an any; numbers may also be json.Number or any of Go's integers. A definition that the language does not
// have is a problem, too.
//
// CUE says the same, more slowly and only until the first problem of a list.
func Check(def string, value any) []Problem {
	f := checkOf(def)
	if f == nil {
		return []Problem{{Class: WrongValue, Message: "the language has no " + strconv.Quote(def)}}
	}
	c := &checker{}
	f(c, value)
	return c.problems
}

// check adds what is wrong with v.
type check func(c *checker, v any)

// checker walks a value.
type checker struct {
	path     []string
	problems []Problem
}

// member is a field of a structure.
type member struct {
	name     string
	required bool
	check    check
}

// refuse notes a problem of what is at hand, or of what lies below it.
func (c *checker) refuse(class Class, message string, below ...string) {
	c.problems = append(c.problems, Problem{Path: append(slices.Clone(c.path), below...), Class: class, Message: message})
}

// rule notes fields that do not go together.
func (c *checker) rule(message string, below ...string) { c.refuse(BrokenRule, message, below...) }

// wrongType notes a value of another type than the language's.
func (c *checker) wrongType(want string, v any) {
	c.refuse(WrongType, want+" is needed here, not "+describe(v))
	c.problems[len(c.problems)-1].Hint = quoting(want, v)
}

// below checks v as what lies at name.
func (c *checker) below(name string, v any, f check) {
	c.path = append(c.path, name)
	if v == nil {
		c.refuse(WrongValue, "null says nothing: leave the field out")
	} else {
		f(c, v)
	}
	c.path = c.path[:len(c.path)-1]
}

func (c *checker) object(v any) (map[string]any, bool) {
	o, ok := v.(map[string]any)
	if !ok {
		c.wrongType("a structure", v)
	}
	return o, ok
}

// fields checks the members, and that there are no others.
func (c *checker) fields(o map[string]any, members []member) {
	known := 0
	for _, m := range members {
		v, ok := o[m.name]
		switch {
		case ok:
			known++
			c.below(m.name, v, m.check)
		case m.required:
			c.problems = append(c.problems, Problem{Path: slices.Clone(c.path), Class: MissingField, Field: m.name,
				Message: "the field " + m.name + " is missing"})
		}
	}
	if known == len(o) {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(o)) {
		if !slices.ContainsFunc(members, func(m member) bool { return m.name == name }) {
			c.refuse(UnknownField, "unknown field "+strconv.Quote(name), name)
		}
	}
}

// spoilt reports whether the structure at hand, or one of its own fields, has a problem already: rules across its
// fields would only repeat it in other words.
func (c *checker) spoilt() bool {
	for i := len(c.problems) - 1; i >= 0; i-- {
		p := c.problems[i].Path
		if len(p) < len(c.path) || !slices.Equal(p[:len(c.path)], c.path) {
			return false
		}
		if len(p) <= len(c.path)+1 {
			return true
		}
	}
	return false
}

// clean reports whether nothing at or below a field of the structure at hand has a problem.
func (c *checker) clean(name string) bool {
	n := len(c.path)
	return !slices.ContainsFunc(c.problems, func(p Problem) bool {
		return len(p.Path) > n && p.Path[n] == name && slices.Equal(p.Path[:n], c.path)
	})
}

func (c *checker) list(v any, limit int, elem check) {
	l, ok := v.([]any)
	if !ok {
		c.wrongType("a list", v)
		return
	}
	if len(l) > limit {
		c.refuse(WrongValue, "this list has "+strconv.Itoa(len(l))+" entries; at most "+strconv.Itoa(limit)+" are possible")
		return
	}
	for i, e := range l {
		c.below(strconv.Itoa(i), e, elem)
	}
}

func (c *checker) entries(v any, limit int, key, elem check) {
	m, ok := c.object(v)
	if !ok {
		return
	}
	if len(m) > limit {
		c.refuse(WrongValue, "this has "+strconv.Itoa(len(m))+" entries; at most "+strconv.Itoa(limit)+" are possible")
		return
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		before := len(c.problems)
		c.below(k, k, key)
		for i := range c.problems[before:] {
			c.problems[before+i].Class = WrongKey
		}
		c.below(k, m[k], elem)
	}
}
