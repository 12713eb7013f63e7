package datapath

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// veth is the host's end of a veth whose other end is in another network namespace, and the addresses of that other end.
type veth struct {
	hostEnd
	name   string
	inside []netip.Addr
	// err is why the addresses could not be read.
	err error
}

// vethsOf lists the veths among a namespace's interfaces. Behind which a pod is can be told from the outside: the kernel
// reads out the addresses of a namespace that it knows by an id (IFA_TARGET_NETNSID, Linux 4.20), whoever runs there and
// whatever the bridge that the veths may be ports of has learnt.
func vethsOf(links []netlink.Link) ([]veth, error) {
	s, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("opening a netlink socket: %w", err)
	}
	defer s.Close()
	// Without strict checks the kernel passes over the id, and answers with this namespace's addresses.
	if err := unix.SetsockoptInt(s.GetFd(), unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1); err != nil {
		return nil, fmt.Errorf("asking for strict checks of netlink: %w", err)
	}
	if err := s.SetReceiveTimeout(&nl.SocketTimeoutTv); err != nil {
		return nil, fmt.Errorf("setting a netlink socket's timeout: %w", err)
	}
	h := &nl.SocketHandle{Socket: s}
	type answer struct {
		addrs map[int][]netip.Addr
		err   error
	}
	known := map[int]answer{}
	var out []veth
	for _, l := range links {
		if netnsOf(l) == 0 {
			continue
		}
		a := l.Attrs()
		in, ok := known[a.NetNsID]
		if !ok {
			in.addrs, in.err = addrsIn(h, a.NetNsID)
			known[a.NetNsID] = in
		}
		out = append(out, veth{hostEnd{a.Index, netnsOf(l)}, a.Name, in.addrs[a.ParentIndex], in.err})
	}
	return out, nil
}

// dumps is how often a list of addresses is asked for that changes meanwhile.
const dumps = 5

// addrsIn reads the addresses of each interface of the namespace with an id.
func addrsIn(h *nl.SocketHandle, id int) (map[int][]netip.Addr, error) {
	for try := 1; ; try++ {
		out := map[int][]netip.Addr{}
		err := errors.Join(addrsOf(h, id, unix.AF_INET, out), addrsOf(h, id, unix.AF_INET6, out))
		if err == nil || try == dumps || !errors.Is(err, netlink.ErrDumpInterrupted) {
			return out, err
		}
	}
}

func addrsOf(h *nl.SocketHandle, id, family int, out map[int][]netip.Addr) error {
	r := nl.NewNetlinkRequest(unix.RTM_GETADDR, unix.NLM_F_DUMP)
	r.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: h}
	r.AddData(nl.NewIfAddrmsg(family))
	r.AddData(nl.NewRtAttr(unix.IFA_TARGET_NETNSID, nl.Uint32Attr(uint32(id))))
	messages, err := r.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWADDR)
	if err != nil {
		return fmt.Errorf("reading the addresses of network namespace %d: %w", id, err)
	}
	for _, m := range messages {
		head := nl.DeserializeIfAddrmsg(m)
		attrs, err := nl.ParseRouteAttr(m[head.Len():])
		if err != nil {
			return fmt.Errorf("reading the addresses of network namespace %d: %w", id, err)
		}
		var addr netip.Addr
		there := false
		for _, a := range attrs {
			switch a.Attr.Type {
			case unix.IFA_TARGET_NETNSID:
				there = len(a.Value) == 4 && nl.NativeEndian().Uint32(a.Value) == uint32(id)
			case unix.IFA_LOCAL: // where an address has a peer, IFA_ADDRESS is the peer's
				addr, _ = netip.AddrFromSlice(a.Value)
			case unix.IFA_ADDRESS:
				if !addr.IsValid() {
					addr, _ = netip.AddrFromSlice(a.Value)
				}
			}
		}
		if !there {
			return fmt.Errorf("reading the addresses of network namespace %d: the kernel answered for another", id)
		}
		out[int(head.Index)] = append(out[int(head.Index)], addr)
	}
	return nil
}
