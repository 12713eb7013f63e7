// Package diag holds Weir's diagnostics: what was found, where, why, and the way out.
package diag

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
)

// Severity orders findings; only errors make a command fail unless --strict is given.
type Severity uint8

// The severities, least first.
const (
	Note Severity = iota
	Warning
	Error
)

func (s Severity) String() string {
	switch s {
	case Note:
		return "note"
	case Warning:
		return "warning"
	default:
		return "error"
	}
}

// MarshalText writes the severity as its word.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the severity's word.
func (s *Severity) UnmarshalText(b []byte) error {
	for _, v := range []Severity{Note, Warning, Error} {
		if v.String() == string(b) {
			*s = v
			return nil
		}
	}
	return fmt.Errorf("unknown severity %q", b)
}

// Code names a kind of finding, for example "WEIR2011". The thousands digit is the area:
// 1 schema, 2 meaning, 3 capacity, 4 routes, 5 import and export, 6 compliance, 7 limits and
// environment. A retired code is never used again.
type Code string

// Position is a place in a user's file or a field of a user's object. Line and Col count from 1,
// Col in bytes as CUE and Go do; zero means unknown. EndCol is the column after the last byte to mark.
type Position struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Col    int    `json:"col,omitempty"`
	EndCol int    `json:"endCol,omitempty"`
	// Object is "Kind namespace/name" (or "Kind name") where the place belongs to an object.
	Object string `json:"object,omitempty"`
	// Path is the field's path inside the object, for example spec.ingress[0].ports[0].port.
	Path string `json:"path,omitempty"`
}

// IsValid reports whether the position names a file and a line.
func (p Position) IsValid() bool { return p.File != "" && p.Line > 0 }

// String prints file:line:col, leaving out what is unknown; without a file, the object and path.
func (p Position) String() string {
	if p.File == "" {
		if p.Path != "" && p.Object != "" {
			return p.Object + " " + p.Path
		}
		return p.Object + p.Path
	}
	s := p.File
	if p.Line > 0 {
		s += ":" + strconv.Itoa(p.Line)
		if p.Col > 0 {
			s += ":" + strconv.Itoa(p.Col)
		}
	}
	return s
}

// Compare orders positions by file, line, column, then object and path.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.File, q.File), cmp.Compare(p.Line, q.Line), cmp.Compare(p.Col, q.Col),
		cmp.Compare(p.Object, q.Object), cmp.Compare(p.Path, q.Path))
}

// Related is another place that contributes to a finding.
type Related struct {
	Pos     Position `json:"pos"`
	Message string   `json:"message"`
}

// Diagnostic is one finding. Message is one line that says what is wrong, names before numbers;
// Hint is one line that says why or what to do.
type Diagnostic struct {
	Code     Code      `json:"code"`
	Severity Severity  `json:"severity"`
	Pos      Position  `json:"pos"`
	Message  string    `json:"message"`
	Hint     string    `json:"hint,omitempty"`
	Related  []Related `json:"related,omitempty"`
}

func (d *Diagnostic) Error() string {
	s := d.Severity.String() + " " + string(d.Code) + ": " + d.Message
	if p := d.Pos.String(); p != "" {
		s = p + ": " + s
	}
	return s
}

// List is a set of findings.
type List []Diagnostic

// Add appends a finding.
func (l *List) Add(d Diagnostic) { *l = append(*l, d) }

// Count returns how many findings have the severity.
func (l List) Count(s Severity) int {
	n := 0
	for i := range l {
		if l[i].Severity == s {
			n++
		}
	}
	return n
}

// HasErrors reports whether any finding is an error.
func (l List) HasErrors() bool { return l.Count(Error) > 0 }

// Sort orders findings by position, then worst first, then code and message, and keeps one of those that say the same:
// of what else belongs to them, the first.
func (l *List) Sort() {
	s := *l
	slices.SortStableFunc(s, func(a, b Diagnostic) int {
		return cmp.Or(a.Pos.Compare(b.Pos), -cmp.Compare(a.Severity, b.Severity),
			cmp.Compare(a.Code, b.Code), cmp.Compare(a.Message, b.Message),
			slices.CompareFunc(a.Related, b.Related, func(x, y Related) int { return x.Pos.Compare(y.Pos) }))
	})
	*l = slices.CompactFunc(s, func(a, b Diagnostic) bool {
		return a.Pos == b.Pos && a.Severity == b.Severity && a.Code == b.Code && a.Message == b.Message
	})
}
