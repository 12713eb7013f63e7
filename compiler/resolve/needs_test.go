package resolve_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/resolve"
)

// needed lists, as "policy[place]", the rules without which db's answer would be another one where all rules of a direction
// match.
func (w *world) needed(t *testing.T, d ir.Direction, provable bool) (out []string) {
	t.Helper()
	p, _ := w.compile(t)
	c := resolve.Cell{Subject: p.SubjectOf(end(p, db).Peer), Direction: d, Provable: provable}
	for i := range p.Rules {
		if p.Rules[i].Direction == d {
			c.Rules = append(c.Rules, plan.RuleIndex(i))
		}
	}
	for _, i := range c.Rules {
		if resolve.Needs(p, c, i) {
			r := &p.Rules[i]
			out = append(out, fmt.Sprintf("%s[%d]", p.Policies[r.Policy].Source.Name, slices.Index(c.Rules, i)-first(p, c.Rules, r.Policy)))
		}
	}
	return out
}

// turn makes ingress of egress, and egress of ingress.
func (w *world) turn() {
	w.policies = slices.Clone(w.policies)
	for i := range w.policies {
		p := &w.policies[i]
		slices.Reverse(p.Isolate[:])
		slices.Reverse(p.AuditIsolate[:])
		p.Rules = slices.Clone(p.Rules)
		for j := range p.Rules {
			p.Rules[j].Direction = ir.Egress + ir.Ingress - p.Rules[j].Direction
		}
	}
}

func first(p *plan.Plan, rules []plan.RuleIndex, of plan.PolicyIndex) int {
	return slices.IndexFunc(rules, func(i plan.RuleIndex) bool { return p.Rules[i].Policy == of })
}

// TestNeeds says of rules that all match one connection which of them are needed for its answer (S9 to S12, S18, S19, S22, S28,
// S30).
func TestNeeds(t *testing.T) {
	allow, deny, pass := in(ir.Allow, nil, nil), in(ir.Deny, nil, nil), in(ir.Pass, nil, nil)
	plain := allow
	plain.Plaintext = true
	audit := func(r ir.Rule) ir.Rule { r.Audit = true; return r }
	get := func(r ir.Rule) ir.Rule { r.HTTP = []ir.HTTPMatch{{Methods: []string{"GET"}}}; return r }
	post := func(r ir.Rule) ir.Rule { r.HTTP = []ir.HTTPMatch{{Methods: []string{"POST"}}}; return r }
	until := func(r ir.Rule, hours int) ir.Rule { r.NotAfter = now.Add(time.Duration(hours) * time.Hour); return r }
	out := func(r ir.Rule) ir.Rule { r.Direction = ir.Egress; return r }
	at := func(p ir.Policy, tier ir.Tier, priority int32) ir.Policy {
		p.Tier, p.Priority, p.Isolate = tier, priority, [2]bool{}
		return p
	}
	k8s := func(p ir.Policy) ir.Policy { p.Layer = ir.Orchestrator; return p }
	admin := func(rules ...ir.Rule) ir.Policy { return at(mesh("a", rules...), ir.Admin, 1) }
	open := func(w *world) { w.cfg.Enrolled = nil }
	same := func(*world) {}
	for _, c := range []struct {
		what     string
		policies []ir.Policy
		change   func(*world)
		want     []string // with both identities proved
		unproved []string
	}{
		{"one allow", []ir.Policy{mesh("a", plain)}, same, []string{"a[0]"}, []string{"a[0]"}},
		{"two that say the same", []ir.Policy{mesh("a", plain), mesh("b", plain)}, same, nil, nil},
		{"two rules of one object that say the same", []ir.Policy{mesh("a", plain, plain)}, same, nil, nil},
		{"a deny beats an allow of its tier", []ir.Policy{mesh("a", plain, deny)}, same, []string{"a[1]"}, []string{"a[1]"}},
		{"the strictest allow wins", []ir.Policy{mesh("a", plain), mesh("b", allow)}, same, []string{"b[0]"}, []string{"b[0]"}},
		{"the first rule of an object", []ir.Policy{admin(plain, deny)}, same, []string{"a[0]"}, []string{"a[0]"}},
		{"its first object", []ir.Policy{admin(deny), at(mesh("b", plain), ir.Admin, 2)}, same, []string{"a[0]"}, []string{"a[0]"}},
		{"its first object, which allows", []ir.Policy{admin(plain), at(mesh("b", deny), ir.Admin, 2)}, same, []string{"a[0]"}, []string{"a[0]"}},
		{"a pass goes past a deny", []ir.Policy{admin(pass, deny), mesh("b", plain)}, same, []string{"a[0]", "b[0]"}, []string{"a[0]", "b[0]"}},
		{"a conflict", []ir.Policy{admin(plain), at(mesh("b", deny), ir.Admin, 1)}, same, []string{"b[0]"}, []string{"b[0]"}},
		{"a baseline behind the namespace tier", []ir.Policy{mesh("a", plain), at(mesh("b", deny), ir.Baseline, 0)}, same, []string{"a[0]"}, []string{"a[0]"}},
		{"a deny of the other layer", []ir.Policy{k8s(mesh("a", allow)), mesh("b", deny)}, same, []string{"b[0]"}, nil},
		{"a deny of the other layer, of what allows", []ir.Policy{k8s(mesh("a", allow)), mesh("b", plain, deny)}, same, []string{"b[1]"}, []string{"b[1]"}},
		{"a deny of the other layer, where the default is open", []ir.Policy{k8s(mesh("a", allow)), mesh("b", deny)}, open, []string{"b[0]"}, []string{"b[0]"}},
		{"an orchestrator's allow of the enrolled", []ir.Policy{k8s(mesh("a", allow))}, same, []string{"a[0]"}, nil},
		{"a deny that is in audit", []ir.Policy{mesh("a", plain, audit(deny))}, same, []string{"a[0]", "a[1]"}, []string{"a[0]", "a[1]"}},
		{"a deny that is in audit before one that is not", []ir.Policy{admin(audit(deny), deny), mesh("b", plain)}, same, []string{"a[1]"}, []string{"a[1]"}},
		{"an allow that ends before one that does not", []ir.Policy{admin(until(plain, 1), plain)}, same, []string{"a[1]"}, []string{"a[1]"}},
		{"an allow that ends after another", []ir.Policy{admin(until(plain, 2), until(plain, 1))}, same, []string{"a[0]"}, []string{"a[0]"}},
		{"requests, some allowed", []ir.Policy{admin(get(plain), deny)}, same, []string{"a[0]"}, []string{"a[0]"}}, // the default denies the others
		{"requests, some denied", []ir.Policy{admin(get(deny), plain)}, same, []string{"a[0]", "a[1]"}, []string{"a[0]", "a[1]"}},
		{"requests, all allowed", []ir.Policy{admin(get(plain), plain)}, same, []string{"a[1]"}, []string{"a[1]"}},
		{"requests of two kinds, and others", []ir.Policy{admin(get(deny), post(plain), allow)}, same, []string{"a[0]", "a[1]", "a[2]"}, []string{"a[0]", "a[1]", "a[2]"}},
		{"requests of two kinds that may be one", []ir.Policy{admin(post(plain), get(deny), plain)}, same, []string{"a[0]", "a[1]", "a[2]"}, []string{"a[0]", "a[1]", "a[2]"}},
		{"requests of two kinds", []ir.Policy{admin(get(plain), post(plain), deny)}, same, []string{"a[0]", "a[1]"}, []string{"a[0]", "a[1]"}},
		{"the only allow of an object that isolates, not in the way of another", []ir.Policy{k8s(mesh("a", allow)), k8s(mesh("b", allow))}, open, nil, nil},
		{"the other direction says nothing", []ir.Policy{mesh("a", out(plain), deny)}, open, []string{"a[0]"}, []string{"a[0]"}},
	} {
		for proved, want := range map[bool][]string{true: c.want, false: c.unproved} {
			w := newWorld(c.policies...)
			c.change(w)
			if got := w.needed(t, ir.Ingress, proved); !slices.Equal(got, want) {
				t.Errorf("%s, both proved %t: needs %v, want %v", c.what, proved, got, want)
			}
			w.turn()
			if got := w.needed(t, ir.Egress, proved); !slices.Equal(got, want) {
				t.Errorf("%s, the other way round, both proved %t: needs %v, want %v", c.what, proved, got, want)
			}
		}
	}
}

// TestNeedsWhereItDoesNotMatch: the only allow of an object isolates (S11), which is felt where it does not match.
func TestNeedsWhereItDoesNotMatch(t *testing.T) {
	rule := in(ir.Allow, nil, tcp(81))
	audited := rule
	audited.Audit = true
	np := func(rules ...ir.Rule) ir.Policy {
		p := mesh("np", rules...)
		p.Layer = ir.Orchestrator
		return p
	}
	inAudit := np(audited)
	inAudit.Isolate, inAudit.AuditIsolate = [2]bool{}, [2]bool{ir.Ingress: true}
	whole := np(rule)
	whole.Audit = true
	for _, c := range []struct {
		what     string
		policy   ir.Policy
		enrolled []ir.Selector
		want     bool
	}{
		{"alone", np(rule), nil, true},
		{"beside another", np(rule, in(ir.Allow, nil, tcp(82))), nil, false},
		{"beside one in audit", np(rule, audited), nil, true},
		{"in audit", inAudit, nil, true},
		{"of an object in audit", whole, nil, true},
		{"where the default denies, too", np(rule), []ir.Selector{{Namespace: "shop"}}, false},
		{"beside a deny", np(rule, in(ir.Deny, nil, tcp(82))), nil, true},
		{"beside an allow of the other direction", np(rule, ir.Rule{Direction: ir.Egress, Action: ir.Allow}), nil, true},
	} {
		w := newWorld(c.policy)
		w.cfg.Enrolled = c.enrolled
		w.cfg.Waypoint = inventory.WaypointNone
		p, _ := w.compile(t)
		cell := resolve.Cell{Subject: p.SubjectOf(end(p, db).Peer), Direction: ir.Ingress}
		if got := resolve.Needs(p, cell, 0); got != c.want {
			t.Errorf("%s: needed on another port: %t", c.what, got)
		}
	}
}

// TestMayIsolate: a rule isolates alone when its object isolates in its direction and has no other allow there, not in audit
// where the object's isolation is not, and not implied (S11, S30).
func TestMayIsolate(t *testing.T) {
	allow, deny := in(ir.Allow, nil, nil), in(ir.Deny, nil, nil)
	audit, implied, out := allow, allow, allow
	audit.Audit, implied.Implied, out.Direction = true, true, ir.Egress
	for _, c := range []struct {
		what           string
		rules          []ir.Rule
		isolates       bool
		isolatesAudit  bool
		want           bool // of the first rule
		wantOfTheOther bool
	}{
		{"no isolation", []ir.Rule{allow, deny}, false, false, false, false},
		{"the only allow", []ir.Rule{allow, deny}, true, false, true, false},
		{"the only allow, in audit", []ir.Rule{audit, deny}, false, true, true, false},
		{"one of two", []ir.Rule{allow, allow}, true, false, false, false},
		{"the enforced one of two", []ir.Rule{allow, audit}, true, false, true, false},
		{"one of two where isolation is in audit", []ir.Rule{allow, audit}, false, true, false, false},
		{"beside one that an importer adds", []ir.Rule{allow, implied}, true, false, true, false},
		{"beside one of the other direction", []ir.Rule{allow, out}, true, false, true, false},
	} {
		w := newWorld(mesh("a", c.rules...))
		w.policies[0].Isolate, w.policies[0].AuditIsolate = [2]bool{ir.Ingress: c.isolates}, [2]bool{ir.Ingress: c.isolatesAudit}
		p, _ := w.compile(t)
		if got := resolve.MayIsolate(p, 0); got != c.want {
			t.Errorf("%s: the first isolates alone: %t", c.what, got)
		}
		if got := resolve.MayIsolate(p, 1); got != c.wantOfTheOther && c.rules[1].Action == ir.Allow && !c.rules[1].Implied {
			t.Errorf("%s: the other isolates alone: %t", c.what, got)
		}
	}
}
