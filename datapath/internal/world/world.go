// Package world describes small projections by hand, for the datapath's tests: peers, addresses, tables and decisions,
// without a compiler.
package world

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// World is a projection under construction.
type World struct {
	P      *plan.Projection
	tables []*Table
}

// Table is one side's table: what no entry says is Default; later entries win.
type Table struct {
	Default uint16
	// Frontends are decisions by frontend.
	Frontends map[uint32]uint16
	Index     int
	entries   []entry
}

type entry struct {
	peer        uint32
	first, last plan.PortKey
	decision    uint16
}

// New starts a world that holds only the unknown peer.
func New(generation uint64) *World {
	w := &World{P: &plan.Projection{Version: plan.ProjectionVersion, Node: "node-1", Generation: generation,
		DecisionDigest: "d", NodeDigest: "n"}}
	w.Peer(plan.UnknownPeer, "unknown")
	return w
}

// Peer adds an identity.
func (w *World) Peer(k plan.PeerKind, name string) uint32 {
	w.P.Peers = append(w.P.Peers, plan.ProjectedPeer{ID: id(name), Kind: k, Name: name})
	return uint32(len(w.P.Peers) - 1)
}

// Address maps a block, or a single address, to an identity; f may set more.
func (w *World) Address(block string, peer uint32, f ...func(*plan.ProjectedAddress)) {
	p, err := netip.ParsePrefix(block)
	if err != nil {
		a := netip.MustParseAddr(block)
		p = netip.PrefixFrom(a, a.BitLen())
	}
	a := plan.ProjectedAddress{Prefix: p, Peer: peer}
	for _, f := range f {
		f(&a)
	}
	w.P.Addresses = append(w.P.Addresses, a)
}

// Local marks an address as a pod's of this node, Service as a service's.
func Local(a *plan.ProjectedAddress) { a.Local = true }

// Service marks an address as a service's.
func Service(a *plan.ProjectedAddress) { a.Service = true }

// Own gives an address of this node its two other identities (S5).
func Own(socket, host uint32) func(*plan.ProjectedAddress) {
	return func(a *plan.ProjectedAddress) { a.HasSocket, a.Socket, a.Host = true, socket, host }
}

// Rule adds a rule.
func (w *World) Rule(name string) int32 {
	w.P.Rules = append(w.P.Rules, plan.ProjectedRule{ID: id(name), Name: name})
	return int32(len(w.P.Rules) - 1)
}

// Decision adds a decision.
func (w *World) Decision(d plan.ProjectedDecision) uint16 {
	d.ID = id(string(binary.LittleEndian.AppendUint32([]byte("decision"), uint32(len(w.P.Decisions)))))
	w.P.Decisions = append(w.P.Decisions, d)
	return uint16(len(w.P.Decisions) - 1)
}

// Simple adds a decision whose audit chain answers the same.
func (w *World) Simple(v plan.Verdict, rule int32) uint16 {
	return w.Decision(plan.ProjectedDecision{Verdict: v, Rule: rule, AuditVerdict: v, AuditRule: rule})
}

// Table adds a table.
func (w *World) Table(def uint16) *Table {
	t := &Table{Default: def, Frontends: map[uint32]uint16{}, Index: len(w.tables)}
	w.tables = append(w.tables, t)
	return t
}

// Set gives a peer's ports a decision.
func (t *Table) Set(peer uint32, first, last plan.PortKey, decision uint16) *Table {
	t.entries = append(t.entries, entry{peer, first, last, decision})
	return t
}

// Port is Set for one port.
func (t *Table) Port(peer uint32, s ir.Space, number uint16, decision uint16) *Table {
	return t.Set(peer, plan.Key(s, number), plan.Key(s, number), decision)
}

// All is Set for every port of every space.
func (t *Table) All(peer uint32, decision uint16) *Table {
	return t.Set(peer, 0, plan.Key(ir.OtherProtocol, 0xffff), decision)
}

// Pod adds an endpoint of this node with its identity and addresses.
func (w *World) Pod(name string, egress, ingress *Table, addrs ...string) (endpoint int, peer uint32) {
	peer = w.Peer(plan.PodPeer, name)
	e := plan.ProjectedEndpoint{Name: name, Egress: egress.Index, Ingress: ingress.Index}
	for _, a := range addrs {
		w.Address(a, peer, Local)
		e.Addrs = append(e.Addrs, netip.MustParseAddr(a))
		e.Peers = append(e.Peers, peer)
	}
	w.P.Endpoints = append(w.P.Endpoints, e)
	return len(w.P.Endpoints) - 1, peer
}

// Frontend adds a service's port; its addresses are entered too.
func (w *World) Frontend(name string, s ir.Space, number uint16, local bool, addrs ...string) uint32 {
	f := plan.ProjectedFrontend{Name: name, Space: s, Number: number, Local: local}
	for _, a := range addrs {
		f.Addrs = append(f.Addrs, netip.MustParseAddr(a))
		if !slices.ContainsFunc(w.P.Addresses, func(x plan.ProjectedAddress) bool { return x.Prefix.Addr() == f.Addrs[len(f.Addrs)-1] }) {
			w.Address(a, 0, Service)
		}
	}
	w.P.Frontends = append(w.P.Frontends, f)
	return uint32(len(w.P.Frontends) - 1)
}

// Build finishes the projection: peers of equal rows share one, ports of equal columns a class.
func (w *World) Build() *plan.Projection {
	w.P.Tables = nil
	for _, t := range w.tables {
		w.P.Tables = append(w.P.Tables, w.build(t))
	}
	return w.P
}

func (w *World) build(t *Table) plan.ProjectedTable {
	starts := []uint32{0}
	for _, e := range t.entries {
		starts = append(starts, uint32(e.first))
		if end := uint32(e.last) + 1; end < uint32(ir.NumSpaces)<<16 {
			starts = append(starts, end)
		}
	}
	slices.Sort(starts)
	p := plan.ProjectedTable{Starts: slices.Compact(starts)}
	byPeer := map[uint32][]entry{}
	for _, e := range t.entries {
		byPeer[e.peer] = append(byPeer[e.peer], e)
	}
	untouched := slices.Repeat([]uint16{t.Default}, len(p.Starts))
	grid := make([][]uint16, len(w.P.Peers))
	for peer := range grid {
		entries := byPeer[uint32(peer)]
		if len(entries) == 0 {
			grid[peer] = untouched
			continue
		}
		grid[peer] = make([]uint16, len(p.Starts))
		for i, s := range p.Starts {
			grid[peer][i] = at(entries, plan.PortKey(s), t.Default)
		}
	}
	rows, columns := map[string]uint16{}, map[string]uint16{}
	var rowOf, columnOf []int // a representative of each
	for peer := range grid {
		k := string(bytesOf(grid[peer]))
		if _, ok := rows[k]; !ok {
			rows[k], rowOf = uint16(len(rows)), append(rowOf, peer)
		}
		p.RowOfPeer = plan.AppendUint16(p.RowOfPeer, rows[k])
	}
	for i := range p.Starts {
		column := make([]uint16, len(rowOf)) // equal rows tell no columns apart
		for j, peer := range rowOf {
			column[j] = grid[peer][i]
		}
		k := string(bytesOf(column))
		if _, ok := columns[k]; !ok {
			columns[k], columnOf = uint16(len(columns)), append(columnOf, i)
		}
		p.Classes = append(p.Classes, columns[k])
	}
	p.NumRows, p.NumClasses = len(rowOf), len(columnOf)
	for _, r := range rowOf {
		for _, c := range columnOf {
			p.Cells = plan.AppendUint16(p.Cells, grid[r][c])
		}
	}
	for f := range w.P.Frontends {
		d, ok := t.Frontends[uint32(f)]
		if !ok {
			d = t.Default
		}
		p.FrontendCells = plan.AppendUint16(p.FrontendCells, d)
	}
	return p
}

func at(entries []entry, k plan.PortKey, def uint16) uint16 {
	for _, e := range slices.Backward(entries) {
		if e.first <= k && k <= e.last {
			return e.decision
		}
	}
	return def
}

func bytesOf(v []uint16) (b []byte) {
	for _, x := range v {
		b = plan.AppendUint16(b, x)
	}
	return b
}

func id(name string) plan.ID {
	h := sha256.Sum256([]byte(name))
	return plan.ID(h[:16])
}
