package oracle

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/weir-mesh/weir/compiler/ir"
)

// request is an HTTP request as it arrives. Header names are in lower case. Claims are those of verified tokens, by
// provider and name.
type request struct {
	method, path, query, host string
	headers                   map[string][]string
	claims                    map[string]map[string]string
}

// refused says that the request cannot be evaluated (S23) or that its path must be refused (S24).
func (r *request) refused() bool {
	p := strings.ToLower(r.path)
	if !strings.HasPrefix(p, "/") {
		return true // S23: malformed
	}
	for _, bad := range []string{"%2f", "%5c", `\`, "#"} { // S24
		if strings.Contains(p, bad) {
			return true
		}
	}
	_, err := url.PathUnescape(r.path)
	return err != nil // S23: malformed
}

// cleanPath is the path that rules see: dot segments and double slashes resolved (S24). What need not be escaped is
// not: %61 is the letter a.
func (r *request) cleanPath() string {
	var plain strings.Builder
	for i := 0; i < len(r.path); i++ {
		if r.path[i] == '%' {
			s, _ := url.PathUnescape(r.path[i : i+3])
			if len(s) == 1 && (s[0] >= '0' && s[0] <= '9' || s[0] >= 'A' && s[0] <= 'Z' || s[0] >= 'a' && s[0] <= 'z' ||
				strings.Contains("-._~", s)) {
				plain.WriteString(s)
				i += 2
				continue
			}
		}
		plain.WriteByte(r.path[i])
	}
	segments := strings.Split(plain.String(), "/")[1:]
	var out []string
	for i, s := range segments {
		last := i == len(segments)-1
		switch s {
		case ".", "..":
			if s == ".." && len(out) > 0 {
				out = out[:len(out)-1]
			}
			if last {
				out = append(out, "")
			}
		default:
			out = append(out, s)
		}
	}
	path := "/" + strings.Join(out, "/")
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	return path
}

// matchesAny: a layer-7 rule matches a request that matches one of its alternatives (S22).
func (r *request) matchesAny(alternatives []ir.HTTPMatch) bool {
	for i := range alternatives {
		if r.matches(&alternatives[i]) {
			return true
		}
	}
	return false
}

// matches: all that is set must hold.
func (r *request) matches(m *ir.HTTPMatch) bool {
	if m.Methods != nil && !contains(m.Methods, r.method) { // S24: methods exact
		return false
	}
	if m.Path != nil && !pathMatches(m.Path, r.cleanPath()) {
		return false
	}
	if m.Hosts != nil && !hostMatches(m.Hosts, r.host) {
		return false
	}
	for i := range m.Headers {
		if !anyValue(&m.Headers[i].StringMatch, r.headers[m.Headers[i].Key]) {
			return false
		}
	}
	query, _ := url.ParseQuery(r.query)
	for i := range m.Query {
		if !anyValue(&m.Query[i].StringMatch, query[m.Query[i].Key]) {
			return false
		}
	}
	for i := range m.Claims {
		var values []string
		if v, ok := r.claims[m.Claims[i].Provider][m.Claims[i].Key]; ok {
			values = []string{v}
		}
		if !anyValue(&m.Claims[i].StringMatch, values) {
			return false
		}
	}
	if m.GRPC != nil {
		parts := strings.Split(r.cleanPath(), "/")
		if len(parts) != 3 || parts[1] != m.GRPC.Service || m.GRPC.Method != "" && parts[2] != m.GRPC.Method {
			return false
		}
	}
	return true
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// pathMatches: exact, prefix by segment, full-match RE2 (S24).
func pathMatches(m *ir.StringMatch, path string) bool {
	if m.Kind == ir.Prefix {
		prefix := strings.TrimSuffix(m.Value, "/")
		return path == prefix || strings.HasPrefix(path, prefix+"/")
	}
	return stringMatches(m, path)
}

// anyValue: an absent header or claim does not match (S23); of several values one is enough.
func anyValue(m *ir.StringMatch, values []string) bool {
	for _, v := range values {
		if stringMatches(m, v) {
			return true
		}
	}
	return false
}

func stringMatches(m *ir.StringMatch, s string) bool {
	switch m.Kind {
	case ir.Exact:
		return s == m.Value
	case ir.Prefix:
		return strings.HasPrefix(s, m.Value)
	case ir.Regex:
		return regexp.MustCompile(`\A(?:` + m.Value + `)\z`).MatchString(s)
	default:
		return true // present
	}
}

// hostMatches: host without case (S24), its port left out; "*." is one or more labels, as in the Gateway API.
func hostMatches(hosts []string, host string) bool {
	host = strings.ToLower(host)
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	for _, h := range hosts {
		if strings.HasPrefix(h, "*.") {
			if strings.HasSuffix(host, h[1:]) && len(host) > len(h)-1 {
				return true
			}
		} else if h == host {
			return true
		}
	}
	return false
}
