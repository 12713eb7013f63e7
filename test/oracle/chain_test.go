package oracle

import (
	"sort"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// Rulings: where semantics.md leaves a choice, the fail-closed or the obvious one is taken.
//
//  1. An API server's address inside the ranges that no node or pod holds is explained by the entity: it is a node's.
//  2. A waypoint serves enrolled pods only: what it may be told must be proved to it.
//  3. An in-cluster address that nothing explains is denied by every pod that is enrolled or that any policy selects,
//     be it in audit (R4): the address is at fault, not the policy.
//  4. Isolation is the namespace tier's last step (S10), whatever tier the isolating object belongs to (S11): the front
//     end says which objects isolate.
//  5. In the admin and baseline tiers the first match is the deciding one, and later rules are not asked: they make
//     nothing stricter. Objects of equal priority are asked together, and the strictest demand of theirs holds (S19).
//  6. In the namespace tier the strictest of the matching allows is the one named; among equals, the first.
//  7. Objects of equal priority conflict when their answers (allow, deny, pass) differ: denied, and the first of those
//     that would have opened most is named: an allow, best one that asks for authentication, else a pass. In the
//     orchestrator layer a deny among them wins as itself (S12).
//  8. Both layers deny: the orchestrator's rule is named. Both allow: the mesh's.
//  9. Where every combination of layer-7 conditions gives one verdict, nothing is redirected, and the rule named is the
//     one that decides when no condition holds. What authentication could be asked under some combination is asked.
//  10. Layer-7 rules speak of TCP only; no other protocol carries their requests.
//  11. A translated packet matches the entity world, and CIDRs only with matchPods, by the node's address: which part of
//     the world it comes from is not known.
//  12. NotAfter ends allows only. A deny or pass that carries one stays.
//  13. The endpoints behind a service's address of one family are those with an address of that family.
//  14. A declared pod without an address is judged at every address that it may get: in the pod ranges or, without any,
//     in the families that rules with matchPods speak of.
//  15. A request that gives a query parameter twice, which a rule asks for, may be refused as what can't be evaluated.
//  16. A repeated header is one header with all values (RFC 9110, 5.3).
//  17. A backslash in a path is a slash: Envoy makes it one before anything sees it, and cannot refuse it (S24 asks for
//     400). No rule and no backend ever sees one.
//  18. Of the endpoints behind a service's address that answer alike, any one's rule may be named.
//  19. A redirect is named by the rule that decides when all conditions hold, or else by a layer-7 rule or one that
//     decides under some of them.

// says is what a tier or layer answers (S9, S10).
type says uint8

const (
	nothing says = iota
	denies
	allows
	passes
)

// answer is what a tier or layer answers, and why (S31).
type answer struct {
	says   says
	reason plan.Reason
	rule   *ir.Rule
	policy *ir.Policy
	auth   plan.Auth
	// tier answered; passed says that an admin pass went before it. They are for the count of what was exercised.
	tier   ir.Tier
	passed bool
}

// outcome is one chain's verdict for one side. With a redirect, cases holds what decides under each combination of
// layer-7 conditions.
type outcome struct {
	verdict plan.Verdict
	reason  plan.Reason
	rule    *ir.Rule
	policy  *ir.Policy
	auth    plan.Auth
	layer7  []*ir.Rule
	cases   []outcome
	layers  [ir.NumLayers]answer
	// alike are, behind a service's address, the other endpoints' answers, which are the same apart from what they name.
	alike []outcome
}

// asked returns the policies of a tier that select the subject, in their order: priority, then name, which only
// decides whose rule is named.
func (q *question) asked(l ir.Layer, t ir.Tier) []*ir.Policy {
	var out []*ir.Policy
	for i := range q.w.policies {
		p := &q.w.policies[i]
		if p.Layer != l || p.Tier != t || p.Audit && !q.audit { // S30: absent, isolation included
			continue
		}
		if q.w.selects(&p.Subject, q.subject) {
			out = append(out, p)
		}
	}
	sort.SliceStable(out, func(i, j int) bool {
		a, b := out[i], out[j]
		if a.Priority != b.Priority {
			return a.Priority < b.Priority
		}
		return a.Kind+"\x00"+a.Namespace+"\x00"+a.Name < b.Kind+"\x00"+b.Namespace+"\x00"+b.Name
	})
	return out
}

// layer runs a layer's tiers in order: admin, namespace, baseline (S10).
func (q *question) layer(l ir.Layer) answer {
	admin := q.ordered(l, ir.Admin)
	if admin.says == allows || admin.says == denies {
		return admin // allow and deny end it, pass goes on
	}
	a := q.unordered(l)
	a.tier = ir.Namespace
	if a.says == nothing {
		a = q.ordered(l, ir.Baseline)
		a.tier = ir.Baseline
	}
	a.passed = admin.says == passes
	return a
}

// ordered asks the admin or baseline tier by priority: the first match answers (S10).
func (q *question) ordered(l ir.Layer, t ir.Tier) answer {
	policies := q.asked(l, t)
	for len(policies) > 0 {
		n := 1
		for n < len(policies) && policies[n].Priority == policies[0].Priority {
			n++
		}
		var answers []answer
		for _, p := range policies[:n] {
			if a := q.first(p); a.says != nothing {
				answers = append(answers, a)
			}
		}
		if len(answers) > 0 {
			return settle(l, answers)
		}
		policies = policies[n:]
	}
	return answer{}
}

// first is an object's own answer: inside it, list order decides (S12).
func (q *question) first(p *ir.Policy) answer {
	for i := range p.Rules {
		if r := &p.Rules[i]; q.matches(p, r) {
			return ruleAnswer(p, r)
		}
	}
	return answer{}
}

func ruleAnswer(p *ir.Policy, r *ir.Rule) answer {
	a := answer{rule: r}
	switch r.Action {
	case ir.Deny:
		a.says = denies
	case ir.Pass:
		a.says = passes
	case ir.Allow:
		a.says = allows
		if p.Layer == ir.Mesh { // S18: required is the default of an allow
			a.auth = plan.AuthRequired
			if r.Plaintext {
				a.auth = plan.AuthPlaintext
			}
		}
	}
	return a
}

// settle combines the answers of objects of equal priority (S12).
func settle(l ir.Layer, answers []answer) answer {
	all := answers[0]
	differ := false
	for _, a := range answers[1:] {
		differ = differ || a.says != all.says
	}
	if !differ { // S19: the strictest wins
		for _, a := range answers {
			if a.auth > all.auth {
				all = a
			}
		}
		return all
	}
	if l == ir.Orchestrator { // for imported kinds: deny wins
		for _, a := range answers {
			if a.says == denies {
				return a
			}
		}
	}
	var most answer
	for _, a := range answers {
		if opening(a) > opening(most) {
			most = a
		}
	}
	return answer{says: denies, reason: plan.ByConflict, rule: most.rule} // an overlap with different answers is denied there
}

// opening ranks answers for the name of a conflict (ruling 7).
func opening(a answer) int {
	switch {
	case a.says == allows && a.auth != plan.AuthPlaintext:
		return 3
	case a.says == allows:
		return 2
	case a.says == passes:
		return 1
	}
	return 0
}

// unordered asks the namespace tier: any matching deny denies, else any matching allow allows, else, if the subject
// is isolated in this direction, deny (S10).
func (q *question) unordered(l ir.Layer) answer {
	policies := q.asked(l, ir.Namespace)
	var best answer
	for _, p := range policies {
		for i := range p.Rules {
			r := &p.Rules[i]
			if !q.matches(p, r) {
				continue
			}
			a := ruleAnswer(p, r)
			switch {
			case a.says == denies && best.says != denies:
				best = a
			case a.says == allows && best.says == nothing:
				best = a
			case a.says == allows && best.says == allows && a.auth > best.auth: // S19: the strictest wins
				best = a
			}
		}
	}
	if best.says != nothing {
		return best
	}
	for t := ir.Admin; t < ir.NumTiers; t++ {
		for _, p := range q.asked(l, t) {
			if p.Isolate[q.direction] || q.audit && p.AuditIsolate[q.direction] { // S11, S30, ruling 4
				return answer{says: denies, reason: plan.ByIsolation, policy: p}
			}
		}
	}
	return answer{}
}

// side decides with the layer-7 conditions as q.holds says.
func (q *question) side() outcome {
	if q.peer.kind == unknown || q.peer.kind == service {
		return outcome{verdict: plan.Deny, reason: plan.ByUnknownAddress} // S3, R4; S27: no endpoint
	}
	orchestrator, mesh := q.layer(ir.Orchestrator), q.layer(ir.Mesh)
	out := q.combine(orchestrator, mesh)
	out.layers = [ir.NumLayers]answer{orchestrator, mesh}
	return out
}

// combine joins the layers (S9), and asks an enrolled endpoint's authentication whichever allowed (S18).
func (q *question) combine(orchestrator, mesh answer) outcome {
	enrolled := q.w.enrolled(q.subject)
	switch {
	case orchestrator.says == denies: // S9: any deny denies
		return deny(orchestrator)
	case mesh.says == denies:
		return deny(mesh)
	case mesh.says == allows: // else any allow allows
		return outcome{verdict: plan.Allow, rule: mesh.rule, auth: mesh.auth}
	case orchestrator.says == allows && !enrolled:
		return outcome{verdict: plan.Allow, rule: orchestrator.rule}
	case orchestrator.says == allows && q.provable(): // S18, R2: this holds whichever layer allowed
		return outcome{verdict: plan.Allow, rule: orchestrator.rule, auth: plan.AuthRequired}
	case orchestrator.says == allows:
		return outcome{verdict: plan.Deny, reason: plan.ByAuthentication, rule: orchestrator.rule}
	case enrolled: // S9: else the default
		return outcome{verdict: plan.Deny, reason: plan.ByEnrolment}
	default:
		return outcome{verdict: plan.Allow, reason: plan.ByDefault}
	}
}

func deny(a answer) outcome {
	return outcome{verdict: plan.Deny, reason: a.reason, rule: a.rule, policy: a.policy}
}

// layer7 lists the layer-7 rules that the flow reaches: those whose conditions alone are open.
func (q *question) layer7() []*ir.Rule {
	var out []*ir.Rule
	for l := ir.Orchestrator; l < ir.NumLayers; l++ {
		for t := ir.Admin; t < ir.NumTiers; t++ {
			for _, p := range q.asked(l, t) {
				for i := range p.Rules {
					if r := &p.Rules[i]; r.HTTP != nil && q.reaches(p, r) {
						out = append(out, r)
					}
				}
			}
		}
	}
	return out
}

// connection decides what the kernel does before any request is seen: it supposes each layer-7 condition to hold or
// not, in every combination, and hands the connection to the waypoint where the verdict hangs on them (S22).
func (q *question) connection() outcome {
	open := q.layer7()
	var cases []outcome
	for n := 0; n < 1<<len(open); n++ {
		q.holds = func(r *ir.Rule) bool {
			for i := range open {
				if open[i] == r {
					return n&(1<<i) != 0
				}
			}
			return false
		}
		cases = append(cases, q.side())
	}
	out := cases[0] // ruling 9: no condition holds
	var strictest plan.Auth
	differ := false
	for _, c := range cases {
		differ = differ || c.verdict != out.verdict
		if c.verdict == plan.Allow {
			strictest = max(strictest, c.auth)
		}
	}
	switch {
	case !differ && out.verdict == plan.Allow:
		out.auth = strictest
	case !differ:
	case !q.w.served(&q.destination): // S25: without a waypoint: denied
		out = outcome{verdict: plan.Deny, reason: plan.ByNoWaypoint}
	default:
		out = outcome{verdict: plan.Redirect, auth: strictest, layer7: open, cases: cases}
	}
	return out
}

// request decides one request of a redirected connection: the same chain, tier by tier (S22).
func (q *question) request(r *request) outcome {
	if r == nil || r.refused() {
		return outcome{verdict: plan.Deny} // S23: what can't be evaluated is refused
	}
	q.holds = func(rule *ir.Rule) bool { return r.matchesAny(rule.HTTP) }
	return q.side()
}
