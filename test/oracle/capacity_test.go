package oracle

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// TestTooManyPasses gives conditional passes before a long tier: each pass repeats it.
func TestTooManyPasses(t *testing.T) {
	w := smallWorld(policy(ir.Mesh, ir.Admin), policy(ir.Mesh, ir.Namespace))
	for i := range 70 {
		m := []ir.HTTPMatch{{Methods: []string{fmt.Sprint("M", i)}}}
		pass, get := ingress(ir.Pass), plain(ingress(ir.Allow))
		pass.HTTP, get.HTTP = m, m
		w.policies[0].Rules, w.policies[1].Rules = append(w.policies[0].Rules, pass), append(w.policies[1].Rules, get)
	}
	c, err := compile(w)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.ask(t, w.podEnd(web), w.podEnd(db)).Ingress; got.Verdict != plan.Deny || got.Reason != plan.ByCapacity || !c.found.HasErrors() {
		t.Errorf("got %+v, findings %v", got, c.found)
	}
}

// TestLongestList has lists as long as a waypoint holds, 4,096 entries, and just longer: by combining the layers, by
// combining objects of one priority, and by repeating what comes after each conditional pass.
func TestLongestList(t *testing.T) {
	requests := func(a ir.Action, name string, n int) (rules []ir.Rule) {
		for i := range n {
			r := ingress(a)
			r.Plaintext = a == ir.Allow
			r.HTTP = []ir.HTTPMatch{{Methods: []string{fmt.Sprint(name, i)}}}
			rules = append(rules, r)
		}
		return rules
	}
	k8s := func(n int) ir.Policy { return policy(ir.Orchestrator, ir.Baseline, requests(ir.Allow, "K", n)...) }
	mesh := func(n int) ir.Policy { return policy(ir.Mesh, ir.Namespace, requests(ir.Allow, "M", n)...) }
	passes := func(n int) ir.Policy { return policy(ir.Mesh, ir.Admin, requests(ir.Pass, "P", n)...) }
	tied := func(n int) (out []ir.Policy) {
		for i := range n {
			out = append(out, policy(ir.Mesh, ir.Admin, requests(ir.Allow, fmt.Sprint("T", i, "."), 1)...))
		}
		return out
	}
	tiedPasses := func(priority int32) (out []ir.Policy) {
		for i := range 12 {
			p := policy(ir.Mesh, ir.Admin, requests(ir.Pass, fmt.Sprint("T", priority, ".", i, "."), 1)...)
			p.Priority = priority
			out = append(out, p)
		}
		return out
	}
	for name, c := range map[string]struct {
		policies []ir.Policy
		want     plan.Verdict
	}{
		"64 by 64":                              {[]ir.Policy{k8s(63), mesh(63)}, plan.Redirect},
		"64 by 65":                              {[]ir.Policy{k8s(63), mesh(64)}, plan.Deny},
		"12 of one priority":                    {tied(12), plan.Redirect},
		"13 of one priority":                    {tied(13), plan.Deny},
		"63 passes":                             {[]ir.Policy{passes(63), mesh(63)}, plan.Redirect},
		"64 passes":                             {[]ir.Policy{passes(64), mesh(63)}, plan.Deny},
		"40 of one priority":                    {tied(40), plan.Deny},
		"passes of all combinations, and again": {append(slices.Concat(tiedPasses(0), tiedPasses(1), tiedPasses(2), tiedPasses(3)), mesh(4000)), plan.Deny},
	} {
		w := smallWorld(lines(c.policies)...)
		got, err := compile(w)
		if err != nil {
			t.Fatal(err)
		}
		d := got.ask(t, w.podEnd(web), w.podEnd(db)).Ingress
		if d.Verdict != c.want || (d.Reason == plan.ByCapacity) != (c.want == plan.Deny) || got.found.HasErrors() != (c.want == plan.Deny) {
			t.Errorf("%s: %s by %s, findings %v", name, d.Verdict, d.Reason, got.found)
		}
		if d.List != plan.None && len(got.plan.Lists[d.List].Entries) != 4096 {
			t.Errorf("%s: %d entries", name, len(got.plan.Lists[d.List].Entries))
		}
	}
}

// TestManyRules has more rules, and more classes of ports, than a machine word has bits, where each port has a rule of its
// own in one layer or both: no rule is taken for its neighbour, or for one that is 64 places away.
func TestManyRules(t *testing.T) {
	ports := func(l ir.Layer, first, n int) ir.Policy {
		p := policy(l, ir.Admin)
		for i := range n {
			r := ingress([]ir.Action{ir.Allow, ir.Deny, ir.Allow}[i%3])
			r.Plaintext = i%2 == 0
			r.Ports = []ir.Port{{Space: ir.TCP, First: uint16(first + i), Last: uint16(first + i)}}
			if i%5 == 0 {
				r.Peers = []ir.Peer{{Pods: &ir.Selector{Namespace: "legacy"}}}
			}
			p.Rules = append(p.Rules, r)
		}
		return p
	}
	end := func(p *ir.Policy) { p.Rules[len(p.Rules)-1].NotAfter = genNow.Add(time.Hour) }
	for _, c := range []struct {
		k8s, mesh int
		change    func(*ir.Policy)
	}{
		{64, 64, nil}, {100, 130, nil}, {128, 1, nil}, {0, 200, nil}, {130, 0, nil}, {100, 130, end}, {63, 66, end},
		{70, 70, func(p *ir.Policy) { p.Rules[65].Audit = true }},
	} {
		policies := []ir.Policy{ports(ir.Orchestrator, 1000, c.k8s), ports(ir.Mesh, 1050, c.mesh)}
		if c.change != nil {
			c.change(&policies[1])
		}
		lines(policies)
		for i := range policies[1].Rules {
			policies[1].Rules[i].Pos.Line += 1000
		}
		w := smallWorld(policies...)
		got, err := compile(w)
		if err != nil {
			t.Fatal(err)
		}
		for port := 999; port <= 1051+max(c.k8s, c.mesh); port++ {
			for _, src := range []int{web, old} {
				if _, err := got.check(flow{src: w.podEnd(src), dst: w.podEnd(db), space: ir.TCP, number: uint16(port)}); err != nil {
					t.Fatalf("%d and %d rules, port %d: %v", c.k8s, c.mesh, port, err)
				}
			}
		}
	}
}

// ask asks the plan for TCP 5432.
func (c *compiled) ask(t *testing.T, src, dst end) plan.Answer {
	t.Helper()
	key := plan.Key(ir.TCP, 5432)
	s, err := c.ends(src, dst, key)
	if err != nil {
		t.Fatal(err)
	}
	d, err := c.ends(dst, src, key)
	if err != nil {
		t.Fatal(err)
	}
	return c.plan.Decide(plan.Flow{Src: s[0], Dst: d[0], Port: key})
}

// TestTooLongAList combines more layer-7 rules than a first-match list holds: the connection is denied, in both chains,
// and an error says so; a warning where only the audit chain is too long (S30). The evaluator has no such bound, so this is no part of the property test.
func TestTooLongAList(t *testing.T) {
	for _, audit := range []bool{false, true} {
		var policies []ir.Policy
		for i := range 13 { // of one priority: 2^13 combinations
			p := policy(ir.Mesh, ir.Admin, plain(ingress(ir.Allow)))
			p.Kind, p.Audit = fmt.Sprintf("Policy%d", i), audit && i > 6
			p.Rules[0].Audit = p.Audit
			p.Rules[0].HTTP = []ir.HTTPMatch{{Methods: []string{"GET"}}}
			policies = append(policies, p)
		}
		w := smallWorld(policies...)
		c, err := compile(w)
		if err != nil {
			t.Fatal(err)
		}
		got := c.ask(t, w.podEnd(web), w.podEnd(db)).Ingress
		enforced := plan.Deny
		if audit {
			enforced = plan.Redirect
		}
		if got.Verdict != enforced || got.Audit.Verdict != plan.Deny || got.Audit.Reason != plan.ByCapacity || got.Audit.Rule != plan.None || got.Audit.List != plan.None {
			t.Errorf("audit %t: got %+v", audit, got)
		}
		for _, other := range []plan.PortKey{plan.Key(ir.UDP, 53), plan.Key(ir.ICMPv4, 8<<8)} {
			src, dst := c.plan.Addresses.Lookup(w.inv.Pods[web].Addrs[0]), c.plan.Addresses.Lookup(w.inv.Pods[db].Addrs[0])
			if got := c.plan.Decide(plan.Flow{Src: plan.NewEnd(src), Dst: plan.NewEnd(dst), Port: other}).Ingress; got.Reason != plan.ByEnrolment || got.Audit.Reason != plan.ByEnrolment {
				t.Errorf("S22: audit %t: a list that is too long reaches key %#x: %s by %s", audit, other, got.Verdict, got.Reason)
			}
		}
		severity := diag.Error
		if audit { // nothing is denied yet
			severity = diag.Warning
		}
		if len(c.found) != 1 || c.found[0].Code != "WEIR3003" || c.found[0].Severity != severity {
			t.Errorf("audit %t: found %v, want one %s WEIR3003", audit, c.found, severity)
		}
	}
}
