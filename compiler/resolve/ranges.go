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
	add := func(pos diag.Position, message, hint string, related ...diag.Related) {
		c.diags.Add(diag.Diagnostic{Code: "WEIR2024", Severity: diag.Warning, Pos: pos, Message: message, Hint: hint, Related: related})
	}
	kinds := []kindOfRange{{"pod", cfg.PodRanges, cfg.PodRangesPos}, {"node", cfg.NodeRanges, cfg.NodeRangesPos}, {"service", cfg.ServiceRanges, cfg.ServiceRangesPos}}
	for i := range kinds {
		for j := range kinds[i+1:] {
			a, b := &kinds[i], &kinds[i+1+j]
			if x, y, ok := overlap(a.blocks, b.blocks); ok {
				add(a.at(x, cfg.Pos), fmt.Sprintf("the %s range %s and the %s range %s overlap", a.name, a.blocks[x], b.name, b.blocks[y]),
					"an address is a pod's, a node's or a service's: correct spec.ranges", diag.Related{Pos: b.at(y, cfg.Pos), Message: "the " + b.name + " range"})
			}
		}
	}
	const hint = "an address near it that no object explains is taken for the world's: correct spec.ranges"
	strays := func(kind *kindOfRange, blocks []netip.Prefix, each func(yield func(string, netip.Addr))) {
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
			add(kind.at(0, cfg.Pos), fmt.Sprintf("%s has the address %s, which is in no %s range", first, at[0], kind.name), hint)
		default:
			add(kind.at(0, cfg.Pos), fmt.Sprintf("%s and %d more have addresses, such as %s, that are in no %s range", first, len(at)-1, at[0], kind.name), hint)
		}
	}
	strays(&kinds[0], podRanges(cfg, inv.Nodes), func(yield func(string, netip.Addr)) {
		for i := range inv.Pods {
			for _, a := range inv.Pods[i].Addrs {
				if p := &inv.Pods[i]; !p.HostNetwork {
					yield("pod "+p.Namespace+"/"+p.Name, a.Unmap())
				}
			}
		}
	})
	strays(&kinds[1], cfg.NodeRanges, func(yield func(string, netip.Addr)) {
		for i := range inv.Nodes {
			for _, a := range inv.Nodes[i].Addrs {
				yield("node "+inv.Nodes[i].Name, a.Unmap())
			}
		}
	})
	strays(&kinds[2], cfg.ServiceRanges, func(yield func(string, netip.Addr)) {
		for i := range inv.Services {
			for _, a := range inv.Services[i].ClusterIPs {
				yield("service "+inv.Services[i].Namespace+"/"+inv.Services[i].Name, a.Unmap())
			}
		}
	})
}

// kindOfRange is what MeshConfig says of one kind's addresses, with the places.
type kindOfRange struct {
	name   string
	blocks []netip.Prefix
	pos    []diag.Position
}

// at is the place of a range, if the MeshConfig has it.
func (k *kindOfRange) at(i int, otherwise diag.Position) diag.Position {
	if i < len(k.pos) {
		return k.pos[i]
	}
	return otherwise
}

// overlap finds two that have an address in common.
func overlap(as, bs []netip.Prefix) (a, b int, ok bool) {
	for i := range as {
		for j := range bs {
			if as[i].Overlaps(bs[j]) {
				return i, j, true
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
