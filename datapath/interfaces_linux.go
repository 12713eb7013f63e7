package datapath

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"

	"github.com/weir-mesh/weir/compiler/plan"
)

var errNotExist = os.ErrNotExist

// hostEnd is the host's end of a pod's veth; index 0 is none (yet). netns is encode.Binding's.
type hostEnd struct {
	index int
	netns uint32
}

// hostEndsOf finds the host's end of every endpoint's veth.
func hostEndsOf(p *plan.Projection) ([]hostEnd, error) {
	found := make([]hostEnd, len(p.Endpoints))
	owner := map[int]string{}
	for i := range p.Endpoints {
		e := &p.Endpoints[i]
		l, err := linkOf(e)
		if err != nil {
			return nil, fmt.Errorf("finding the interface of %s: %w", e.Name, err)
		}
		if l == nil {
			continue
		}
		index := l.Attrs().Index
		if other, taken := owner[index]; taken {
			return nil, fmt.Errorf("%s and %s are both behind interface %d: every endpoint has a veth of its own", other, e.Name, index)
		}
		owner[index], found[i] = e.Name, hostEnd{index, netnsOf(l)}
	}
	return found, nil
}

// linkOf is the named interface, or the veth to which the endpoint's address is routed; nil for none.
func linkOf(e *plan.ProjectedEndpoint) (netlink.Link, error) {
	if e.Interface != "" {
		l, err := netlink.LinkByName(e.Interface)
		if errors.As(err, &netlink.LinkNotFoundError{}) {
			return nil, nil
		}
		return l, err
	}
	for _, a := range e.Addrs {
		rs, err := netlink.RouteGet(net.IP(a.AsSlice()))
		if err != nil || len(rs) != 1 || rs[0].Gw != nil {
			continue // no route: not there yet
		}
		l, err := netlink.LinkByIndex(rs[0].LinkIndex)
		if err == nil && l.Type() == "veth" {
			return l, nil
		}
	}
	return nil, nil
}

// netnsOf is the network namespace of a veth's other end, which is the pod's; 0 when that end is in no other namespace, or
// the interface is of a kind whose link is something else.
func netnsOf(l netlink.Link) uint32 {
	if l.Type() != "veth" || l.Attrs().NetNsID < 0 {
		return 0
	}
	return uint32(l.Attrs().NetNsID) + 1
}

// interfaceName is an interface's name, empty when it is gone.
func interfaceName(ifindex int) string {
	l, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		return ""
	}
	return l.Attrs().Name
}
