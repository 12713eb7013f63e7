package analyze

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// maxRequests bounds what the lists of a connection are multiplied to.
const maxRequests = 256

// passes is a kind of request that passes: it is all of these, and none of the exceptions. Both are sorted.
type passes struct{ is, except []string }

func (p *passes) text() string {
	text := anyRequest
	if len(p.is) > 0 {
		text = strings.Join(p.is, " and ")
	}
	if len(p.except) > 0 {
		text += " except " + strings.Join(p.except, ", ")
	}
	return text
}

// requests lists the requests that pass where a waypoint decides: what every list lets pass that is asked.
func (r *reacher) requests(w asks) []string {
	all := []passes{{}}
	var asked []plan.ListIndex
	for _, l := range append([]plan.ListIndex{w.egress, w.ingress}, r.lists[w.also]...) {
		if l != plan.None && !slices.Contains(asked, l) {
			all, asked = both(all, r.passing(l)), append(asked, l)
		}
	}
	if asked == nil {
		return nil
	}
	var out []string
	for i := range all {
		out = append(out, all[i].text())
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// passing lists what a first-match list lets pass: its allows in turn, without what a deny before them takes away.
func (r *reacher) passing(l plan.ListIndex) []passes {
	var out []passes
	var denied []*plan.Entry
	for i := range r.plan.Lists[l].Entries {
		e := &r.plan.Lists[l].Entries[i]
		switch {
		case e.Verdict == plan.Deny:
			denied = append(denied, e)
		case len(e.Conds) == 1:
			for j := range e.Conds[0] {
				out = append(out, passes{conditions([][]ir.HTTPMatch{e.Conds[0][j : j+1]}), exceptions(denied, &e.Conds[0][j])})
			}
		default:
			out = append(out, passes{conditions(e.Conds), exceptions(denied, nil)})
		}
	}
	return out
}

// allowing are the rules that let requests pass.
func (r *reacher) allowing(w asks) []plan.RuleIndex {
	var out []plan.RuleIndex
	for _, l := range []plan.ListIndex{w.egress, w.ingress} {
		if l == plan.None {
			continue
		}
		for i := range r.plan.Lists[l].Entries {
			if e := &r.plan.Lists[l].Entries[i]; e.Verdict != plan.Deny {
				out = append(out, e.Rule)
			}
		}
	}
	return out
}

// conditions are what a request has to be, all of it.
func conditions(conds [][]ir.HTTPMatch) []string {
	var all []string
	for _, c := range conds {
		if text := requestsText(c); text != anyRequest {
			all = append(all, text)
		}
	}
	return united(all, nil)
}

// united is the sorted union.
func united(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

// exceptions are the requests of denies that may be some of those that match asks for; nil asks for any.
func exceptions(denied []*plan.Entry, match *ir.HTTPMatch) []string {
	var out []string
	for _, e := range denied {
		if len(e.Conds) > 1 {
			out = append(out, "("+strings.Join(conditions(e.Conds), " and ")+")")
			continue
		}
		for _, c := range e.Conds {
			for i := range c {
				if match == nil || !requestsApart(&c[i], match) {
					out = append(out, RequestText(&c[i]))
				}
			}
		}
	}
	return united(out, nil)
}

// requestsApart reports that no request matches both; it may miss some that none does.
func requestsApart(a, b *ir.HTTPMatch) bool {
	apart := func(x, y []string) bool {
		return x != nil && y != nil && !slices.ContainsFunc(x, func(s string) bool { return slices.Contains(y, s) })
	}
	wild := func(hosts []string) bool {
		return slices.ContainsFunc(hosts, func(h string) bool { return strings.HasPrefix(h, "*") })
	}
	return apart(a.Methods, b.Methods) || apart(a.Hosts, b.Hosts) && !wild(a.Hosts) && !wild(b.Hosts) ||
		a.Path != nil && b.Path != nil && pathsApart(a.Path, b.Path)
}

func pathsApart(a, b *ir.StringMatch) bool {
	holds := func(p, q *ir.StringMatch) bool { // p is a prefix that holds all of q
		at := strings.TrimSuffix(p.Value, "/")
		return p.Kind == ir.Prefix && (q.Value == at || strings.HasPrefix(q.Value, at+"/"))
	}
	plain := func(m *ir.StringMatch) bool { return m.Kind == ir.Exact || m.Kind == ir.Prefix }
	return plain(a) && plain(b) && !holds(a, b) && !holds(b, a) && a.Value != b.Value
}

// both is what passes two lists.
func both(a, b []passes) []passes {
	if len(a)*len(b) > maxRequests {
		return []passes{{is: []string{fmt.Sprintf("one of %d requests", len(a)), fmt.Sprintf("one of %d others", len(b))}}}
	}
	var out []passes
	for i := range a {
		for j := range b {
			out = append(out, passes{united(a[i].is, b[j].is), united(a[i].except, b[j].except)})
		}
	}
	return widest(out)
}

// widest leaves out what another one holds: with fewer conditions and fewer exceptions it lets pass more.
func widest(all []passes) []passes {
	within := func(few, many []string) bool {
		return !slices.ContainsFunc(few, func(s string) bool { return !slices.Contains(many, s) })
	}
	var out []passes
	for i, p := range all {
		held := false
		for j, q := range all {
			wider := within(q.is, p.is) && within(q.except, p.except)
			same := len(q.is) == len(p.is) && len(q.except) == len(p.except)
			held = held || i != j && wider && (!same || j < i)
		}
		if !held {
			out = append(out, p)
		}
	}
	return out
}

// keep names a set of lists.
func (r *reacher) keep(lists []plan.ListIndex) string {
	if len(lists) == 0 {
		return ""
	}
	key := fmt.Sprint(lists)
	r.lists[key] = lists
	return key
}

// sharing returns the lists that a request has to pass besides the client's own: those of the identities of its SPIFFE id
// that are led to the waypoint too (see Names.limitBySharing). It is false where one of them may send nothing.
func (r *reacher) sharing(f plan.Flow) (lists []plan.ListIndex, ok bool) {
	for _, s := range r.names.sharers(f) {
		if s.answer.Verdict == plan.Deny {
			return nil, false
		}
		for _, d := range []*plan.Decision{&s.answer.Egress, &s.answer.Ingress} {
			if d.Verdict == plan.Redirect && !slices.Contains(lists, d.List) {
				lists = append(lists, d.List)
			}
		}
	}
	slices.Sort(lists)
	return lists, true
}
