package lab

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// servers listen in every namespace, on every port that a probe may arrive at, and record what does.
type servers struct {
	run     uint32
	network *network
	wg      sync.WaitGroup
	mu      sync.Mutex
	open    map[io.Closer]bool
	closed  bool
	// raw has each address's raw sockets; they send probes too.
	raw map[rawKey]*os.File
	// flights are the probes of the present round, by number.
	flights atomic.Pointer[[]flight]
	// held is told of the bytes that arrive on connections that stay open, by the connection's number.
	held atomic.Pointer[[]atomic.Int64]
}

type rawKey struct {
	addr  netip.Addr
	proto int
}

// flight is a probe on its way.
type flight struct {
	// arrival is the place that it arrived at, plus one; the first counts, and a second elsewhere is a fault.
	arrival atomic.Int32
	replied atomic.Bool
	done    chan struct{}
	once    sync.Once
}

func (f *flight) finish() { f.once.Do(func() { close(f.done) }) }

// startServers opens sockets on the given ports of each host, and the raw ones everywhere; stop closes them and waits.
func startServers(ctx context.Context, n *network, run uint32, ports map[host][]plan.PortKey) (*servers, error) {
	s := &servers{run: run, network: n, open: map[io.Closer]bool{}, raw: map[rawKey]*os.File{}}
	for place, h := range n.places() {
		sp := n.space(h)
		for _, a := range sp.addrs {
			if err := s.serve(ctx, place, sp, a, ports[h]); err != nil {
				s.stop()
				return nil, err
			}
		}
	}
	return s, nil
}

// places numbers the hosts that have a namespace of their own.
func (n *network) places() []host {
	out := []host{{kind: outsideHost}}
	for i := range n.nodes {
		out = append(out, host{nodeHost, i})
	}
	for i, s := range n.pods {
		if s != nil {
			out = append(out, host{podHost, i})
		}
	}
	return out
}

func (n *network) space(h host) *space {
	switch h.kind {
	case podHost:
		return n.pods[h.index]
	case nodeHost:
		return n.nodes[h.index]
	}
	return n.outside
}

func (s *servers) serve(ctx context.Context, place int, sp *space, a netip.Addr, ports []plan.PortKey) error {
	for _, k := range ports {
		at := netip.AddrPortFrom(a, k.Number())
		switch k.Space() {
		case ir.TCP:
			l, err := sp.listenTCP(ctx, at)
			if err != nil {
				return err
			}
			s.goServe(l, func() { s.acceptAll(place, l) })
		case ir.UDP:
			c, err := sp.listenUDP(at)
			if err != nil {
				return err
			}
			s.goServe(c, func() { s.echoUDP(place, c) })
		}
	}
	icmp, sctp := unix.IPPROTO_ICMP, unix.IPPROTO_SCTP
	if a.Is6() {
		icmp = unix.IPPROTO_ICMPV6
	}
	for _, proto := range []int{icmp, sctp} {
		f, err := sp.socket(unix.SOCK_RAW, proto, netip.AddrPortFrom(a, 0))
		if err != nil {
			return err
		}
		s.raw[rawKey{a, proto}] = f
		if proto == sctp {
			s.goServe(f, func() { s.readSCTP(place, f, a) })
		} else {
			s.goServe(f, func() { s.readICMP(place, f, a) })
		}
	}
	return nil
}

func (s *servers) goServe(c io.Closer, f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[c] = true
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		f()
	}()
}

// track notes an accepted connection, so that stop closes it; false when all is being closed.
func (s *servers) track(c io.Closer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = c.Close()
		return false
	}
	s.open[c] = true
	s.wg.Add(1)
	return true
}

func (s *servers) untrack(c io.Closer) {
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
	_ = c.Close()
	s.wg.Done()
}

func (s *servers) stop() {
	s.mu.Lock()
	s.closed = true
	for c := range s.open {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// flight finds the probe of a payload.
func (s *servers) flight(b []byte) *flight {
	id, ok := parsePayload(b, s.run)
	fs := s.flights.Load()
	if !ok || fs == nil || id >= uint64(len(*fs)) {
		return nil
	}
	return &(*fs)[id]
}

// arrive records that a payload got to a place, and reports whether it belongs to a probe.
func (s *servers) arrive(place int, b []byte) bool {
	f := s.flight(b)
	if f == nil {
		return false
	}
	f.arrival.CompareAndSwap(0, int32(place)+1)
	return true
}

// reply records that an answer came back.
func (s *servers) reply(b []byte) {
	if f := s.flight(b); f != nil {
		f.replied.Store(true)
		f.finish()
	}
}

// acceptTimeout ends connections over which nothing comes.
const acceptTimeout = time.Minute

func (s *servers) acceptAll(place int, l net.Listener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(time.Millisecond) // out of descriptors, for a moment
			continue
		}
		if s.track(c) {
			go func() {
				defer s.untrack(c)
				s.echoTCP(place, c)
			}()
		}
	}
}

// echoTCP answers each payload with itself. Payloads of the connections that are held open are counted instead of
// recorded as arrivals of probes.
func (s *servers) echoTCP(place int, c net.Conn) {
	b := make([]byte, payloadLen)
	for {
		if c.SetReadDeadline(time.Now().Add(acceptTimeout)) != nil {
			return
		}
		if _, err := io.ReadFull(c, b); err != nil {
			return
		}
		if !s.count(b) && !s.arrive(place, b) {
			return
		}
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

func (s *servers) echoUDP(place int, c *net.UDPConn) {
	b := make([]byte, 2*payloadLen)
	for {
		n, from, err := c.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil && s.arrive(place, b[:n]) {
			_, _ = c.WriteToUDPAddrPort(b[:n], from)
		}
	}
}

// receive reads packets of a raw socket until it is closed.
func receive(f *os.File, handle func(packet []byte, from netip.Addr)) {
	raw, err := f.SyscallConn()
	if err != nil {
		return
	}
	b := make([]byte, 2048)
	for {
		var n int
		var from unix.Sockaddr
		var rerr error
		err := raw.Read(func(fd uintptr) bool {
			n, from, rerr = unix.Recvfrom(int(fd), b, 0)
			return rerr != unix.EAGAIN
		})
		if err != nil {
			return // closed
		}
		if rerr == nil {
			handle(b[:n], fromSockaddr(from).Addr())
		}
	}
}

// stripIPv4 leaves out the header that raw IPv4 sockets see.
func stripIPv4(b []byte, a netip.Addr) []byte {
	if !a.Is4() || len(b) == 0 {
		return b
	}
	return b[min(len(b), int(b[0]&15)*4):]
}

// readICMP sees the requests that arrive, which the kernel answers, and the answers.
func (s *servers) readICMP(place int, f *os.File, a netip.Addr) {
	receive(f, func(b []byte, _ netip.Addr) {
		b = stripIPv4(b, a)
		if len(b) < 8+payloadLen {
			return
		}
		switch {
		case a.Is4() && b[0] == echoRequest4, a.Is6() && b[0] == echoRequest6:
			s.arrive(place, b[8:])
		case a.Is4() && b[0] == echoReply4, a.Is6() && b[0] == echoReply6:
			s.reply(b[8:])
		}
	})
}

// readSCTP is the server and the client of SCTP, which this kernel need not have.
func (s *servers) readSCTP(place int, f *os.File, a netip.Addr) {
	receive(f, func(b []byte, from netip.Addr) {
		kind, src, dst, data, ok := parseSCTP(stripIPv4(b, a))
		switch {
		case ok && kind == sctpInit && s.arrive(place, data):
			_ = sendRaw(f, from, sctpPacket(sctpInitAck, dst, src, data[:payloadLen]))
		case ok && kind == sctpInitAck:
			s.reply(data)
		}
	})
}

func sendRaw(f *os.File, to netip.Addr, b []byte) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	err = raw.Write(func(fd uintptr) bool {
		serr = unix.Sendto(int(fd), b, 0, sockaddr(netip.AddrPortFrom(to, 0)))
		return serr != unix.EAGAIN
	})
	return errors.Join(err, serr)
}
