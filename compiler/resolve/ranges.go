package resolve

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/weir-mesh/weir/compiler/diag"
)

// ranges reports the MeshConfig's ranges where they contradict each other, or what was read: what lies outside all ranges is
// world (S3), so that a wrong one makes a stranger of a pod's neighbours.
func (c *compiler) ranges() {
	cfg, inv := &c.in.Config, c.in.Inventory
	if !cfg.Present {
		return
	}
	add := func(message, hint string) {
		c.diags.Add(diag.Diagnostic{Code: "WEIR2024", Severity: diag.Warning, Pos: cfg.Pos, Message: message, Hint: hint})
	}
	kinds := []struct {
		name   string
		blocks []netip.Prefix
	}{{"pod", cfg.PodRanges}, {"node", cfg.NodeRanges}, {"service", cfg.ServiceRanges}}
	for i, a := range kinds {
		for _, b := range kinds[i+1:] {
			if x, y, ok := overlap(a.blocks, b.blocks); ok {
				add(fmt.Sprintf("the %s range %s and the %s range %s overlap", a.name, x, b.name, y), "an address is a pod's, a node's or a service's: correct spec.ranges")
			}
		}
	}
	const hint = "an address near it that no object explains is taken for the world's: correct spec.ranges"
	strays := func(name string, blocks []netip.Prefix, each func(yield func(string, netip.Addr))) {
		var first string
		var at []netip.Addr
		each(func(who string, a netip.Addr) {
			if sameFamily(blocks, a) && !holds(blocks, a) {
				first, at = cmp.Or(first, who), append(at, a)
			}
		})
		switch len(at) {
		case 0:
		case 1:
			add(fmt.Sprintf("%s has the address %s, which is in no %s range", first, at[0], name), hint)
		default:
			add(fmt.Sprintf("%s and %d more have addresses, such as %s, that are in no %s range", first, len(at)-1, at[0], name), hint)
		}
	}
	strays("pod", podRanges(cfg, inv.Nodes), func(yield func(string, netip.Addr)) {
		for i := range inv.Pods {
			for _, a := range inv.Pods[i].Addrs {
				if p := &inv.Pods[i]; !p.HostNetwork {
					yield("pod "+p.Namespace+"/"+p.Name, a.Unmap())
				}
			}
		}
	})
	strays("node", cfg.NodeRanges, func(yield func(string, netip.Addr)) {
		for i := range inv.Nodes {
			for _, a := range inv.Nodes[i].Addrs {
				yield("node "+inv.Nodes[i].Name, a.Unmap())
			}
		}
	})
	strays("service", cfg.ServiceRanges, func(yield func(string, netip.Addr)) {
		for i := range inv.Services {
			for _, a := range inv.Services[i].ClusterIPs {
				yield("service "+inv.Services[i].Namespace+"/"+inv.Services[i].Name, a.Unmap())
			}
		}
	})
}

func overlap(as, bs []netip.Prefix) (a, b netip.Prefix, ok bool) {
	for _, a := range as {
		for _, b := range bs {
			if a.Overlaps(b) {
				return a, b, true
			}
		}
	}
	return a, b, false
}

func holds(blocks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(blocks, func(p netip.Prefix) bool { return p.Contains(a) })
}

// sameFamily says whether a range of the address's family was given: without one, nothing is said of the family.
func sameFamily(blocks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(blocks, func(p netip.Prefix) bool { return p.Addr().Is4() == a.Is4() })
}
