//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/datapath"
	"github.com/weir-mesh/weir/test/bench/bpf"
)

const (
	latencyRounds   = 25
	latencyRequests = 2000
	latencyRules    = 100_000
	latencyPort     = 9000
)

// pair is a client and a server pod on one node, with a connection between them.
type pair struct {
	name           string
	client, server netip.Addr
	conn           net.Conn
}

// network is a node of network namespaces, as a routed CNI makes it: one veth a pod, routed by host addresses.
type network struct {
	node  string
	names []string
}

func (n *network) ip(ctx context.Context, ns, args string) error {
	out, err := exec.CommandContext(ctx, "ip", append([]string{"-n", ns}, strings.Fields(args)...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip -n %s %s: %w: %s", ns, args, err, out)
	}
	return nil
}

func (n *network) add(ctx context.Context, ns string) error {
	if out, err := exec.CommandContext(ctx, "ip", "netns", "add", ns).CombinedOutput(); err != nil {
		return fmt.Errorf("adding namespace %s: %w: %s", ns, err, out)
	}
	n.names = append(n.names, ns)
	return n.ip(ctx, ns, "link set lo up")
}

// remove works when the context has ended too.
func (n *network) remove(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	var errs []error
	for _, ns := range n.names {
		if out, err := exec.CommandContext(ctx, "ip", "netns", "del", ns).CombinedOutput(); err != nil {
			errs = append(errs, fmt.Errorf("removing namespace %s: %w: %s", ns, err, out))
		}
	}
	return errors.Join(errs...)
}

func (n *network) pod(ctx context.Context, name string, a netip.Addr) error {
	ns, dev := n.node+"-"+name, "v"+name
	if err := n.add(ctx, ns); err != nil {
		return err
	}
	for _, step := range [][2]string{
		{n.node, "link add " + dev + " type veth peer name eth0 netns " + ns},
		{n.node, "link set " + dev + " up"},
		{ns, "addr add " + a.String() + "/32 dev eth0"},
		{ns, "link set eth0 up"},
		{ns, "route add default via 169.254.1.1 dev eth0 onlink"},
		{n.node, "route add " + a.String() + "/32 dev " + dev},
	} {
		if err := n.ip(ctx, step[0], step[1]); err != nil {
			return err
		}
	}
	return nil
}

// in runs f on a thread of its own inside a namespace; the thread ends with it.
func in(ns string, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread keeps the namespace and is thrown away
		file, err := os.Open(filepath.Join("/var/run/netns", ns))
		if err != nil {
			done <- err
			return
		}
		defer func() { _ = file.Close() }()
		if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("entering %s: %w", ns, err)
			return
		}
		done <- f()
	}()
	return <-done
}

// connect starts an echo server in the server's namespace and dials it from the client's.
func (n *network) connect(ctx context.Context, p *pair) error {
	var l net.Listener
	err := in(n.node+"-s"+p.name, func() (err error) {
		var c net.ListenConfig
		c.SetMultipathTCP(false)
		l, err = c.Listen(ctx, "tcp4", netip.AddrPortFrom(p.server, latencyPort).String())
		return err
	})
	if err != nil {
		return fmt.Errorf("listening in the server of %s: %w", p.name, err)
	}
	go func() {
		defer func() { _ = l.Close() }()
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.Copy(c, c) // ends when the client closes
	}()
	err = in(n.node+"-c"+p.name, func() (err error) {
		d := net.Dialer{Timeout: 5 * time.Second}
		d.SetMultipathTCP(false)
		p.conn, err = d.DialContext(ctx, "tcp4", netip.AddrPortFrom(p.server, latencyPort).String())
		return err
	})
	if err != nil {
		return fmt.Errorf("dialling the server of %s: %w", p.name, err)
	}
	return nil
}

// roundTrip measures requests and returns their median in microseconds.
func (p *pair) roundTrip(requests int) (float64, error) {
	buf := make([]byte, 64)
	var each spread
	for range requests {
		t := time.Now()
		if _, err := p.conn.Write(buf); err != nil {
			return 0, err
		}
		if _, err := io.ReadFull(p.conn, buf); err != nil {
			return 0, err
		}
		each = append(each, since(t, time.Microsecond))
	}
	return each.median(), nil
}

func latencySection(ctx context.Context, r *report) (err error) {
	if err := datapath.Probe(); err != nil {
		return err
	}
	n := &network{node: fmt.Sprintf("weirbench%d", os.Getpid())}
	defer func() { err = errors.Join(err, n.remove(ctx)) }()
	pairs, err := n.build(ctx)
	if err != nil {
		return err
	}
	empty, err := n.attachEmpty(pairs[1])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, empty()) }()
	detach, err := n.attachWeir(pairs[2])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, detach()) }()
	for _, p := range pairs {
		if err := n.connect(ctx, p); err != nil {
			return err
		}
		defer func() { _ = p.conn.Close() }()
	}
	if err := measureLatency(ctx, r, pairs); err != nil {
		return err
	}
	return n.measurePrograms(r, pairs[1:])
}

func (n *network) build(ctx context.Context) ([]*pair, error) {
	if err := n.add(ctx, n.node); err != nil {
		return nil, err
	}
	if err := n.ip(ctx, n.node, "addr add 169.254.1.1/32 dev lo"); err != nil {
		return nil, err
	}
	err := in(n.node, func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644) })
	if err != nil {
		return nil, fmt.Errorf("making the node a router: %w", err)
	}
	var pairs []*pair
	for i, name := range []string{"none", "empty", "weir"} {
		p := &pair{name: name, client: netip.AddrFrom4([4]byte{10, 9, byte(i), 1}), server: netip.AddrFrom4([4]byte{10, 9, byte(i), 2})}
		if err := errors.Join(n.pod(ctx, "c"+name, p.client), n.pod(ctx, "s"+name, p.server)); err != nil {
			return nil, err
		}
		pairs = append(pairs, p)
	}
	return pairs, nil
}

// attachEmpty attaches a program that does nothing at both hooks of both veths.
func (n *network) attachEmpty(p *pair) (func() error, error) {
	var o bpf.BenchObjects
	if err := bpf.LoadBenchObjects(&o, nil); err != nil {
		return nil, fmt.Errorf("loading the empty program: %w", err)
	}
	links := []io.Closer{&o}
	err := in(n.node, func() error {
		for _, dev := range []string{"vc" + p.name, "vs" + p.name} {
			i, err := net.InterfaceByName(dev)
			if err != nil {
				return err
			}
			for _, at := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
				l, err := link.AttachTCX(link.TCXOptions{Interface: i.Index, Program: o.BenchEmpty, Attach: at})
				if err != nil {
					return fmt.Errorf("attaching to %s: %w", dev, err)
				}
				links = append(links, l)
			}
		}
		return nil
	})
	return func() error {
		var errs []error
		for _, l := range links {
			errs = append(errs, l.Close())
		}
		return errors.Join(errs...)
	}, err
}

// attachWeir attaches the real datapath, whose policy has the rules of the decision benchmark and one more for the
// connection that is measured.
func (n *network) attachWeir(p *pair) (func() error, error) {
	w, err := newWorld(latencyRules)
	if err != nil {
		return nil, err
	}
	if err := w.between(p.client, p.server); err != nil {
		return nil, err
	}
	for i := range w.project.Endpoints {
		e := &w.project.Endpoints[i]
		e.Interface = "v" + map[netip.Addr]string{p.client: "c", p.server: "s"}[e.Addrs[0]] + p.name
	}
	return n.open(w.project)
}

func (n *network) open(p *plan.Projection) (func() error, error) {
	root := fmt.Sprintf("/sys/fs/bpf/weirbench%d", os.Getpid())
	d, err := datapath.Open(datapath.Options{Root: root, NetNS: filepath.Join("/var/run/netns", n.node)})
	if err != nil {
		return nil, err
	}
	a, err := d.Apply(p, time.Now())
	if err == nil && len(a.Attached) != 2 {
		err = fmt.Errorf("attached to %v, not to both pods", a.Attached)
	}
	remove := func() error {
		_, gone := datapath.Uninstall(datapath.Options{Root: root, NetNS: filepath.Join("/var/run/netns", n.node)})
		return errors.Join(d.Close(), gone)
	}
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	return remove, nil
}

func measureLatency(ctx context.Context, r *report, pairs []*pair) error {
	p50 := make([]spread, len(pairs))
	for round := range latencyRounds + 2 {
		if err := ctx.Err(); err != nil {
			return err
		}
		for i, p := range pairs {
			us, err := p.roundTrip(latencyRequests)
			if err != nil {
				return fmt.Errorf("requests through %s: %w", p.name, err)
			}
			if round >= 2 { // the first warm up
				p50[i] = append(p50[i], us)
			}
		}
	}
	names := []string{"no program", "an empty TCX program", fmt.Sprintf("Weir with %d rules", latencyRules)}
	for i := range pairs {
		r.line("p50 of 64 B request and response, "+names[i], p50[i].format("%.1f", "us"))
	}
	ratio := func(i int) spread {
		var out spread
		for k := range p50[2] {
			out = append(out, p50[2][k]/p50[i][k])
		}
		return out
	}
	overEmpty, overNone := ratio(1), ratio(0)
	r.target("Weir over the empty program", overEmpty.format("%.3f", "x"), "at most 1.05x", overEmpty.median() <= 1.05)
	r.target("Weir over none", overNone.format("%.3f", "x"), "at most 1.10x", overNone.median() <= 1.10)
	return nil
}

// measurePrograms prints what the programs themselves cost a packet by the kernel's own clock, which is kept while somebody
// asks for it and costs an empty program some 20 ns a packet: without the stack and the scheduler around them, two runs
// can be compared that the medians above cannot tell apart.
func (n *network) measurePrograms(r *report, pairs []*pair) error {
	on, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		return fmt.Errorf("asking the kernel for the programs' time: %w", err)
	}
	defer func() { _ = on.Close() }()
	each := make([]spread, len(pairs))
	for range latencyRounds {
		for i, p := range pairs {
			before, err := n.programs(p)
			if err != nil {
				return err
			}
			if _, err := p.roundTrip(latencyRequests); err != nil {
				return fmt.Errorf("requests through %s: %w", p.name, err)
			}
			after, err := n.programs(p)
			if err != nil {
				return err
			}
			each[i] = append(each[i], float64(after.time-before.time)/float64(after.packets-before.packets))
		}
	}
	for i, p := range pairs {
		r.line("a program's own time a packet, "+p.name, each[i].format("%.0f", "ns"))
	}
	return nil
}

// programStats is what programs ran, and for how long.
type programStats struct {
	time    time.Duration
	packets uint64
}

// programs adds up what ran at both veths of a pair since the kernel keeps count.
func (n *network) programs(p *pair) (s programStats, err error) {
	ids := map[ebpf.ProgramID]bool{}
	err = in(n.node, func() error {
		for _, dev := range []string{"vc" + p.name, "vs" + p.name} {
			i, err := net.InterfaceByName(dev)
			if err != nil {
				return err
			}
			for _, at := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
				q, err := link.QueryPrograms(link.QueryOptions{Target: i.Index, Attach: at})
				if err != nil {
					return fmt.Errorf("asking what is attached to %s: %w", dev, err)
				}
				for _, attached := range q.Programs {
					ids[attached.ID] = true
				}
			}
		}
		return nil
	})
	for id := range ids {
		prog, openErr := ebpf.NewProgramFromID(id)
		if openErr != nil {
			return s, errors.Join(err, fmt.Errorf("opening program %d: %w", id, openErr))
		}
		st, statErr := prog.Stats()
		if err = errors.Join(err, statErr, prog.Close()); err != nil {
			return s, err
		}
		s.time += st.Runtime
		s.packets += st.RunCount
	}
	return s, err
}
