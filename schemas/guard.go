package schemas

import (
	"strings"
	"time"
)

// The functions below are what generated guards are made of. What is absent or of another type makes every comparison
// false: it is reported by itself.

// at returns what lies below v by name, nil if nothing does.
func at(v any, path ...string) any {
	for _, name := range path {
		o, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = o[name]
	}
	return v
}

// elements returns a list's elements, none for anything else.
func elements(v any) []any {
	l, _ := v.([]any)
	return l
}

// element returns an element of a list, nil if there is none.
func element(v any, i int64) any {
	if l, ok := v.([]any); ok && i < int64(len(l)) {
		return l[i]
	}
	return nil
}

// length returns the number of a list's elements, nil for anything else.
func length(v any) any {
	if l, ok := v.([]any); ok {
		return int64(len(l))
	}
	return nil
}

// duration returns a duration's nanoseconds, nil for anything else.
func duration(v any) any {
	if s, ok := v.(string); ok {
		if d, err := time.ParseDuration(s); err == nil {
			return int64(d)
		}
	}
	return nil
}

func contains(v any, sub string) bool {
	s, ok := v.(string)
	return ok && strings.Contains(s, sub)
}

func equal(x, y any) bool {
	if a, ok := whole(x); ok {
		b, ok := whole(y)
		return ok && a == b
	}
	switch a := x.(type) {
	case string:
		b, ok := y.(string)
		return ok && a == b
	case bool:
		b, ok := y.(bool)
		return ok && a == b
	}
	return false
}

// differ reports whether both are there and not equal.
func differ(x, y any) bool { return x != nil && y != nil && !equal(x, y) }

func less(x, y any) bool {
	a, ok := whole(x)
	b, also := whole(y)
	return ok && also && a < b
}
