package lab

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-mesh/weir/compiler/ir"
)

// How long a probe is waited for. One that is to be denied is let go early; its arrival counts whenever it comes
// before the round's end, which is settle later.
const (
	waitAllowed = 4 * time.Second
	waitDenied  = 150 * time.Millisecond
	settle      = 400 * time.Millisecond
	resend      = 250 * time.Millisecond
	concurrency = 256
)

// shoot makes all probes, some at a time, and returns what became of each.
func (s *servers) shoot(ctx context.Context, probes []probe) ([]fate, error) {
	flights := make([]flight, len(probes))
	for i := range flights {
		flights[i].done = make(chan struct{})
	}
	s.flights.Store(&flights)
	defer s.flights.Store(nil)
	errs := make([]error, len(probes))
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(concurrency, len(probes)) {
		wg.Go(func() {
			for i := range next {
				errs[i] = s.one(ctx, &probes[i], uint64(i), &flights[i])
			}
		})
	}
	for i := range probes {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	wg.Wait()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	time.Sleep(settle)
	places := s.network.places()
	out := make([]fate, len(probes))
	for i := range flights {
		out[i].replied, out[i].err = flights[i].replied.Load(), errs[i]
		if at := flights[i].arrival.Load(); at > 0 {
			out[i].arrived, out[i].at = true, places[at-1]
		}
	}
	return out, nil
}

// one makes a probe. An error is returned only when it could not be made at all; that nothing comes back is no error.
func (s *servers) one(ctx context.Context, p *probe, id uint64, f *flight) error {
	wait := waitDenied
	if p.mayPass() {
		wait = waitAllowed
	}
	if p.mayPass() && !p.mustPass() {
		wait = time.Second // it depends on the endpoint that is chosen
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	data := payload(s.run, id)
	switch p.key.Space() {
	case ir.TCP:
		return s.tcp(ctx, p, data)
	case ir.UDP:
		return s.udp(ctx, p, data)
	case ir.SCTP:
		// Source ports tell the probes of one address apart for whoever translates them.
		packet := sctpPacket(sctpInit, uint16(10000+id%50000), p.key.Number(), data)
		return s.sendUntil(ctx, f, func() error { return s.sendFrom(p, unix.IPPROTO_SCTP, packet) })
	case ir.ICMPv4, ir.ICMPv6:
		proto := unix.IPPROTO_ICMP
		if p.src.Is6() {
			proto = unix.IPPROTO_ICMPV6
		}
		packet := echoPacket(p.src.Is6(), uint16(id>>16)+1, uint16(id), data)
		return s.sendUntil(ctx, f, func() error { return s.sendFrom(p, proto, packet) })
	}
	return errors.New("no probe for " + portName(p.key))
}

func (s *servers) sendFrom(p *probe, proto int, packet []byte) error {
	return sendRaw(s.raw[rawKey{p.src, proto}], p.dst.Addr(), packet)
}

// sendUntil repeats a datagram until its answer is there or the time is over: real ones get lost too, while an address
// is resolved for instance.
func (s *servers) sendUntil(ctx context.Context, f *flight, send func() error) error {
	for {
		if err := send(); err != nil && !refused(err) {
			return err
		}
		select {
		case <-f.done:
			return nil
		case <-ctx.Done():
			return nil
		case <-time.After(resend):
		}
	}
}

// refused says that the network turned the probe down, which is an outcome.
func refused(err error) bool {
	var errno syscall.Errno
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.EOF) {
		return true
	}
	if !errors.As(err, &errno) {
		return false
	}
	switch errno {
	case unix.ENOBUFS, unix.ECONNREFUSED, unix.ECONNRESET, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.ETIMEDOUT, unix.EPIPE, unix.EACCES, unix.EPERM:
		return true
	}
	return false
}

func (s *servers) tcp(ctx context.Context, p *probe, data []byte) error {
	deadline, _ := ctx.Deadline()
	c, err := s.network.space(p.from).dial(unix.SOCK_STREAM, p.src, p.dst, deadline)
	if err != nil {
		return unlessRefused(err)
	}
	defer func() { _ = c.Close() }()
	reset(c)
	if _, err := c.Write(data); err != nil {
		return unlessRefused(err)
	}
	if _, err := io.ReadFull(c, data); err != nil {
		return unlessRefused(err)
	}
	s.reply(data)
	return nil
}

func (s *servers) udp(ctx context.Context, p *probe, data []byte) error {
	deadline, _ := ctx.Deadline()
	c, err := s.network.space(p.from).dial(unix.SOCK_DGRAM, p.src, p.dst, deadline)
	if err != nil {
		return unlessRefused(err)
	}
	defer func() { _ = c.Close() }()
	for ctx.Err() == nil {
		if err := c.SetDeadline(time.Now().Add(resend)); err != nil {
			return err
		}
		if _, err := c.Write(data); err != nil && !refused(err) {
			return err
		}
		b := make([]byte, payloadLen)
		n, err := c.Read(b)
		if err == nil {
			s.reply(b[:n])
			return nil
		}
		if !refused(err) {
			return err
		}
		if !p.mayPass() {
			return nil // once is enough
		}
	}
	return nil
}

func unlessRefused(err error) error {
	if refused(err) {
		return nil
	}
	return err
}
