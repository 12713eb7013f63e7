package inventory

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	k8slabels "k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/source/manifest"
)

type serviceObject struct {
	*corev1.Service
	object *manifest.Object
	key    ir.NamespacedName
}

// endpointSet is an EndpointSlice, or a subset of Endpoints, of a service.
type endpointSet struct {
	service ir.NamespacedName
	ports   []endpointPort
	addrs   []endpointAddr
}

type endpointPort struct {
	name   string
	space  ir.Space
	number uint16
}

type endpointAddr struct {
	pod  ir.NamespacedName
	addr netip.Addr
}

func (r *reader) service(o *manifest.Object) {
	s := &corev1.Service{}
	if decode(r, o, s) {
		r.svcObjects = append(r.svcObjects, serviceObject{s, o, ir.NamespacedName{Namespace: r.namespaceOf(o), Name: o.Name}})
	}
}

func (r *reader) endpointSlice(o *manifest.Object) {
	var s discoveryv1.EndpointSlice
	if !decode(r, o, &s) {
		return
	}
	ns, name := r.namespaceOf(o), s.Labels[discoveryv1.LabelServiceName]
	if s.AddressType == discoveryv1.AddressTypeFQDN {
		r.notUnderstood(CodeForeign, o.Pos("addressType"), o.Ref()+" holds names instead of addresses, which Weir does not understand")
		return
	}
	if name == "" {
		return // it belongs to no service
	}
	set := endpointSet{service: ir.NamespacedName{Namespace: ns, Name: name}}
	for _, p := range s.Ports {
		if p.Port == nil {
			r.notUnderstood(CodeForeign, o.Pos("ports"), o.Ref()+" serves all ports, which Weir does not understand")
			continue
		}
		ep := endpointPort{number: uint16(*p.Port)}
		if p.Name != nil {
			ep.name = *p.Name
		}
		if p.Protocol != nil {
			ep.space, _ = spaceOf(*p.Protocol)
		}
		set.ports = append(set.ports, ep)
	}
	for i, e := range s.Endpoints {
		for j, a := range e.Addresses {
			if addr, ok := r.addr(o, fmt.Sprintf("endpoints[%d].addresses[%d]", i, j), a); ok {
				set.addrs = append(set.addrs, endpointAddr{podOf(e.TargetRef, ns), addr})
			}
		}
	}
	r.endpoints = append(r.endpoints, set)
}

// legacyEndpoints reads Endpoints, whose name is the service's. Ready or not makes no difference (S27).
func (r *reader) legacyEndpoints(o *manifest.Object) {
	var e corev1.Endpoints //nolint:staticcheck // deprecated, and still what users write for services without a selector
	if !decode(r, o, &e) {
		return
	}
	ns := r.namespaceOf(o)
	for i, sub := range e.Subsets {
		set := endpointSet{service: ir.NamespacedName{Namespace: ns, Name: o.Name}}
		for _, p := range sub.Ports {
			space, _ := spaceOf(p.Protocol)
			set.ports = append(set.ports, endpointPort{p.Name, space, uint16(p.Port)})
		}
		for path, as := range map[string][]corev1.EndpointAddress{"addresses": sub.Addresses, "notReadyAddresses": sub.NotReadyAddresses} {
			for j, a := range as {
				if addr, ok := r.addr(o, fmt.Sprintf("subsets[%d].%s[%d].ip", i, path, j), a.IP); ok {
					set.addrs = append(set.addrs, endpointAddr{podOf(a.TargetRef, ns), addr})
				}
			}
		}
		r.endpoints = append(r.endpoints, set)
	}
}

func podOf(ref *corev1.ObjectReference, ns string) ir.NamespacedName {
	if ref == nil || ref.Kind != "Pod" {
		return ir.NamespacedName{}
	}
	return ir.NamespacedName{Namespace: cmp.Or(ref.Namespace, ns), Name: ref.Name}
}

// services fills the inventory's services with the endpoints behind each port.
func (r *reader) services() {
	sets := map[ir.NamespacedName][]endpointSet{}
	for _, s := range r.endpoints {
		sets[s.service] = append(sets[s.service], s)
	}
	pods := newPodIndex(r.inv.Pods)
	for _, so := range r.svcObjects {
		if so.Spec.Type == corev1.ServiceTypeExternalName {
			// A name in DNS: connections go to what it resolves to.
			r.inv.Services = append(r.inv.Services, Service{Namespace: so.key.Namespace, Name: so.key.Name, Headless: true,
				ExternalName: so.Spec.ExternalName, Pos: so.object.Pos("metadata.name")})
			continue
		}
		s := Service{Headless: so.Spec.ClusterIP == corev1.ClusterIPNone, Namespace: so.key.Namespace, Name: so.key.Name, ClusterIPs: r.serviceAddrs(&so), Labels: so.Labels, Created: so.CreationTimestamp.Time,
			Exposed: so.Spec.Type == corev1.ServiceTypeNodePort || so.Spec.Type == corev1.ServiceTypeLoadBalancer || len(so.Spec.ExternalIPs) > 0,
			Pos:     so.object.Pos("metadata.name")}
		for i := range so.Spec.Ports {
			if p, ok := servicePort(&so.Spec.Ports[i]); ok {
				p.Backends = pods.backends(&so, &so.Spec.Ports[i], sets[so.key])
				if len(p.Backends) == 0 {
					p.NoBackends = pods.noBackends(&so, &so.Spec.Ports[i])
				}
				s.Ports = append(s.Ports, p)
			}
		}
		r.inv.Services = append(r.inv.Services, s)
	}
	// The API server keeps its own addresses behind this service.
	for _, set := range sets[ir.NamespacedName{Namespace: "default", Name: "kubernetes"}] {
		for _, a := range set.addrs {
			r.inv.APIServers = appendAddr(r.inv.APIServers, a.addr)
		}
	}
	slices.SortFunc(r.inv.APIServers, netip.Addr.Compare)
}

// serviceAddrs are the addresses that a node translates: besides the cluster's own, external ones, which kube-proxy
// short-cuts for connections from inside.
func (r *reader) serviceAddrs(so *serviceObject) []netip.Addr {
	ips := so.Spec.ClusterIPs
	if len(ips) == 0 && so.Spec.ClusterIP != "" {
		ips = []string{so.Spec.ClusterIP}
	}
	var out []netip.Addr
	add := func(path, s string) {
		if s == corev1.ClusterIPNone || s == "" {
			return
		}
		if a, ok := r.addr(so.object, path, s); ok {
			out = appendAddr(out, a)
		}
	}
	for _, s := range ips {
		add("spec.clusterIP", s)
	}
	for i, s := range so.Spec.ExternalIPs {
		add(fmt.Sprintf("spec.externalIPs[%d]", i), s)
	}
	for i, in := range so.Status.LoadBalancer.Ingress {
		if in.IPMode == nil || *in.IPMode == corev1.LoadBalancerIPModeVIP {
			add(fmt.Sprintf("status.loadBalancer.ingress[%d].ip", i), in.IP)
		}
	}
	return out
}

func servicePort(p *corev1.ServicePort) (ServicePort, bool) {
	space, ok := spaceOf(p.Protocol)
	if !ok || p.Port < 1 || p.Port > 65535 {
		return ServicePort{}, false
	}
	return ServicePort{Name: p.Name, Space: space, Port: uint16(p.Port), NodePort: uint16(p.NodePort)}, true
}

// podIndex finds pods for services.
type podIndex struct {
	byNamespace map[string][]*Pod
	byName      map[ir.NamespacedName]*Pod
	byAddr      map[netip.Addr]*Pod
}

func newPodIndex(pods []Pod) podIndex {
	x := podIndex{map[string][]*Pod{}, map[ir.NamespacedName]*Pod{}, map[netip.Addr]*Pod{}}
	for i := range pods {
		p := &pods[i]
		x.byNamespace[p.Namespace] = append(x.byNamespace[p.Namespace], p)
		x.byName[ir.NamespacedName{Namespace: p.Namespace, Name: p.Name}] = p
		if !p.HostNetwork {
			for _, a := range p.Addrs {
				x.byAddr[a] = p
			}
		}
	}
	return x
}

// backends are the endpoints behind a port, ready or not (S27): the pods that the selector finds, and what
// EndpointSlices say besides.
func (x *podIndex) backends(so *serviceObject, port *corev1.ServicePort, sets []endpointSet) []Backend {
	var out []Backend
	seen := map[Backend]bool{}
	add := func(b Backend) {
		if !seen[b] {
			seen[b] = true
			out = append(out, b)
		}
	}
	if len(so.Spec.Selector) > 0 {
		for _, p := range x.byNamespace[so.key.Namespace] {
			if n, ok := targetPort(p, port); ok && standsFor([]map[string]string{p.Labels}, so.Spec.Selector) {
				add(Backend{Pod: ir.NamespacedName{Namespace: p.Namespace, Name: p.Name}, Port: n})
			}
		}
	}
	space, _ := spaceOf(port.Protocol)
	for _, set := range sets {
		for _, ep := range set.ports {
			if ep.name != port.Name || ep.space != space {
				continue
			}
			for _, a := range set.addrs {
				add(x.backend(a, ep.number))
			}
		}
	}
	slices.SortFunc(out, func(a, b Backend) int {
		return cmp.Or(cmp.Compare(a.Pod.Namespace, b.Pod.Namespace), cmp.Compare(a.Pod.Name, b.Pod.Name), a.Addr.Compare(b.Addr), cmp.Compare(a.Port, b.Port))
	})
	return out
}

// noBackends says why nothing is behind a port.
func (x *podIndex) noBackends(so *serviceObject, port *corev1.ServicePort) string {
	if len(so.Spec.Selector) == 0 {
		return "it has no selector, and no EndpointSlice says what is behind it"
	}
	for _, p := range x.byNamespace[so.key.Namespace] {
		if standsFor([]map[string]string{p.Labels}, so.Spec.Selector) {
			space, _ := spaceOf(port.Protocol)
			return fmt.Sprintf("its targetPort is %q, and no pod that it selects has a %s port of that name", port.TargetPort.String(), space)
		}
	}
	return fmt.Sprintf("no pod of namespace %s has the labels of its selector (%s)", so.key.Namespace, k8slabels.FormatLabels(so.Spec.Selector))
}

// backend is a pod when the address or the reference is that of one, else the bare address.
func (x *podIndex) backend(a endpointAddr, port uint16) Backend {
	p := x.byAddr[a.addr]
	if p == nil {
		p = x.byName[a.pod]
	}
	if p == nil {
		return Backend{Addr: a.addr, Port: port}
	}
	return Backend{Pod: ir.NamespacedName{Namespace: p.Namespace, Name: p.Name}, Port: port}
}

// targetPort is the number of the service's port on a pod; a pod without the named port is no endpoint of it.
func targetPort(p *Pod, port *corev1.ServicePort) (uint16, bool) {
	t := port.TargetPort
	if t.Type == intstr.Int {
		n := cmp.Or(t.IntVal, port.Port)
		return uint16(n), n > 0 && n <= 65535
	}
	space, _ := spaceOf(port.Protocol)
	for _, np := range p.Ports {
		if np.Name == t.StrVal && np.Space == space {
			return np.Number, true
		}
	}
	return 0, false
}
