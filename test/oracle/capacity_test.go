package oracle

import (
	"fmt"
	"testing"

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
// and an error says so. The evaluator has no such bound, so this is no part of the property test.
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
		if c.found.Count(diag.Error) == 0 {
			t.Errorf("audit %t: no error says that the list is too long", audit)
		}
	}
}
