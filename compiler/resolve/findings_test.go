package resolve_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/resolve"
)

// TestFindings holds what a person reads of what the resolver found, place and way out included.
func TestFindings(t *testing.T) {
	at := func(line int) diag.Position { return diag.Position{File: "p.cue", Line: line} }
	get := func(r ir.Rule, line int) ir.Rule {
		r.HTTP, r.Pos = []ir.HTTPMatch{{Methods: []string{"GET"}}}, at(line)
		return r
	}
	admin := func(name string, line int, rules ...ir.Rule) ir.Policy {
		for i := range rules {
			rules[i].Pos = at(line)
		}
		p := mesh(name, rules...)
		p.Tier, p.Priority, p.Isolate = ir.Admin, 7, [2]bool{}
		return p
	}
	at4 := func(p ir.Policy) ir.Policy {
		p.Priority = 4
		return p
	}
	baseline := func(p ir.Policy) ir.Policy {
		p.Tier = ir.Baseline
		return p
	}
	ending := in(ir.Allow, nil, nil)
	ending.NotAfter = now.AddDate(0, 0, 1)
	allow, deny := admin("a", 10, in(ir.Allow, nil, nil)), admin("b", 20, in(ir.Deny, nil, nil))
	differ := []string{"p.cue:20 error WEIR2012: MeshPolicy shop/a and MeshPolicy shop/b have priority 7 and answer differently (allow, deny): what comes to both is denied" +
		" / give the objects different priorities / p.cue:10 the other rule"}
	any := get(in(ir.Deny, nil, nil), 5)
	any.HTTP = []ir.HTTPMatch{{Path: &ir.StringMatch{Kind: ir.Prefix, Value: "/"}}}
	out := ir.Rule{Direction: ir.Egress, Action: ir.Allow, Peers: from(app("jobs", "batch")), Plaintext: true}
	many := mesh("many")
	many.Pos = at(40)
	for i := range 70 {
		r := in(ir.Allow, nil, nil)
		r.HTTP = []ir.HTTPMatch{{Methods: []string{fmt.Sprint("M", i)}}}
		many.Rules = append(many.Rules, r)
	}
	k8s := many
	k8s.Name, k8s.Layer, k8s.Tier, k8s.Pos = "k8s", ir.Orchestrator, ir.Baseline, at(50)
	for _, c := range []struct {
		what     string
		waypoint inventory.WaypointScope
		policies []ir.Policy
		want     []string
	}{
		{"nothing", inventory.WaypointPerNamespace, []ir.Policy{mesh("a", in(ir.Allow, nil, nil))}, nil},
		{"a conflict", inventory.WaypointPerNamespace, []ir.Policy{allow, deny}, differ},
		// Each pair that differs is told, whatever a third object says.
		{"three that differ", inventory.WaypointPerNamespace, []ir.Policy{allow, deny, admin("c", 30, in(ir.Allow, nil, nil))}, append(slices.Clone(differ),
			"p.cue:30 error WEIR2012: MeshPolicy shop/b and MeshPolicy shop/c have priority 7 and answer differently (deny, allow): what comes to both is denied"+
				" / give the objects different priorities / p.cue:20 the other rule")},
		{"two that agree and a third", inventory.WaypointPerNamespace, []ir.Policy{allow, admin("b", 20, in(ir.Allow, nil, nil)), admin("c", 30, in(ir.Deny, nil, nil))}, []string{
			"p.cue:30 error WEIR2012: MeshPolicy shop/a and MeshPolicy shop/c have priority 7 and answer differently (allow, deny): what comes to both is denied" +
				" / give the objects different priorities / p.cue:10 the other rule",
			"p.cue:30 error WEIR2012: MeshPolicy shop/b and MeshPolicy shop/c have priority 7 and answer differently (allow, deny): what comes to both is denied" +
				" / give the objects different priorities / p.cue:20 the other rule"}},
		// What an earlier priority or tier answers does not come to them (S10, S12).
		{"denied before", inventory.WaypointPerNamespace, []ir.Policy{at4(admin("z", 5, in(ir.Deny, nil, nil))), allow, deny}, nil},
		{"allowed before", inventory.WaypointPerNamespace, []ir.Policy{at4(admin("z", 5, in(ir.Deny, nil, nil), in(ir.Allow, nil, nil))), allow, deny}, nil},
		{"denied before on a port", inventory.WaypointPerNamespace, []ir.Policy{at4(admin("z", 5, in(ir.Deny, nil, tcp(80)))), allow, deny}, differ},
		{"passed on before", inventory.WaypointPerNamespace, []ir.Policy{at4(admin("z", 5, in(ir.Pass, nil, nil))), allow, deny}, nil},
		{"allowed before, until tomorrow", inventory.WaypointPerNamespace, []ir.Policy{at4(admin("z", 5, ending, in(ir.Deny, nil, tcp(80)))), allow, deny}, differ},
		{"denied in an earlier tier", inventory.WaypointPerNamespace, []ir.Policy{admin("z", 5, in(ir.Deny, nil, nil)), baseline(allow), baseline(deny)}, nil},
		{"passed on by an earlier tier", inventory.WaypointPerNamespace, []ir.Policy{admin("z", 5, in(ir.Pass, nil, nil)), baseline(allow), baseline(deny)}, differ},
		{"behind some requests", inventory.WaypointPerNamespace, []ir.Policy{at4(admin("z", 5, get(in(ir.Deny, nil, tcp(80)), 5))), allow, deny}, differ},
		{"behind all requests", inventory.WaypointPerNamespace, []ir.Policy{at4(admin("z", 5, any, in(ir.Deny, nil, nil))), allow, deny}, nil},
		{"denied in the other layer", inventory.WaypointPerNamespace, []ir.Policy{{Kind: "NetworkPolicy", Namespace: "shop", Name: "z", Layer: ir.Orchestrator, Tier: ir.Namespace,
			Subject: app("shop", "db"), Isolate: [2]bool{true, true}}, allow, deny}, differ},
		{"a conflict of requests", inventory.WaypointPerNamespace, []ir.Policy{admin("a", 10, in(ir.Deny, nil, nil)), admin("b", 20, get(in(ir.Allow, nil, nil), 20))}, []string{
			"p.cue:20 warning WEIR2012: MeshPolicy shop/a and MeshPolicy shop/b have priority 7 and answer differently (deny, allow): what both match may meet, and is then denied" +
				" / give the objects different priorities / p.cue:10 the other rule"}},
		{"the same, the other way round", inventory.WaypointPerNamespace, []ir.Policy{admin("a", 10, get(in(ir.Deny, nil, nil), 10)), admin("b", 20, in(ir.Allow, nil, nil))}, []string{
			"p.cue:20 warning WEIR2012: MeshPolicy shop/a and MeshPolicy shop/b have priority 7 and answer differently (deny, allow): what both match may meet, and is then denied" +
				" / give the objects different priorities / p.cue:10 the other rule"}},
		{"no waypoint at all", inventory.WaypointNone, []ir.Policy{mesh("a", get(in(ir.Allow, nil, nil), 30))}, []string{
			"p.cue:30 error WEIR2025: a rule looks at requests, but shop/db has no waypoint: the connections are denied" +
				" / set waypoints in the MeshConfig, or leave out http"}},
		{"no waypoint for a peer", inventory.WaypointPerNamespace, []ir.Policy{mesh("a", get(out, 31))}, []string{
			"p.cue:31 error WEIR2025: a rule looks at requests, but some peers of this rule have no waypoint: connections to them are denied" +
				" / name only peers that a waypoint serves, or leave out http"}},
		{"a list that is too long", inventory.WaypointPerNamespace, []ir.Policy{k8s, many}, []string{
			"p.cue:50 error WEIR3003: the rules for these pods need more than 4096 request entries or 65535 classes; the connections are denied" +
				" / use fewer conditional pass rules, or objects of different priority"}},
	} {
		w := newWorld(c.policies...)
		w.cfg.Waypoint = c.waypoint
		_, found := w.compile(t)
		var got []string
		for _, d := range found {
			s := fmt.Sprintf("%s:%d %s %s: %s / %s", d.Pos.File, d.Pos.Line, d.Severity, d.Code, d.Message, d.Hint)
			for _, r := range d.Related {
				s += fmt.Sprintf(" / %s:%d %s", r.Pos.File, r.Pos.Line, r.Message)
			}
			got = append(got, s)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", c.what, got, c.want)
		}
	}
}

// TestOnlyWhatIsTooLong: what one subject's table met says nothing about the next one's.
func TestOnlyWhatIsTooLong(t *testing.T) {
	var policies []ir.Policy
	for _, l := range []ir.Layer{ir.Orchestrator, ir.Mesh} {
		p := mesh(fmt.Sprint("many", l))
		p.Layer, p.Tier, p.Subject = l, ir.Baseline, app("shop", "db")
		for i := range 70 {
			r := in(ir.Allow, nil, tcp(80))
			r.HTTP = []ir.HTTPMatch{{Methods: []string{fmt.Sprint("M", i)}}}
			p.Rules = append(p.Rules, r)
		}
		policies = append(policies, p)
	}
	next := mesh("next", in(ir.Allow, nil, nil))
	next.Subject = app("shop", "web")
	w := newWorld(append(policies, next)...)
	p, found := resolve.Compile(resolve.Input{Policies: w.policies, Inventory: &w.inv, Config: w.cfg, Now: now, Workers: 1})
	if len(found) != 1 || found[0].Code != "WEIR3003" {
		t.Errorf("found %v", found)
	}
	if d := p.Decide(plan.Flow{Src: end(p, db), Dst: end(p, web), Port: http80()}).Ingress; d.Verdict != plan.Allow {
		t.Errorf("%s by %s", d.Verdict, d.Reason)
	}
}
