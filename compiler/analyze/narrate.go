package analyze

import (
	"slices"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// says is what a tier answers in a narration.
type says uint8

const (
	saysNothing says = iota
	saysAllow
	saysDeny
	saysPass
	// saysAsk: a rule that looks at requests is met, and no request was given.
	saysAsk
)

func (s says) String() string { return [...]string{"pass", "allow", "deny", "pass", "ask"}[s] }

// tierStory is what one tier of one layer says of a flow: the narration of the plan's verdict. It decides nothing.
type tierStory struct {
	layer ir.Layer
	tier  ir.Tier
	says  says
	// looked is how many rules of the tier are about the subject and direction.
	looked int
	// rule matched, or None; other is the rule of equal priority that contradicts it (S12).
	rule, other plan.RuleIndex
	// isolating is the policy whose default this is (S11), or None.
	isolating plan.PolicyIndex
}

// story tells the flow's way through the tiers of one side, and which rules missed it (S9, S10).
type story struct {
	tiers  []tierStory
	missed []plan.RuleIndex
}

// narrator tells stories of one plan.
type narrator struct {
	plan  *plan.Plan
	rules map[plan.PolicyIndex][]plan.RuleIndex
}

func (n *narrator) tell(v *view, s *plan.Subject) story {
	var out story
	for l := range ir.NumLayers {
		ended := false
		for t := range ir.NumTiers {
			ts := n.tier(v, s, l, t, &out)
			if ended || ts.looked == 0 && ts.isolating == plan.None {
				continue
			}
			out.tiers = append(out.tiers, ts)
			ended = ts.says != saysNothing && ts.says != saysPass
		}
	}
	return out
}

// tier asks the subject's policies of a tier.
func (n *narrator) tier(v *view, s *plan.Subject, l ir.Layer, t ir.Tier, out *story) tierStory {
	ts := tierStory{layer: l, tier: t, rule: plan.None, other: plan.None, isolating: plan.None}
	var matched []plan.RuleIndex
	for _, p := range s.Policies {
		pol := &n.plan.Policies[p]
		if pol.Layer != l || pol.Tier != t {
			continue
		}
		for _, i := range n.rules[p] {
			if n.plan.Rules[i].Direction != v.direction {
				continue
			}
			if !n.plan.Rules[i].Audit {
				ts.looked++
			}
			switch {
			case v.misses(i) != 0:
				out.missed = append(out.missed, i)
			case !v.settled || !n.plan.Rules[i].HTTP:
				matched = append(matched, i)
			}
		}
	}
	if t == ir.Namespace {
		n.namespace(v, s, &ts, matched)
	} else {
		n.sequence(v, &ts, matched)
	}
	return ts
}

// namespace: any matching deny denies, else any allow allows, the one that asks for authentication first; else the
// isolation of a policy denies (S10, S19).
func (n *narrator) namespace(v *view, s *plan.Subject, ts *tierStory, matched []plan.RuleIndex) {
	rank := func(i plan.RuleIndex) int {
		switch r := &n.plan.Rules[i]; {
		case r.Action == ir.Deny:
			return 0
		case !r.Plaintext:
			return 1
		default:
			return 2
		}
	}
	slices.SortStableFunc(matched, func(a, b plan.RuleIndex) int { return rank(a) - rank(b) })
	if len(matched) > 0 {
		n.matched(v, ts, matched[0])
		return
	}
	for _, p := range s.Policies {
		pol := &n.plan.Policies[p]
		if pol.Layer == ts.layer && !pol.Audit && pol.Source.Isolate[v.direction] {
			ts.says, ts.isolating = saysDeny, p
			return
		}
	}
}

// sequence: the first match of the lowest priority holds; objects of one priority must agree (S10, S12). A deny of the
// orchestrator layer wins over what else its priority says; of two allows the stricter holds (S19).
func (n *narrator) sequence(v *view, ts *tierStory, matched []plan.RuleIndex) {
	if len(matched) == 0 {
		return
	}
	first := matched[0]
	for _, i := range matched[1:] {
		a, b := &n.plan.Rules[first], &n.plan.Rules[i]
		if n.plan.Policies[a.Policy].Priority != n.plan.Policies[b.Policy].Priority {
			break
		}
		switch {
		case !n.firstOfObject(matched, i):
		case b.HTTP && v.request == nil, a.HTTP && v.request == nil:
		case a.Action != b.Action && ts.layer == ir.Orchestrator && (a.Action == ir.Deny || b.Action == ir.Deny):
			ts.other = plan.None
			if b.Action == ir.Deny {
				first = i
			}
		case a.Action != b.Action:
			ts.other = i
			if n.opening(i) > n.opening(first) {
				first, ts.other = i, first
			}
		case a.Action == ir.Allow && a.Plaintext && !b.Plaintext:
			first = i
		}
	}
	n.matched(v, ts, first)
	if ts.other != plan.None {
		ts.says = saysDeny
	}
}

// opening ranks the rules of a conflict as the resolver does, which names the one that would open most.
func (n *narrator) opening(i plan.RuleIndex) int {
	switch r := &n.plan.Rules[i]; {
	case r.Action == ir.Allow && !r.Plaintext:
		return 3
	case r.Action == ir.Allow:
		return 2
	case r.Action == ir.Pass:
		return 1
	}
	return 0
}

// firstOfObject reports whether a rule is the first of its object that matched.
func (n *narrator) firstOfObject(matched []plan.RuleIndex, i plan.RuleIndex) bool {
	for _, j := range matched {
		if n.plan.Rules[j].Policy == n.plan.Rules[i].Policy {
			return j == i
		}
	}
	return false
}

func (n *narrator) matched(v *view, ts *tierStory, i plan.RuleIndex) {
	r := &n.plan.Rules[i]
	ts.rule = i
	switch {
	case r.HTTP && v.request == nil:
		ts.says = saysAsk
	case r.Action == ir.Allow:
		ts.says = saysAllow
	case r.Action == ir.Deny:
		ts.says = saysDeny
	default:
		ts.says = saysPass
	}
}
