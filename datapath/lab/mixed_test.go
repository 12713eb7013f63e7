//go:build linux

package lab

import (
	"net/netip"
	"testing"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/project"
	"github.com/weir-mesh/weir/datapath"
)

// TestMixed: a verdict that its own generation does not give is counted, one that it gives is not, and what an earlier look
// left unread is not looked at.
func TestMixed(t *testing.T) {
	w, _, err := NewWorld(shop(), 1)
	if err != nil {
		t.Fatal(err)
	}
	p, err := project.Node(w.Plan, w.Plan.Nodes[0].Name, 2)
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{projections: map[uint64][]*plan.Projection{2: {p}}}
	var from, to netip.Addr
	var ep *plan.ProjectedEndpoint
	for i := range p.Endpoints {
		if e := &p.Endpoints[i]; ep == nil && len(e.Addrs) > 0 {
			ep, from = e, e.Addrs[0]
		} else if len(e.Addrs) > 0 {
			to = e.Addrs[0]
		}
	}
	key := plan.Key(ir.TCP, 7070)
	e := datapath.Event{Endpoint: ep.Name, Generation: 2, Port: key, Local: netip.AddrPortFrom(from, 40000), Remote: netip.AddrPortFrom(to, 7070),
		Decision: cell(&p.Tables[ep.Egress], newReader(p).address(to).Peer, key)}
	other, old, early := e, e, e
	other.Decision++
	old.Generation, old.Endpoint = 1, "slot 3"
	early.Decision = -1
	if judged, mixed := l.mixed([]datapath.Event{e, other, old, early}, 2); judged != 2 || mixed != 1 {
		t.Errorf("%d judged, %d mixed; want 2 and 1", judged, mixed)
	}
}
