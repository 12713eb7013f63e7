package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// socket opens a socket in the namespace, bound to an address of it, that Go's poller watches.
func (s *space) socket(kind, proto int, local netip.AddrPort) (*os.File, error) {
	domain := unix.AF_INET
	if local.Addr().Is6() {
		domain = unix.AF_INET6
	}
	var fd int
	err := s.do(func() (err error) {
		fd, err = unix.Socket(domain, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, proto)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("opening a socket in %s: %w", s.name, err)
	}
	if err := unix.Bind(fd, sockaddr(local)); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("binding a socket in %s to %s: %w", s.name, local, err)
	}
	return os.NewFile(uintptr(fd), s.name), nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

func fromSockaddr(a unix.Sockaddr) netip.AddrPort {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// dial connects from an address of the namespace. It never blocks the namespace's thread.
func (s *space) dial(kind int, from netip.Addr, to netip.AddrPort, deadline time.Time) (*os.File, error) {
	f, err := s.socket(kind, 0, netip.AddrPortFrom(from, 0))
	if err != nil {
		return nil, err
	}
	if err := connectFile(f, to, deadline); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func connectFile(f *os.File, to netip.AddrPort, deadline time.Time) error {
	if err := f.SetDeadline(deadline); err != nil {
		return err
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	started := false
	err = raw.Write(func(fd uintptr) bool {
		if !started {
			started = true
			result = unix.Connect(int(fd), sockaddr(to))
			return result != unix.EINPROGRESS
		}
		code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && code != 0 {
			err = unix.Errno(code)
		}
		if result = err; result != nil {
			return true
		}
		if _, err := unix.Getpeername(int(fd)); err == unix.ENOTCONN {
			return false // woken before the answer
		}
		return true
	})
	if err != nil {
		return err
	}
	return result
}

// reset makes the close of a TCP socket leave nothing behind, such as TIME_WAIT.
func reset(f *os.File) {
	if raw, err := f.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		})
	}
}

// listenTCP and listenUDP open servers' sockets in the namespace. Each is bound to one address, so that answers come
// from the address that was asked.
func (s *space) listenTCP(ctx context.Context, at netip.AddrPort) (net.Listener, error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // a plain socket, as most servers are
	var l net.Listener
	err := s.do(func() (err error) {
		l, err = lc.Listen(ctx, "tcp", at.String())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listening in %s: %w", s.name, err)
	}
	return l, nil
}

func (s *space) listenUDP(at netip.AddrPort) (*net.UDPConn, error) {
	var c *net.UDPConn
	err := s.do(func() (err error) {
		c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listening in %s: %w", s.name, err)
	}
	return c, nil
}
