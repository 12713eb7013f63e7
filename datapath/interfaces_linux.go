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

// interfacesOf finds the host's end of every endpoint's veth; 0 where there is none (yet).
func interfacesOf(p *plan.Projection) ([]int, error) {
	found := make([]int, len(p.Endpoints))
	owner := map[int]string{}
	for i := range p.Endpoints {
		e := &p.Endpoints[i]
		ifindex, err := interfaceOf(e)
		if err != nil {
			return nil, fmt.Errorf("finding the interface of %s: %w", e.Name, err)
		}
		if other, taken := owner[ifindex]; taken && ifindex != 0 {
			return nil, fmt.Errorf("%s and %s are both behind interface %d: every endpoint has a veth of its own", other, e.Name, ifindex)
		}
		owner[ifindex], found[i] = e.Name, ifindex
	}
	return found, nil
}

// interfaceOf is the named interface, or the veth to which the endpoint's address is routed.
func interfaceOf(e *plan.ProjectedEndpoint) (int, error) {
	if e.Interface != "" {
		l, err := netlink.LinkByName(e.Interface)
		if errors.As(err, &netlink.LinkNotFoundError{}) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		return l.Attrs().Index, nil
	}
	for _, a := range e.Addrs {
		rs, err := netlink.RouteGet(net.IP(a.AsSlice()))
		if err != nil || len(rs) != 1 || rs[0].Gw != nil {
			continue // no route: not there yet
		}
		l, err := netlink.LinkByIndex(rs[0].LinkIndex)
		if err == nil && l.Type() == "veth" {
			return l.Attrs().Index, nil
		}
	}
	return 0, nil
}

// interfaceName is an interface's name, empty when it is gone.
func interfaceName(ifindex int) string {
	l, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		return ""
	}
	return l.Attrs().Name
}
