package cuesrc

import (
	"regexp"
	"slices"
	"strings"

	"github.com/weir-mesh/weir/compiler/source/manifest"
)

// suggest names the nearest of the fields that exist, or lists them.
func suggest(name string, fields []string) (hint, meant string) {
	if near := manifest.Nearest(name, fields); near != "" {
		return "did you mean " + quote(near) + "?", near
	}
	switch {
	case len(fields) == 0:
		return "", ""
	case len(fields) > 15:
		return "fields here: " + strings.Join(fields[:15], ", ") + ", …", ""
	}
	return "fields here: " + strings.Join(fields, ", "), ""
}

// nearestValue suggests one of the choices.
func nearestValue(value string, choices []string) string { return manifest.DidYouMean(value, choices) }

// orList writes "a, b or c".
func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// last names a field for a message: its name, with the list that an element is in.
func last(steps []string) string {
	if len(steps) == 0 {
		return "the value"
	}
	s := unquoteStep(steps[len(steps)-1])
	if len(steps) > 1 && strings.Trim(s, "0123456789") == "" {
		return unquoteStep(steps[len(steps)-2]) + "[" + s + "]"
	}
	return truncate(s)
}

// typeName says one of CUE's kinds in words.
func typeName(kind string) string {
	names := map[string]string{"int": "a whole number", "number": "a number", "float": "a number", "string": "a string",
		"bool": "true or false", "list": "a list", "struct": "a struct", "null": "null", "bytes": "bytes"}
	kind = strings.Trim(kind, "()")
	var words []string
	for k := range strings.SplitSeq(kind, "|") {
		w := names[k]
		if w == "" {
			w = k
		}
		if !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	return orList(words)
}

// bound says a bound such as "<=65535" in words.
func bound(b string) string {
	for _, w := range []struct{ op, words string }{{"<=", "at most "}, {">=", "at least "}, {"<", "below "}, {">", "above "},
		{"!=", "other than "}, {"=~", "in the form "}, {"!~", "not in the form "}} {
		if rest, ok := strings.CutPrefix(b, w.op); ok {
			return w.words + truncate(rest)
		}
	}
	return truncate(b)
}

var counted = regexp.MustCompile(`^(?:list|strings|struct)\.(Min|Max)(Items|Runes|Fields)\((\d+)\)$`)

// validator says one of CUE's validators in words, after "must".
func validator(v string) string {
	m := counted.FindStringSubmatch(v)
	if m == nil {
		return "be a valid " + v
	}
	unit := map[string]string{"Items": "elements", "Runes": "characters", "Fields": "fields"}[m[2]]
	limit := map[string]string{"Min": "at least ", "Max": "at most "}[m[1]]
	return "have " + limit + m[3] + " " + unit
}
