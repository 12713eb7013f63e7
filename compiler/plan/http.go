package plan

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/weir-mesh/weir/compiler/ir"
)

// Request is an HTTP request as a client sends it.
type Request struct {
	// Method is exact (S24). Empty is POST for a gRPC call, GET otherwise.
	Method string
	// Path is the request target: the path and, after "?", the query, escapes and all.
	Path string
	// Host is the authority, with or without a port.
	Host string
	// Headers holds each header's values in order, by lower-case name.
	Headers map[string][]string
	// GRPC says that the request is a gRPC call. Matching does not look at it: a caller can leave the content type
	// out, so a gRPC match is one of the path.
	GRPC bool
	// Claims holds, by provider, the claims of a token that the provider's keys verified, as JSON decodes them.
	Claims map[string]map[string]any
}

// RequestAnswer is the plan's verdict on a request inside a connection.
type RequestAnswer struct {
	// Verdict is Allow or Deny.
	Verdict Verdict
	// Status is what the client gets for a denied request: 400 for what can't be evaluated, else 403; 0 when allowed.
	Status int
	// Egress and Ingress are the two sides' answers. On a side without a list that is its layer-4 answer.
	Egress, Ingress Outcome
	// Entry is the place in the deciding list of the entry that decided, or None.
	EgressEntry, IngressEntry int
	// By is the side that decided: for a denial the one that denied, egress first; else the one with a list, the
	// destination's first.
	By ir.Direction
}

// Requests decides requests by the lists of a plan.
type Requests struct {
	plan    *Plan
	regexps map[string]*regexp.Regexp
}

// NewRequests prepares the plan's lists. A regular expression that does not compile is an error: front ends refuse
// them before they get here.
func NewRequests(p *Plan) (*Requests, error) {
	r := &Requests{plan: p, regexps: map[string]*regexp.Regexp{}}
	for i := range p.Lists {
		for j := range p.Lists[i].Entries {
			for _, cond := range p.Lists[i].Entries[j].Conds {
				for k := range cond {
					if err := r.compile(&cond[k]); err != nil {
						return nil, fmt.Errorf("preparing list %s, entry %d: %w", p.Lists[i].ID, j, err)
					}
				}
			}
		}
	}
	return r, nil
}

func (r *Requests) compile(m *ir.HTTPMatch) error {
	add := func(s *ir.StringMatch) error {
		if s == nil || s.Kind != ir.Regex || r.regexps[s.Value] != nil {
			return nil
		}
		re, err := regexp.Compile(`^(?:` + s.Value + `)$`)
		if err != nil {
			return err
		}
		r.regexps[s.Value] = re
		return nil
	}
	if err := add(m.Path); err != nil {
		return err
	}
	for _, keys := range [][]ir.KeyMatch{m.Headers, m.Query, m.Claims} {
		for i := range keys {
			if err := add(&keys[i].StringMatch); err != nil {
				return err
			}
		}
	}
	return nil
}

// Decide answers for a request inside a connection that the plan answered a for. A request of a connection that
// needs no waypoint has the connection's answer.
func (r *Requests) Decide(a *Answer, q *Request) RequestAnswer {
	out := RequestAnswer{Egress: a.Egress.Outcome, Ingress: a.Ingress.Outcome, EgressEntry: None, IngressEntry: None,
		Verdict: a.Verdict, By: a.By}
	switch a.Verdict {
	case Deny:
		out.Status = 403
		return out
	case Allow:
		return out
	}
	v, ok := newRequestView(q)
	if !ok {
		refused := Outcome{Verdict: Deny, Reason: ByRequest, Rule: None, Policy: None, List: None}
		out.Verdict, out.Status = Deny, 400
		for _, o := range []*Outcome{&out.Egress, &out.Ingress} {
			if o.Verdict == Redirect {
				*o = refused
			}
		}
		return out
	}
	if a.Egress.Verdict == Redirect {
		out.Egress, out.EgressEntry = r.decide(a.Egress.List, v)
	}
	if a.Ingress.Verdict == Redirect {
		out.Ingress, out.IngressEntry = r.decide(a.Ingress.List, v)
	}
	switch {
	case out.Egress.Verdict == Deny:
		out.Verdict, out.By, out.Status = Deny, ir.Egress, 403
	case out.Ingress.Verdict == Deny:
		out.Verdict, out.By, out.Status = Deny, ir.Ingress, 403
	default:
		out.Verdict, out.By = Allow, ir.Ingress
		if a.Ingress.Verdict != Redirect {
			out.By = ir.Egress
		}
	}
	return out
}

// List answers for a request by one list: the first entry that matches. ok is false for a request that can't be
// evaluated, which gets 400 (S23, S24).
func (r *Requests) List(l ListIndex, q *Request) (o Outcome, entry int, ok bool) {
	v, ok := newRequestView(q)
	if !ok {
		return Outcome{Verdict: Deny, Reason: ByRequest, Rule: None, Policy: None, List: None}, None, false
	}
	o, entry = r.decide(l, v)
	return o, entry, true
}

func (r *Requests) decide(l ListIndex, v *requestView) (Outcome, int) {
	list := &r.plan.Lists[l]
	if list.repeated(v) != "" {
		return Outcome{Verdict: Deny, Reason: ByRequest, Rule: None, Policy: None, List: None}, None
	}
	for i := range list.Entries {
		if r.entryMatches(&list.Entries[i], v) {
			return list.Entries[i].Outcome, i
		}
	}
	return Outcome{Verdict: Deny, Reason: ByRequest, Rule: None, Policy: None, List: None}, None
}

// Repeated returns the query parameter for which a list refuses a request: one that some entry asks for, and that the
// request gives more than once. It is empty where there is none.
func (r *Requests) Repeated(l ListIndex, q *Request) string {
	v, ok := newRequestView(q)
	if !ok {
		return ""
	}
	return r.plan.Lists[l].repeated(v)
}

func (l *List) repeated(v *requestView) string {
	for _, key := range l.QueryKeys() {
		if _, n := v.param(key); n > 1 {
			return key
		}
	}
	return ""
}

// QueryKeys returns the query parameters that the list asks for, in the order in which it does. A request that gives
// one of them twice can't be evaluated and is refused: what reads it may look at the other one (S23).
func (l *List) QueryKeys() []string {
	var keys []string
	seen := map[string]bool{}
	for i := range l.Entries {
		for _, cond := range l.Entries[i].Conds {
			for _, m := range cond {
				for _, k := range m.Query {
					if !seen[k.Key] {
						seen[k.Key] = true
						keys = append(keys, k.Key)
					}
				}
			}
		}
	}
	return keys
}

func (r *Requests) entryMatches(e *Entry, v *requestView) bool {
	for _, cond := range e.Conds {
		any := false
		for i := range cond {
			if any = r.matches(&cond[i], v); any {
				break
			}
		}
		if !any {
			return false
		}
	}
	return true
}

func (r *Requests) matches(m *ir.HTTPMatch, v *requestView) bool {
	if m.Methods != nil && !slices.Contains(m.Methods, v.method) {
		return false
	}
	if m.Path != nil && !r.pathMatches(m.Path, v.target.Path) {
		return false
	}
	if m.GRPC != nil && !GRPCPathMatches(m.GRPC, v.method, v.target.Path) {
		return false
	}
	if m.Hosts != nil && !hostMatches(m.Hosts, v.host) {
		return false
	}
	for i := range m.Headers {
		if value, ok := v.header(m.Headers[i].Key); !ok || !r.stringMatches(&m.Headers[i].StringMatch, value) {
			return false
		}
	}
	for i := range m.Query {
		if value, n := v.param(m.Query[i].Key); n == 0 || !r.stringMatches(&m.Query[i].StringMatch, value) {
			return false
		}
	}
	for i := range m.Claims {
		if !r.claimMatches(&m.Claims[i], v.claims) {
			return false
		}
	}
	return true
}

func (r *Requests) pathMatches(m *ir.StringMatch, path string) bool {
	if m.Kind == ir.Prefix {
		return PathHasPrefix(path, m.Value)
	}
	return r.stringMatches(m, path)
}

// GRPCPathMatches reports whether a request is the gRPC call that m names.
func GRPCPathMatches(m *ir.GRPCMatch, method, path string) bool {
	rest, ok := strings.CutPrefix(path, "/"+m.Service+"/")
	return ok && method == "POST" && rest != "" && !strings.Contains(rest, "/") && (m.Method == "" || rest == m.Method)
}

// stringMatches compares a value that is there. A value that is no UTF-8 matches no regular expression, as in RE2.
func (r *Requests) stringMatches(m *ir.StringMatch, value string) bool {
	switch m.Kind {
	case ir.Exact:
		return value == m.Value
	case ir.Prefix:
		return strings.HasPrefix(value, m.Value)
	case ir.Regex:
		re := r.regexps[m.Value]
		return re != nil && utf8.ValidString(value) && re.MatchString(value)
	case ir.Present:
		return true
	}
	return false
}

// claimMatches looks a claim up by its path; a list matches if one of its strings does.
func (r *Requests) claimMatches(m *ir.KeyMatch, claims map[string]map[string]any) bool {
	var value any = claims[m.Provider]
	for _, step := range strings.Split(m.Key, ".") {
		object, _ := value.(map[string]any) // nothing else has a step into it
		var ok bool
		if value, ok = object[step]; !ok {
			return false
		}
	}
	if m.Kind == ir.Present {
		return true
	}
	switch value := value.(type) {
	case string:
		return r.stringMatches(&m.StringMatch, value)
	case []any:
		for _, e := range value {
			if s, ok := e.(string); ok && r.stringMatches(&m.StringMatch, s) {
				return true
			}
		}
	}
	return false
}

// requestView is a request in the form that matching looks at.
type requestView struct {
	method  string
	target  Target
	host    string
	rawHost string
	headers map[string][]string
	claims  map[string]map[string]any
}

func newRequestView(q *Request) (*requestView, bool) {
	t, ok := ParseTarget(q.Path)
	if !ok {
		return nil, false
	}
	v := &requestView{method: q.Method, target: t, host: NormalHost(q.Host), rawHost: q.Host, headers: q.Headers,
		claims: q.Claims}
	if v.method == "" {
		if v.method = "GET"; q.GRPC {
			v.method = "POST"
		}
	}
	return v, true
}

// header returns a header's value: of a repeated one, all values in one, as RFC 9110, 5.3 says.
func (v *requestView) header(key string) (string, bool) {
	if key == "host" {
		return v.rawHost, true
	}
	values := v.headers[key]
	separator := ","
	if key == "cookie" {
		separator = "; "
	}
	return strings.Join(values, separator), len(values) > 0
}

// param returns the first value of a query parameter and how often it is there.
func (v *requestView) param(key string) (value string, n int) {
	if !v.target.HasQuery {
		return "", 0
	}
	for part := range strings.SplitSeq(v.target.Query, "&") {
		k, val, _ := strings.Cut(part, "=")
		if unescapeQuery(k) == key {
			if n++; n == 1 {
				value = unescapeQuery(val)
			}
		}
	}
	return value, n
}

// NormalHost brings an authority to the form in which hosts are compared (S24): lower case, without a port and the
// root's dot.
func NormalHost(authority string) string {
	h := strings.ToLower(authority)
	if i := strings.LastIndexByte(h, ':'); i >= 0 && !strings.Contains(h[i:], "]") && digits(h[i+1:]) {
		h = h[:i]
	}
	return strings.TrimSuffix(h, ".")
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// hostMatches compares a normal host; "*." stands for one label or more, as in the Gateway API.
func hostMatches(patterns []string, host string) bool {
	for _, p := range patterns {
		suffix, wild := strings.CutPrefix(p, "*")
		if wild {
			labels, ok := strings.CutSuffix(host, suffix)
			if ok && labels != "" && labels[0] != '.' && !strings.ContainsAny(labels, ":@/") {
				return true
			}
		} else if host == p {
			return true
		}
	}
	return false
}
