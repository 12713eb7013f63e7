package analyze

import (
	"fmt"
	"slices"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/resolve"
)

// provable reports the ports of a mesh allow that can never prove an identity beside others that can (S18). It returns
// whether anything is left that can; an allow of which nothing can is reported by the front end that read it.
func (l *linter) provable(r *plan.Rule, p *plan.Policy) bool {
	if p.Layer != ir.Mesh || r.Action != ir.Allow || r.Plaintext {
		return true
	}
	var ports []string
	for _, port := range r.Ports {
		if port.Space != ir.TCP {
			ports = append(ports, portText(port))
		}
	}
	if len(ports) > 0 && len(ports) < len(r.Ports) {
		l.add(CodeNeverProved, diag.Warning, r.Pos, orList(ports)+" can never match: only TCP carries an identity, and this allow asks for one",
			"give it a rule of its own with authentication: \"none\" and an exception, or leave it out")
	}
	return len(ports) == 0 || len(ports) < len(r.Ports)
}

func orPos(p, q diag.Position) diag.Position {
	if p.IsValid() || p.Object != "" {
		return p
	}
	return q
}

const neverDecides = "this rule never decides"

// idle says why a rule decides nothing although its subject and peers exist.
func (l *linter) idle(i plan.RuleIndex, r *plan.Rule, p *plan.Policy) {
	v, met := l.meet(i, r, nil)
	if r.Action == ir.Pass && met {
		l.passes(i, r, p)
		return
	}
	switch {
	case met && l.needed(i, r):
		l.halfOpen(r, p)
	case met && l.conflicts(i, r, p): // the compile has its own finding
	case met:
		l.shadowed(i, r, p, v)
	case l.nowhere(r): // whoever is enrolled
		l.add(CodeNoPort, diag.Warning, r.Pos, "this rule matches nothing: no pod that it is about has a container port named as in "+portsText(r.Ports)+failsOpen(r.Action),
			nameThePort)
	case v.miss&missProof != 0 && !l.namesPods(r): // the front end said so of each peer (WEIR2031)
	case v.miss&missProof != 0:
		l.add(CodeNotEnrolled, diag.Warning, r.Pos, "this allow matches nothing: it asks for authentication, and no end that it names is enrolled",
			"label the namespaces weir.dev/mesh=enabled or set enrolment in the MeshConfig; or write authentication: \"none\" with an exception")
	}
}

// namesPods reports whether some peer of a rule is a pod, or may be one.
func (l *linter) namesPods(r *plan.Rule) bool {
	for i := range l.plan.Peers {
		if l.plan.Peers[i].Kind == plan.PodPeer && (r.PeerSet < 0 || l.plan.PeerSets[r.PeerSet].Has(plan.PeerIndex(i))) {
			return true
		}
	}
	return false
}

// nowhere reports whether a rule has only named ports, of which no pod that it is about has one.
func (l *linter) nowhere(r *plan.Rule) bool {
	return r.Ports != nil && !slices.ContainsFunc(r.Ports, func(p ir.Port) bool { return p.Name == "" || l.anyNamed(r, p) })
}

// meeting is a flow that a rule matches, or how the flows that exist miss it.
type meeting struct {
	view
	decision *plan.Decision
	miss     miss
}

// passes reports a pass that is never the first match of its tier. No decision names a pass: what it passes on to does.
func (l *linter) passes(i plan.RuleIndex, r *plan.Rule, p *plan.Policy) {
	n := narrator{l.plan, l.rules}
	first := plan.RuleIndex(plan.None)
	tells := func(v *view, s *plan.Subject) bool {
		rule := n.tier(v, s, p.Layer, p.Tier, &story{}).rule
		if rule != i && first == plan.None {
			first = rule
		}
		return rule == i
	}
	if _, met := l.meet(i, r, tells); !met && first != plan.None && !r.Audit && !l.needed(i, r) {
		l.add(CodeNeverDecides, diag.Warning, r.Pos, neverDecides, l.by(&plan.Outcome{Rule: first, Policy: plan.None}))
	}
}

// meet looks for a flow between what exists that the rule matches, and that accept, where it is not nil, accepts.
func (l *linter) meet(i plan.RuleIndex, r *plan.Rule, accept func(*view, *plan.Subject) bool) (meeting, bool) {
	out := meeting{view: view{plan: l.plan, direction: r.Direction}}
	v := &out.view
	for _, s := range l.subjects[r.Policy] {
		if len(l.peersOf[s]) == 0 {
			continue
		}
		v.subject = l.peersOf[s][0] // the pods of a subject share their tables
		for v.peer = 1; int(v.peer) < len(l.plan.Peers); v.peer++ {
			if !v.peerMatches(r) {
				continue
			}
			for _, v.key = range l.keys(v, r) {
				if m := v.misses(i) &^ missAudit; m != 0 {
					out.miss |= m
					continue
				}
				if accept != nil && !accept(v, &l.plan.Subjects[s]) {
					continue
				}
				t := l.plan.Subjects[s].Tables[r.Direction]
				out.decision = &l.plan.Decisions[l.plan.At(t, v.peer, v.key)]
				return out, true
			}
		}
	}
	return out, false
}

// keys are ports that a rule matches, one for each of its entries. The slice is good until the next call.
func (l *linter) keys(v *view, r *plan.Rule) []plan.PortKey {
	out := l.scratch[:0]
	defer func() { l.scratch = out }()
	if r.Ports == nil {
		out = append(out, plan.Key(ir.TCP, 1))
		return out
	}
	for _, p := range r.Ports {
		if p.Name == "" {
			out = append(out, plan.Key(p.Space, p.First))
			continue
		}
		found := false
		for _, n := range l.plan.Peers[v.destination()].NamedPorts {
			if n.Name == p.Name && n.Space == p.Space {
				out, found = append(out, plan.Key(n.Space, n.Number)), true
			}
		}
		if !found {
			out = append(out, plan.Key(p.Space, 0)) // a port that nothing has, so that the miss is seen
		}
	}
	return out
}

// shadowed reports a rule that matches what exists and still decides nothing.
func (l *linter) shadowed(i plan.RuleIndex, r *plan.Rule, p *plan.Policy, m meeting) {
	o := &m.decision.Outcome
	if r.Audit {
		o = &m.decision.Audit
	}
	by := l.by(o)
	other := plan.RuleIndex(plan.None)
	if o.Rule != plan.None {
		other = o.Rule
	}
	switch {
	case other != plan.None && r.HTTP && r.Action == ir.Allow && !l.plan.Rules[other].HTTP && l.plan.Rules[other].Action == ir.Allow:
		l.add(CodeIdleRequests, diag.Warning, r.Pos, "the requests of this rule are not looked at: a rule without http allows the same connections",
			by+"; take that one out, or this one")
	case other != plan.None && r.Plaintext && !l.plan.Rules[other].Plaintext && l.plan.Rules[other].Action == ir.Allow:
		l.add(CodeStrictest, diag.Warning, r.Pos, "this rule permits plaintext and never decides: where rules overlap, the strictest wins",
			by+", and asks for authentication")
	default:
		if before := l.before(i, p, &m.view); before != nil {
			by = l.by(before)
		}
		l.add(CodeNeverDecides, diag.Warning, r.Pos, neverDecides, by)
	}
}

// before returns what answers in a rule's layer before the rule is asked, which need not be what decides: a pass, for one. It
// is nil where nothing does.
func (l *linter) before(i plan.RuleIndex, p *plan.Policy, v *view) *plan.Outcome {
	n := narrator{l.plan, l.rules}
	s := l.plan.SubjectOf(v.subject)
	if l.plan.Rules[i].Audit {
		return nil
	}
	for t := range p.Tier + 1 {
		switch ts := n.tier(v, s, p.Layer, t, &story{}); {
		case ts.says == saysAsk, ts.rule == i:
			return nil
		case ts.other != plan.None:
			return &plan.Outcome{Reason: plan.ByConflict, Rule: ts.rule, Policy: plan.None}
		case ts.rule != plan.None && (t == p.Tier || ts.says != saysPass):
			return &plan.Outcome{Rule: ts.rule, Policy: plan.None}
		case ts.isolating != plan.None && t < p.Tier:
			return &plan.Outcome{Rule: plan.None, Policy: ts.isolating}
		}
	}
	return nil
}

// conflicts reports whether a rule has equals somewhere that answer differently (S12).
func (l *linter) conflicts(i plan.RuleIndex, r *plan.Rule, p *plan.Policy) bool {
	if p.Tier == ir.Namespace {
		return false
	}
	n := narrator{l.plan, l.rules}
	_, met := l.meet(i, r, func(v *view, s *plan.Subject) bool {
		ts := n.tier(v, s, p.Layer, p.Tier, &story{})
		if ts.other == plan.None || ts.other != i && ts.rule != i {
			return false
		}
		a, b := l.plan.Rules[ts.rule].Policy, l.plan.Rules[ts.other].Policy
		return slices.Contains(resolve.Conflicts(l.plan, v.cell(l.rules, s)), [2]plan.PolicyIndex{min(a, b), max(a, b)})
	})
	return met
}

// by says what decides in a rule's place.
func (l *linter) by(o *plan.Outcome) string {
	switch {
	case o.Reason == plan.ByConflict && o.Rule != plan.None:
		return l.places.rule(o.Rule).Short + " is asked first, and another rule of its priority contradicts it: denied"
	case o.Rule != plan.None:
		r := &l.plan.Rules[o.Rule]
		ref := l.places.rule(o.Rule)
		about := peersText(r.Source.Peers)
		preposition := "from"
		if r.Direction == ir.Egress {
			preposition = "to"
		}
		on := ""
		if r.Ports != nil {
			on = " on " + portsText(r.Ports)
		}
		verb := map[ir.Action]string{ir.Allow: "allows", ir.Deny: "denies", ir.Pass: "passes on"}[r.Action]
		return fmt.Sprintf("%s already %s what comes %s %s%s", ref.Short, verb, preposition, about, on)
	case o.Policy != plan.None:
		return l.places.policy(o.Policy).Short + " denies it first: nothing in its layer allows it"
	}
	return "the " + o.Reason.String() + " decides first"
}

// maxPairs bounds how many pairs of identities one finding looks at.
const maxPairs = 10_000

// plaintext reports a permission for plaintext that the other side never shares (S19).
func (l *linter) plaintext(i plan.RuleIndex, r *plan.Rule) {
	pairs := 0
	v := &view{plan: l.plan, direction: r.Direction}
	for _, s := range l.subjects[r.Policy] {
		for _, v.subject = range l.peersOf[s] {
			for v.peer = 1; int(v.peer) < len(l.plan.Peers) && pairs < maxPairs; v.peer++ {
				if !v.peerMatches(r) {
					continue
				}
				for _, v.key = range l.keys(v, r) {
					a := l.plan.Decide(v.flow())
					if own := []*plan.Decision{&a.Egress, &a.Ingress}[r.Direction]; own.Rule != i || a.Verdict == plan.Deny {
						continue
					}
					if a.Auth != plan.AuthRequired {
						return // here it is of use
					}
					pairs++
				}
			}
		}
	}
	if pairs > 0 {
		l.add(CodeStrictest, diag.Warning, r.Pos, "this rule permits plaintext, and the other side of every connection asks for authentication: both must permit it",
			"take authentication and exception out here, or permit plaintext on the other side, too")
	}
}
