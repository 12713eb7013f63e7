package resolve

import (
	"math/bits"
	"slices"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// maxEntries bounds a first-match list. A longer one is denied as a whole, with a finding.
const maxEntries = 4096

// say is a layer's answer.
type say uint8

const (
	saysNothing say = iota
	saysAllow
	saysDeny
	saysPass
)

// answer is what a rule, a tier or a layer says.
type answer struct {
	say    say
	reason plan.Reason
	rule   plan.RuleIndex
	policy plan.PolicyIndex
	plain  bool
	// instead is, for a conflict, what the rule that it names said.
	instead say
	// over is, for what objects of one priority that differ became, where the last of their disputes is among the chain's,
	// counted from 1.
	over int32
	// voices is where the last of the objects of one priority that the answer comes from is among the chain's, counted from 1;
	// 0 for one object alone.
	voices int32
}

// voice is what one of several objects of a priority answered; before is another of the same answer's, as in voices.
type voice struct {
	rule   plan.RuleIndex
	say    say
	before int32
}

// dispute is a pair of rules of one priority that answered differently (S12); before is another of the same answer's, as in
// over.
type dispute struct {
	pair   [2]plan.RuleIndex
	before int32
}

// nothing is the answer of who has no say.
var nothing = answer{rule: plan.None, policy: plan.None}

// cond is an answer for the requests that meet all of conds; no conds are met by everything.
type cond struct {
	conds [][]ir.HTTPMatch
	answer
}

// firstMatch is a list of answers of which the first whose conds are met holds; the last, and no other, has none.
type firstMatch []cond

// chain decides a cell from the set of slots that match it (S9, S10, S12, S22).
type chain struct {
	slots     []slot
	enrolled  bool
	direction ir.Direction
	// served says that a waypoint serves the subject.
	served  bool
	special special
	// isolation is the first policy that isolates, by layer; the second of each pair counts audit objects too.
	isolation [ir.NumLayers][2]plan.PolicyIndex
	met
	// audit says that the audit chain is asked.
	audit bool

	// What follows is used again from cell to cell: a tier's slots, a layer's list up to its baseline, and the entries.
	tiers   [ir.NumTiers][]*slot
	tails   [ir.NumLayers]firstMatch
	entries []plan.Entry
	// disputes are those that the cell met, in answers that may yet come to nothing: what is asked before them may have
	// answered.
	disputes []dispute
	voices   []voice
}

// met is what a table's cells met.
type met struct {
	// tooLong says that the whole table is more than can be numbered, long that the list of the cell at hand is more
	// than a waypoint can hold, cut that some cell's was, cutInAudit that one's was with what is in audit enforced (S30).
	tooLong, long, cut, cutInAudit bool
	// conflicts are pairs of rules of equal priority that were asked and answered differently (S12), and whether they did so as
	// enforced, not only with what is in audit (S30); unserved are layer-7 rules that no waypoint can decide (S25), told apart alike.
	conflicts map[[2]plan.RuleIndex]bool
	unserved  map[plan.RuleIndex]bool
}

// begin makes the chain ready for a table.
func (c *chain) begin(slots []slot, s *subject, d ir.Direction) {
	c.slots, c.enrolled, c.served, c.direction = slots, s.enrolled, s.waypoint, d
	c.met = met{}
}

func (c *chain) noIsolation() {
	for l := range c.isolation {
		c.isolation[l] = [2]plan.PolicyIndex{plan.None, plan.None}
	}
}

// isolate enters a policy that isolates, if it does: the first of its layer is the one that is named.
func (c *chain) isolate(l ir.Layer, k plan.PolicyIndex, enforced, audited bool) {
	iso := &c.isolation[l]
	if enforced && iso[0] == plan.None {
		iso[0] = k
	}
	if audited && iso[1] == plan.None {
		iso[1] = k
	}
}

// outcome answers for the cell's slots; audit adds the rules and objects that are in audit (S30).
func (c *chain) outcome(m bitset, audit bool) (plan.Outcome, []plan.Entry) {
	c.long, c.audit, c.disputes, c.voices = false, audit, c.disputes[:0], c.voices[:0]
	orch := c.layer(ir.Orchestrator, m, audit)
	mesh := c.layer(ir.Mesh, m, audit)
	if c.tooLong || c.long || len(orch)*len(mesh) > maxEntries {
		c.cut, c.cutInAudit = c.cut || !audit, c.cutInAudit || audit
		return plan.Outcome{Verdict: plan.Deny, Reason: plan.ByCapacity, Rule: plan.None, Policy: plan.None, List: plan.None}, nil
	}
	provable := m.has(c.special.provable)
	c.entries = c.entries[:0]
	for _, o := range orch {
		for _, x := range mesh {
			c.entries = append(c.entries, plan.Entry{Conds: concat(o.conds, x.conds), Outcome: c.combine(o.answer, x.answer, provable)})
		}
	}
	return c.collapse(c.entries, m, audit)
}

// collapse makes one verdict of a list whose entries agree, and a redirect of one whose entries differ (S22).
func (c *chain) collapse(entries []plan.Entry, m bitset, audit bool) (plan.Outcome, []plan.Entry) {
	last := entries[len(entries)-1].Outcome
	differ := false
	auth := plan.AuthNone
	for i := range entries {
		e := &entries[i]
		differ = differ || e.Verdict != last.Verdict
		if e.Verdict == plan.Allow {
			auth = max(auth, e.Auth)
		}
	}
	if !differ {
		last.Auth = auth
		return last, nil
	}
	served := c.served
	if c.direction == ir.Egress {
		served = m.has(c.special.waypoint)
	}
	out := plan.Outcome{Verdict: plan.Redirect, Rule: plan.None, Policy: plan.None, Auth: auth, List: plan.None}
	if !served {
		out.Verdict, out.Reason, out.Auth = plan.Deny, plan.ByNoWaypoint, plan.AuthNone
		if c.unserved == nil {
			c.unserved = map[plan.RuleIndex]bool{}
		}
		first := c.firstRule(entries, m, audit)
		c.unserved[first] = c.unserved[first] || !audit
		return out, nil
	}
	out.Rule = c.firstRule(entries, m, audit)
	return out, slices.Clone(entries)
}

// firstRule is the rule that stands for a redirect: the first that decides some requests, or, where defaults decide
// all, the first that looks at requests at all, a pass.
func (c *chain) firstRule(entries []plan.Entry, m bitset, audit bool) plan.RuleIndex {
	for i := range entries {
		if len(entries[i].Conds) > 0 && entries[i].Rule != plan.None {
			return entries[i].Rule
		}
	}
	for i := range c.slots {
		if s := &c.slots[i]; s.http != nil && m.has(i) && (audit || !s.audit) {
			return s.rule
		}
	}
	return plan.None
}

func concat(a, b [][]ir.HTTPMatch) [][]ir.HTTPMatch {
	return append(slices.Clip(a), b...)
}

// combine is S9: any deny denies, else any allow allows, else the default. Where the orchestrator alone allowed, an
// enrolled endpoint still asks for authentication (S18).
func (c *chain) combine(o, m answer, provable bool) plan.Outcome {
	switch {
	case o.say == saysDeny:
		return denied(o)
	case m.say == saysDeny:
		return denied(m)
	case m.say == saysAllow:
		auth := plan.AuthRequired
		if m.plain {
			auth = plan.AuthPlaintext
		}
		return plan.Outcome{Verdict: plan.Allow, Rule: m.rule, Policy: plan.None, Auth: auth, List: plan.None}
	case o.say == saysAllow && c.enrolled && !provable:
		return plan.Outcome{Verdict: plan.Deny, Reason: plan.ByAuthentication, Rule: o.rule, Policy: plan.None, List: plan.None}
	case o.say == saysAllow:
		auth := plan.AuthNone
		if c.enrolled {
			auth = plan.AuthRequired
		}
		return plan.Outcome{Verdict: plan.Allow, Rule: o.rule, Policy: plan.None, Auth: auth, List: plan.None}
	case c.enrolled:
		return plan.Outcome{Verdict: plan.Deny, Reason: plan.ByEnrolment, Rule: plan.None, Policy: plan.None, List: plan.None}
	default:
		return plan.Outcome{Verdict: plan.Allow, Reason: plan.ByDefault, Rule: plan.None, Policy: plan.None, List: plan.None}
	}
}

func denied(a answer) plan.Outcome {
	return plan.Outcome{Verdict: plan.Deny, Reason: a.reason, Rule: a.rule, Policy: a.policy, List: plan.None}
}

// layer runs a layer's tiers (S10).
func (c *chain) layer(l ir.Layer, m bitset, audit bool) firstMatch {
	for t := range c.tiers {
		c.tiers[t] = c.tiers[t][:0]
	}
	for i := range m {
		for w := m[i]; w != 0; w &= w - 1 {
			at := i<<6 + bits.TrailingZeros64(w)
			if at >= len(c.slots) {
				break // what is left are special slots
			}
			if s := &c.slots[at]; s.layer == l && (audit || !s.audit) {
				c.tiers[s.tier] = append(c.tiers[s.tier], s)
			}
		}
	}
	tail := &c.tails[l]
	*tail = c.namespaceTier((*tail)[:0], c.tiers[ir.Namespace], l, audit)
	if n := len(*tail); n == 0 || (*tail)[n-1].conds != nil {
		*tail = append(*tail, c.sequence(l, groups(c.tiers[ir.Baseline]), firstMatch{{answer: nothing}}, nil)...)
	}
	out := c.sequence(l, groups(c.tiers[ir.Admin]), *tail, *tail)
	c.noteConflicts(out)
	return out
}

// noteConflicts notes the disputes that a layer's list still holds: what an earlier priority or tier has answered does not
// come to the objects behind it (S10, S12). An entry behind one that all its requests match answers none.
func (c *chain) noteConflicts(list firstMatch) {
	for i := range list {
		if list[i].over == 0 || len(list) <= maxLean && answered(list[:i], &list[i]) {
			continue
		}
		for at := list[i].over; at != 0; {
			d := &c.disputes[at-1]
			if c.conflicts == nil {
				c.conflicts = map[[2]plan.RuleIndex]bool{}
			}
			c.conflicts[d.pair] = c.conflicts[d.pair] || !c.audit
			at = d.before
		}
	}
}

// answered reports whether every request that an entry matches, one before it does.
func answered(before firstMatch, e *cond) bool {
	own := plan.Entry{Conds: e.conds}
	return slices.ContainsFunc(before, func(b cond) bool { return plan.Implies(&own, &plan.Entry{Conds: b.conds}) })
}

// namespaceTier appends denies, then allows, then isolation: the slots come in this order.
func (c *chain) namespaceTier(out firstMatch, slots []*slot, l ir.Layer, audit bool) firstMatch {
	for _, s := range slots {
		out = append(out, s.says())
		if s.http == nil {
			return out
		}
	}
	which := 0
	if audit {
		which = 1
	}
	if p := c.isolation[l][which]; p != plan.None {
		out = append(out, cond{answer: answer{say: saysDeny, reason: plan.ByIsolation, rule: plan.None, policy: p}})
	}
	return out
}

func (s *slot) says() cond {
	a := answer{say: [...]say{ir.Deny: saysDeny, ir.Allow: saysAllow, ir.Pass: saysPass}[s.action], rule: s.rule, policy: plan.None, plain: s.plain}
	if s.http == nil {
		return cond{answer: a}
	}
	return cond{conds: [][]ir.HTTPMatch{s.http}, answer: a}
}

// groups splits a tier's slots by priority, and each priority's by object (S12).
func groups(slots []*slot) [][][]*slot {
	var out [][][]*slot
	for i, s := range slots {
		switch {
		case i == 0 || slots[i-1].priority != s.priority:
			out = append(out, [][]*slot{{s}})
		case slots[i-1].policy != s.policy:
			g := &out[len(out)-1]
			*g = append(*g, []*slot{s})
		default:
			g := out[len(out)-1]
			g[len(g)-1] = append(g[len(g)-1], s)
		}
	}
	return out
}

// sequence asks the priorities in turn: the first answer holds, a pass goes on with passed, no answer ends with rest.
func (c *chain) sequence(l ir.Layer, prios [][][]*slot, rest, passed firstMatch) firstMatch {
	for i := len(prios) - 1; i >= 0; i-- {
		var out firstMatch
		for _, a := range c.priority(l, prios[i]) {
			switch a.say {
			case saysNothing:
				out = c.graft(out, a.conds, rest)
			case saysPass:
				out = c.graft(out, a.conds, passed)
			default:
				out = append(out, a)
			}
		}
		rest = out
	}
	return rest
}

// graft appends a list under further conditions.
func (c *chain) graft(out firstMatch, conds [][]ir.HTTPMatch, list firstMatch) firstMatch {
	if c.long || len(out)+len(list) > maxEntries {
		c.long = true
		return firstMatch{{answer: nothing}}
	}
	for _, a := range list {
		out = append(out, cond{conds: concat(conds, a.conds), answer: a.answer})
	}
	return out
}

// priority answers for the objects of one priority: where two that match answer differently, the connection is
// denied (S12). The list ends with an entry without conds.
func (c *chain) priority(l ir.Layer, objects [][]*slot) firstMatch {
	out := c.object(objects[0])
	for _, o := range objects[1:] {
		next := c.object(o)
		if c.long || len(out)*len(next) > maxEntries {
			c.long = true
			return firstMatch{{answer: nothing}}
		}
		var both firstMatch
		for _, a := range out {
			for _, b := range next {
				both = append(both, cond{conds: concat(a.conds, b.conds), answer: c.agree(l, a.answer, b.answer)})
			}
		}
		out = both
	}
	return out
}

func (c *chain) object(slots []*slot) firstMatch {
	var out firstMatch
	for _, s := range slots {
		out = append(out, s.says())
		if s.http == nil {
			return out
		}
	}
	return append(out, cond{answer: nothing})
}

// agree joins the answers of the objects of one priority so far and of the next (S12). Where they differ, a deny of the orchestrator layer
// wins, and anything else is a conflict, which names what would have opened most. Of two allows the stricter
// authentication holds (S19). Each pair of objects that differ is a dispute, whatever the others say.
func (c *chain) agree(l ir.Layer, a, b answer) answer {
	switch {
	case a.say == saysNothing:
		return b
	case b.say == saysNothing:
		return a
	}
	before := c.voicesOf(&a)
	c.voices = append(c.voices, voice{b.rule, b.say, before})
	voices, over := int32(len(c.voices)), a.over
	for at := before; at != 0; at = c.voices[at-1].before {
		if v := &c.voices[at-1]; v.say != b.say {
			c.disputes = append(c.disputes, dispute{[2]plan.RuleIndex{v.rule, b.rule}, over})
			over = int32(len(c.disputes))
		}
	}
	if a.say == b.say && a.reason == b.reason && a.reason == plan.ByRule {
		if a.say == saysAllow && a.plain && !b.plain {
			a = b
		}
		a.voices, a.over = voices, over
		return a
	}
	if l == ir.Orchestrator {
		for _, x := range []answer{a, b} {
			if x.say == saysDeny && x.reason == plan.ByRule {
				x.voices, x.over = voices, over
				return x
			}
		}
	}
	if b.opening() > a.opening() {
		a, b = b, a
	}
	return answer{say: saysDeny, reason: plan.ByConflict, rule: a.rule, policy: plan.None, plain: a.plain, instead: a.wanted(), over: over, voices: voices}
}

// voicesOf returns where the last of an answer's voices is, which it enters for one object alone.
func (c *chain) voicesOf(a *answer) int32 {
	if a.voices != 0 {
		return a.voices
	}
	c.voices = append(c.voices, voice{rule: a.rule, say: a.say})
	return int32(len(c.voices))
}

// wanted is what an answer said, or, for a conflict, what the rule that it names said.
func (a *answer) wanted() say {
	if a.reason == plan.ByConflict {
		return a.instead
	}
	return a.say
}

// How much an answer opens, for the name of a conflict: allows most, those that ask for authentication first.
const (
	opensNothing = iota
	opensByPass
	opensPlainly
	opensWithProof
)

func (a *answer) opening() int {
	switch {
	case a.wanted() == saysAllow && !a.plain:
		return opensWithProof
	case a.wanted() == saysAllow:
		return opensPlainly
	case a.wanted() == saysPass:
		return opensByPass
	default:
		return opensNothing
	}
}
