package lab

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// probe is one attempt: a real packet or connection, and what the plan says becomes of it.
type probe struct {
	from host
	src  netip.Addr
	// to is what it aims at, in words; dst is the address, with the port where the protocol has one.
	to  string
	dst netip.AddrPort
	key plan.PortKey
	// expect says where it may arrive in a world, and targets are those of the world that is enforced; none means nowhere.
	expect  func(*World) []target
	targets []target
}

// aim makes a probe.
func (w *World) aim(from origin, to string, dst netip.AddrPort, k plan.PortKey, expect func(*World) []target) probe {
	return probe{from.host, from.addr, to, dst, k, expect, expect(w)}
}

// aimDirect makes a probe at a host's own address.
func (w *World) aimDirect(from origin, name string, to host, dst netip.Addr, k plan.PortKey) probe {
	return w.aim(from, name, netip.AddrPortFrom(dst, portNumber(k)), k, func(w *World) []target {
		return []target{w.direct(from.host, from.addr, to, dst, k, false)}
	})
}

// mustPass says that the plan lets the probe through wherever it is led; mayPass that there is a way.
func (p *probe) mustPass() bool {
	return len(p.targets) > 0 && !slices.ContainsFunc(p.targets, func(t target) bool { return !t.pass })
}

func (p *probe) mayPass() bool {
	return slices.ContainsFunc(p.targets, func(t target) bool { return t.pass })
}

// undeclared is a port that is tried on everything beside those that something names.
const undeclared = 7777

// classesTried bounds how many classes of ports of one table are tried, beside the declared ports.
const classesTried = 16

// portsOf are the ports that are tried on an endpoint: declared ones, those that services lead to, one of each class
// that its ingress table tells apart, and one that nothing declares.
func (w *World) portsOf(endpoint int) []plan.PortKey {
	e := &w.Plan.Endpoints[endpoint]
	var out []plan.PortKey
	for i := range w.Inventory.Pods {
		p := &w.Inventory.Pods[i]
		if p.Namespace == e.Namespace && p.Name == e.Name {
			for _, n := range p.Ports {
				out = append(out, plan.Key(n.Space, n.Number))
			}
		}
	}
	for i := range w.Plan.Frontends {
		for _, b := range w.Plan.Frontends[i].Backends {
			if b.Endpoint == int32(endpoint) {
				out = append(out, b.Port)
			}
		}
	}
	if s := w.Plan.SubjectOf(e.Peers[0]); s != nil && !e.HostNetwork {
		tried, _ := someClasses(s.Tables[ir.Ingress])
		out = append(out, tried...)
	}
	return tidy(append(out, plan.Key(ir.TCP, undeclared), plan.Key(ir.UDP, undeclared), plan.Key(ir.SCTP, undeclared)))
}

// outsidePorts are tried on the world: one of each class that the pods' egress tables tell apart, and an undeclared one.
func (w *World) outsidePorts() []plan.PortKey {
	out := []plan.PortKey{plan.Key(ir.TCP, undeclared), plan.Key(ir.UDP, undeclared)}
	for i := range w.Plan.Subjects {
		tried, _ := someClasses(w.Plan.Subjects[i].Tables[ir.Egress])
		out = append(out, tried...)
	}
	for i := range w.Plan.Frontends { // bare addresses behind services
		for _, b := range w.Plan.Frontends[i].Backends {
			if b.Endpoint < 0 {
				out = append(out, b.Port)
			}
		}
	}
	return tidy(out)
}

// untried counts the classes of ports that the run leaves out, over all tables.
func (w *World) untried() int {
	seen, n := map[*plan.Table]bool{}, 0
	for i := range w.Plan.Subjects {
		for _, t := range w.Plan.Subjects[i].Tables {
			if !seen[t] {
				seen[t] = true
				_, left := someClasses(t)
				n += left
			}
		}
	}
	return n
}

// someClasses picks a port of each class of a table, up to classesTried of them, and says how many it left out.
func someClasses(t *plan.Table) (tried []plan.PortKey, left int) {
	all := classes(t)
	tried = all[:min(len(all), classesTried)]
	return tried, len(all) - len(tried)
}

// classes picks a port of each class of a table, in the spaces that have ports.
func classes(t *plan.Table) []plan.PortKey {
	seen := map[uint16]bool{}
	var out []plan.PortKey
	for i, start := range t.Starts {
		k := plan.PortKey(start)
		if k.Number() == 0 && k.Space() < ir.ICMPv4 {
			k++ // port 0 cannot be listened on
			if i+1 < len(t.Starts) && t.Starts[i+1] <= uint32(k) {
				continue
			}
		}
		if k.Space() >= ir.ICMPv4 || seen[t.Classes[i]] {
			continue
		}
		seen[t.Classes[i]] = true
		out = append(out, k)
	}
	return out
}

func tidy(ks []plan.PortKey) []plan.PortKey {
	slices.Sort(ks)
	return slices.Compact(ks)
}

// probes lists every ordered pair of hosts with each family and port.
func (w *World) probes() []probe {
	var out []probe
	for _, from := range w.sources() {
		out = append(out, w.toPods(from)...)
		out = append(out, w.toServices(from)...)
		if from.kind == podHost {
			out = append(out, w.toNodes(from)...)
			out = append(out, w.toOutside(from)...)
		}
		if from.kind == outsideHost {
			out = append(out, w.toNodePorts(from)...)
		}
	}
	return out
}

// origin is a host with one of its addresses.
type origin struct {
	host
	addr netip.Addr
}

func (w *World) sources() []origin {
	var out []origin
	for i := range w.Plan.Endpoints {
		if e := &w.Plan.Endpoints[i]; !e.HostNetwork {
			for _, a := range e.Addrs {
				out = append(out, origin{host{podHost, i}, a})
			}
		}
	}
	for i := range w.Plan.Nodes {
		for _, a := range w.Plan.Nodes[i].Addrs {
			out = append(out, origin{host{nodeHost, i}, a})
		}
	}
	for _, o := range w.Outside {
		out = append(out, origin{host{kind: outsideHost}, o.Addr})
	}
	return out
}

func (w *World) sourceName(o host, addr netip.Addr) string {
	if o.kind == outsideHost {
		return w.outsideName(addr)
	}
	return w.hostName(o)
}

func (w *World) outsideName(a netip.Addr) string {
	if w.Plan.Addresses.Lookup(a) == 0 {
		return "unknown " + a.String()
	}
	return "world " + a.String()
}

func (w *World) toPods(from origin) []probe {
	var out []probe
	for i := range w.Plan.Endpoints {
		e := &w.Plan.Endpoints[i]
		to := host{podHost, i}
		if e.HostNetwork || to == from.host {
			continue
		}
		for _, dst := range ofFamily(e.Addrs, family(from.addr)) {
			for _, k := range append(w.portsOf(i), echoOf(dst)) {
				out = append(out, w.aimDirect(from, w.hostName(to), to, dst, k))
			}
		}
	}
	return out
}

func echoOf(a netip.Addr) plan.PortKey {
	if a.Is4() {
		return echo4
	}
	return echo6
}

func portNumber(k plan.PortKey) uint16 {
	if k.Space() >= ir.ICMPv4 {
		return 0
	}
	return k.Number()
}

func (w *World) toServices(from origin) []probe {
	if from.kind == outsideHost {
		return nil // service addresses are not routed to the world
	}
	var out []probe
	for i := range w.Plan.Frontends {
		f := &w.Plan.Frontends[i]
		if _, ok := natProtocol(f.Port.Space()); !ok || w.hostless(f, family(from.addr)) {
			continue
		}
		name := "service " + shown(f.Namespace+"/"+f.Service)
		for _, dst := range ofFamily(f.Addrs, family(from.addr)) {
			out = append(out, w.aim(from, name, netip.AddrPortFrom(dst, f.Port.Number()), f.Port, func(w *World) []target {
				return w.service(from.host, from.addr, int32(i))
			}))
		}
	}
	return out
}

// nodePortsOf are tried on a node: those of the pods that live in its namespace, and an undeclared one.
func (w *World) nodePortsOf(node int) []plan.PortKey {
	out := []plan.PortKey{plan.Key(ir.TCP, undeclared), plan.Key(ir.UDP, undeclared)}
	for i := range w.Plan.Endpoints {
		if e := &w.Plan.Endpoints[i]; e.HostNetwork && e.Node == w.Plan.Nodes[node].Name {
			out = append(out, w.portsOf(i)...)
		}
	}
	return tidy(out)
}

func (w *World) toNodes(from origin) []probe {
	var out []probe
	for i := range w.Plan.Nodes {
		to := host{nodeHost, i}
		for _, dst := range ofFamily(w.Plan.Nodes[i].Addrs, family(from.addr)) {
			for _, k := range append(w.nodePortsOf(i), echoOf(dst)) {
				out = append(out, w.aimDirect(from, w.hostName(to), to, dst, k))
			}
		}
	}
	return out
}

func (w *World) toOutside(from origin) []probe {
	ports := w.outsidePorts()
	var out []probe
	for _, o := range w.Outside {
		if family(o.Addr) != family(from.addr) {
			continue
		}
		for _, k := range append(slices.Clone(ports), echoOf(o.Addr)) {
			out = append(out, w.aimDirect(from, w.outsideName(o.Addr), host{kind: outsideHost}, o.Addr, k))
		}
	}
	return out
}

// toNodePorts tries each NodePort on each node, from the world.
func (w *World) toNodePorts(from origin) []probe {
	var out []probe
	seen := map[plan.PortKey]bool{}
	for i := range w.Plan.Frontends {
		f := &w.Plan.Frontends[i]
		k := plan.Key(f.Port.Space(), f.NodePort)
		if _, ok := natProtocol(f.Port.Space()); !ok || f.NodePort == 0 || seen[k] || !w.servesFamily(f, family(from.addr)) || w.hostless(f, family(from.addr)) {
			continue
		}
		seen[k] = true
		for n := range w.Plan.Nodes {
			for _, dst := range ofFamily(w.Plan.Nodes[n].Addrs, family(from.addr)) {
				name := fmt.Sprintf("NodePort of %s on %s", shown(f.Namespace+"/"+f.Service), w.hostName(host{nodeHost, n}))
				out = append(out, w.aim(from, name, netip.AddrPortFrom(dst, f.NodePort), k, func(w *World) []target {
					return w.nodePort(n, family(from.addr), int32(i))
				}))
			}
		}
	}
	return out
}

// servesFamily says that the frontend is the one of its service for a family.
func (w *World) servesFamily(f *plan.Frontend, fam int) bool { return len(ofFamily(f.Addrs, fam)) > 0 }

// listen is what each host has to listen on so that each probe has a server where it may arrive.
func listen(w *World) map[host][]plan.PortKey {
	out := map[host][]plan.PortKey{}
	for i := range w.Plan.Endpoints {
		if e := &w.Plan.Endpoints[i]; !e.HostNetwork {
			out[host{podHost, i}] = w.portsOf(i)
		}
	}
	for i := range w.Plan.Nodes {
		out[host{nodeHost, i}] = w.nodePortsOf(i)
	}
	out[host{kind: outsideHost}] = w.outsidePorts()
	return out
}

// Mismatch is a probe whose fate is not the planned one.
type Mismatch struct {
	From    string `json:"from"`
	To      string `json:"to"`
	Port    string `json:"port"`
	Planned string `json:"planned"`
	Seen    string `json:"seen"`
}

func (m *Mismatch) String() string {
	return fmt.Sprintf("%s → %s  %s: planned %s; %s", m.From, m.To, m.Port, m.Planned, m.Seen)
}

// fate is what was seen of a probe.
type fate struct {
	arrived bool
	at      host
	replied bool
	err     error // the probe could not be made
}

// judge compares what was seen with what was planned; nil when they agree.
func (w *World) judge(p *probe, f fate) *Mismatch {
	m := &Mismatch{From: w.sourceName(p.from, p.src), To: fmt.Sprintf("%s (%s)", p.to, p.dst.Addr()), Port: portName(p.key), Planned: planned(p)}
	if f.err != nil {
		m.Seen = "the probe could not be made: " + f.err.Error()
		return m
	}
	if !f.arrived {
		if p.mustPass() {
			m.Seen = "it did not arrive"
			return m
		}
		return nil
	}
	i := slices.IndexFunc(p.targets, func(t target) bool { return t.at == f.at })
	switch {
	case i < 0:
		m.Seen = "it arrived at " + w.hostName(f.at)
	case !p.targets[i].pass:
		m.Planned, m.Seen = "deny, "+p.targets[i].why, "it arrived at "+w.hostName(f.at)
	case !f.replied:
		m.Seen = "it arrived at " + w.hostName(f.at) + ", and the reply did not come back"
	default:
		return nil
	}
	return m
}

func planned(p *probe) string {
	switch {
	case len(p.targets) == 0:
		return "deny, no endpoint behind it"
	case p.mustPass():
		return "allow, " + p.targets[0].why
	}
	i := slices.IndexFunc(p.targets, func(t target) bool { return !t.pass })
	if p.mayPass() {
		return "allow or deny by endpoint, " + p.targets[i].why
	}
	return "deny, " + p.targets[i].why
}

func sortMismatches(ms []Mismatch) {
	slices.SortFunc(ms, func(a, b Mismatch) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To), cmp.Compare(a.Port, b.Port))
	})
}
