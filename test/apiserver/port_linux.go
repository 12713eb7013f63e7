package apiserver

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// port is a TCP port of 127.0.0.1, kept for programs that listen with SO_REUSEPORT: the socket that keeps it is bound
// and does not listen, so the kernel gives it no connection, and its port to nobody else, also not while a program is
// down.
type port struct {
	number int
	socket int
}

func reserve() (*port, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("reserving a port: %w", err)
	}
	p := &port{socket: fd}
	if err := p.bind(); err != nil {
		p.release()
		return nil, fmt.Errorf("reserving a port: %w", err)
	}
	return p, nil
}

func (p *port) bind() error {
	if err := unix.SetsockoptInt(p.socket, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return err
	}
	if err := unix.Bind(p.socket, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	name, err := unix.Getsockname(p.socket)
	if err != nil {
		return err
	}
	in4, ok := name.(*unix.SockaddrInet4)
	if !ok {
		return fmt.Errorf("a socket of IPv4 has the name %v", name)
	}
	p.number = in4.Port
	return nil
}

func (p *port) release() { _ = unix.Close(p.socket) }

func (p *port) String() string { return strconv.Itoa(p.number) }
