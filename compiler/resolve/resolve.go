// Package resolve turns policies and an inventory into the plan: identities, classes, cells and decisions.
// Section numbers (S1 to S34) refer to docs/semantics.md.
package resolve

import (
	"cmp"
	"net/netip"
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
	// selecting holds, by identity, the policies that select it, in order; names and http are, by policy, the named
	// ports of its ingress rules and whether it looks at requests; numbers are what named ports stand for.
	selecting [][]int32
	names     []map[portName]bool
	http      []bool
	numbers   map[portName][]uint16
	placer    *placer
	peers     *peerBuilder
	// subjectIDs are the hashes of the subjects with their tables; written, decided and placed are the plan's three
	// parts as trees of ids.
	subjectIDs               []plan.ID
	hashed                   int // decisions that have their ids
	written, decided, placed tree
}

// Compile makes the plan. The plan is complete and safe to use also when the findings hold errors: what could not
// be decided is denied.
func Compile(in Input) (*plan.Plan, diag.List) {
	c := compileCold(in)
	return c.plan, c.found()
}

// found returns what the compile found, with what only the whole shows, which a change may alter.
func (c *compiler) found() diag.List {
	whole := compiler{in: c.in, plan: c.plan, policies: c.policies}
	whole.orderInventory()
	whole.findings()
	out := slices.Concat(c.diags, whole.diags)
	out.Sort()
	return out
}

func compileCold(in Input) *compiler {
	c := &compiler{in: in, plan: &plan.Plan{Now: in.Now.UTC(), TrustDomain: in.Config.TrustDomain}}
	c.order()
	c.orderInventory()
	c.record()
	c.findMentioned()
	c.buildPeers()
	c.index = newPeerIndex(c.plan.Peers)
	c.buildFrontends()
	c.buildSets()
	c.buildSubjects()
	c.buildTables()
	c.keepNeededWaypoints()
	c.digest()
	return c
}

// order sorts the policies as they are asked (S10, S12), with ties broken by what the object is called, never by
// where it was read.
func (c *compiler) order() {
	c.policies = make([]*ir.Policy, len(c.in.Policies))
	for i := range c.in.Policies {
		c.policies[i] = &c.in.Policies[i]
	}
	slices.SortStableFunc(c.policies, comparePolicies)
}

// comparePolicies orders objects as they are asked.
func comparePolicies(a, b *ir.Policy) int {
	return cmp.Or(cmp.Compare(a.Layer, b.Layer), cmp.Compare(a.Tier, b.Tier), cmp.Compare(a.Priority, b.Priority),
		cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// orderInventory sorts a copy of the inventory, so that the plan's numbers follow from the content and not from the
// order of files.
func (c *compiler) orderInventory() {
	inv := *c.in.Inventory
	inv.Pods = sorted(inv.Pods, func(a, b inventory.Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), slices.CompareFunc(a.Addrs, b.Addrs, netip.Addr.Compare))
	})
	inv.Nodes = sorted(inv.Nodes, func(a, b inventory.Node) int { return cmp.Compare(a.Name, b.Name) })
	inv.Services = sorted(inv.Services, func(a, b inventory.Service) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	inv.APIServers = sorted(inv.APIServers, netip.Addr.Compare)
	c.in.Inventory = &inv
}

func sorted[T any](in []T, by func(a, b T) int) []T {
	out := slices.Clone(in)
	slices.SortStableFunc(out, by)
	return out
}

// record enters policies and rules into the plan. Hashing what they say is most of it, and is shared out.
func (c *compiler) record() {
	for i := range c.policies {
		c.recordPolicy(i)
	}
	c.share(len(c.policies), policiesEach, func() func(int) { return c.identify })
}

func (c *compiler) recordPolicy(i int) {
	p, pol := c.plan, c.policies[i]
	c.ruleBase = append(c.ruleBase, plan.RuleIndex(len(p.Rules)))
	for j := range pol.Rules {
		r := &pol.Rules[j]
		p.Rules = append(p.Rules, plan.Rule{Policy: plan.PolicyIndex(i), Direction: r.Direction,
			Index: r.Index, Name: r.Name, Pos: r.Pos, Action: r.Action, Audit: r.Audit || pol.Audit, Plaintext: r.Plaintext,
			Exception: r.Exception, HTTP: r.HTTP != nil, PeerSet: plan.None, Ports: r.Ports, Source: r})
	}
	p.Policies = append(p.Policies, plan.Policy{Object: pol.Object(), Pos: pol.Pos, Layer: pol.Layer,
		Tier: pol.Tier, Priority: pol.Priority, Audit: pol.Audit, Source: pol})
}

// identify hashes a recorded policy and its rules.
func (c *compiler) identify(i int) {
	pol := c.policies[i]
	rules := c.plan.Rules[c.ruleBase[i]:][:len(pol.Rules)]
	for j := range rules {
		rules[j].ID = ruleID(pol, &pol.Rules[j])
	}
	c.plan.Policies[i].ID = policyID(pol, rules)
}
