// Package resolve turns policies and an inventory into the plan: identities, classes, cells and decisions.
// Section numbers (S1 to S34) refer to docs/semantics.md.
package resolve

import (
	"cmp"
	"slices"
	"time"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// Input is what one compile reads. Nothing in it is changed.
type Input struct {
	Policies  []ir.Policy
	Inventory *inventory.Inventory
	Config    inventory.Config
	// Now judges expiry (S28).
	Now time.Time
	// Workers bounds how many goroutines compile tables; 0 is one a core.
	Workers int
}

// compiler holds one compile's state.
type compiler struct {
	in       Input
	policies []*ir.Policy // in the order in which they are asked
	// ruleBase is, by place in policies, the plan's index of the policy's first rule.
	ruleBase []plan.RuleIndex
	plan     *plan.Plan
	diags    diag.List

	labels   mentioned
	atoms    atoms
	index    *peerIndex
	sets     setInterner
	subjects *subjectSet
}

// Compile makes the plan. The plan is complete and safe to use also when the findings hold errors: what could not
// be decided is denied.
func Compile(in Input) (*plan.Plan, diag.List) {
	c := &compiler{in: in, plan: &plan.Plan{Now: in.Now.UTC(), TrustDomain: in.Config.TrustDomain}}
	c.order()
	c.record()
	c.findMentioned()
	c.buildPeers()
	c.index = newPeerIndex(c.plan.Peers)
	c.buildFrontends()
	c.buildSets()
	c.buildSubjects()
	c.buildTables()
	c.keepNeededWaypoints()
	c.findings()
	c.digest()
	c.diags.Sort()
	return c.plan, c.diags
}

// order sorts the policies as they are asked (S10, S12), with ties broken by what the object is called, never by
// where it was read.
func (c *compiler) order() {
	c.policies = make([]*ir.Policy, len(c.in.Policies))
	for i := range c.in.Policies {
		c.policies[i] = &c.in.Policies[i]
	}
	slices.SortStableFunc(c.policies, func(a, b *ir.Policy) int {
		return cmp.Or(cmp.Compare(a.Layer, b.Layer), cmp.Compare(a.Tier, b.Tier), cmp.Compare(a.Priority, b.Priority),
			cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}

// record enters policies and rules into the plan.
func (c *compiler) record() {
	p := c.plan
	p.Policies = make([]plan.Policy, len(c.policies))
	c.ruleBase = make([]plan.RuleIndex, len(c.policies))
	for i, pol := range c.policies {
		p.Policies[i] = plan.Policy{ID: policyID(pol), Object: pol.Object(), Pos: pol.Pos, Layer: pol.Layer, Tier: pol.Tier,
			Priority: pol.Priority, Audit: pol.Audit}
		c.ruleBase[i] = plan.RuleIndex(len(p.Rules))
		for j := range pol.Rules {
			r := &pol.Rules[j]
			p.Rules = append(p.Rules, plan.Rule{ID: ruleID(pol, r), Policy: plan.PolicyIndex(i), Direction: r.Direction,
				Index: r.Index, Name: r.Name, Pos: r.Pos, Action: r.Action, Audit: r.Audit || pol.Audit, Plaintext: r.Plaintext,
				Exception: r.Exception, HTTP: r.HTTP != nil, PeerSet: plan.None, Ports: r.Ports, Source: r})
		}
	}
}
