// Package project cuts one node's part out of a plan: what its agent reads.
package project

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// CapacityError says that a node cannot hold its part of the plan; nothing of it is sent.
type CapacityError struct {
	Node, What string
	Have, Max  int
}

func (e *CapacityError) Error() string {
	return fmt.Sprintf("node %s needs %d %s and can hold %d", e.Node, e.Have, e.What, e.Max)
}

// builder collects one node's part.
type builder struct {
	plan      *plan.Plan
	out       *plan.Projection
	tables    map[*plan.Table]int
	decisions map[numbered]uint16
	rules     map[plan.RuleIndex]int32
	full      bool
	needed    int
}

// numbered is a decision with the node's own number of what follows its end.
type numbered struct {
	plan.Decision
	then uint32
}

// Node returns the part of a node: its attached endpoints, every identity and address, and the tables of its own
// endpoints. The same plan gives the same projection. It fails with a CapacityError when the node cannot hold it.
func Node(p *plan.Plan, node string, generation uint64) (*plan.Projection, error) {
	b := &builder{plan: p, tables: map[*plan.Table]int{}, decisions: map[numbered]uint16{}, rules: map[plan.RuleIndex]int32{},
		out: &plan.Projection{Version: plan.ProjectionVersion, Node: node, Generation: generation, DecisionDigest: p.DecisionDigest,
			NodeDigest: p.NodeDigest}}
	b.peers()
	b.addresses()
	b.frontends()
	for i := range p.Endpoints {
		if e := &p.Endpoints[i]; e.Node == node && e.Attached && !e.HostNetwork && len(e.Addrs) > 0 {
			b.endpoint(int32(i), e)
		}
	}
	if b.full {
		return nil, &CapacityError{Node: node, What: "decisions", Have: b.needed, Max: plan.MaxNodeDecisions}
	}
	return b.out, nil
}

func (b *builder) peers() {
	for i := range b.plan.Peers {
		p := &b.plan.Peers[i]
		b.out.Peers = append(b.out.Peers, plan.ProjectedPeer{ID: p.ID, Kind: p.Kind, Name: PeerName(p)})
	}
}

// PeerName says in words what an identity is.
func PeerName(p *plan.Peer) string {
	switch p.Kind {
	case plan.PodPeer:
		return p.Namespace + "/" + p.ServiceAccount
	case plan.WorldPeer:
		return "world " + p.Prefix.String()
	default:
		return p.Kind.String()
	}
}

func (b *builder) addresses() {
	entries := map[netip.Prefix]plan.ProjectedAddress{}
	for p, i := range b.plan.Addresses.Prefixes {
		entries[p] = plan.ProjectedAddress{Prefix: p, Peer: uint32(i)}
	}
	for a, i := range b.plan.Addresses.Exact {
		p := netip.PrefixFrom(a, a.BitLen())
		entries[p] = plan.ProjectedAddress{Prefix: p, Peer: uint32(i)}
	}
	b.local(entries)
	for i := range b.plan.Frontends {
		for _, a := range b.plan.Frontends[i].Addrs {
			p := netip.PrefixFrom(a, a.BitLen())
			entries[p] = plan.ProjectedAddress{Prefix: p, Service: true}
		}
	}
	b.out.Addresses = slices.SortedFunc(maps.Values(entries), func(x, y plan.ProjectedAddress) int {
		if c := x.Prefix.Addr().Compare(y.Prefix.Addr()); c != 0 {
			return c
		}
		return x.Prefix.Bits() - y.Prefix.Bits()
	})
}

// local marks what is on the node itself: its pods, and its own addresses, which mean one thing as a destination,
// another from its own sockets, and a third on forwarded packets (S5).
func (b *builder) local(entries map[netip.Prefix]plan.ProjectedAddress) {
	mark := func(a netip.Addr, f func(*plan.ProjectedAddress)) {
		p := netip.PrefixFrom(a, a.BitLen())
		if e, ok := entries[p]; ok {
			f(&e)
			entries[p] = e
		}
	}
	for i := range b.plan.Endpoints {
		e := &b.plan.Endpoints[i]
		for _, a := range e.Addrs {
			if e.Node == b.out.Node && !e.HostNetwork && b.plan.Addresses.Exact[a] != 0 {
				mark(a, func(x *plan.ProjectedAddress) { x.Local = true })
			}
		}
	}
	for i := range b.plan.Nodes {
		n := &b.plan.Nodes[i]
		for j, a := range n.Addrs {
			if n.Name == b.out.Node && b.plan.Addresses.Exact[a.Unmap()] == n.Host[j] {
				mark(a.Unmap(), func(x *plan.ProjectedAddress) {
					x.Peer, x.Socket, x.Host, x.HasSocket = uint32(n.Translated[j]), uint32(n.Own[j]), uint32(n.Host[j]), true
				})
			}
		}
	}
}

func (b *builder) frontends() {
	for i := range b.plan.Frontends {
		f := &b.plan.Frontends[i]
		b.out.Frontends = append(b.out.Frontends, plan.ProjectedFrontend{Name: fmt.Sprintf("%s/%s:%s", f.Namespace, f.Service, f.PortName),
			Addrs: f.Addrs, Space: f.Port.Space(), Number: f.Port.Number(), Local: b.behindLocally(f)})
	}
}

// behindLocally says that there is an endpoint behind a frontend and that each is a pod of the node: what must be
// authenticated then stays on the node whichever is chosen (S20).
func (b *builder) behindLocally(f *plan.Frontend) bool {
	for i := range f.Backends {
		e := f.Backends[i].Endpoint
		if e < 0 || b.plan.Endpoints[e].HostNetwork || b.plan.Endpoints[e].Node != b.out.Node {
			return false
		}
	}
	return len(f.Backends) > 0
}

// endpoint adds a pod. Addresses that the plan gives to nobody (two owners) are left out: their traffic is denied.
func (b *builder) endpoint(i int32, e *plan.Endpoint) {
	out := plan.ProjectedEndpoint{Name: e.Namespace + "/" + e.Name}
	for j, a := range e.Addrs {
		if b.plan.Addresses.Exact[a] == e.Peers[j] {
			out.Addrs, out.Peers = append(out.Addrs, a), append(out.Peers, uint32(e.Peers[j]))
		}
	}
	// The tables of a pod's addresses are one: a subject follows from labels, never from an address.
	s := b.plan.SubjectOf(e.Peers[0])
	out.Egress, out.Ingress = b.table(s.Tables[ir.Egress], true), b.table(s.Tables[ir.Ingress], false)
	for f := range b.plan.Frontends {
		fe := plan.FrontendIndex(f)
		if !slices.ContainsFunc(b.plan.Frontends[f].Backends, func(x plan.Backend) bool { return x.Endpoint == i }) {
			continue
		}
		if out.SelfFrontends == nil {
			out.SelfFrontends = map[uint32]uint16{}
		}
		out.SelfFrontends[uint32(f)] = b.frontend(s.Tables[ir.Egress], fe, i, 0)
	}
	b.out.Endpoints = append(b.out.Endpoints, out)
}

// table adds a table, once, with cells that hold the node's own decision numbers.
func (b *builder) table(t *plan.Table, egress bool) int {
	if i, ok := b.tables[t]; ok {
		return i
	}
	numbers := make([]uint16, len(t.Decisions))
	for i, d := range t.Decisions {
		numbers[i] = b.decision(&b.plan.Decisions[d])
	}
	out := plan.ProjectedTable{Starts: t.Starts, Classes: t.Classes, NumClasses: t.NumClasses, NumRows: len(t.Cells) / t.NumClasses}
	for i := range b.plan.Peers {
		out.RowOfPeer = plan.AppendUint16(out.RowOfPeer, uint16(b.plan.Row(t, plan.PeerIndex(i))))
	}
	out.Cells = make([]byte, 0, 2*len(t.Cells))
	for _, c := range t.Cells {
		out.Cells = plan.AppendUint16(out.Cells, numbers[c])
	}
	for f := range b.plan.Frontends {
		if egress {
			out.FrontendCells = plan.AppendUint16(out.FrontendCells, b.frontend(t, plan.FrontendIndex(f), plan.None, 0))
		}
	}
	b.tables[t] = len(b.out.Tables)
	b.out.Tables = append(b.out.Tables, out)
	return b.tables[t]
}

// frontend returns the decision of a table for a service's port (S27) from a moment on, for a pod that may be behind it
// itself. Where one of the endpoints' answers ends, what they say together from then on follows (S28).
func (b *builder) frontend(t *plan.Table, f plan.FrontendIndex, self int32, at int64) uint16 {
	d := b.plan.FrontendTableDecision(t, f, self, at)
	var then uint32
	if d.NotAfter != 0 {
		then = uint32(b.frontend(t, f, self, d.NotAfter))
	}
	return b.add(&d, then)
}

// decision gives a decision its number on the node; what follows its end comes before it.
func (b *builder) decision(d *plan.Decision) uint16 {
	var then uint32
	if d.NotAfter != 0 {
		then = uint32(b.decision(&b.plan.Decisions[d.Then]))
	}
	return b.add(d, then)
}

func (b *builder) add(d *plan.Decision, then uint32) uint16 {
	key := numbered{*d, then}
	key.Then = 0
	if i, ok := b.decisions[key]; ok {
		return i
	}
	if b.needed++; b.needed > plan.MaxNodeDecisions {
		b.full = true
		return 0
	}
	i := uint16(len(b.out.Decisions))
	b.decisions[key] = i
	b.out.Decisions = append(b.out.Decisions, plan.ProjectedDecision{ID: d.ID, Verdict: d.Verdict, Auth: d.Auth, Reason: d.Reason,
		Rule: b.rule(d.Rule), AuditVerdict: d.Audit.Verdict, AuditRule: b.rule(d.Audit.Rule), AuditDiffers: d.AuditDiffers(), Log: d.Log,
		NotAfter: d.NotAfter, Then: then})
	return i
}

func (b *builder) rule(r plan.RuleIndex) int32 {
	if r == plan.None {
		return plan.None
	}
	if i, ok := b.rules[r]; ok {
		return i
	}
	i := int32(len(b.out.Rules))
	b.rules[r] = i
	b.out.Rules = append(b.out.Rules, plan.ProjectedRule{ID: b.plan.Rules[r].ID, Name: b.plan.RuleName(r)})
	return i
}
