package resolve

import (
	"cmp"
	"slices"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// slot is one rule in a table's order of asking. A cell's rules are a set of slots: everything that is decided
// about a cell is a function of that set.
type slot struct {
	rule     plan.RuleIndex
	policy   plan.PolicyIndex
	layer    ir.Layer
	tier     ir.Tier
	priority int32
	action   ir.Action
	audit    bool
	plain    bool
	notAfter int64
	http     []ir.HTTPMatch
	match    match
}

// special slots hold facts about the cell, not rules.
type special struct {
	// provable is the slot of "TCP with an enrolled endpoint": both ends can prove who they are (S18).
	provable int
	// waypoint is the slot of "a waypoint serves the peer"; -1 where it is not asked.
	waypoint int
}

// tableSlots lists the rules of a subject and direction in the order in which they are asked.
func (c *compiler) tableSlots(s *subject, d ir.Direction) []slot {
	var out []slot
	now := c.in.Now.Unix()
	for _, k := range s.policies {
		pol := c.policies[k]
		for j := range pol.Rules {
			r := &pol.Rules[j]
			ends := r.Action == ir.Allow && !r.NotAfter.IsZero() // a deny or pass has no end (S28)
			if r.Direction != d || ends && r.NotAfter.Unix() <= now {
				continue // what has ended matches nothing
			}
			if pol.Layer == ir.Mesh && r.Action == ir.Allow && !r.Plaintext && !s.enrolled {
				continue // without an SVID nothing can be proved (S18)
			}
			base := slot{rule: c.ruleBase[k] + plan.RuleIndex(j), policy: plan.PolicyIndex(k), layer: pol.Layer, tier: pol.Tier,
				priority: pol.Priority, action: r.Action, audit: r.Audit || pol.Audit, plain: r.Plaintext, http: r.HTTP}
			if ends {
				base.notAfter = r.NotAfter.Unix()
			}
			for _, m := range c.sets.matches[base.rule] {
				base.match = s.ownNames(m)
				out = append(out, base)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b slot) int {
		return cmp.Or(cmp.Compare(a.layer, b.layer), cmp.Compare(a.tier, b.tier), cmp.Compare(a.rank(), b.rank()))
	})
	return out
}

// rank orders the namespace tier: denies, then allows, those that ask for authentication first, so that the
// strictest is met first (S10, S19). The other tiers keep the order of their objects and rules.
func (s *slot) rank() int {
	switch {
	case s.tier != ir.Namespace, s.action == ir.Deny:
		return 0
	case !s.plain:
		return 1
	default:
		return 2
	}
}

// ownNames puts the subject's own numbers in the place of an ingress rule's named ports.
func (s *subject) ownNames(m match) match {
	if m.names == nil {
		return m
	}
	ports := slices.Clone(m.ports)
	for _, n := range m.names {
		for _, own := range s.ports {
			if own.Name == n.name && own.Space == n.space {
				k := uint32(plan.Key(own.Space, own.Number))
				ports = append(ports, interval{k, k})
			}
		}
	}
	return match{set: m.set, ports: merge(ports)}
}
