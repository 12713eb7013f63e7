package resolve

import (
	"slices"

	"github.com/weir-mesh/weir/compiler/plan"
)

// Would is what a cell would answer as enforced if one more allow matched, which is then neither in audit nor ended. Where
// requests is true those that look at requests are taken to match the one at hand.
func Would(p *plan.Plan, c Cell, more plan.RuleIndex, requests bool) plan.Outcome {
	rules := append(slices.Clone(c.Rules), more)
	slices.Sort(rules)
	slots := cellSlots(p, rules)
	for i := range slots {
		s := &slots[i]
		if s.rule == more {
			s.audit, s.notAfter = false, 0
		}
		if requests {
			s.http = nil
		}
	}
	chain := cellChain(p, &c, slots, plan.None)
	o, _ := chain.outcome(chain.all(c.Provable), false)
	return o
}
