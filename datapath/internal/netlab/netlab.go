//go:build linux

// Package netlab makes a small node of network namespaces for tests: one namespace is the node, each pod has one and a
// veth routed to it, as a routed CNI does it, or one that is a port of a bridge, or what a real CNI plugin makes.
package netlab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The node's own addresses.
const (
	Node4 = "192.168.7.1"
	Node6 = "fd00:7::1"
)

// Lab is a node with pods.
type Lab struct {
	t    testing.TB
	node string
	n    int
	ns   []string
	// bridged says that the pods' veths are a bridge's ports.
	bridged bool
	// plugin makes the pods' veths where it is set.
	plugin *plugin
}

// New makes the node's namespace. It is gone when the test ends.
func New(t testing.TB) *Lab {
	t.Helper()
	l := &Lab{t: t, node: "weirtest" + strconv.Itoa(os.Getpid()) + "x" + strconv.Itoa(time.Now().Nanosecond())}
	t.Cleanup(l.remove)
	l.add(l.node)
	for _, s := range []string{"net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0"} {
		l.sysctl(l.node, s)
	}
	l.ip(l.node, "link set lo up")
	l.ip(l.node, "addr add "+Node4+"/32 dev lo")
	l.ip(l.node, "addr add "+Node6+"/128 dev lo nodad")
	return l
}

// The bridge and its addresses, which are the pods' gateways.
const (
	Bridge   = "cni0"
	Gateway4 = "10.1.0.254"
	Gateway6 = "fd00:1::fe"
)

// UseBridge makes a bridge, of which the veths of pods made from now on are ports, as flannel, k3s and kubenet do it.
func (l *Lab) UseBridge() {
	l.t.Helper()
	l.bridged = true
	// With an address of its own, as CNIs give it one: else it takes a port's, and changes it when that port goes.
	l.ip(l.node, "link add "+Bridge+" address 02:00:00:00:00:01 type bridge")
	l.ip(l.node, "addr add "+Gateway4+"/24 dev "+Bridge)
	l.ip(l.node, "addr add "+Gateway6+"/64 dev "+Bridge+" nodad")
	l.ip(l.node, "link set "+Bridge+" up")
}

// Node is the path of the node's namespace.
func (l *Lab) Node() string { return "/var/run/netns/" + l.node }

// Pod is a pod's namespace and the host's end of its veth.
type Pod struct {
	lab          *Lab
	ns           string
	Interface    string
	Addr4, Addr6 string
	added        []byte // what the plugin answered
}

// Pod makes a pod.
func (l *Lab) Pod(addr4, addr6 string) *Pod {
	l.t.Helper()
	l.n++
	p := &Pod{lab: l, ns: fmt.Sprintf("%sp%d", l.node, l.n), Interface: fmt.Sprintf("weir%d", l.n), Addr4: addr4, Addr6: addr6}
	l.add(p.ns)
	p.Connect()
	return p
}

// Connect makes the pod's veth.
func (p *Pod) Connect() {
	p.lab.t.Helper()
	if p.lab.plugin != nil {
		p.lab.plugin.connect(p)
		return
	}
	p.Plug()
	p.Move()
}

// Plug makes the pod's veth, both ends of it in the node's namespace, and its routes.
func (p *Pod) Plug() {
	l := p.lab
	l.t.Helper()
	l.ip(l.node, "link add "+p.Interface+" type veth peer name "+p.end())
	if l.bridged {
		l.ip(l.node, "link set "+p.Interface+" master "+Bridge+" up")
		return
	}
	l.ip(l.node, "addr add fe80::1/64 dev "+p.Interface+" nodad")
	l.ip(l.node, "link set "+p.Interface+" up")
	l.ip(l.node, "route add "+p.Addr4+"/32 dev "+p.Interface)
	l.ip(l.node, "-6 route add "+p.Addr6+"/128 dev "+p.Interface)
}

// end is the name of the pod's end before it moves.
func (p *Pod) end() string { return p.Interface + "end" }

// Move moves the pod's end of the veth to the pod.
func (p *Pod) Move() {
	l := p.lab
	l.t.Helper()
	l.ip(l.node, "link set "+p.end()+" netns "+p.ns+" name eth0")
	l.ip(p.ns, "link set lo up")
	if l.bridged {
		l.ip(p.ns, "link set eth0 up")
		l.ip(p.ns, "addr add "+p.Addr4+"/24 dev eth0")
		l.ip(p.ns, "addr add "+p.Addr6+"/64 dev eth0 nodad")
		l.ip(p.ns, "route add default via "+Gateway4)
		l.ip(p.ns, "-6 route add default via "+Gateway6)
		return
	}
	l.ip(p.ns, "addr add "+p.Addr4+"/32 dev eth0")
	l.ip(p.ns, "addr add "+p.Addr6+"/128 dev eth0 nodad")
	l.ip(p.ns, "link set eth0 up")
	l.ip(p.ns, "route add default via "+Node4+" dev eth0 onlink")
	l.ip(p.ns, "-6 route add default via fe80::1 dev eth0")
}

// Disconnect removes the pod's veth.
func (p *Pod) Disconnect() {
	p.lab.t.Helper()
	if p.lab.plugin != nil {
		p.lab.plugin.disconnect(p)
		return
	}
	p.lab.ip(p.lab.node, "link del "+p.Interface)
}

// IP runs ip(8) in the pod's namespace.
func (p *Pod) IP(args string) {
	p.lab.t.Helper()
	p.lab.ip(p.ns, args)
}

// IP runs ip(8) in the node's namespace.
func (l *Lab) IP(args string) {
	l.t.Helper()
	l.ip(l.node, args)
}

// NS is the path of the pod's namespace.
func (p *Pod) NS() string { return "/var/run/netns/" + p.ns }

func (l *Lab) add(ns string) {
	l.t.Helper()
	l.run("ip", "netns", "add", ns)
	l.ns = append(l.ns, ns)
}

// remove runs as a cleanup, when the test's context has ended.
func (l *Lab) remove() {
	ctx := context.WithoutCancel(l.t.Context())
	for _, ns := range l.ns {
		if out, err := exec.CommandContext(ctx, "ip", "netns", "del", ns).CombinedOutput(); err != nil {
			l.t.Errorf("removing %s: %v: %s", ns, err, out)
		}
	}
}

func (l *Lab) ip(ns, args string) {
	l.t.Helper()
	l.run("ip", append([]string{"-n", ns}, strings.Fields(args)...)...)
}

func (l *Lab) run(name string, args ...string) {
	l.t.Helper()
	if out, err := exec.CommandContext(l.t.Context(), name, args...).CombinedOutput(); err != nil {
		l.t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
}

func (l *Lab) sysctl(ns, setting string) {
	l.t.Helper()
	key, value, _ := strings.Cut(setting, "=")
	err := In("/var/run/netns/"+ns, func() error {
		return os.WriteFile("/proc/sys/"+strings.ReplaceAll(key, ".", "/"), []byte(value), 0)
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

// In runs f on a thread of its own inside a network namespace. Sockets made there stay there.
func In(path string, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = errors.Join(unix.Setns(fd, unix.CLONE_NEWNET), unix.Close(fd))
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// Listen opens a TCP listener in a namespace that answers every line with itself.
func Listen(t testing.TB, ns, addr string) {
	t.Helper()
	var l net.Listener
	err := In(ns, func() (err error) {
		c := net.ListenConfig{}
		c.SetMultipathTCP(false)
		l, err = c.Listen(t.Context(), "tcp", addr)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				b := make([]byte, 64)
				for {
					n, err := c.Read(b)
					if err != nil {
						return
					}
					if _, err := c.Write(b[:n]); err != nil {
						return
					}
				}
			}()
		}
	}()
}

// Dial opens a TCP connection from a namespace.
func Dial(ctx context.Context, ns, addr string, timeout time.Duration) (c net.Conn, err error) {
	err = In(ns, func() (err error) {
		d := net.Dialer{Timeout: timeout}
		c, err = d.DialContext(ctx, "tcp", addr)
		return err
	})
	return c, err
}

// Echo sends a byte and waits for it to come back.
func Echo(c net.Conn, timeout time.Duration) error {
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	if _, err := c.Write([]byte{'x'}); err != nil {
		return err
	}
	_, err := c.Read(make([]byte, 1))
	return err
}
