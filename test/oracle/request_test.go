package oracle

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
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
	for _, bad := range []string{"%2f", "%5c", "#"} { // S24; for the backslash see ruling 17
		if strings.Contains(p, bad) {
			return true
		}
	}
	_, err := url.PathUnescape(p)
	return err != nil // S23: malformed
}

// unescaped undoes the escapes of what need not be escaped (%61 is the letter a); others stay.
func unescaped(path string) string {
	var out strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] == '%' {
			s, _ := url.PathUnescape(path[i : i+3])
			if regexp.MustCompile(`^[0-9A-Za-z._~-]$`).MatchString(s) {
				out.WriteString(s)
				i += 2
				continue
			}
		}
		out.WriteByte(path[i])
	}
	return out.String()
}

// cleanPath is the path that rules see: dot segments, then double slashes resolved (S24).
func (r *request) cleanPath() string {
	segments := strings.Split(unescaped(strings.ReplaceAll(r.path, `\`, "/")), "/")[1:]
	var out []string
	for i, s := range segments {
		if s != "." && s != ".." {
			out = append(out, s)
			continue
		}
		if s == ".." && len(out) > 0 {
			out = out[:len(out)-1]
		}
		if i == len(segments)-1 {
			out = append(out, "")
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
		values := r.headers[m.Headers[i].Key]
		if len(values) > 1 { // RFC 9110, 5.3: a repeated header is one with all values
			values = []string{strings.Join(values, ",")}
		}
		if !anyValue(&m.Headers[i].StringMatch, values) {
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
		if r.method != "POST" || len(parts) != 3 || parts[2] == "" || parts[1] != m.GRPC.Service || m.GRPC.Method != "" && parts[2] != m.GRPC.Method {
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

// anyValue: an absent header or claim does not match (S23).
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

// repeats says whether the request gives a query parameter twice that one of the rules asks for.
func (r *request) repeats(rules []*ir.Rule) bool {
	query, _ := url.ParseQuery(r.query)
	for _, rule := range rules {
		for _, m := range rule.HTTP {
			for _, q := range m.Query {
				if len(query[q.Key]) > 1 {
					return true
				}
			}
		}
	}
	return false
}

// plan is the request in the plan's form.
func (r *request) plan() *plan.Request {
	q := &plan.Request{Method: r.method, Path: r.path, Host: r.host, Headers: r.headers, Claims: map[string]map[string]any{}}
	if r.query != "" {
		q.Path += "?" + r.query
	}
	for provider, claims := range r.claims {
		q.Claims[provider] = map[string]any{}
		for k, v := range claims {
			q.Claims[provider][k] = v
		}
	}
	return q
}
