package lab

import (
	"encoding/binary"
	"net/netip"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/datapath"
)

// reader answers from a projection what the kernel must have answered under it.
type reader struct {
	p         *plan.Projection
	endpoints map[string]int
	exact     map[netip.Addr]int
	blocks    []int
	frontends map[netip.AddrPort]map[ir.Space]int
}

func newReader(p *plan.Projection) *reader {
	r := &reader{p: p, endpoints: map[string]int{}, exact: map[netip.Addr]int{}, frontends: map[netip.AddrPort]map[ir.Space]int{}}
	for i := range p.Endpoints {
		r.endpoints[p.Endpoints[i].Name] = i
	}
	for i := range p.Addresses {
		if x := p.Addresses[i].Prefix; x.IsSingleIP() {
			r.exact[x.Addr()] = i
		} else {
			r.blocks = append(r.blocks, i)
		}
	}
	for i := range p.Frontends {
		for _, a := range p.Frontends[i].Addrs {
			at := netip.AddrPortFrom(a, p.Frontends[i].Number)
			if r.frontends[at] == nil {
				r.frontends[at] = map[ir.Space]int{}
			}
			r.frontends[at][p.Frontends[i].Space] = i
		}
	}
	return r
}

// address finds the most specific entry, nil for none.
func (r *reader) address(a netip.Addr) *plan.ProjectedAddress {
	if i, ok := r.exact[a]; ok {
		return &r.p.Addresses[i]
	}
	var best *plan.ProjectedAddress
	for _, i := range r.blocks {
		if x := &r.p.Addresses[i]; x.Prefix.Contains(a) && (best == nil || x.Prefix.Bits() > best.Prefix.Bits()) {
			best = x
		}
	}
	return best
}

// explains says that the event's decision is one that this generation gives for its flow. Packets of a node's own
// address may be its sockets' or translated ones (S5).
func (r *reader) explains(e *datapath.Event) bool {
	i, ok := r.endpoints[e.Endpoint]
	if !ok {
		return false
	}
	ep := &r.p.Endpoints[i]
	a := r.address(e.Remote.Addr())
	// The port that was looked up is the destination's, so it tells who opened the flow; an echo has one on neither side.
	egress, ingress := true, true
	if e.Port.Space() <= ir.SCTP {
		egress, ingress = e.Port.Number() == e.Remote.Port(), e.Port.Number() == e.Local.Port()
	}
	if a != nil && a.Service && egress && r.frontend(ep, e) == e.Decision {
		return true // as a source a service's address is nobody's, like any other that nothing explains
	}
	peers := []uint32{0}
	if a != nil {
		if peers[0] = a.Peer; a.HasSocket {
			peers = append(peers, a.Socket, a.Host)
		}
	}
	for _, peer := range peers {
		if egress && cell(&r.p.Tables[ep.Egress], peer, e.Port) == e.Decision || ingress && cell(&r.p.Tables[ep.Ingress], peer, e.Port) == e.Decision {
			return true
		}
	}
	return false
}

func (r *reader) frontend(ep *plan.ProjectedEndpoint, e *datapath.Event) int32 {
	f, ok := r.frontends[netip.AddrPortFrom(e.Remote.Addr(), e.Port.Number())][e.Port.Space()]
	if !ok {
		return -1
	}
	if d, ok := ep.SelfFrontends[uint32(f)]; ok {
		return int32(d)
	}
	return int32(binary.LittleEndian.Uint16(r.p.Tables[ep.Egress].FrontendCells[2*f:]))
}

// cell is a table's decision.
func cell(t *plan.ProjectedTable, peer uint32, k plan.PortKey) int32 {
	row := int(binary.LittleEndian.Uint16(t.RowOfPeer[2*peer:]))
	class := (&plan.Table{Starts: t.Starts, Classes: t.Classes}).Class(k)
	return int32(binary.LittleEndian.Uint16(t.Cells[2*(row*t.NumClasses+class):]))
}

// mixed counts the verdicts that the generation which they name does not explain (S32). Those of generations before since
// were left unread by an earlier look, their names forgotten; they are no part of this one.
func (l *lab) mixed(events []datapath.Event, since uint64) (judged, mixed int) {
	readers := map[uint64][]*reader{}
	for g, ps := range l.projections {
		for _, p := range ps {
			readers[g] = append(readers[g], newReader(p))
		}
	}
	for i := range events {
		e := &events[i]
		if e.Decision < 0 || e.Generation < since {
			continue // dropped before any look-up: a source or a form that is never let through
		}
		judged++
		explained := false
		for _, r := range readers[e.Generation] {
			explained = explained || r.explains(e)
		}
		if !explained {
			mixed++
		}
	}
	return judged, mixed
}
