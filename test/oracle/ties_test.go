package oracle

import (
	"slices"
	"testing"

	"github.com/weir-mesh/weir/compiler/analyze"
	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// How many worlds are searched for objects of one priority that differ, the fewer where rules are looked at one by one, too.
const tieWorlds, lintedTieWorlds = 1500, 400

// TestTiesAreOneThing finds what is said of two objects of one priority: they are in conflict, or may come to be, and never
// both (S12). Of rules that have ended nothing is said (S28).
func TestTiesAreOneThing(t *testing.T) {
	conflicts, ties := 0, 0
	for seed := uint64(6_000_000); seed < 6_000_000+lintedTieWorlds; seed++ {
		w := newGen(seed).world()
		c, err := compile(w)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		n, err := analyze.NewNames(c.plan)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		differ := map[[2]*ir.Policy]bool{}
		for _, d := range c.found {
			if d.Code == conflictCode {
				p := c.rivals(d)
				differ[p], differ[[2]*ir.Policy{p[1], p[0]}] = true, true
				conflicts++
			}
		}
		for _, d := range analyze.Lint(n) {
			if d.Code != analyze.CodeTie {
				continue
			}
			ties++
			if differ[c.rivals(d)] {
				t.Fatalf("seed %d: in conflict, and may be: %s\n%s", seed, d.Message, w)
			}
			for _, at := range []int{d.Pos.Line, d.Related[0].Pos.Line} {
				if r := c.lines[at]; r.Action == ir.Allow && !r.NotAfter.IsZero() && !r.NotAfter.After(w.now) {
					t.Fatalf("seed %d: a rule that has ended: %s\n%s", seed, d.Message, w)
				}
			}
		}
	}
	t.Logf("%d conflicts, %d ties", conflicts, ties)
	if conflicts < 20 || ties < 20 {
		t.Errorf("too few: %d conflicts, %d ties", conflicts, ties)
	}
}

// TestConflictsDeny insists that what is called a conflict denies something, now, later or in audit: what is asked before it
// does not answer everything (S10, S12). The other layer and requests, which may hide it, are left out.
func TestConflictsDeny(t *testing.T) {
	conflicts := 0
	for seed := uint64(6_000_000); seed < 6_000_000+tieWorlds; seed++ {
		w := newGen(seed).world().clone()
		w.policies = slices.DeleteFunc(w.policies, func(p ir.Policy) bool { return p.Layer != ir.Mesh })
		for i := range w.policies {
			for j := range w.policies[i].Rules {
				w.policies[i].Rules[j].HTTP = nil
			}
		}
		c, err := compile(w)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		deny := denyingConflicts(c.plan)
		for _, d := range c.found {
			if d.Code != conflictCode {
				continue
			}
			conflicts++
			p := c.rivals(d)[0]
			if !deny[[2]int32{int32(p.Tier), p.Priority}] {
				t.Fatalf("seed %d: nothing is denied by it: %s\n%s", seed, d.Message, w)
			}
		}
	}
	if conflicts < 60 {
		t.Errorf("too few: %d conflicts", conflicts)
	}
}

// rivals are the objects that a finding about one priority names.
func (c *compiled) rivals(d diag.Diagnostic) [2]*ir.Policy {
	return [2]*ir.Policy{c.policyOf(c.lines[d.Related[0].Pos.Line]), c.policyOf(c.lines[d.Pos.Line])}
}

// denyingConflicts holds the tiers and priorities at which conflicts decide.
func denyingConflicts(p *plan.Plan) map[[2]int32]bool {
	out := map[[2]int32]bool{}
	for i := range p.Decisions {
		for _, o := range []*plan.Outcome{&p.Decisions[i].Outcome, &p.Decisions[i].Audit} {
			if o.Reason == plan.ByConflict {
				of := &p.Policies[p.Rules[o.Rule].Policy]
				out[[2]int32{int32(of.Tier), of.Priority}] = true
			}
		}
	}
	return out
}
