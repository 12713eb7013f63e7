package plan

import (
	"regexp"
	"slices"
	"strings"
)

// Target is a request target in the one form that the plan and the waypoints look at (S24).
type Target struct {
	// Path has no dot segments and no double slashes; escapes of unreserved characters are undone.
	Path string
	// Query is what follows the first "?", as sent; HasQuery tells "/a?" from "/a".
	Query    string
	HasQuery bool
}

// ParseTarget normalises a request target as the waypoints' Envoy does, and says whether it is one that may be
// looked at at all: it starts with "/", holds only visible ASCII and no "#", and its path has no escaped slash,
// backslash or zero byte and no broken escape. The rules are Envoy's (1.40: normalize_path, merge_slashes, REJECT_REQUEST), measured byte
// by byte; a backslash is a slash there, as in the URL standard, so that no rule and no backend ever sees one.
func ParseTarget(raw string) (t Target, ok bool) {
	if raw == "" || raw[0] != '/' {
		return Target{}, false
	}
	for i := range len(raw) {
		if c := raw[i]; c <= ' ' || c >= 0x7f || c == '#' {
			return Target{}, false
		}
	}
	path, query, has := strings.Cut(raw, "?")
	path, ok = unescapePath(path)
	if !ok {
		return Target{}, false
	}
	resolved := resolvePath(path)
	if len(resolved) > 1 && strings.Trim(resolved, "/") == "" || brokenEscape.MatchString(resolved) {
		return Target{}, false
	}
	return Target{Path: mergeSlashes(resolved), Query: query, HasQuery: has}, true
}

// BrokenEscape is a pattern (RE2) of normalised paths with a "%" that begins no escape. Envoy lets them through, so
// waypoints refuse them themselves: some backends read more into a "%" than RFC 3986 does.
const BrokenEscape = `.*%(?:[^0-9A-Fa-f].*|[0-9A-Fa-f](?:[^0-9A-Fa-f].*)?)?`

var brokenEscape = regexp.MustCompile(`^(?:` + BrokenEscape + `)$`)

// unescapePath undoes escapes of unreserved characters (RFC 3986, 2.3), escapes what a URL's path may not hold, and
// turns backslashes into slashes.
func unescapePath(path string) (string, bool) {
	out := make([]byte, 0, len(path))
	broken := -1 // place in out of the last "%" that begins no escape; before it is no hexadecimal digit
	for i := 0; i < len(path); i++ {
		c := path[i]
		switch {
		case c == '\\':
			out = append(out, '/')
		case c == '%':
			v, hex := unhex(path[i+1:])
			switch {
			case !hex:
				broken = len(out)
				out = append(out, '%')
			case v == 0 || v == '/' || v == '\\':
				return "", false
			case unreserved(v):
				i += 2
				out = guardNested(append(out, v), path[i+1:], broken)
			default:
				out = append(out, path[i:i+3]...)
				i += 2
			}
		case strings.IndexByte("\"<>^`{|}", c) >= 0:
			const digits = "0123456789ABCDEF"
			out = append(out, '%', digits[c>>4], digits[c&15])
		default:
			out = append(out, c)
		}
	}
	return string(out), true
}

// guardNested keeps a character that was just unescaped from making an escape together with a broken one before it
// and what follows: of "%%361" becomes "%2561", not "%61", which the next reader would take for "a".
func guardNested(out []byte, rest string, broken int) []byte {
	if broken < len(out)-3 {
		return out
	}
	tail := out[broken+1:]
	if _, ok := unhex(string(tail) + rest); !ok {
		return out
	}
	return slices.Concat(out[:broken+1], []byte("25"), tail)
}

// resolvePath removes dot segments. Empty segments count as segments for "..", as in RFC 3986.
func resolvePath(path string) string {
	var kept []string
	segments := strings.Split(path[1:], "/")
	for i, s := range segments {
		last := i == len(segments)-1
		switch s {
		case ".", "..":
			if s == ".." && len(kept) > 0 {
				kept = kept[:len(kept)-1]
			}
			if last {
				kept = append(kept, "")
			}
		default:
			kept = append(kept, s)
		}
	}
	return "/" + strings.Join(kept, "/")
}

func mergeSlashes(path string) string {
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	return path
}

func unreserved(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || strings.IndexByte("-._~", c) >= 0
}

// unhex reads two hexadecimal digits at the start of s.
func unhex(s string) (v byte, ok bool) {
	if len(s) < 2 {
		return 0, false
	}
	for _, c := range []byte(s[:2]) {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | (c - '0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			v = v<<4 | (c | 0x20 - 'a' + 10)
		default:
			return 0, false
		}
	}
	return v, true
}

// unescapeQuery undoes every escape; "+" stays, as in Envoy.
func unescapeQuery(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' {
			if v, ok := unhex(s[i+1:]); ok {
				b.WriteByte(v)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// PathHasPrefix reports whether a normalised path lies under prefix, by whole segments: /v1 holds /v1 and /v1/x, not
// /v10. A trailing slash of the prefix says nothing, as in the Gateway API.
func PathHasPrefix(path, prefix string) bool {
	prefix = strings.TrimRight(prefix, "/")
	return strings.HasPrefix(path, prefix) && (len(path) == len(prefix) || path[len(prefix)] == '/')
}
