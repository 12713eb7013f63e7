package oracle

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/resolve"
)

// compiled is a world and its plan.
type compiled struct {
	*world
	plan  *plan.Plan
	found diag.List
	nodes map[string]*plan.Node
	// later holds the same world at the moments at which something ends.
	later    map[int64]*world
	requests *plan.Requests
	// lines finds a rule by its line: the generator gives each one of its own.
	lines map[int]*ir.Rule
	// conditions finds the rule that layer-7 conditions in the plan's lists come from.
	conditions map[*ir.HTTPMatch]*ir.Rule
}

func compile(w *world) (*compiled, error) {
	p, found := resolve.Compile(w.input())
	return bind(w, p, found)
}

func (w *world) input() resolve.Input {
	return resolve.Input{Policies: w.policies, Inventory: &w.inv, Config: w.config, Now: w.now, Workers: 1}
}

// bind puts a world beside a plan of it.
func bind(w *world, p *plan.Plan, found diag.List) (*compiled, error) {
	c := &compiled{world: w, plan: p, found: found, nodes: map[string]*plan.Node{}, later: map[int64]*world{}, lines: map[int]*ir.Rule{},
		conditions: map[*ir.HTTPMatch]*ir.Rule{}}
	for i := range w.policies {
		for j := range w.policies[i].Rules {
			r := &w.policies[i].Rules[j]
			c.lines[r.Pos.Line] = r
		}
	}
	for i := range p.Rules {
		if s := p.Rules[i].Source; s.HTTP != nil {
			c.conditions[&s.HTTP[0]] = c.rule(plan.RuleIndex(i))
		}
	}
	for i := range c.plan.Nodes {
		c.nodes[c.plan.Nodes[i].Name] = &c.plan.Nodes[i]
	}
	var err error
	if c.requests, err = plan.NewRequests(c.plan); err != nil {
		return nil, err
	}
	return c, nil
}

// ends resolves an end to the plan's: several where a pod may get different addresses (S4).
func (c *compiled) ends(e, other end, key plan.PortKey) ([]plan.End, error) {
	switch e.place {
	case inPod:
		p := &c.inv.Pods[e.pod]
		at, ep := c.endpoint(p.Namespace, p.Name)
		if ep == nil {
			return nil, fmt.Errorf("the plan has no endpoint %s/%s", p.Namespace, p.Name)
		}
		if !e.addr.IsValid() {
			var out []plan.End
			for _, peer := range ep.Peers {
				out = append(out, plan.End{Peer: peer, Endpoint: at, Frontend: plan.None})
			}
			return out, nil
		}
		for i, a := range ep.Addrs {
			if a == e.addr {
				return []plan.End{{Peer: ep.Peers[i], Endpoint: at, Frontend: plan.None}}, nil
			}
		}
		return nil, fmt.Errorf("endpoint %s/%s does not have %s", p.Namespace, p.Name, e.addr)
	case atAddress:
		return c.endAt(e.addr, key), nil
	default:
		n := c.nodes[c.inv.Nodes[e.node].Name]
		for i, a := range n.Addrs {
			if a != e.addr {
				continue
			}
			switch {
			case e.place == translated:
				return []plan.End{plan.NewEnd(n.Translated[i])}, nil
			case other.place == inPod && c.inv.Pods[other.pod].Node == n.Name:
				return []plan.End{plan.NewEnd(n.Own[i])}, nil
			default:
				return []plan.End{plan.NewEnd(n.Host[i])}, nil
			}
		}
		return nil, fmt.Errorf("node %s does not have %s", n.Name, e.addr)
	}
}

func (c *compiled) endAt(a netip.Addr, key plan.PortKey) []plan.End {
	if f, isService := c.plan.FrontendAt(a, key); isService {
		return []plan.End{{Peer: 0, Endpoint: plan.None, Frontend: f}}
	}
	out := plan.NewEnd(c.plan.Addresses.Lookup(a))
	for i := range c.plan.Endpoints {
		for _, b := range c.plan.Endpoints[i].Addrs {
			if a == b && !c.plan.Endpoints[i].HostNetwork {
				out.Endpoint = int32(i)
			}
		}
	}
	return []plan.End{out}
}

func (c *compiled) endpoint(namespace, name string) (int32, *plan.Endpoint) {
	for i := range c.plan.Endpoints {
		if e := &c.plan.Endpoints[i]; e.Namespace == namespace && e.Name == name {
			return int32(i), e
		}
	}
	return plan.None, nil
}

// places are the flows that a flow may turn out to be: more than one where a declared pod may get different addresses.
func (w *world) places(f flow) []flow {
	var out []flow
	for _, s := range w.candidates(f.src) {
		for _, d := range w.candidates(f.dst) {
			g := f
			g.src.addr, g.dst.addr = s, d
			out = append(out, g)
		}
	}
	return out
}

func (w *world) candidates(e end) []netip.Addr {
	if e.place == inPod && !e.addr.IsValid() {
		return w.addresses(&w.inv.Pods[e.pod])
	}
	return []netip.Addr{e.addr}
}

// bothEnds are the plan's ends that a flow's may be, and its port.
func (c *compiled) bothEnds(f flow) (key plan.PortKey, srcs, dsts []plan.End, err error) {
	key = plan.Key(f.space, f.number)
	if srcs, err = c.ends(f.src, f.dst, key); err != nil {
		return 0, nil, nil, err
	}
	dsts, err = c.ends(f.dst, end{place: atAddress}, key)
	return key, srcs, dsts, err
}

// check compares the plan's answers on a flow with the evaluator's, and returns these. Where a declared pod may get
// different addresses, each answer of one must be an answer of the other.
func (c *compiled) check(f flow) ([]verdict, error) {
	key, srcs, dsts, err := c.bothEnds(f)
	if err != nil {
		return nil, err
	}
	var want []verdict
	for _, g := range c.places(f) {
		want = append(want, c.answer(c.now.Unix(), g))
	}
	met := make([]bool, len(want))
	for _, s := range srcs {
		for _, d := range dsts {
			got := c.plan.Decide(plan.Flow{Src: s, Dst: d, Port: key})
			var firstErr error
			found := false
			for i := range want {
				err := c.compare(f, d, &got, &want[i])
				if err == nil {
					found, met[i] = true, true
				} else if firstErr == nil {
					firstErr = err
				}
			}
			if !found {
				return want, firstErr
			}
		}
	}
	for i := range met {
		if !met[i] {
			return want, fmt.Errorf("no identity of the declared pod answers %s", c.tell(want[i].egress.enforced, want[i].ingress.enforced))
		}
	}
	return want, c.checkEnds(f, srcs[0], dsts[0], key)
}

// compare compares one answer: verdict, the side that decided, what is asked of the connection, and each side.
func (c *compiled) compare(f flow, dst plan.End, got *plan.Answer, want *verdict) error {
	if got.Verdict != want.verdict {
		return fmt.Errorf("verdict: plan %s (%s), semantics %s (%s)", got.Verdict, c.tellPlan(got), want.verdict, c.tell(want.egress.enforced, want.ingress.enforced))
	}
	if got.By != want.by {
		return fmt.Errorf("deciding side: plan %s, semantics %s", got.By, want.by)
	}
	if got.Verdict != plan.Deny && got.Auth != want.auth {
		return fmt.Errorf("authentication: plan %s, semantics %s", got.Auth, want.auth)
	}
	if got.Verdict == plan.Redirect && dst.Frontend < 0 && c.plan.Peers[dst.Peer].Waypoint < 0 {
		return fmt.Errorf("redirected, but the plan has no waypoint for the destination (S25)")
	}
	for d, side := range map[ir.Direction]struct {
		got  *plan.Decision
		want *judgement
	}{ir.Egress: {&got.Egress, &want.egress}, ir.Ingress: {&got.Ingress, &want.ingress}} {
		if err := c.compareSide(side.got, side.want, f.request); err != nil {
			return fmt.Errorf("%s: %w", d, err)
		}
	}
	return nil
}

func (c *compiled) compareSide(got *plan.Decision, want *judgement, r *request) error {
	if want.log != notCompared && want.enforced.reason != plan.ByNoWaypoint && loggedIf(got.Log) != want.log {
		return fmt.Errorf("logged: plan %t", got.Log)
	}
	if got.Verdict != got.Audit.Verdict && !got.AuditDiffers() {
		return fmt.Errorf("audit has another verdict, and does not differ (S30)")
	}
	for _, chain := range []struct {
		name          string
		got           *plan.Outcome
		want, request *outcome
	}{{"enforced", &got.Outcome, &want.enforced, &want.requestEnforced}, {"audit", &got.Audit, &want.audit, &want.requestAudit}} {
		if err := c.compareOutcome(chain.got, chain.want); err != nil {
			return fmt.Errorf("%s: %w", chain.name, err)
		}
		if chain.got.Verdict != plan.Redirect {
			continue
		}
		if err := c.compareList(chain.got, chain.want); err != nil {
			return fmt.Errorf("%s: %w", chain.name, err)
		}
		if err := c.compareRequest(chain.got, chain.request, chain.want.layer7, r); err != nil {
			return fmt.Errorf("%s: request: %w", chain.name, err)
		}
	}
	return nil
}

func (c *compiled) compareOutcome(got *plan.Outcome, want *outcome) error {
	err := c.compareOne(got, want)
	for i := range want.alike { // ruling 18
		if err == nil {
			break
		}
		err = c.compareOne(got, &want.alike[i])
	}
	return err
}

func (c *compiled) compareOne(got *plan.Outcome, want *outcome) error {
	switch {
	case got.Verdict != want.verdict:
		return fmt.Errorf("plan %s, semantics %s", c.tellOutcome(got), c.tellWant(want))
	case got.Verdict == plan.Redirect:
		if got.Auth != want.auth {
			return fmt.Errorf("redirect: authentication: plan %s, semantics %s", got.Auth, want.auth)
		}
		if !c.standsFor(c.rule(got.Rule), want) {
			return fmt.Errorf("redirect by a rule that cannot stand for it: plan %s", c.tellOutcome(got))
		}
		return nil
	case got.Reason != want.reason, want.reason != plan.ByNoWaypoint && c.rule(got.Rule) != want.rule, c.policy(got.Policy) != want.policy,
		got.Verdict == plan.Allow && got.Auth != want.auth:
		return fmt.Errorf("plan %s, semantics %s", c.tellOutcome(got), c.tellWant(want))
	}
	return nil
}

// standsFor says whether a rule may be named for a redirect (ruling 19).
func (c *compiled) standsFor(r *ir.Rule, want *outcome) bool {
	all := want.cases[len(want.cases)-1]
	if all.rule != nil {
		return r == all.rule
	}
	if slices.Contains(want.layer7, r) {
		return true
	}
	return r != nil && slices.ContainsFunc(want.cases[1:], func(x outcome) bool { return x.rule == r })
}

// compareList compares the first-match list of a redirect with the cases, for every combination of conditions (S22).
func (c *compiled) compareList(got *plan.Outcome, want *outcome) error {
	if got.List < 0 {
		return fmt.Errorf("redirect without a list")
	}
	for n := range want.cases {
		entry := c.firstEntry(got.List, func(alternatives []ir.HTTPMatch) bool {
			for i, r := range want.layer7 {
				if r == c.conditions[&alternatives[0]] {
					return n&(1<<i) != 0
				}
			}
			return false
		})
		if entry == nil {
			return fmt.Errorf("a list without an answer for case %d", n)
		}
		if err := c.compareOutcome(&entry.Outcome, &want.cases[n]); err != nil {
			return fmt.Errorf("list, case %d: %w", n, err)
		}
	}
	return nil
}

// compareRequest compares the list's answer on one request.
func (c *compiled) compareRequest(got *plan.Outcome, want *outcome, layer7 []*ir.Rule, r *request) error {
	if r == nil {
		if want.verdict != plan.Deny {
			return fmt.Errorf("what is not HTTP is not refused") // S23
		}
		return nil
	}
	o, _, ok := c.requests.List(got.List, r.plan())
	switch {
	case ok == r.refused():
		return fmt.Errorf("refused: plan %t, semantics %t (S24)", !ok, r.refused())
	case !ok && o.Verdict != plan.Deny:
		return fmt.Errorf("refused with %s", o.Verdict)
	case !ok:
		return nil
	case o.Reason == plan.ByRequest && r.repeats(layer7):
		return nil // ruling 15
	}
	return c.compareOutcome(&o, want)
}

func (c *compiled) firstEntry(list plan.ListIndex, holds func([]ir.HTTPMatch) bool) *plan.Entry {
	entries := c.plan.Lists[list].Entries
	for i := range entries {
		all := true
		for _, alternatives := range entries[i].Conds {
			all = all && holds(alternatives)
		}
		if all {
			return &entries[i]
		}
	}
	return nil
}

func (c *compiled) rule(i plan.RuleIndex) *ir.Rule {
	if i < 0 {
		return nil
	}
	return c.lines[c.plan.Rules[i].Pos.Line]
}

// policy finds the source object that the plan names.
func (c *compiled) policy(i plan.PolicyIndex) *ir.Policy {
	if i < 0 {
		return nil
	}
	for j := range c.policies {
		if c.policies[j].Object() == c.plan.Policies[i].Object {
			return &c.policies[j]
		}
	}
	return nil
}

// checkEnds follows the ends of allows (S28): before a decision's end the evaluator says what the decision says, and
// from it on what takes its place.
func (c *compiled) checkEnds(f flow, src, dst plan.End, key plan.PortKey) error {
	if !f.src.isKnown() || !f.dst.isKnown() {
		return nil
	}
	if dst.Frontend >= 0 {
		return c.checkFrontendEnds(f, src, plan.FrontendIndex(dst.Frontend))
	}
	got := c.plan.Decide(plan.Flow{Src: src, Dst: dst, Port: key})
	for d, decision := range map[ir.Direction]plan.Decision{ir.Egress: got.Egress, ir.Ingress: got.Ingress} {
		for at := &decision; ; at = &c.plan.Decisions[at.Then] {
			end := at.NotAfter
			if end == 0 {
				end = 1 << 40 // for good
			}
			moments := []int64{end - 1}
			if at.NotAfter != 0 {
				moments = append(moments, end)
			}
			for _, t := range moments {
				now := at
				if t == at.NotAfter {
					now = &c.plan.Decisions[at.Then]
				}
				v := c.answer(t, f)
				want := &v.egress
				if d == ir.Ingress {
					want = &v.ingress
				}
				if err := c.compareSide(now, want, f.request); err != nil {
					return fmt.Errorf("%s, %d s later: %w", d, t-c.now.Unix(), err)
				}
			}
			if at.NotAfter == 0 {
				break
			}
		}
	}
	return nil
}

// checkFrontendEnds does the same for a service's address, whose answer has no Then: the node asks again.
func (c *compiled) checkFrontendEnds(f flow, src plan.End, fe plan.FrontendIndex) error {
	s := c.plan.SubjectOf(src.Peer)
	if s == nil {
		return nil
	}
	for at := int64(0); ; {
		d := c.plan.FrontendTableDecision(s.Tables[ir.Egress], fe, src.Endpoint, at)
		moments := []int64{max(at, c.now.Unix()), 1 << 40}
		if d.NotAfter != 0 {
			moments[1] = d.NotAfter - 1
		}
		for _, t := range moments {
			v := c.answer(t, f)
			if err := c.compareSide(&d, &v.egress, f.request); err != nil {
				return fmt.Errorf("egress, %d s later: %w", t-c.now.Unix(), err)
			}
		}
		if d.NotAfter == 0 {
			return nil
		}
		if d.NotAfter <= at {
			return fmt.Errorf("an end that is past: %d at %d", d.NotAfter, at)
		}
		at = d.NotAfter
	}
}

func (e end) isKnown() bool { return e.place != inPod || e.addr.IsValid() }

// answer is the evaluator's on a flow at a moment.
func (c *compiled) answer(unix int64, f flow) verdict {
	if v, ok := c.answers[asked{unix, f}]; ok {
		return v
	}
	v := c.at(unix).decide(f)
	if c.answers != nil {
		c.answers[asked{unix, f}] = v
	}
	return v
}

// at is the world at another moment.
func (c *compiled) at(unix int64) *world {
	if w, ok := c.later[unix]; ok {
		return w
	}
	w := *c.world
	w.now = timeOf(unix)
	c.later[unix] = &w
	return &w
}
