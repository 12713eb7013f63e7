package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// netnsDir is where named namespaces are found, by ip(8) and nsenter(1) too.
const netnsDir = "/run/netns"

// space is a network namespace and the one thread that lives in it. Sockets are opened by that thread and used from
// anywhere: a socket belongs to the namespace in which it was made.
type space struct {
	name   string // what the user calls it: "shop/checkout", "node-1", "outside"
	netns  string // the name under /run/netns
	addrs  []netip.Addr
	links  *netlink.Handle
	handle netns.NsHandle

	work chan func()
	done chan struct{}
}

// newSpace makes a named namespace, or, when it is there already, enters it.
func newSpace(name, nsName string, create bool) (*space, error) {
	s := &space{name: name, netns: nsName, work: make(chan func()), done: make(chan struct{})}
	started := make(chan error)
	go s.live(create, started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("making the network namespace of %s: %w", name, err)
	}
	links, err := netlink.NewHandleAt(s.handle, unix.NETLINK_ROUTE) // without a family: of all, and not every kernel has XFRM
	if err != nil {
		s.leave()
		return nil, fmt.Errorf("opening a netlink socket in the network namespace of %s: %w", name, err)
	}
	s.links = links
	return s, nil
}

// live is the thread's life. It is locked and never unlocked, so that it ends with the goroutine and no other code ever
// runs in the namespace by accident.
func (s *space) live(create bool, started chan<- error) {
	defer close(s.done)
	runtime.LockOSThread()
	var err error
	if create {
		s.handle, err = netns.NewNamed(s.netns)
	} else if s.handle, err = netns.GetFromName(s.netns); err == nil {
		err = netns.Set(s.handle)
	}
	if err == nil {
		err = s.verify()
	}
	started <- err
	if err != nil {
		return
	}
	for f := range s.work {
		f()
	}
}

// verify holds that this thread is in the namespace: one that is not would open sockets, or attach programs, elsewhere
// and everything would seem to pass.
func (s *space) verify() error {
	here, err := netns.Get()
	if err != nil {
		return err
	}
	defer func() { _ = here.Close() }()
	if !here.Equal(s.handle) {
		return errors.New("the thread is in another namespace")
	}
	return nil
}

// do runs f on the namespace's thread. f must not block.
func (s *space) do(f func() error) error {
	err := make(chan error, 1)
	s.work <- func() { err <- f() }
	return <-err
}

// leave ends the thread and closes the handles; the namespace stays.
func (s *space) leave() {
	if s.work == nil {
		return
	}
	close(s.work)
	s.work = nil
	<-s.done
	if s.links != nil {
		s.links.Close()
	}
	_ = s.handle.Close()
}

// path is where nsenter(1) and the datapath find the namespace.
func (s *space) path() string { return filepath.Join(netnsDir, s.netns) }

// sysctl writes settings below /proc/sys/net, which shows each thread its own namespace's.
func (s *space) sysctl(settings ...[2]string) error {
	return s.do(func() error {
		for _, kv := range settings {
			if err := os.WriteFile(filepath.Join("/proc/sys/net", kv[0]), []byte(kv[1]), 0); err != nil {
				return fmt.Errorf("setting net/%s in %s: %w", kv[0], s.name, err)
			}
		}
		return nil
	})
}

// link finds an interface of the namespace and brings it up.
func (s *space) up(name string) (netlink.Link, error) {
	l, err := s.links.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("finding %s in %s: %w", name, s.name, err)
	}
	if err := s.links.LinkSetUp(l); err != nil {
		return nil, fmt.Errorf("bringing up %s in %s: %w", name, s.name, err)
	}
	return l, nil
}
