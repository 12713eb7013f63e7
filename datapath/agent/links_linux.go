package agent

import (
	"context"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// calm is how long interfaces must be quiet before they are looked at: a pod's start makes several events.
const calm = 100 * time.Millisecond

// watchLinks tells when veths came or went, or addresses of the node. Without it (the kernel refused the subscription) the agent still looks from
// time to time.
func (a *agent) watchLinks(ctx context.Context) <-chan struct{} {
	out := make(chan struct{}, 1)
	updates, done := make(chan netlink.LinkUpdate, 64), make(chan struct{})
	o := netlink.LinkSubscribeOptions{ErrorCallback: func(err error) {
		if ctx.Err() == nil { // else it is the end: the socket was closed under its reader
			a.o.Log.Warn("interfaces are no longer watched", "reason", err)
		}
	}}
	if path := a.o.Datapath.NetNS; path != "" {
		h, err := netns.GetFromPath(path)
		if err != nil {
			a.o.Log.Warn("interfaces are not watched", "reason", err)
			return nil
		}
		defer func() { _ = h.Close() }()
		o.Namespace = &h
	}
	if err := netlink.LinkSubscribeWithOptions(updates, done, o); err != nil {
		a.o.Log.Warn("interfaces are not watched", "reason", err)
		return nil
	}
	addrs := make(chan netlink.AddrUpdate, 64)
	if err := netlink.AddrSubscribeWithOptions(addrs, done, netlink.AddrSubscribeOptions{Namespace: o.Namespace, ErrorCallback: o.ErrorCallback}); err != nil {
		a.o.Log.Warn("the node's addresses are not watched", "reason", err)
		addrs = nil
	}
	go func() {
		defer close(done)
		var quiet <-chan time.Time
		known, has := map[int32]end{}, map[string]bool{}
		for {
			select {
			case <-ctx.Done():
				return
			case u, ok := <-updates:
				if !ok {
					updates, quiet = nil, nil
					continue
				}
				if tells(known, &u) {
					quiet = time.After(calm)
				}
			case u, ok := <-addrs:
				if !ok {
					addrs = nil
					continue
				}
				if tellsAddr(has, &u) {
					quiet = time.After(calm)
				}
			case <-quiet:
				quiet = nil
				select {
				case out <- struct{}{}:
				default: // one is waiting already
				}
			}
		}
	}()
	return out
}

// end is what an endpoint's veth is found by, and its pod.
type end struct {
	name  string
	netns int
	up    bool
}

// tells says whether an update is about a veth that came, went, got another name, whose pod's end moved to another
// namespace, or whose both ends are up now: the pod's end then has its address, or soon.
func tells(known map[int32]end, u *netlink.LinkUpdate) bool {
	link := u.Link
	if link == nil || link.Type() != "veth" {
		return false
	}
	now := end{link.Attrs().Name, link.Attrs().NetNsID, link.Attrs().OperState == netlink.OperUp}
	if u.Header.Type == unix.RTM_DELLINK {
		delete(known, u.Index)
		return true
	}
	if had, ok := known[u.Index]; ok && had == now {
		return false
	}
	known[u.Index] = now
	return true
}

// tellsAddr says whether an address of the node came or went: a bridge's, for one. That of a router's advertisement comes
// again and again.
func tellsAddr(has map[string]bool, u *netlink.AddrUpdate) bool {
	a := u.LinkAddress.String()
	if u.Scope != unix.RT_SCOPE_UNIVERSE || u.NewAddr && has[a] {
		return false
	}
	has[a] = u.NewAddr
	return true
}
