package schemas

import (
	"maps"
	"slices"
	"strconv"
)

// Problem is one thing that is wrong with a value.
type Problem struct {
	// Path leads to it from the value: field names, and the indexes of lists as decimal numbers.
	Path []string
	// Message is one line that says what is wrong.
	Message string
	// Unknown is true when the last name of Path is no field there; Fields then gives the names that are.
	Unknown bool
}

// Check returns all that is wrong with a value of a definition such as MeshPolicy, MeshRoute or Test, in the order of
// the value's fields in the language; nil where CUE and the API server accept it, too. The value is what encoding/json
// decodes into an any; numbers may also be json.Number or any of Go's integers. It panics where the language has no
// such definition: ask Fields first where the name comes from outside.
//
// CUE says the same, more slowly and only until the first problem of a list.
func Check(def string, value any) []Problem {
	f := checkOf(def)
	if f == nil {
		panic("schemas: there is no definition " + def)
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
func (c *checker) refuse(message string, below ...string) {
	c.problems = append(c.problems, Problem{Path: append(slices.Clone(c.path), below...), Message: message})
}

// below checks v as what lies at name.
func (c *checker) below(name string, v any, f check) {
	c.path = append(c.path, name)
	if v == nil {
		c.refuse("null says nothing: leave the field out")
	} else {
		f(c, v)
	}
	c.path = c.path[:len(c.path)-1]
}

func (c *checker) object(v any) (map[string]any, bool) {
	o, ok := v.(map[string]any)
	if !ok {
		c.refuse("a structure is needed here, not " + describe(v))
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
			c.refuse("the field " + m.name + " is missing")
		}
	}
	if known == len(o) {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(o)) {
		if !slices.ContainsFunc(members, func(m member) bool { return m.name == name }) {
			c.problems = append(c.problems, Problem{Path: append(slices.Clone(c.path), name),
				Message: "unknown field " + strconv.Quote(name), Unknown: true})
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
		c.refuse("a list is needed here, not " + describe(v))
		return
	}
	if len(l) > limit {
		c.refuse("this list has " + strconv.Itoa(len(l)) + " entries; at most " + strconv.Itoa(limit) + " are possible")
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
		c.refuse("this has " + strconv.Itoa(len(m)) + " entries; at most " + strconv.Itoa(limit) + " are possible")
		return
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		c.below(k, k, key)
		c.below(k, m[k], elem)
	}
}
