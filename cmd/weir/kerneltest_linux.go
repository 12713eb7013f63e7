package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/weir-mesh/weir/compiler/analyze"
	"github.com/weir-mesh/weir/compiler/compile"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/project"
	"github.com/weir-mesh/weir/datapath/lab"
	"github.com/weir-mesh/weir/datapath/progrun"
)

// maxSampled bounds the sample of the flow space; maxTold how many mismatches are told.
const (
	maxSampled = 50_000
	maxTold    = 10
)

// Why a packet is not run.
const (
	toItself    = "of a pod to itself: it does not leave the pod, and no veth sees it (S6)"
	noVeth      = "between ends of which neither has a veth of the kernel's programs"
	noAddress   = "between ends that have no addresses of one family here"
	noPort      = "of port 0, or of a protocol by its number that has ports or names of its own"
	notTheTable = "of ICMP that answers or reports, or that is the link's own: it is no flow (S6)"
)

// kernelRun compares the BPF program with the plan, packet by packet, on one node that holds every pod.
type kernelRun struct {
	plan   *plan.Plan
	proj   *plan.Projection
	runner *progrun.Runner
	// endpoint is the place in Plan.Endpoints of an address; projected that in Projection.Endpoints.
	endpoint, projected map[netip.Addr]int32
	own                 map[netip.Addr]plan.PeerIndex
	forwarded           map[netip.Addr]plan.PeerIndex
	report              kernelReport
}

// packet is the first packet of a flow at one veth.
type packet struct {
	hook          progrun.Hook
	local, remote netip.Addr
	key           plan.PortKey
	ownSocket     bool
}

// testKernel runs the tests' flows and a sample of all flows through the program.
func testKernel(ctx context.Context, r *compile.Result, now time.Time, tests []analyze.Test) (*kernelReport, error) {
	w, _, err := lab.NewWorld(lab.Source{Policies: r.Policies, Inventory: r.Inventory, Config: r.Config, Now: now}, 1)
	if err != nil {
		return nil, err
	}
	node := w.Plan.Nodes[0].Name
	proj, err := project.Node(w.Plan, node, 1)
	if err != nil {
		return nil, err
	}
	runner, err := progrun.New(proj, now)
	if err != nil {
		return nil, err
	}
	k := newKernelRun(w.Plan, proj, runner)
	err = k.run(ctx, w, tests)
	if cerr := runner.Close(); err == nil {
		err = cerr
	}
	return &k.report, err
}

func newKernelRun(p *plan.Plan, proj *plan.Projection, runner *progrun.Runner) *kernelRun {
	k := &kernelRun{plan: p, proj: proj, runner: runner, endpoint: map[netip.Addr]int32{}, projected: map[netip.Addr]int32{},
		own: map[netip.Addr]plan.PeerIndex{}, forwarded: map[netip.Addr]plan.PeerIndex{}}
	for i := range p.Endpoints {
		for _, a := range p.Endpoints[i].Addrs {
			if !p.Endpoints[i].HostNetwork {
				k.endpoint[a] = int32(i)
			}
		}
	}
	for i := range proj.Endpoints {
		for _, a := range proj.Endpoints[i].Addrs {
			k.projected[a] = int32(i)
		}
	}
	for j, a := range p.Nodes[0].Addrs {
		k.own[a], k.forwarded[a] = p.Nodes[0].Own[j], p.Nodes[0].Translated[j]
	}
	return k
}

func (k *kernelRun) run(ctx context.Context, w *lab.World, tests []analyze.Test) error {
	names, err := analyze.NewNames(w.Plan)
	if err != nil {
		return err
	}
	for i := range tests {
		flows, err := names.TestFlows(&tests[i])
		if err != nil {
			continue // the test has failed already, and said why
		}
		for _, f := range flows {
			packets, left := k.packets(w, f, tests[i].To)
			if left != "" {
				k.report.leaveOut(left)
			}
			for _, p := range packets {
				k.report.Tests++
				if err := k.compare(p); err != nil {
					return err
				}
			}
		}
	}
	for _, p := range k.sample() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		k.report.Sampled++
		if err := k.compare(p); err != nil {
			return err
		}
	}
	return nil
}

// packets are a flow's first packet as the source's and as the destination's veth see it, in each family. left says why
// there is none. to is how the test names the destination: an address of the world is taken as it is.
func (k *kernelRun) packets(w *lab.World, f plan.Flow, to string) (out []packet, left string) {
	if f.Src.Endpoint >= 0 && f.Src.Endpoint == f.Dst.Endpoint {
		return nil, toItself
	}
	left = noAddress
	socket := k.plan.Peers[f.Src.Peer].Kind == plan.OwnHostPeer // S5
	for _, v4 := range []bool{true, false} {
		s, d := k.addressOf(w, f.Src, v4), k.addressOf(w, f.Dst, v4)
		if a, err := netip.ParseAddr(to); err == nil && f.Dst.Endpoint < 0 && f.Dst.Frontend < 0 && k.plan.Addresses.Lookup(a) == f.Dst.Peer {
			if d = a.Unmap(); d.Is4() != v4 {
				continue
			}
		}
		if !s.IsValid() || !d.IsValid() || !fits(f.Port, s) {
			continue
		}
		left = noVeth
		if _, ok := k.projected[s]; ok {
			out = append(out, packet{progrun.FromPod, s, d, f.Port, false})
		}
		if _, ok := k.projected[d]; ok && f.Dst.Frontend < 0 {
			out = append(out, packet{progrun.ToPod, d, s, f.Port, socket})
		}
	}
	if len(out) > 0 {
		left = ""
	}
	return out, left
}

// addressOf is an address of an end in a family, invalid where it has none.
func (k *kernelRun) addressOf(w *lab.World, e plan.End, v4 bool) netip.Addr {
	var from []netip.Addr
	switch kind := k.plan.Peers[e.Peer].Kind; {
	case e.Frontend >= 0:
		from = k.plan.Frontends[e.Frontend].Addrs
	case e.Endpoint >= 0:
		from = k.plan.Endpoints[e.Endpoint].Addrs
	case kind == plan.HostPeer || kind == plan.OwnHostPeer || kind == plan.TranslatedPeer:
		from = k.plan.Nodes[0].Addrs
	default:
		for _, o := range w.Outside {
			if o.Peer == e.Peer {
				from = append(from, o.Addr)
			}
		}
	}
	for _, a := range from {
		if a.Is4() == v4 {
			return a
		}
	}
	return netip.Addr{}
}

// fits reports whether a port belongs to the address's family.
func fits(key plan.PortKey, a netip.Addr) bool {
	return (key.Space() != ir.ICMPv4 || a.Is4()) && (key.Space() != ir.ICMPv6 || a.Is6())
}

// sample draws packets of the whole flow space, weighted to boundaries: each port at which an answer changes and its
// neighbours, each block's first and last address and their neighbours.
func (k *kernelRun) sample() []packet {
	remotes := k.boundaries()
	var all []packet
	r := rand.New(rand.NewPCG(1, 2)) // the same sample every time
	for _, local := range slices.SortedFunc(maps.Keys(k.projected), netip.Addr.Compare) {
		e := k.plan.Endpoints[k.endpoint[local]]
		sub := k.plan.SubjectOf(e.Peers[0])
		for d := range ir.NumDirections {
			keys := portBoundaries(sub.Tables[d], r)
			for _, remote := range remotes {
				if remote.Is4() != local.Is4() {
					continue
				}
				for _, key := range keys {
					if !fits(key, local) {
						continue
					}
					_, node := k.own[remote]
					p := packet{progrun.Hook(d), local, remote, key, node && d == ir.Ingress && r.IntN(2) == 0}
					if left := k.leftOut(p); left != "" {
						k.report.leaveOut(left)
						continue
					}
					all = append(all, p)
				}
			}
		}
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(len(all), maxSampled)]
}

func (k *kernelRun) boundaries() []netip.Addr {
	set := map[netip.Addr]bool{}
	add := func(as ...netip.Addr) {
		for _, a := range as {
			if a.IsValid() {
				set[a] = true
			}
		}
	}
	for a := range k.plan.Addresses.Exact {
		add(a, a.Prev(), a.Next())
	}
	for p := range k.plan.Addresses.Prefixes {
		first, last := p.Masked().Addr(), lastOf(p)
		add(first, first.Prev(), first.Next(), last, last.Prev(), last.Next())
	}
	return slices.SortedFunc(maps.Keys(set), netip.Addr.Compare)
}

func lastOf(p netip.Prefix) netip.Addr {
	raw := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < 8*len(raw); i++ {
		raw[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(raw)
	return a
}

// portBoundaries are the ports at which a table's answers change, their neighbours, and one drawn port a protocol.
func portBoundaries(t *plan.Table, r *rand.Rand) []plan.PortKey {
	set := map[plan.PortKey]bool{}
	for _, s := range t.Starts {
		for _, key := range []int64{int64(s) - 1, int64(s), int64(s) + 1} {
			if key >= 0 && key < int64(ir.NumSpaces)<<16 {
				set[plan.PortKey(key)] = true
			}
		}
	}
	for s := range ir.OtherProtocol {
		set[plan.Key(s, uint16(1+r.IntN(65535)))] = true
	}
	return slices.Sorted(maps.Keys(set))
}

// leftOut says why a packet of the sample is not run; "" when it is.
func (k *kernelRun) leftOut(p packet) string {
	at, pod := k.endpoint[p.remote]
	switch n := p.key.Number(); {
	case pod && at == k.endpoint[p.local]:
		return toItself
	// Port 0 is on no wire, and what has a name among the IP protocols is in a space of its own.
	case p.key.Space() <= ir.SCTP && n == 0,
		p.key.Space() == ir.OtherProtocol && (n > 255 || slices.Contains([]uint16{0, 1, 6, 17, 43, 44, 50, 51, 58, 60, 132, 135}, n)):
		return noPort
	// Answers and errors belong to another flow and have no verdict of their own; multicast listeners and neighbour discovery
	// are not the tables' to decide. What is left of ICMP is the echo request.
	case p.key.Space() == ir.ICMPv4 && n>>8 != 8, p.key.Space() == ir.ICMPv6 && n>>8 != 128:
		return notTheTable
	}
	return ""
}

// compare runs a packet and tells a difference from the plan.
func (k *kernelRun) compare(p packet) error {
	got, err := k.runner.Flow(p.hook, int(k.projected[p.local]), flowOf(p))
	if err != nil {
		return err
	}
	want := k.planned(p)
	if text := k.difference(p, &want, &got); text != "" {
		k.report.Mismatches++
		if len(k.report.Text) < maxTold {
			k.report.Text = append(k.report.Text, text)
		}
	}
	return nil
}

func flowOf(p packet) progrun.Flow {
	f := progrun.Flow{Local: p.local, Remote: p.remote, Space: p.key.Space(), Number: p.key.Number(), LocalPort: 40000, RemotePort: 40000, OwnSocket: p.ownSocket}
	if p.hook == progrun.FromPod {
		f.RemotePort = p.key.Number()
	} else {
		f.LocalPort = p.key.Number()
	}
	return f
}

// planned is the plan's answer at the packet's veth.
func (k *kernelRun) planned(p packet) plan.Decision {
	at := k.endpoint[p.local]
	e := &k.plan.Endpoints[at]
	local := plan.End{Peer: e.Peers[slices.Index(e.Addrs, p.local)], Endpoint: at, Frontend: plan.None}
	remote := plan.NewEnd(k.plan.Addresses.Lookup(p.remote))
	if i, ok := k.endpoint[p.remote]; ok {
		remote.Endpoint = i
	}
	if p.hook == progrun.ToPod {
		if peer, ok := k.own[p.remote]; ok && p.ownSocket {
			remote.Peer = peer
		} else if ok {
			remote.Peer = k.forwarded[p.remote]
		}
		a := k.plan.Decide(plan.Flow{Src: remote, Dst: local, Port: p.key})
		return a.Ingress
	}
	if f, service := k.plan.FrontendAt(p.remote, p.key); service {
		if remote.Frontend = f; f == plan.None {
			// S27: a service's address without this port is nobody's.
			deny := plan.Outcome{Verdict: plan.Deny, Reason: plan.ByUnknownAddress, Rule: plan.None, Policy: plan.None, List: plan.None}
			return plan.Decision{Outcome: deny, Audit: deny}
		}
	}
	a := k.plan.Decide(plan.Flow{Src: local, Dst: remote, Port: p.key})
	return a.Egress
}

// difference says how the program's answer differs from the plan's; "" where it does not.
func (k *kernelRun) difference(p packet, want *plan.Decision, got *progrun.Result) string {
	rule := func(i plan.RuleIndex) string {
		if i == plan.None {
			return "no rule"
		}
		return k.plan.RuleName(i)
	}
	seen := func(i int32) string {
		if i < 0 {
			return "no rule"
		}
		return k.proj.Rules[i].Name
	}
	planned := fmt.Sprintf("%s by %s, in audit by %s", want.Verdict, rule(want.Rule), rule(want.Audit.Rule))
	program := fmt.Sprintf("%s by %s, in audit by %s", got.Verdict, seen(got.Rule), seen(got.AuditRule))
	switch {
	case !got.Decided && got.Pass == (want.Verdict == plan.Allow) && want.Rule == plan.None:
		return "" // decided before any table: an address that is nobody's, or the pod itself
	case !got.Decided:
		program = fmt.Sprintf("pass=%t without a decision (%s)", got.Pass, got.Drop)
	case planned == program && got.Pass == (want.Verdict == plan.Allow && !k.needsTunnel(p, want)):
		return ""
	case planned == program:
		program += fmt.Sprintf(", pass=%t (%s)", got.Pass, got.Drop)
	}
	return fmt.Sprintf("%s %s ↔ %s %s: the plan says %s; the program %s", p.hook, k.nameOf(p.local), k.nameOf(p.remote), analyze.KeyText(p.key), planned, program)
}

// needsTunnel reports whether an allowed connection must be authenticated with an end on another node (S20): on the one
// node here, only a service with an endpoint elsewhere, or with none.
func (k *kernelRun) needsTunnel(p packet, want *plan.Decision) bool {
	if want.Auth != plan.AuthRequired {
		return false
	}
	f, service := k.plan.FrontendAt(p.remote, p.key)
	if !service || f < 0 || p.hook == progrun.ToPod {
		_, local := k.endpoint[p.remote]
		return !local
	}
	for _, b := range k.plan.Frontends[f].Backends {
		if b.Endpoint < 0 || k.plan.Endpoints[b.Endpoint].HostNetwork {
			return true
		}
	}
	return false
}

func (k *kernelRun) nameOf(a netip.Addr) string {
	if i, ok := k.endpoint[a]; ok {
		return k.plan.Endpoints[i].Namespace + "/" + k.plan.Endpoints[i].Name + " (" + a.String() + ")"
	}
	return a.String()
}
