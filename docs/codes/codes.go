// Package codes holds the pages that explain Weir's diagnostics, one a code.
//
// The pages are the registry: a code exists when WEIRxxxx.md does, and its title and severity are
// read from there, so that nothing can say one thing in a table and another in the documentation.
package codes

import (
	"embed"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

//go:embed WEIR*.md
var pages embed.FS

// Page explains one code.
type Page struct {
	// Code is the page's code, for example "WEIR1004".
	Code string
	// Title is the kind of finding in a few words.
	Title string
	// Severity is "error", "warning", "note", or "varies".
	Severity string
	// Retired says why and since when the code is no longer used; it is empty for a living code.
	Retired string
	// Markdown is the whole page.
	Markdown string
}

// heading is a page's first line.
var heading = regexp.MustCompile(`^# (WEIR\d{4}): (\S.*)$`)

// Lookup returns the page of a code; the case of the letters does not matter, and "2011" means "WEIR2011".
func Lookup(code string) (Page, error) {
	c := strings.ToUpper(strings.TrimSpace(code))
	if !strings.HasPrefix(c, "WEIR") {
		c = "WEIR" + c
	}
	if !fs.ValidPath(c) {
		return Page{}, fmt.Errorf("no such code: %q", code)
	}
	b, err := pages.ReadFile(c + ".md")
	if err != nil {
		return Page{}, fmt.Errorf("no such code: %q", code)
	}
	return parse(c, string(b))
}

// All returns every page in the order of the codes.
func All() ([]Page, error) {
	es, err := pages.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("reading the pages of codes: %w", err)
	}
	var all []Page
	for _, e := range es {
		p, err := Lookup(strings.TrimSuffix(e.Name(), ".md"))
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b Page) int { return strings.Compare(a.Code, b.Code) })
	return all, nil
}

// parse reads the head of a page: the heading, an empty line, then "Severity: …" and perhaps "Retired: …".
func parse(code, text string) (Page, error) {
	p := Page{Code: code, Markdown: text}
	lines := strings.Split(text, "\n")
	m := heading.FindStringSubmatch(lines[0])
	if m == nil || m[1] != code {
		return Page{}, fmt.Errorf("%s.md: the first line must be \"# %s: title\"", code, code)
	}
	p.Title = m[2]
	for _, l := range lines[1:] {
		switch key, value, ok := strings.Cut(l, ": "); {
		case l == "":
		case ok && key == "Severity":
			p.Severity = value
		case ok && key == "Retired":
			p.Retired = value
		default:
			if !slices.Contains([]string{"error", "warning", "note", "varies"}, p.Severity) {
				return Page{}, fmt.Errorf("%s.md: line 3 must be \"Severity: error|warning|note|varies\"", code)
			}
			return p, nil
		}
	}
	return Page{}, fmt.Errorf("%s.md: the page ends after its head", code)
}
