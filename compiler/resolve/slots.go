package resolve

import (
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
	set      int32
	ports    []interval
}

// specials is how many slots a table has beside those of its rules.
const specials = 2

// special slots hold facts about the cell, not rules.
type special struct {
	// provable is the slot of "TCP with an enrolled endpoint": both ends can prove who they are (S18).
	provable int
	// waypoint is the slot of "a waypoint serves the peer"; -1 where it is not asked.
	waypoint int
}

func specialsAfter(slots int) special { return special{provable: slots, waypoint: slots + 1} }

// tableSlots lists the rules of a subject and direction in the order in which they are asked. Policies come in the
// order of their layers, tiers and priorities; what is left is to order the namespace tier by rank.
func (b *tableBuilder) tableSlots(s *subject, d ir.Direction) []slot {
	out := b.chain.slots[:0]
	for first, last := 0, 0; first < len(s.policies); first = last {
		pol := b.c.policies[s.policies[first]]
		for last < len(s.policies) && sameTier(pol, b.c.policies[s.policies[last]]) {
			last++
		}
		ranks := 1
		if pol.Tier == ir.Namespace {
			ranks = numRanks
		}
		for rank := range ranks {
			for _, k := range s.policies[first:last] {
				out = b.policySlots(out, s, k, d, rank)
			}
		}
	}
	return out
}

func sameTier(a, b *ir.Policy) bool { return a.Layer == b.Layer && a.Tier == b.Tier }

// policySlots appends the rules of a policy that have a rank.
func (b *tableBuilder) policySlots(out []slot, s *subject, k int32, d ir.Direction, rank int) []slot {
	pol := b.c.policies[k]
	now := b.c.in.Now.Unix()
	for j := range pol.Rules {
		r := &pol.Rules[j]
		if r.Direction != d || rankOf(pol, r) != rank {
			continue
		}
		ends := r.Action == ir.Allow && !r.NotAfter.IsZero() // a deny or pass has no end (S28)
		if ends && r.NotAfter.Unix() <= now {
			continue // what has ended matches nothing
		}
		if pol.Layer == ir.Mesh && r.Action == ir.Allow && !r.Plaintext && !s.enrolled {
			continue // without an SVID nothing can be proved (S18)
		}
		base := slot{rule: b.c.ruleBase[k] + plan.RuleIndex(j), policy: plan.PolicyIndex(k), layer: pol.Layer, tier: pol.Tier,
			priority: pol.Priority, action: r.Action, audit: r.Audit || pol.Audit, plain: r.Plaintext, http: r.HTTP}
		if ends {
			base.notAfter = r.NotAfter.Unix()
		}
		for i := range b.c.sets.matches[base.rule] {
			m := &b.c.sets.matches[base.rule][i]
			base.set, base.ports = m.set, s.ownPorts(m)
			out = append(out, base)
		}
	}
	return out
}

// numRanks is how many ranks the namespace tier has.
const numRanks = 3

// rankOf orders the namespace tier: denies, then allows, those that ask for authentication first, so that the
// strictest is met first (S10, S19). The other tiers keep the order of their objects and rules.
func rankOf(p *ir.Policy, r *ir.Rule) int {
	switch {
	case p.Tier != ir.Namespace, r.Action == ir.Deny:
		return 0
	case !r.Plaintext:
		return 1
	default:
		return 2
	}
}

// ownPorts are the ports of a match, with the subject's own numbers in the place of an ingress rule's named ports.
func (s *subject) ownPorts(m *match) []interval {
	if m.names == nil {
		return m.ports
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
	return merge(ports)
}
