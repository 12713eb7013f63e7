package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-mesh/weir/compiler/ir"
)

// heldBase is the first number of a connection that is held open; probes have smaller ones.
const heldBase = 1 << 32

// beat is how often a connection that is held open says something.
const beat = 20 * time.Millisecond

// count adds a payload of a connection that is held open; false when the payload is no such.
func (s *servers) count(b []byte) bool {
	id, ok := parsePayload(b, s.run)
	counts := s.held.Load()
	if !ok || id < heldBase || counts == nil || id-heldBase >= uint64(len(*counts)) {
		return false
	}
	(*counts)[id-heldBase].Add(1)
	return true
}

// held is a set of connections that are kept busy: each sends a payload every beat and reads the echoes.
type held struct {
	probes []probe
	files  []*os.File
	// arrived counts at the server, echoed at the client.
	arrived, echoed []atomic.Int64
	stopped         chan struct{}
	wg              sync.WaitGroup
}

// hold opens connections over the probes that the plan allows, as many as asked for, some of them several times.
func (s *servers) hold(ctx context.Context, probes []probe, n int) (*held, error) {
	open := choose(probes, n)
	h := &held{stopped: make(chan struct{})}
	if len(open) == 0 {
		return h, nil
	}
	h.arrived, h.echoed = make([]atomic.Int64, n), make([]atomic.Int64, n)
	s.held.Store(&h.arrived)
	for i := range n {
		if ctx.Err() != nil {
			h.stop()
			return nil, ctx.Err()
		}
		p := open[i%len(open)]
		f, err := s.network.space(p.from).dial(unix.SOCK_STREAM, p.src, p.dst, time.Now().Add(waitAllowed))
		if err != nil {
			h.stop()
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, fmt.Errorf("opening a connection %s → %s %s: %w", p.src, p.to, p.dst, err)
		}
		reset(f)
		h.probes, h.files = append(h.probes, p), append(h.files, f)
	}
	for i := range h.files {
		h.wg.Go(func() { h.say(i, payload(s.run, heldBase+uint64(i))) })
		h.wg.Go(func() { h.hear(i) })
	}
	return h, nil
}

// choose picks what to hold: mostly connections between pods, where there are, from all over the list.
func choose(probes []probe, n int) []probe {
	var pods, others []probe
	for i := range probes {
		p := &probes[i]
		switch {
		case p.key.Space() != ir.TCP || !p.mustPass() || len(p.targets) != 1:
		case p.from.kind == podHost && p.targets[0].at.kind == podHost && p.from != p.targets[0].at:
			pods = append(pods, *p)
		default:
			others = append(others, *p)
		}
	}
	out := spread(pods, n-n/4)
	return append(out, spread(others, n-len(out))...)
}

// spread picks n entries at equal distances, or all.
func spread(list []probe, n int) []probe {
	if len(list) <= n {
		return list
	}
	out := make([]probe, n)
	for i := range out {
		out[i] = list[i*len(list)/n]
	}
	return out
}

func (h *held) say(i int, data []byte) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case <-h.stopped:
			return
		case <-tick.C:
		}
		_ = h.files[i].SetWriteDeadline(time.Now().Add(beat))
		if _, err := h.files[i].Write(data); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
	}
}

func (h *held) hear(i int) {
	_ = h.files[i].SetReadDeadline(time.Time{})
	b := make([]byte, payloadLen)
	for {
		if _, err := io.ReadFull(h.files[i], b); err != nil {
			return
		}
		h.echoed[i].Add(1)
	}
}

// stop closes the connections and waits.
func (h *held) stop() {
	close(h.stopped)
	for _, f := range h.files {
		_ = f.Close()
	}
	h.wg.Wait()
}

// settle waits until the connections that are cut bring nothing more. One that is not cut goes on to the end of patience.
func (h *held) settle(ctx context.Context, cut []bool) error {
	for end := time.Now().Add(patience); time.Now().Before(end); {
		arrives, _, err := h.alive(ctx, drain)
		if err != nil {
			return err
		}
		behind := false
		for i := range cut {
			behind = behind || cut[i] && arrives[i]
		}
		if !behind {
			return nil
		}
	}
	return nil
}

// alive watches the connections for a while and says over which something arrives and comes back.
func (h *held) alive(ctx context.Context, watch time.Duration) (arrives, returns []bool, err error) {
	n := len(h.files)
	arrived, echoed := make([]int64, n), make([]int64, n)
	for i := range n {
		arrived[i], echoed[i] = h.arrived[i].Load(), h.echoed[i].Load()
	}
	select {
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	case <-time.After(watch):
	}
	for i := range n {
		arrives = append(arrives, h.arrived[i].Load() > arrived[i])
		returns = append(returns, h.echoed[i].Load() > echoed[i])
	}
	return arrives, returns, nil
}
