package cuesrc

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/source/manifest"
	"github.com/weir-mesh/weir/schemas"
)

// check holds an evaluated object against the schema. schemas.Check says what CUE says of a value that is
// known, all of it, and in microseconds.
func check(k objectKey, kind string, data []byte) []schemas.Problem {
	var v any
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return []schemas.Problem{{Message: "the value is no JSON: " + err.Error()}}
	}
	ps := schemas.Check(kind, v)
	if k.field == testsField && !testName(k.name) {
		ps = append(ps, schemas.Problem{Class: schemas.WrongKey, Message: "a test's name is 1 to 256 characters"})
	}
	return ps
}

// problems turns what the schema says of an object into findings at its places.
func problems(out *Object, ps []schemas.Problem, data []byte) diag.List {
	var v any
	_ = json.Unmarshal(data, &v) // it was decoded before
	var l diag.List
	meant := misspelt(out, ps, v)
	for _, p := range ps {
		path, value := follow(v, p.Path)
		if p.Class == schemas.MissingField && meant[joinField(path, p.Field)] {
			continue // it is there, but misspelt
		}
		l.Add(problem(out, p, path, value))
	}
	return l
}

func problem(out *Object, p schemas.Problem, path string, value any) diag.Diagnostic {
	d := diag.Diagnostic{Severity: diag.Error, Pos: out.Pos(path), Message: p.Message, Hint: p.Hint}
	switch p.Class {
	case schemas.UnknownField:
		known, _ := schemas.Fields(out.Kind, p.Path[:len(p.Path)-1]...)
		return unknownField(out, path, p.Path[len(p.Path)-1], known)
	case schemas.WrongType:
		d.Code, d.Message = CodeType, last(p.Path)+": "+p.Message
	case schemas.MissingField:
		d.Code = CodeMissing
	case schemas.WrongKey:
		d.Code, d.Pos = CodeName, out.KeyPos(path)
	case schemas.BrokenRule:
		d.Code = CodeRule
	default:
		d.Code = CodeValue
		if s, ok := value.(string); ok {
			d.Hint = manifest.NearestChoice(s, p.Message)
		}
	}
	// A name that is not written out is the key that the object is filed under.
	if path == "metadata.name" && out.Fields[path] == (Place{}) {
		d.Code, d.Pos, d.Hint = CodeName, out.Pos(""), `"namespace/name" gives the namespace too where the kind has one`
	}
	return d
}

// misspelt returns the paths of the fields that unknown ones were probably meant to be.
func misspelt(out *Object, ps []schemas.Problem, v any) map[string]bool {
	paths := map[string]bool{}
	for _, p := range ps {
		if p.Class != schemas.UnknownField {
			continue
		}
		at, name := p.Path[:len(p.Path)-1], p.Path[len(p.Path)-1]
		known, _ := schemas.Fields(out.Kind, at...)
		path, _ := follow(v, at)
		if _, meant := suggest(name, known); meant != "" {
			paths[joinField(path, meant)] = true
		}
	}
	return paths
}

// follow turns the steps that lead to a place in a decoded value into a path, and returns what is there.
func follow(v any, steps []string) (path string, at any) {
	for _, s := range steps {
		switch x := v.(type) {
		case []any:
			v = nil
			if i, err := strconv.Atoi(s); err == nil && i >= 0 && i < len(x) {
				path, v = joinIndex(path, i), x[i]
				continue
			}
		case map[string]any:
			v = x[s]
		default:
			v = nil
		}
		path = joinField(path, s)
	}
	return path, v
}
