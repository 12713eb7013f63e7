package cuesrc

import (
	"strconv"
	"strings"

	"cuelang.org/go/cue"
)

// joinField adds a field to a path; a name that is no plain word is put in brackets, as is an index.
func joinField(path, name string) string {
	if !isWord(name) {
		return path + "[" + name + "]"
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

func joinIndex(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func isWord(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '-' || c == '$' || c == '#' || i > 0 && c >= '0' && c <= '9' {
			continue
		}
		return false
	}
	return s != ""
}

// fieldPath turns the steps of one of CUE's errors into a path; at says for the steps so far whether the
// value there is a list, since both indices and names can be digits.
func fieldPath(steps []string, isList func(steps []string) bool) string {
	path := ""
	for i, s := range steps {
		if n, err := strconv.Atoi(s); err == nil && isList(steps[:i]) {
			path = joinIndex(path, n)
			continue
		}
		path = joinField(path, unquoteStep(s))
	}
	return path
}

func unquoteStep(s string) string {
	if strings.HasPrefix(s, `"`) {
		if u, err := strconv.Unquote(s); err == nil {
			return u
		}
	}
	return s
}

// selectors turns the steps of one of CUE's errors into a path to look up below v.
func lookupSteps(v cue.Value, steps []string) cue.Value {
	for _, s := range steps {
		if n, err := strconv.Atoi(s); err == nil {
			if e := v.LookupPath(cue.MakePath(cue.Index(n))); e.Exists() {
				v = e
				continue
			}
		}
		v = v.LookupPath(cue.MakePath(cue.Str(unquoteStep(s))))
	}
	return v
}
