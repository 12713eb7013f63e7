package lab

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/weir-mesh/weir/compiler/plan"
)

// LeftOut counts what no probe was sent to, because the lab has no host that could receive it.
type LeftOut struct {
	Reason string `json:"reason"`
	Count  int    `json:"count"`
	// First names one of them.
	First string `json:"first"`
}

func (l *LeftOut) String() string {
	return fmt.Sprintf("%s × %s; the first is %s", thousands(l.Count), l.Reason, l.First)
}

// Why something is left out.
const (
	noSuchHost  = "endpoint of a service at an address that nobody in the lab has"
	noWorldAddr = "part of the world without an address that the lab can route"
)

// leftOut lists what no probe is sent to.
func (w *World) leftOut() []LeftOut {
	services, parts := LeftOut{Reason: noSuchHost}, LeftOut{Reason: noWorldAddr}
	for i := range w.Plan.Frontends {
		f := &w.Plan.Frontends[i]
		for j := range f.Backends {
			if b := &f.Backends[j]; b.Endpoint < 0 && b.Addr.IsValid() && !w.hasHost(b.Addr) {
				services.add(fmt.Sprintf("service %s %s → %s", shown(f.Namespace+"/"+f.Service), portName(f.Port), b.Addr))
			}
		}
	}
	for i := range w.Plan.Peers {
		p := &w.Plan.Peers[i]
		if p.Kind == plan.WorldPeer && !slices.ContainsFunc(w.Outside, func(o OutsideAddr) bool { return o.Peer == plan.PeerIndex(i) }) {
			parts.add(p.Prefix.String())
		}
	}
	return slices.DeleteFunc([]LeftOut{services, parts}, func(l LeftOut) bool { return l.Count == 0 })
}

func (l *LeftOut) add(what string) {
	if l.Count++; l.Count == 1 {
		l.First = what
	}
}

// hasHost says that the outside namespace has a bare address. Nodes and pods have none of those: see newAllocator.
func (w *World) hasHost(a netip.Addr) bool {
	return slices.ContainsFunc(w.Outside, func(o OutsideAddr) bool { return o.Addr == a })
}

// hostless says that all endpoints of a family behind a frontend are at addresses that nobody in the lab has: a probe of it
// would tell nothing.
func (w *World) hostless(f *plan.Frontend, fam int) bool {
	left := 0
	for i := range f.Backends {
		b := &f.Backends[i]
		if _, _, ok := w.backend(b, fam); ok {
			return false
		}
		if b.Endpoint < 0 && family(b.Addr) == fam {
			left++
		}
	}
	return left > 0
}
