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

// watchLinks tells when veths came or went. Without it (the kernel refused the subscription) the agent still looks from
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
	go func() {
		defer close(done)
		var quiet <-chan time.Time
		known := map[int32]end{}
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
}

// tells says whether an update is about a veth that came, went, got another name or whose pod's end moved to another
// namespace.
func tells(known map[int32]end, u *netlink.LinkUpdate) bool {
	link := u.Link
	if link == nil || link.Type() != "veth" {
		return false
	}
	now := end{link.Attrs().Name, link.Attrs().NetNsID}
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
