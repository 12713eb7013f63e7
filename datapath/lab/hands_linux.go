package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// Standing is a lab that Up has left standing.
type Standing struct {
	// Paths are the sources it was made from, Nodes the number of its nodes.
	Paths []string
	Nodes int

	state *state
}

// ErrNone says that no lab stands.
var ErrNone = errors.New("no lab is up: weir lab up PATH makes one")

// Find returns the lab that stands, or ErrNone; where no lab can run, it says why.
func Find() (*Standing, error) {
	if err := Check(); err != nil {
		return nil, err
	}
	kept, abandoned, err := states()
	if err != nil {
		return nil, err
	}
	for _, s := range abandoned {
		_ = s.file.Close()
	}
	if len(kept) == 0 {
		return nil, ErrNone
	}
	return &Standing{kept[0].Paths, kept[0].Nodes, kept[0]}, nil
}

// Up builds a lab and leaves it standing: its pods are network namespaces that ip(8) and nsenter(1) know. The paths are
// noted for the verbs that come after.
func Up(ctx context.Context, s Source, paths []string, o Options) (err error) {
	if up, err := Find(); err == nil {
		return fmt.Errorf("a lab of %s is up already: weir lab down takes it away", strings.Join(up.Paths, ", "))
	} else if !errors.Is(err, ErrNone) {
		return err
	}
	w, _, err := NewWorld(s, max(o.Nodes, 1))
	if err != nil {
		return err
	}
	abs := make([]string, len(paths))
	for i := range paths {
		if abs[i], err = filepath.Abs(paths[i]); err != nil {
			return err
		}
	}
	l, err := start(ctx, w, state{Nodes: max(o.Nodes, 1), Paths: abs, Digest: w.Plan.DecisionDigest + w.Plan.NodeDigest})
	if err != nil {
		return err
	}
	l.state.Keep = true
	if err := l.state.write(); err != nil {
		return errors.Join(fmt.Errorf("recording the lab: %w", err), l.stop())
	}
	l.list(o.Out)
	return l.letGo()
}

func (l *lab) list(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tNAMESPACE\tADDRESSES")
	for _, s := range l.network.spaces() {
		addrs := make([]string, len(s.addrs))
		for i := range s.addrs {
			addrs[i] = s.addrs[i].String()
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", shown(s.name), shown(s.netns), strings.Join(addrs, " "))
	}
	_ = t.Flush() // printing for a person
}

// Down takes away the lab that stands, and what is left of labs that were killed.
func Down(w io.Writer) error {
	if err := Check(); err != nil {
		return err
	}
	kept, abandoned, err := states()
	if err != nil {
		return err
	}
	all := slices.Concat(kept, abandoned)
	var errs []error
	for _, s := range all {
		errs = append(errs, s.clean())
	}
	if len(all) == 0 {
		fmt.Fprintln(w, "nothing to take away: no lab is up")
	}
	return errors.Join(errs...)
}

// Shell replaces this process by a command inside the network namespace of a pod ("namespace/name"), a node or
// "outside". It returns only on failure.
func (s *Standing) Shell(name string, command []string) error {
	found, _ := filepath.Glob(filepath.Join(netnsDir, s.state.prefix()+"*"))
	want := s.state.prefix() + strings.Replace(name, "/", ".", 1)
	var names []string
	for _, path := range found {
		base := filepath.Base(path)
		short := strings.Replace(strings.TrimPrefix(base, s.state.prefix()), ".", "/", 1)
		names = append(names, shown(short))
		if base == want {
			return enter(base, short, command)
		}
	}
	return fmt.Errorf("the lab has no %s: it has %s", shown(name), strings.Join(names, ", "))
}

// enter runs a command in a namespace. Only the network namespace changes, so that /sys stays what it is.
func enter(nsName, short string, command []string) error {
	runtime.LockOSThread()
	h, err := netns.GetFromName(nsName)
	if err == nil {
		err = netns.Set(h)
	}
	if err != nil {
		return fmt.Errorf("entering the network namespace of %s: %w", short, err)
	}
	bin, err := exec.LookPath(command[0])
	if err != nil {
		return err
	}
	return fmt.Errorf("starting %s: %w", command[0], unix.Exec(bin, command, append(os.Environ(), "WEIR_LAB="+short)))
}

// Probe sends one real probe over each family from a pod, a node or the outside to another, and reports whether its fate
// is the planned one. The source is what Paths hold now.
func (s *Standing) Probe(ctx context.Context, src Source, from, to string, k plan.PortKey, out io.Writer) (asPlanned bool, err error) {
	if err := Check(); err != nil {
		return false, err
	}
	w, _, err := NewWorld(src, s.Nodes)
	if err != nil {
		return false, err
	}
	if w.Plan.DecisionDigest+w.Plan.NodeDigest != s.state.Digest {
		return false, fmt.Errorf("%s changed since the lab was made: weir lab down, then up", strings.Join(s.Paths, ", "))
	}
	probes, ports, err := w.between(from, to, k)
	if err != nil {
		return false, err
	}
	l := &lab{world: w, state: s.state}
	if l.network, err = enterNetwork(w, s.state.prefix()); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, l.letGo()) }()
	if err := l.serve(ctx, ports); err != nil {
		return false, err
	}
	fates, err := l.servers.shoot(ctx, probes)
	if err != nil {
		return false, err
	}
	asPlanned = true
	for i := range probes {
		p := &probes[i]
		if m := w.judge(p, fates[i]); m != nil {
			asPlanned = false
			fmt.Fprintf(out, "MISMATCH  %s\n", m.String())
			continue
		}
		word := "denied"
		if fates[i].arrived {
			word = "allowed"
		}
		_, why, _ := strings.Cut(planned(p), ", ")
		fmt.Fprintf(out, "%-7s  %s → %s  %s  %s  as planned: %s\n", word, shown(from), p.to, p.dst.Addr(), portName(p.key), why)
	}
	return asPlanned, nil
}

// between makes the probes of one question.
func (w *World) between(from, to string, k plan.PortKey) ([]probe, map[host][]plan.PortKey, error) {
	src, srcAddrs, err := w.find(from)
	if err != nil {
		return nil, nil, err
	}
	dst, dstAddrs, err := w.find(to)
	if err != nil {
		return nil, nil, err
	}
	if src.kind == dst.kind && src.index == dst.index || src.kind != podHost && dst.kind != podHost {
		return nil, nil, fmt.Errorf("a probe goes from one pod to another, to a node or outside, or from there to a pod")
	}
	var out []probe
	for _, a := range srcAddrs {
		for _, b := range dstAddrs {
			if family(a) != family(b) {
				continue
			}
			key := k
			if k.Space() >= ir.ICMPv4 {
				key = echoOf(b)
			}
			out = append(out, w.aimDirect(origin{src, a}, shown(to), dst, b, key))
		}
	}
	ports := map[host][]plan.PortKey{}
	if k.Space() < ir.ICMPv4 {
		ports[dst] = []plan.PortKey{k}
	}
	return out, ports, nil
}

// find resolves a name to a host and its addresses.
func (w *World) find(name string) (host, []netip.Addr, error) {
	if name == "outside" || name == "world" {
		var addrs []netip.Addr
		for _, o := range w.Outside {
			if o.Peer != 0 {
				addrs = append(addrs, o.Addr)
			}
		}
		return host{kind: outsideHost}, addrs, nil
	}
	for i := range w.Plan.Nodes {
		if w.Plan.Nodes[i].Name == name {
			return host{nodeHost, i}, w.Plan.Nodes[i].Addrs, nil
		}
	}
	i := slices.IndexFunc(w.Plan.Endpoints, func(e plan.Endpoint) bool { return endpointName(&e) == name })
	if i < 0 || w.Plan.Endpoints[i].HostNetwork {
		return host{}, nil, fmt.Errorf("the lab has no pod, node or outside called %s: write namespace/name", shown(name))
	}
	return host{podHost, i}, w.Plan.Endpoints[i].Addrs, nil
}
