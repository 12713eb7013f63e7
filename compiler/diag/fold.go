package diag

import (
	"fmt"
	"slices"
	"strings"
)

// folded is a finding that is shown once for all objects in which the same text says the same: a shared definition, a
// comprehension.
type folded struct {
	*Diagnostic
	objects []string // those that have it, in their order, where there are several
}

// fold puts together what differs only in the object, at the place of the first. What has no file is about its object.
func fold(l List) []folded {
	type key struct {
		file          string
		line, col     int
		severity      Severity
		code          Code
		message, hint string
	}
	var out []folded
	first := map[key]int{}
	for i := range l {
		d := &l[i]
		if !d.Pos.IsValid() {
			out = append(out, folded{d, nil})
			continue
		}
		k := key{d.Pos.File, d.Pos.Line, d.Pos.Col, d.Severity, d.Code, d.Message, d.Hint}
		at, ok := first[k]
		if !ok {
			first[k] = len(out)
			out = append(out, folded{d, []string{d.Pos.Object}})
			continue
		}
		if f := &out[at]; f.objects[len(f.objects)-1] != d.Pos.Object {
			f.objects = append(f.objects, d.Pos.Object)
		}
	}
	return out
}

// maxNamed is how many objects a folded finding names.
const maxNamed = 3

// in names the objects of a finding that several have; it is empty for one's own.
func (f *folded) in() string {
	names := slices.DeleteFunc(slices.Clone(f.objects), func(o string) bool { return o == "" })
	switch n := len(names); {
	case n < 2:
		return ""
	case n > maxNamed+1:
		return fmt.Sprintf("in %s and %d more", strings.Join(names[:maxNamed], ", "), n-maxNamed)
	default:
		return "in " + strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
}
