package analyze

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// TestReachRequests holds that what reach says passes leaves out what a deny before it takes away, and that two lists are both
// asked.
func TestReachRequests(t *testing.T) {
	under := func(p string, methods ...string) ir.HTTPMatch {
		return ir.HTTPMatch{Methods: methods, Path: &ir.StringMatch{Kind: ir.Prefix, Value: p}}
	}
	entry := func(v plan.Verdict, conds ...[]ir.HTTPMatch) plan.Entry {
		return plan.Entry{Conds: conds, Outcome: plan.Outcome{Verdict: v, Rule: plan.None}}
	}
	allow := func(m ...ir.HTTPMatch) plan.Entry { return entry(plan.Allow, m) }
	deny := func(m ...ir.HTTPMatch) plan.Entry { return entry(plan.Deny, m) }
	end, open := entry(plan.Deny), entry(plan.Allow)
	lists := [][]plan.Entry{
		{allow(under("/a"), under("/b", "GET")), end},
		{deny(under("/admin")), open},
		{deny(under("/a/x"), under("/c")), allow(under("/a"), under("/b")), end},
		{deny(under("/x", "GET")), allow(under("/x", "POST")), allow(under("/x")), end},
		{entry(plan.Deny, []ir.HTTPMatch{under("/a")}, []ir.HTTPMatch{under("/b")}), allow(under("/a")), deny(under("/a")), open},
		{end},
	}
	p := &plan.Plan{}
	for _, l := range lists {
		p.Lists = append(p.Lists, plan.List{Entries: l})
	}
	r := &reacher{plan: p, lists: map[string][]plan.ListIndex{"more": {2}}}
	for _, c := range []struct {
		w    asks
		want []string
	}{
		{asks{egress: plan.None, ingress: plan.None}, nil},
		{asks{egress: plan.None, ingress: 0}, []string{"/a/…", "GET /b/…"}},
		{asks{egress: plan.None, ingress: 1}, []string{"any request except /admin/…"}},
		{asks{egress: plan.None, ingress: 2}, []string{"/a/… except /a/x/…", "/b/…"}},
		{asks{egress: plan.None, ingress: 3}, []string{"/x/… except GET /x/…", "POST /x/…"}},
		{asks{egress: plan.None, ingress: 4}, []string{"/a/… except (/a/… and /b/…)", "any request except (/a/… and /b/…), /a/…"}},
		{asks{egress: 5, ingress: 1}, nil},
		{asks{egress: 0, ingress: 1}, []string{"/a/… except /admin/…", "GET /b/… except /admin/…"}},
		{asks{egress: plan.None, ingress: 1, also: "more"}, []string{"/a/… except /a/x/…, /admin/…", "/b/… except /admin/…"}},
		{asks{egress: 0, ingress: 0}, []string{"/a/…", "GET /b/…"}},
	} {
		if d := cmp.Diff(c.want, r.requests(c.w)); d != "" {
			t.Errorf("%+v: -want +got\n%s", c.w, d)
		}
	}
}
