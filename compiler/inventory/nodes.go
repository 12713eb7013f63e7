package inventory

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/source/manifest"
)

// CodeAddress is about an address or range that cannot be read.
const CodeAddress diag.Code = "WEIR1036"

func (r *reader) node(o *manifest.Object) {
	var n corev1.Node
	if !decode(r, o, &n) {
		return
	}
	node := Node{Name: o.Name, Labels: n.Labels, Pos: o.Pos("metadata.name")}
	for i, a := range n.Status.Addresses {
		if a.Type != corev1.NodeInternalIP && a.Type != corev1.NodeExternalIP {
			continue
		}
		if addr, ok := r.addr(o, fmt.Sprintf("status.addresses[%d].address", i), a.Address); ok {
			node.Addrs = appendAddr(node.Addrs, addr)
		}
	}
	ranges := n.Spec.PodCIDRs
	if len(ranges) == 0 && n.Spec.PodCIDR != "" {
		ranges = []string{n.Spec.PodCIDR}
	}
	for _, s := range ranges {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			r.badAddress(o, "spec.podCIDR", s)
			continue
		}
		node.PodCIDRs = append(node.PodCIDRs, p.Masked())
	}
	r.inv.Nodes = append(r.inv.Nodes, node)
}

// nodesOfPods adds what running pods say about nodes that no Node object was given for: their addresses are the
// cluster's, not the world's (S3).
func (r *reader) nodesOfPods() {
	given := map[string]bool{}
	for i := range r.inv.Nodes {
		given[r.inv.Nodes[i].Name] = true
	}
	made := map[string]int{}
	for i := range r.podObjects {
		p := &r.podObjects[i]
		name := p.Spec.NodeName
		if name == "" || given[name] {
			continue
		}
		at, ok := made[name]
		if !ok {
			at = len(r.inv.Nodes)
			made[name] = at
			r.inv.Nodes = append(r.inv.Nodes, Node{Name: name})
		}
		hosts := p.Status.HostIPs
		if len(hosts) == 0 && p.Status.HostIP != "" {
			hosts = []corev1.HostIP{{IP: p.Status.HostIP}}
		}
		for _, h := range hosts {
			if a, ok := r.addr(p.object, "status.hostIP", h.IP); ok {
				r.inv.Nodes[at].Addrs = appendAddr(r.inv.Nodes[at].Addrs, a)
			}
		}
	}
}

func (r *reader) addr(o *manifest.Object, path, s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		r.badAddress(o, path, s)
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}

func (r *reader) badAddress(o *manifest.Object, path, s string) {
	r.diags.Add(diag.Diagnostic{Code: CodeAddress, Severity: diag.Error, Pos: o.Pos(path),
		Message: fmt.Sprintf("%q is no address", s), Hint: "write it as 192.0.2.1, 2001:db8::1 or, for a range, 10.0.0.0/8"})
}

func appendAddr(as []netip.Addr, a netip.Addr) []netip.Addr {
	if slices.Contains(as, a) {
		return as
	}
	return append(as, a)
}
