package datapath

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/datapath/encode"
)

var errNotExist = os.ErrNotExist

// hostEnd is the host's end of a pod's veth; index 0 is none (yet). netns is encode.Binding's.
type hostEnd struct {
	index int
	netns uint32
}

// found are the endpoints' host ends, in their order, the interfaces to close without an endpoint, and what has none.
type found struct {
	ends    []hostEnd
	closed  []int
	missing []Unfound
}

// find finds the host's end of every endpoint's veth, and says of each that has none why. held may be nil.
//
// A CNI that routes leaves the node a route of each pod's address alone, to its veth. With a bridge there is none, and what
// the bridge learns of addresses comes from whoever sends first; there the pods' own interfaces tell.
func find(p *plan.Projection, held *encode.Held) (*found, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("listing the interfaces: %w", err)
	}
	exists, ends := map[int]string{}, map[int]hostEnd{}
	byIndex := map[int]netlink.Link{}
	for _, l := range links {
		i := l.Attrs().Index
		exists[i], ends[i], byIndex[i] = l.Attrs().Name, hostEnd{i, netnsOf(l)}, l
	}
	claims := make([]claim, len(p.Endpoints))
	told := true // by names and routes
	for i := range p.Endpoints {
		claims[i] = claimOf(&p.Endpoints[i], byIndex)
		told = told && (p.Endpoints[i].Interface != "" || len(claims[i].routed) == 1)
	}
	remember(claims, p, held)
	at, closed, missing := settle(claims, exists)
	if !told || len(missing) > 0 {
		if err := lookInside(claims, p, links); err != nil {
			return nil, err
		}
		at, closed, missing = settle(claims, exists)
	}
	f := &found{ends: make([]hostEnd, len(at)), closed: closed, missing: missing}
	for i, index := range at {
		f.ends[i] = ends[index]
	}
	return f, nil
}

// claimOf is what names and routes say of an endpoint.
func claimOf(e *plan.ProjectedEndpoint, links map[int]netlink.Link) claim {
	c := claim{name: e.Name, none: Unfound{Why: Nowhere, Hint: "if it has not started, wait; if it has ended or moved, compile the plan anew; if it runs here, its interface is no veth in this namespace, and Weir cannot enforce it"}}
	if e.Interface != "" {
		c.none.Text = "there is no interface " + e.Interface
		for i, l := range links {
			if l.Attrs().Name == e.Interface {
				c.routed = []int{i}
			}
		}
		return c
	}
	c.none.Text = "no veth's other end has its address " + list(e.Addrs) + ", and no route of that address alone leads to one"
	for _, a := range e.Addrs {
		l := links[routeOf(a)]
		switch {
		case l == nil || l.Type() == "device" && l.Attrs().Flags&net.FlagLoopback != 0: // an address of the node's own
		case l.Type() != "veth":
			c.none.Why, c.none.Hint = NoVeth, "Weir enforces pods behind veths: have the CNI make one, or take the pod out of the mesh"
			c.none.Text = fmt.Sprintf("its address %s is routed to %s, which is of kind %s and no veth", a, l.Attrs().Name, l.Type())
		case !slices.Contains(c.routed, l.Attrs().Index):
			c.routed = append(c.routed, l.Attrs().Index)
		}
	}
	return c
}

// routeOf is the interface to which an address alone is routed directly; 0 for none. A route of a whole network, as a bridge
// has it, says nothing about one address of it.
func routeOf(a netip.Addr) int {
	rs, err := netlink.RouteGetWithOptions(net.IP(a.AsSlice()), &netlink.RouteGetOptions{FIBMatch: true})
	if err != nil || len(rs) != 1 || rs[0].Gw != nil || rs[0].Dst == nil {
		return 0 // no route: not there yet
	}
	if ones, _ := rs[0].Dst.Mask.Size(); ones != a.BitLen() {
		return 0
	}
	return rs[0].LinkIndex
}

// remember adds to each claim where the kernel has the endpoint. One whose addresses are all new is another pod.
func remember(claims []claim, p *plan.Projection, held *encode.Held) {
	if held == nil {
		return
	}
	at := map[string]*encode.HeldEndpoint{}
	for i := range held.Endpoints {
		at[held.Endpoints[i].Name] = &held.Endpoints[i]
	}
	for i := range claims {
		e := &p.Endpoints[i]
		if h := at[e.Name]; h != nil && slices.ContainsFunc(e.Addrs, func(a netip.Addr) bool { return slices.Contains(h.Addrs, a) }) {
			claims[i].held = int(h.Ifindex)
		}
	}
}

// lookInside adds to each claim behind which veths its addresses are.
func lookInside(claims []claim, p *plan.Projection, links []netlink.Link) error {
	veths, err := vethsOf(links)
	if err != nil {
		return err
	}
	behind := map[netip.Addr][]int{}
	var unread []string
	var reasons []error
	for i := range veths {
		for _, a := range veths[i].inside {
			behind[a] = append(behind[a], veths[i].index)
		}
		if veths[i].err != nil {
			unread, reasons = append(unread, veths[i].name), append(reasons, veths[i].err)
		}
	}
	for i := range claims {
		if p.Endpoints[i].Interface != "" {
			continue
		}
		for _, a := range p.Endpoints[i].Addrs {
			for _, index := range behind[a] {
				if !slices.Contains(claims[i].inside, index) {
					claims[i].inside = append(claims[i].inside, index)
				}
			}
		}
		if c := &claims[i]; len(unread) > 0 && c.none.Why == Nowhere {
			c.none.Text += fmt.Sprintf("; what is behind %s could not be read: %v", strings.Join(unread, ", "), reasons[0])
		}
	}
	return nil
}

func list(addrs []netip.Addr) string {
	var out []string
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return strings.Join(out, " or ")
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
