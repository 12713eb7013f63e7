package resolve

import (
	"cmp"
	"slices"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// Cell is what one side's answer for a class of connections is made from.
type Cell struct {
	Subject   *plan.Subject
	Direction ir.Direction
	// Rules are those that match, enforced and in audit, ascending.
	Rules []plan.RuleIndex
	// Provable says that both ends can prove who they are (S18).
	Provable bool
}

// Needs reports whether a cell would get another answer if a rule were taken out of its object: another verdict, demand for
// authentication or list of requests, as enforced or in audit (S30), now or after the end of a rule (S28). It says yes
// where it can't tell: whether an object still isolates without its only allow is what its source says (S11).
func Needs(p *plan.Plan, c Cell, r plan.RuleIndex) bool {
	slots := cellSlots(p, c.Rules)
	if !MayIsolate(p, r) && unheard(p, slots, r) {
		return false
	}
	for _, with := range stages(p, slots) {
		without := slices.DeleteFunc(slices.Clone(with), func(s slot) bool { return s.rule == r })
		if changes(p, &c, with, without, r) {
			return true
		}
	}
	return false
}

// Conflicts lists the pairs of objects of equal priority, the first of them first, that are asked in a cell and answer
// differently (S12), as enforced or in audit, now or after the end of a rule: what Compile has a finding of.
func Conflicts(p *plan.Plan, c Cell) [][2]plan.PolicyIndex {
	var out [][2]plan.PolicyIndex
	for _, slots := range stages(p, cellSlots(p, c.Rules)) {
		chain := cellChain(p, &c, slots, plan.None)
		for _, audit := range []bool{false, true} {
			chain.outcome(chain.all(c.Provable), audit)
		}
		for pair := range chain.conflicts {
			a, b := p.Rules[pair[0]].Policy, p.Rules[pair[1]].Policy
			out = append(out, [2]plan.PolicyIndex{min(a, b), max(a, b)})
		}
	}
	return out
}

// stages are what is left of slots now, and after the end of each (S28).
func stages(p *plan.Plan, slots []slot) [][]slot {
	now := p.Now.Unix()
	moments := []int64{now}
	for i := range slots {
		if end := slots[i].notAfter; end > now {
			moments = append(moments, end)
		}
	}
	slices.Sort(moments)
	var out [][]slot
	for _, at := range slices.Compact(moments) {
		out = append(out, slices.DeleteFunc(slices.Clone(slots), func(s slot) bool { return s.notAfter != 0 && s.notAfter <= at }))
	}
	return out
}

// unheard reports whether a slot before the rule's, which is always there and matches every request, is asked in its place:
// of its object, or of its layer's namespace tier, of which the first match holds. It is a quick look; no says nothing.
func unheard(p *plan.Plan, slots []slot, r plan.RuleIndex) bool {
	own := p.Rules[r].Policy
	for i := range slots {
		s := &slots[i]
		if s.rule == r {
			break
		}
		inPlace := s.policy == own || s.tier == ir.Namespace && s.layer == p.Policies[own].Layer
		if inPlace && s.http == nil && !s.audit && s.notAfter == 0 {
			return true
		}
	}
	return false
}

// changes compares a cell with a rule and without it, in both chains.
func changes(p *plan.Plan, c *Cell, with, without []slot, r plan.RuleIndex) bool {
	for _, audit := range []bool{false, true} {
		before := cellChain(p, c, with, plan.None)
		o, entries := before.outcome(before.all(c.Provable), audit)
		for _, alone := range []plan.RuleIndex{plan.None, r} {
			after := cellChain(p, c, without, alone)
			if x, xs := after.outcome(after.all(c.Provable), audit); !sameDeed(&o, &x) || !sameDeeds(entries, xs) {
				return true
			}
		}
	}
	return false
}

// cellSlots makes slots of rules, in the order in which they are asked.
func cellSlots(p *plan.Plan, rules []plan.RuleIndex) []slot {
	out := make([]slot, 0, len(rules))
	for _, i := range rules {
		r := &p.Rules[i]
		pol := &p.Policies[r.Policy]
		s := slot{rule: i, policy: r.Policy, layer: pol.Layer, tier: pol.Tier, priority: pol.Priority, action: r.Action, audit: r.Audit,
			plain: r.Plaintext, http: r.Source.HTTP}
		if end := r.Source.NotAfter; r.Action == ir.Allow && !end.IsZero() {
			s.notAfter = end.Unix()
		}
		out = append(out, s)
	}
	// Rules come in the order of their objects; what is left is the namespace tier's.
	slices.SortStableFunc(out, func(a, b slot) int {
		return cmp.Or(cmp.Compare(a.layer, b.layer), cmp.Compare(a.tier, b.tier), cmp.Compare(rankIn(p, a.rule), rankIn(p, b.rule)))
	})
	return out
}

func rankIn(p *plan.Plan, i plan.RuleIndex) int {
	r := &p.Rules[i]
	return rankOf(p.Policies[r.Policy].Source, r.Source)
}

// cellChain makes a chain that asks slots only. gone, where it is a rule, is taken to have been all that its object
// isolates by, if it may have been.
func cellChain(p *plan.Plan, cell *Cell, slots []slot, gone plan.RuleIndex) *chain {
	// That a waypoint serves the destination is assumed: without one, what differs with one may be denied alike.
	c := &chain{slots: slots, enrolled: cell.Subject.Enrolled, direction: cell.Direction, served: true,
		special: specialsAfter(len(slots))}
	c.noIsolation()
	for _, k := range cell.Subject.Policies {
		pol := p.Policies[k].Source
		enforced, audited := pol.Isolate[cell.Direction] && !pol.Audit, pol.Isolate[cell.Direction] || pol.AuditIsolate[cell.Direction]
		if gone != plan.None && p.Rules[gone].Policy == k {
			other, otherEnforced := otherAllows(pol, p.Rules[gone].Source)
			enforced, audited = enforced && otherEnforced, audited && other
		}
		c.isolate(pol.Layer, k, enforced, audited)
	}
	return c
}

// MayIsolate reports whether an object may isolate in a rule's direction by this rule alone, so that taking it out would
// be felt where the rule does not match, too (S11).
func MayIsolate(p *plan.Plan, i plan.RuleIndex) bool {
	r := &p.Rules[i]
	pol := p.Policies[r.Policy].Source
	if !pol.Isolate[r.Direction] && !pol.AuditIsolate[r.Direction] {
		return false
	}
	other, enforced := otherAllows(pol, r.Source)
	return !other || pol.Isolate[r.Direction] && !enforced
}

// otherAllows says whether a policy has an allow beside a rule in the rule's direction, and whether one is enforced.
func otherAllows(pol *ir.Policy, r *ir.Rule) (other, enforced bool) {
	for i := range pol.Rules {
		if x := &pol.Rules[i]; x != r && !x.Implied && x.Direction == r.Direction && x.Action == ir.Allow {
			other, enforced = true, enforced || !x.Audit
		}
	}
	return other, enforced
}

// all are the chain's slots as a set.
func (c *chain) all(provable bool) bitset {
	m := newBitset(len(c.slots) + specials)
	for i := range c.slots {
		m.set(i)
	}
	if provable {
		m.set(c.special.provable)
	}
	m.set(c.special.waypoint)
	return m
}

// sameDeed reports whether two outcomes do the same, whoever decided.
func sameDeed(a, b *plan.Outcome) bool { return a.Verdict == b.Verdict && a.Auth == b.Auth }
