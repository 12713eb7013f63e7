// Package analyze answers people's questions about a plan: who a name is, why a verdict is as it is, what reaches
// what, which tests fail, and which rules do nothing. It reads the plan and never decides by itself. Section numbers
// (S1 to S34) refer to docs/semantics.md.
package analyze

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// TargetKind is what sort of thing a name stands for.
type TargetKind uint8

// The kinds of target.
const (
	WorkloadTarget TargetKind = iota
	PodTarget
	ServiceTarget
	AddressTarget
	SPIFFETarget
	DNSTarget
	EntityTarget
)

// Target is what a name stands for: the ends that a connection from or to it may have.
type Target struct {
	// Name is how it is printed: the shortest name that is not ambiguous.
	Name string
	Kind TargetKind
	// Endpoints are the pods that the name stands for.
	Endpoints []int32
	// Frontends are the ports of a service.
	Frontends []int32
	// Entity is set for entities.
	Entity ir.Entity
	ends   []end
	// pods counts running and wanted pods: with more than one, traffic inside the workload leaves a pod.
	pods int
	addr netip.Addr
}

// isGroup reports whether the target is a multicast or broadcast address (S6).
func (t *Target) isGroup() bool { return t.Kind == AddressTarget && plan.IsMulticast(t.addr.Unmap()) }

// family is an address family; anyFamily fits both.
type family uint8

const (
	anyFamily family = iota
	v4
	v6
)

type end struct {
	plan.End
	family family
	// node is set for an address of a node: to its own pods it has another identity (S5).
	node *nodeAddr
}

// Names finds what names stand for in one plan. It is safe for concurrent use.
type Names struct {
	// Namespace is where names that give none are looked for first; set it before names are asked about.
	Namespace string
	// OnlyThere says that they are looked for nowhere else.
	OnlyThere bool
	plan      *plan.Plan
	requests  *plan.Requests
	workloads map[string][]workload // by ns/name
	pods      map[string]int32      // by ns/name
	services  map[string][]int32    // frontends by ns/name
	noAddress map[string]plan.Addressless
	known     []string // every name, for near misses
	// peerFamily is the family of each identity that only addresses of one family have.
	peerFamily []family
	// sharing are the identities of each SPIFFE id that several have.
	sharing map[string][]plan.PeerIndex
	// audits says that what is in audit changes some answer.
	audits bool
	// declared is the family of pods that have no address yet, where the ranges tell.
	declared family
	hosts    *nodeIndex
}

// workload is one owner of pods.
type workload struct {
	kind      string
	endpoints []int32
}

func sharing(p *plan.Plan) map[string][]plan.PeerIndex {
	of := map[string][]plan.PeerIndex{}
	for i := range p.Peers {
		if id := p.Peers[i].SPIFFE; id != "" {
			of[id] = append(of[id], plan.PeerIndex(i))
		}
	}
	maps.DeleteFunc(of, func(_ string, peers []plan.PeerIndex) bool { return len(peers) < 2 })
	return of
}

// NewNames reads the names of a plan.
func NewNames(p *plan.Plan) (*Names, error) {
	requests, err := plan.NewRequests(p)
	if err != nil {
		return nil, err
	}
	n := &Names{plan: p, requests: requests, workloads: map[string][]workload{}, pods: map[string]int32{}, services: map[string][]int32{},
		noAddress: map[string]plan.Addressless{}, sharing: sharing(p)}
	for i := range p.Endpoints {
		e := &p.Endpoints[i]
		kind, name, _ := strings.Cut(e.Workload, "/")
		n.addWorkload(e.Namespace+"/"+name, kind, int32(i))
		n.pods[e.Namespace+"/"+e.Name] = int32(i)
	}
	for i := range p.Frontends {
		key := p.Frontends[i].Namespace + "/" + p.Frontends[i].Service
		n.services[key] = append(n.services[key], int32(i))
	}
	for _, s := range p.NoAddress {
		n.noAddress[s.Namespace+"/"+s.Service] = s
	}
	n.audits = slices.ContainsFunc(p.Decisions, func(d plan.Decision) bool { return d.AuditDiffers() })
	n.declared = familyOf(p.Ranges)
	n.hosts = newNodeIndex(p)
	n.families()
	n.collect()
	return n, nil
}

func (n *Names) addWorkload(key, kind string, i int32) {
	for j := range n.workloads[key] {
		if w := &n.workloads[key][j]; w.kind == kind {
			w.endpoints = append(w.endpoints, i)
			return
		}
	}
	n.workloads[key] = append(n.workloads[key], workload{kind, []int32{i}})
}

// familyOf returns the one family of the ranges, or anyFamily.
func familyOf(ranges []netip.Prefix) family {
	f := anyFamily
	for i, r := range ranges {
		g := addrFamily(r.Addr())
		if i > 0 && g != f {
			return anyFamily
		}
		f = g
	}
	return f
}

// families finds the family of each identity; where addresses of both have it, or none, it is anyFamily.
func (n *Names) families() {
	n.peerFamily = make([]family, len(n.plan.Peers))
	seen := make([]bool, len(n.plan.Peers))
	note := func(p plan.PeerIndex, f family) {
		if seen[p] && n.peerFamily[p] != f {
			f = anyFamily
		}
		seen[p], n.peerFamily[p] = true, f
	}
	for i := range n.plan.Endpoints {
		e := &n.plan.Endpoints[i]
		for j, p := range e.Peers {
			f := n.declared
			if j < len(e.Addrs) {
				f = addrFamily(e.Addrs[j])
			}
			note(p, f)
		}
	}
	for i := range n.hosts.addrs {
		note(n.hosts.addrs[i].host, addrFamily(n.hosts.addrs[i].addr))
	}
}

func addrFamily(a netip.Addr) family {
	if a.Unmap().Is4() {
		return v4
	}
	return v6
}

func (n *Names) collect() {
	for k, ws := range n.workloads {
		n.known = append(n.known, k)
		for _, w := range ws {
			if ns, name, _ := strings.Cut(k, "/"); len(ws) > 1 {
				n.known = append(n.known, ns+"/"+w.kind+"/"+name)
			}
		}
	}
	for _, keys := range []func(func(string)){eachKey(n.services), eachKey(n.noAddress)} {
		keys(func(k string) {
			ns, name, _ := strings.Cut(k, "/")
			n.known = append(n.known, ns+"/service/"+name)
		})
	}
	n.known = append(n.known, "world", "cluster", "host", "kube-apiserver", "own-node")
	slices.Sort(n.known)
}

// Label names an endpoint as its workload, the way people speak of it; with the kind where the name alone is
// ambiguous.
func (n *Names) Label(i int32) string {
	e := &n.plan.Endpoints[i]
	kind, name, _ := strings.Cut(e.Workload, "/")
	key := e.Namespace + "/" + name
	if len(n.workloads[key]) > 1 {
		return e.Namespace + "/" + kind + "/" + name
	}
	return key
}

// NameError says that a name stands for nothing, or for several things; Near are names that may have been meant.
type NameError struct {
	Name, Why string
	Near      []string
}

func (e *NameError) Error() string {
	s := fmt.Sprintf("%q %s", e.Name, e.Why)
	if len(e.Near) > 0 {
		s += ": did you mean " + orList(e.Near) + "?"
	}
	return s
}

// orList writes "a, b or c".
func orList(s []string) string {
	if len(s) < 2 {
		return strings.Join(s, "")
	}
	return strings.Join(s[:len(s)-1], ", ") + " or " + s[len(s)-1]
}

// andList writes "a, b and c".
func andList(s []string) string {
	if len(s) < 2 {
		return strings.Join(s, "")
	}
	return strings.Join(s[:len(s)-1], ", ") + " and " + s[len(s)-1]
}

// Resolve finds what a name stands for: ns/name, ns/kind/name, ns/service/name, a pod, an address, a SPIFFE id, a
// DNS name or an entity; name and kind/name, as kubectl has them, in Namespace.
func (n *Names) Resolve(name string) (*Target, error) {
	if a, err := netip.ParseAddr(name); err == nil && a.Zone() == "" {
		return n.address(a.Unmap()), nil
	}
	switch {
	case name == "":
		return nil, &NameError{Name: name, Why: "is no name"}
	case strings.HasPrefix(name, "spiffe://"):
		return n.spiffe(name)
	}
	if t, ok, err := n.entity(name); ok {
		return t, err
	}
	switch parts := strings.Split(name, "/"); len(parts) {
	case 1:
		return n.bare(name)
	case 2:
		return n.twoParts(name)
	case 3:
		return n.ofKind(name, parts[0], parts[1], parts[2])
	}
	return nil, n.unknown(name)
}

// bare resolves a name without a namespace: a workload or pod of Namespace, or, where that was not asked for, one that only one
// namespace has, else a DNS name.
func (n *Names) bare(name string) (*Target, error) {
	if here := n.Namespace + "/" + name; n.has(here) {
		return n.namespaced(here)
	}
	var in []string
	for _, keys := range []func(func(string)){eachKey(n.workloads), eachKey(n.pods)} {
		keys(func(k string) {
			if _, rest, _ := strings.Cut(k, "/"); rest == name && !slices.Contains(in, k) {
				in = append(in, k)
			}
		})
	}
	slices.Sort(in)
	switch {
	case n.OnlyThere && len(in) > 0:
		return nil, &NameError{Name: name, Why: "is not in namespace " + n.Namespace, Near: in}
	case len(in) == 1:
		return n.namespaced(in[0])
	case len(in) > 1:
		return nil, &NameError{Name: name, Why: "is in several namespaces", Near: in}
	case strings.ContainsAny(name, ".:%"):
		return n.dns(name)
	}
	return nil, n.unknown(name)
}

func eachKey[V any](m map[string]V) func(func(string)) {
	return func(f func(string)) {
		for k := range m {
			f(k)
		}
	}
}

// has reports whether ns/name is a workload, pod or service.
func (n *Names) has(key string) bool {
	_, pod := n.pods[key]
	return pod || len(n.workloads[key]) > 0 || n.isService(key)
}

func (n *Names) isService(key string) bool {
	_, noAddress := n.noAddress[key]
	return noAddress || len(n.services[key]) > 0
}

// shortKinds are kubectl's short names of kinds.
var shortKinds = map[string]string{"svc": "service", "po": "pod", "deploy": "deployment", "sts": "statefulset", "ds": "daemonset",
	"rs": "replicaset", "cj": "cronjob", "rc": "replicationcontroller"}

// isKind reports whether a word is a kind that names have.
func isKind(word string) bool {
	word = strings.ToLower(word)
	switch _, short := shortKinds[word]; word {
	case "service", "pod", "deployment", "statefulset", "daemonset", "replicaset", "job", "cronjob", "replicationcontroller":
		return true
	default:
		return short
	}
}

// twoParts resolves ns/name, or kind/name in Namespace.
func (n *Names) twoParts(name string) (*Target, error) {
	if kind, rest, _ := strings.Cut(name, "/"); isKind(kind) && !n.has(name) && n.Namespace != "" {
		return n.ofKind(n.Namespace+"/"+name, n.Namespace, kind, rest)
	}
	return n.namespaced(name)
}

func (n *Names) namespaced(name string) (*Target, error) {
	ws := n.workloads[name]
	ns, rest, _ := strings.Cut(name, "/")
	switch {
	case len(ws) == 1:
		return n.workload(name, ws[0].endpoints), nil
	case len(ws) > 1:
		var near []string
		for _, w := range ws {
			near = append(near, ns+"/"+w.kind+"/"+rest)
		}
		slices.Sort(near)
		return nil, &NameError{Name: name, Why: "is several workloads", Near: near}
	}
	if i, ok := n.pods[name]; ok {
		return n.pod(name, i), nil
	}
	if n.isService(name) {
		return nil, &NameError{Name: name, Why: "is a service, not a workload", Near: []string{ns + "/service/" + rest}}
	}
	return nil, n.unknown(name)
}

func (n *Names) ofKind(full, ns, kind, name string) (*Target, error) {
	key := ns + "/" + name
	k := strings.ToLower(kind)
	if long, ok := shortKinds[k]; ok {
		k = long
		full = ns + "/" + k + "/" + name
	}
	switch k {
	case "service":
		if n.isService(key) {
			return n.service(ns, name)
		}
	case "pod":
		if i, ok := n.pods[key]; ok {
			return n.pod(full, i), nil
		}
	default:
		for _, w := range n.workloads[key] {
			if strings.ToLower(w.kind) == k {
				return n.workload(n.Label(w.endpoints[0]), w.endpoints), nil
			}
		}
	}
	return nil, n.unknown(full)
}

// service resolves a service. One without an address of its own is where its name leads, which is not for us to follow.
func (n *Names) service(ns, name string) (*Target, error) {
	full := ns + "/service/" + name
	if f, ok := n.services[ns+"/"+name]; ok {
		return &Target{Name: full, Kind: ServiceTarget, Frontends: f}, nil
	}
	if s, ok := n.noAddress[ns+"/"+name]; ok && s.ExternalName != "" {
		return nil, &NameError{Name: full, Why: "is only a name for " + s.ExternalName + ": ask about that"}
	} else if ok {
		return nil, &NameError{Name: full, Why: "is headless: a connection to it goes straight to one of its pods: ask about their workload"}
	}
	return nil, n.unknown(full)
}

func (n *Names) workload(name string, endpoints []int32) *Target {
	t := &Target{Name: name, Kind: WorkloadTarget, Endpoints: endpoints}
	for _, i := range endpoints {
		n.addEndpoint(t, i)
	}
	return t
}

func (n *Names) pod(name string, i int32) *Target {
	t := &Target{Name: name, Kind: PodTarget, Endpoints: []int32{i}}
	n.addEndpoint(t, i)
	if !n.plan.Endpoints[i].Declared {
		t.pods = 1
	}
	return t
}

// alike reports ends that no verdict can tell apart: of one identity, and of one node where they are nodes, and both or
// neither touched by what was not understood (S33).
func (n *Names) alike(x, y *end) bool {
	return x.Peer == y.Peer && x.family == y.family && x.node == y.node && n.plan.Endpoints[x.Endpoint].Touched == n.plan.Endpoints[y.Endpoint].Touched
}

// addEndpoint adds the ends of a pod. A second pod adds none that no verdict can tell from the first's.
func (n *Names) addEndpoint(t *Target, i int32) {
	e := &n.plan.Endpoints[i]
	t.pods += max(1, int(e.Replicas))
	for j, p := range e.Peers {
		x := end{End: plan.End{Peer: p, Endpoint: i, Frontend: plan.None}, family: n.declared}
		if j < len(e.Addrs) {
			x.family = addrFamily(e.Addrs[j])
			if e.HostNetwork {
				x.node = n.hosts.at(e.Addrs[j])
			}
		}
		if !slices.ContainsFunc(t.ends, func(y end) bool { return n.alike(&x, &y) }) {
			t.ends = append(t.ends, x)
		}
	}
}

func (n *Names) address(a netip.Addr) *Target {
	t := &Target{Name: a.String(), Kind: AddressTarget, addr: a, pods: 1}
	if _, service := n.plan.FrontendAt(a, 0); service {
		return t
	}
	peer := n.plan.Addresses.Lookup(a)
	x := end{End: plan.NewEnd(peer), family: addrFamily(a), node: n.hosts.at(a)}
	if n.plan.Peers[peer].Kind == plan.PodPeer {
		for i := range n.plan.Endpoints {
			if slices.Contains(n.plan.Endpoints[i].Addrs, a) && !n.plan.Endpoints[i].HostNetwork {
				x.Endpoint = int32(i)
				t.Endpoints = []int32{x.Endpoint}
				break
			}
		}
	}
	t.ends = []end{x}
	return t
}

func (n *Names) spiffe(id string) (*Target, error) {
	t := &Target{Name: id, Kind: SPIFFETarget}
	var ids []string
	for i := range n.plan.Endpoints {
		for _, p := range n.plan.Endpoints[i].Peers {
			have := n.plan.Peers[p].SPIFFE
			if have == id && !slices.Contains(t.Endpoints, int32(i)) {
				t.Endpoints = append(t.Endpoints, int32(i))
				n.addEndpoint(t, int32(i))
			}
			if have != "" && !slices.Contains(ids, have) {
				ids = append(ids, have)
			}
		}
	}
	if len(t.Endpoints) == 0 {
		return nil, &NameError{Name: id, Why: "is the identity of no workload", Near: nearest(id, ids)}
	}
	return t, nil
}

func (n *Names) unknown(name string) error {
	return &NameError{Name: name, Why: "is no workload, pod, service or entity here", Near: nearest(name, n.known)}
}
