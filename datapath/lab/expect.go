package lab

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// host is a place that packets leave from or arrive at: an endpoint of the plan, a node or the outside.
type host struct {
	kind  hostKind
	index int // in Plan.Endpoints or Plan.Nodes
}

type hostKind uint8

const (
	podHost hostKind = iota
	nodeHost
	outsideHost
)

func (w *World) hostName(h host) string {
	switch h.kind {
	case podHost:
		return shown(endpointName(&w.Plan.Endpoints[h.index]))
	case nodeHost:
		return shown(w.Plan.Nodes[h.index].Name)
	}
	return "outside"
}

func endpointName(e *plan.Endpoint) string { return e.Namespace + "/" + e.Name }

// shown is a name as it is printed: quoted when it holds what a terminal would act on instead of showing it.
func shown(name string) string {
	if utf8.ValidString(name) && strings.IndexFunc(name, func(r rune) bool { return !strconv.IsPrint(r) }) < 0 {
		return name
	}
	return strconv.Quote(name)
}

// node is the node that a host is on, -1 for the outside.
func (w *World) node(h host) int {
	switch h.kind {
	case podHost:
		return slices.IndexFunc(w.Plan.Nodes, func(n plan.Node) bool { return n.Name == w.Plan.Endpoints[h.index].Node })
	case nodeHost:
		return h.index
	}
	return -1
}

// target is where a probe may arrive, and whether the plan lets it.
type target struct {
	at   host
	pass bool
	// why is the reason of a denial, and the rule behind an allow.
	why string
}

// direct is the target of a connection to a host's own address. translated says that a node has put its own address
// in the place of the source's.
func (w *World) direct(from host, src netip.Addr, to host, dst netip.Addr, k plan.PortKey, translated bool) target {
	f := plan.Flow{Src: w.source(from, src, to, translated), Dst: w.destination(to, dst), Port: k}
	a := w.Plan.Decide(f)
	return w.judged(from, to, &a)
}

// judged turns the plan's answer into what a wire without waypoints and tunnel shows: a redirect has nobody to go to
// (S25), and what must be authenticated stays on its node (S20).
func (w *World) judged(from, to host, a *plan.Answer) target {
	t := target{at: to}
	switch {
	case a.Verdict == plan.Deny:
		t.why = a.By.String() + " denies: " + w.because(a.Side())
	case a.Verdict == plan.Redirect:
		t.why = "a waypoint decides each request (" + w.because(a.Side()) + "), and none runs here"
	case a.Auth == plan.AuthRequired && !w.attested(from, to):
		t.why = "authentication is required between nodes (" + w.because(a.Side()) + "), and no tunnel runs here"
	default:
		t.pass, t.why = true, w.because(a.Side())
	}
	return t
}

// attested says that the kernel of one node knows both veths (S20).
func (w *World) attested(from, to host) bool {
	return from.kind == podHost && to.kind == podHost && w.node(from) == w.node(to)
}

func (w *World) because(d *plan.Decision) string {
	if d.Rule >= 0 {
		return shown(w.Plan.RuleName(d.Rule))
	}
	if d.Policy >= 0 {
		return d.Reason.String() + " by " + shown(w.Plan.Policies[d.Policy].Object)
	}
	return d.Reason.String()
}

// source is the end that a packet's source address stands for, as the destination's node sees it (S5).
func (w *World) source(from host, src netip.Addr, to host, translated bool) plan.End {
	switch from.kind {
	case podHost:
		e := &w.Plan.Endpoints[from.index]
		return plan.End{Peer: e.Peers[slices.Index(e.Addrs, src)], Endpoint: int32(from.index), Frontend: plan.None}
	case outsideHost:
		return plan.NewEnd(w.Plan.Addresses.Lookup(src))
	}
	n := &w.Plan.Nodes[from.index]
	i := slices.Index(n.Addrs, src)
	switch {
	case w.node(to) != from.index:
		return plan.NewEnd(n.Host[i])
	case translated:
		return plan.NewEnd(n.Translated[i])
	default:
		return plan.NewEnd(n.Own[i])
	}
}

func (w *World) destination(to host, dst netip.Addr) plan.End {
	switch to.kind {
	case podHost:
		e := &w.Plan.Endpoints[to.index]
		return plan.End{Peer: e.Peers[slices.Index(e.Addrs, dst)], Endpoint: int32(to.index), Frontend: plan.None}
	case nodeHost:
		n := &w.Plan.Nodes[to.index]
		return plan.NewEnd(n.Host[slices.Index(n.Addrs, dst)])
	}
	return plan.NewEnd(w.Plan.Addresses.Lookup(dst))
}

// service is what may become of a connection to a frontend's address: one target for each endpoint of the family. The
// source's side answers for the frontend (S27), the destination's for the endpoint that is chosen.
func (w *World) service(from host, src netip.Addr, frontend int32) []target {
	f := &w.Plan.Frontends[frontend]
	asked := w.source(from, src, from, false)
	egress := w.Plan.FrontendEgress(asked, plan.FrontendIndex(frontend))
	own := plan.Answer{Verdict: egress.Verdict, Egress: egress, By: ir.Egress, Auth: egress.Auth}
	var out []target
	for i := range f.Backends {
		to, dst, ok := w.backend(&f.Backends[i], family(src))
		if !ok {
			continue
		}
		t := w.judged(from, to, &own)
		if t.why = "service " + t.why; egress.Auth == plan.AuthRequired && egress.Verdict == plan.Allow && !w.local(from, f) {
			t.pass, t.why = false, "authentication is required and an endpoint behind the service may be on another node, and no tunnel runs here"
		}
		if t.pass && to != from { // a pod's own endpoint: it never leaves the pod (S6)
			t = w.ingressOnly(from, src, to, dst, f.Backends[i].Port)
		}
		out = append(out, t)
	}
	return out
}

// ingressOnly is the destination's own answer.
func (w *World) ingressOnly(from host, src netip.Addr, to host, dst netip.Addr, k plan.PortKey) target {
	a := w.Plan.Decide(plan.Flow{Src: w.source(from, src, to, false), Dst: w.destination(to, dst), Port: k})
	in := plan.Answer{Verdict: a.Ingress.Verdict, Ingress: a.Ingress, By: ir.Ingress, Auth: a.Ingress.Auth}
	return w.judged(from, to, &in)
}

// local says that every endpoint behind a frontend is a pod of the source's node.
func (w *World) local(from host, f *plan.Frontend) bool {
	for i := range f.Backends {
		b := &f.Backends[i]
		if b.Endpoint < 0 || w.Plan.Endpoints[b.Endpoint].HostNetwork || w.node(host{podHost, int(b.Endpoint)}) != w.node(from) {
			return false
		}
	}
	return len(f.Backends) > 0
}

// nodePort is what may become of a connection from outside to a NodePort: the node puts its own address in the place
// of the source's and one of the endpoints' in that of its own.
func (w *World) nodePort(at int, fam int, frontend int32) []target {
	f := &w.Plan.Frontends[frontend]
	node := host{nodeHost, at}
	var out []target
	for i := range f.Backends {
		to, dst, ok := w.backend(&f.Backends[i], fam)
		if !ok {
			continue
		}
		t := w.direct(node, ofFamily(w.Plan.Nodes[at].Addrs, fam)[0], to, dst, f.Backends[i].Port, true)
		out = append(out, t)
	}
	return out
}

// backend finds the host of an endpoint behind a service and its address of a family; there is none for a bare address that
// nobody in the lab has.
func (w *World) backend(b *plan.Backend, fam int) (host, netip.Addr, bool) {
	if b.Endpoint < 0 {
		if !b.Addr.IsValid() || family(b.Addr) != fam || !w.hasHost(b.Addr) {
			return host{}, netip.Addr{}, false
		}
		return host{kind: outsideHost}, b.Addr, true
	}
	e := &w.Plan.Endpoints[b.Endpoint]
	addrs := ofFamily(e.Addrs, fam)
	if len(addrs) == 0 {
		return host{}, netip.Addr{}, false
	}
	h := host{podHost, int(b.Endpoint)}
	if e.HostNetwork {
		h = host{nodeHost, w.node(h)}
	}
	return h, addrs[0], true
}

// portName prints "TCP 8443" or "ICMP echo".
func portName(k plan.PortKey) string {
	if k == echo4 || k == echo6 {
		return k.Space().String() + " echo"
	}
	return fmt.Sprintf("%s %d", k.Space(), k.Number())
}

// echo4 and echo6 are the echo requests.
var echo4, echo6 = plan.Key(ir.ICMPv4, 8<<8), plan.Key(ir.ICMPv6, 128<<8)
