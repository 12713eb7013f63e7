package oracle

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// coverage counts, for each clause, the pairs that exercised it.
type coverage []int

// pair is one (policy set, flow) pair after it was judged.
type pair struct {
	c        *compiled
	f        flow
	want     verdict
	all      []verdict
	src, dst party
}

// clause is a part of a section that a pair can exercise.
type clause struct {
	section int
	what    string
	hit     func(*pair) bool
}

// elsewhere are the sections that no evaluator of single flows decides, and where they are tested.
var elsewhere = map[int]string{
	7:  "datapath: a packet's source is checked at its veth",
	14: "schemas, compiler/source: empty lists are errors, round trips",
	20: "datapath, tunnel: kernel-attested on one node, tunnel between nodes",
	21: "datapath, tunnel: the address's identity agrees with the SVID",
	26: "compiler/route: Gateway API precedence",
	29: "datapath: established flows are judged again",
	32: "datapath: one generation a packet",
	33: "compiler/source: kinds that are not understood",
}

// count adds a judged pair.
func (cov *coverage) count(c *compiled, f flow, all []verdict) {
	if *cov == nil {
		*cov = make(coverage, len(clauses()))
	}
	p := &pair{c: c, f: f, want: all[0], all: all, src: c.party(f.src, f.dst), dst: c.party(f.dst, f.src)}
	for i, cl := range clauses() {
		if cl.hit(p) {
			(*cov)[i]++
		}
	}
}

func (cov *coverage) add(other *coverage) {
	if *cov == nil {
		*cov = make(coverage, len(clauses()))
	}
	for i, n := range *other {
		(*cov)[i] += n
	}
}

// missing lists the clauses that nothing exercised.
func (cov coverage) missing() []string {
	var out []string
	for i, cl := range clauses() {
		if cov[i] == 0 {
			out = append(out, fmt.Sprintf("S%d %s", cl.section, cl.what))
		}
	}
	return out
}

// table prints all sections, those covered elsewhere too.
func (cov coverage) table() string {
	var s strings.Builder
	for section := 1; section <= 34; section++ {
		if where, ok := elsewhere[section]; ok {
			fmt.Fprintf(&s, "S%-3d %9s  %s\n", section, "-", where)
		}
		for i, cl := range clauses() {
			if cl.section == section {
				fmt.Fprintf(&s, "S%-3d %9d  %s\n", section, cov[i], cl.what)
			}
		}
	}
	return s.String()
}

// sides are the two sides' enforced answers.
func (p *pair) sides() []outcome { return []outcome{p.want.egress.enforced, p.want.ingress.enforced} }

// anySide says whether one side's enforced answer is so.
func (p *pair) anySide(is func(outcome) bool) bool { return slices.ContainsFunc(p.sides(), is) }

func reason(r plan.Reason) func(*pair) bool {
	return func(p *pair) bool { return p.anySide(func(o outcome) bool { return o.reason == r }) }
}

// byPeer says whether the rule that decided a side has such a peer.
func byPeer(is func(*ir.Peer) bool) func(*pair) bool {
	return func(p *pair) bool {
		return p.anySide(func(o outcome) bool {
			return o.rule != nil && slices.ContainsFunc(o.rule.Peers, func(x ir.Peer) bool { return len(o.rule.Peers) == 1 && is(&x) })
		})
	}
}

func byEntity(e ir.Entity) func(*pair) bool {
	return byPeer(func(x *ir.Peer) bool { return x.Entity == e })
}

// byPort says whether the rule that decided a side names its one port so.
func byPort(is func(*ir.Port) bool) func(*pair) bool {
	return func(p *pair) bool {
		return p.anySide(func(o outcome) bool { return o.rule != nil && len(o.rule.Ports) == 1 && is(&o.rule.Ports[0]) })
	}
}

// inLayer says whether a layer's answer on one side is so.
func inLayer(is func(ir.Layer, answer) bool) func(*pair) bool {
	return func(p *pair) bool {
		return p.anySide(func(o outcome) bool {
			return is(ir.Orchestrator, o.layers[ir.Orchestrator]) || is(ir.Mesh, o.layers[ir.Mesh])
		})
	}
}

// request says whether a side was redirected and its request decided so, by a condition of such a kind.
func onRequest(is func(*request, outcome) bool) func(*pair) bool {
	return func(p *pair) bool {
		for _, j := range []judgement{p.want.egress, p.want.ingress} {
			if j.enforced.verdict == plan.Redirect && is(p.f.request, j.requestEnforced) {
				return true
			}
		}
		return false
	}
}

// byCondition says whether a request was decided by a layer-7 rule with such an alternative.
func byCondition(is func(*ir.HTTPMatch) bool) func(*pair) bool {
	return onRequest(func(_ *request, o outcome) bool {
		return o.rule != nil && len(o.rule.HTTP) == 1 && is(&o.rule.HTTP[0])
	})
}

// redirectIn says whether a layer-7 rule of the tier could be reached by a redirected connection.
func redirectIn(t ir.Tier) func(*pair) bool {
	return func(p *pair) bool {
		return p.anySide(func(o outcome) bool {
			return slices.ContainsFunc(o.layer7, func(r *ir.Rule) bool { return p.c.policyOf(r).Tier == t })
		})
	}
}

func (w *world) policyOf(r *ir.Rule) *ir.Policy {
	for i := range w.policies {
		for j := range w.policies[i].Rules {
			if &w.policies[i].Rules[j] == r {
				return &w.policies[i]
			}
		}
	}
	return nil
}

// ends are the flow's ends that are pods.
func (p *pair) pods() []party {
	var out []party
	for _, x := range []party{p.src, p.dst} {
		if x.kind == pod {
			out = append(out, x)
		}
	}
	return out
}

func (p *pair) anyPod(is func(party) bool) bool { return slices.ContainsFunc(p.pods(), is) }
