package plan

import (
	"regexp"

	"github.com/weir-mesh/weir/compiler/ir"
)

// MatchHTTP reports whether one match of a rule matches a request, apart from any list. What can't be evaluated
// matches nothing (S23).
func MatchHTTP(m *ir.HTTPMatch, q *Request) bool {
	r := &Requests{regexps: map[string]*regexp.Regexp{}}
	if err := r.compile(m); err != nil {
		return false
	}
	v, ok := newRequestView(q)
	return ok && r.matches(m, v)
}
