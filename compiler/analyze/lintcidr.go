package analyze

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// CodeCIDR says that a CIDR does not match addresses of the cluster that it holds, or nothing at all (S3).
const CodeCIDR diag.Code = "WEIR2021"

// owner is whose a part of the cluster's addresses is.
type owner uint8

const (
	podsOwn owner = iota
	nodesOwn
	servicesOwn
	nobodyOwns
)

func (o owner) String() string { return [...]string{"pod", "node", "service", ""}[o] }

// inside is a range of the cluster, or an address outside the ranges that is one of its own.
type inside struct {
	netip.Prefix
	owner owner
	// stray is an address outside the ranges.
	stray bool
}

// insideOf lists the cluster's addresses in order, none within another: its ranges, and what lies outside them (S3).
func insideOf(p *plan.Plan) []inside {
	var all []inside
	for _, r := range p.Ranges {
		o := podsOwn
		switch {
		case slices.Contains(p.NodeRanges, r):
			o = nodesOwn
		case slices.Contains(p.ServiceRanges, r):
			o = servicesOwn
		}
		all = append(all, inside{Prefix: r, owner: o})
	}
	address := func(a netip.Addr, o owner) {
		all = append(all, inside{netip.PrefixFrom(a, a.BitLen()), o, true})
	}
	for a, i := range p.Addresses.Exact {
		_, service := p.FrontendAt(a, 0)
		switch {
		case service:
			address(a, servicesOwn)
		case p.Peers[i].Kind == plan.WorldPeer: // a block of one address, or the API server outside the cluster
		case p.Peers[i].Kind == plan.HostPeer:
			address(a, nodesOwn)
		default:
			address(a, podsOwn)
		}
	}
	slices.SortFunc(all, func(a, b inside) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()), cmp.Compare(a.owner, b.owner))
	})
	out := all[:0]
	for _, x := range all {
		if n := len(out); n == 0 || !out[n-1].Contains(x.Addr()) {
			out = append(out, x)
		}
	}
	return out
}

// overlapping returns those of the cluster's addresses that a block has a part in.
func (l *linter) overlapping(b netip.Prefix) []inside {
	if l.inside == nil {
		l.inside = insideOf(l.plan)
	}
	first, found := slices.BinarySearchFunc(l.inside, b.Addr(), func(x inside, a netip.Addr) int { return x.Addr().Compare(a) })
	if !found && first > 0 && l.inside[first-1].Overlaps(b) {
		first--
	}
	last := first
	for last < len(l.inside) && l.inside[last].Overlaps(b) {
		last++
	}
	return l.inside[first:last]
}

// covered reports whether blocks, in order, leave no address of one over.
func covered(b netip.Prefix, by []netip.Prefix) bool {
	at, last := b.Addr(), lastOf(b)
	for _, x := range by {
		switch end := lastOf(x); {
		case end.BitLen() != at.BitLen() || end.Less(at):
		case at.Less(x.Addr()):
			return false
		case !end.Less(last):
			return true
		default:
			at = end.Next()
		}
	}
	return false
}

// cidr reports a CIDR that matches nothing, or that leaves out a part of the cluster that it holds; true where it matches
// something.
func (l *linter) cidr(r *plan.Rule, p *plan.Policy, peer *ir.Peer) bool {
	c := peer.CIDR
	block, except := c.Prefix.Masked(), make([]netip.Prefix, 0, len(c.Except))
	for _, e := range c.Except {
		except = append(except, e.Masked())
	}
	slices.SortFunc(except, netip.Prefix.Compare)
	if plan.IsMulticastBlock(block) {
		if r.Action == ir.Allow {
			l.add(CodeCIDR, diag.Warning, orPos(peer.Pos, r.Pos), block.String()+" matches nothing: multicast is denied, whatever a rule says", "leave it out")
		}
		return r.Action != ir.Allow // a deny has what it wants
	}
	within := slices.DeleteFunc(slices.Clone(l.overlapping(block)), func(x inside) bool {
		return x.Bits() >= block.Bits() && covered(x.Prefix, except) || r.Direction == ir.Ingress && x.stray && x.owner == servicesOwn
	})
	taken := slices.Clone(except)
	for _, x := range within {
		taken = append(taken, x.Prefix)
	}
	slices.SortFunc(taken, netip.Prefix.Compare)
	if !covered(block, taken) {
		if !c.MatchPods {
			l.partly(r, p, peer, within)
		}
		return true
	}
	where := "it lies in " + insideText(within)
	if len(within) > 0 && within[0].stray {
		where = "it holds only " + insideText(within)
	}
	code, severity, why, hint := CodeCIDR, diag.Warning, where, outsideOnly(within)
	services := !slices.ContainsFunc(within, func(x inside) bool { return x.owner != servicesOwn })
	switch {
	case c.MatchPods && l.anyIn(c):
		return true
	case len(within) == 0:
		why, hint = "its excepts take all of it away", "leave out the excepts that are too many"
	case c.MatchPods && !services:
		code, severity, hint = CodeNoPeer, l.emptiness(p), "correct the block, or name pods by label"
		why = "no pod or node that was read has an address in it, and " + where
	case len(except) > 0:
		why = "its excepts leave only " + insideText(within)
	}
	l.add(code, severity, orPos(peer.Pos, r.Pos), block.String()+" matches nothing: "+why+failsOpen(r.Action), hint)
	return false
}

// partly reports pods and nodes that a CIDR holds and does not match; a service's address is what is behind it (S27). For
// an allow it is a note, and none where the block is a family's whole: most readers take that for the world, as it is.
func (l *linter) partly(r *plan.Rule, p *plan.Policy, peer *ir.Peer, within []inside) {
	within = slices.DeleteFunc(within, func(x inside) bool { return x.owner == servicesOwn })
	severity := diag.Warning
	switch {
	case len(within) == 0:
		return
	case r.Action == ir.Allow && (peer.CIDR.Prefix.Bits() == 0 || p.Layer == ir.Mesh && !r.Plaintext): // the latter can never match, as is said (S18)
		return
	case r.Action == ir.Allow:
		severity = diag.Note
	}
	l.add(CodeCIDR, severity, orPos(peer.Pos, r.Pos), peer.CIDR.Prefix.Masked().String()+" does not match "+insideText(within)+", a part of it"+failsOpen(r.Action),
		outsideOnly(within)+", or excepts where only the outside is meant")
}

// anyIn reports whether a pod or node has an address that a CIDR with matchPods matches.
func (l *linter) anyIn(c *ir.CIDR) bool {
	return slices.ContainsFunc(l.plan.Peers, func(p plan.Peer) bool {
		return p.Kind != plan.WorldPeer && slices.Contains(p.CIDRs, c.Prefix.Masked()) &&
			!slices.ContainsFunc(c.Except, func(e netip.Prefix) bool { return slices.Contains(p.CIDRs, e.Masked()) })
	})
}

// behindServices is the way out where services' addresses are named (S27).
const behindServices = "no block matches a service's address: name the pods behind the service"

// outsideOnly is the way out of a CIDR that holds addresses of the cluster.
func outsideOnly(within []inside) string {
	const pods = "a cidr means what is outside the cluster: write matchPods: true to mean pods and nodes, too"
	isService := func(x inside) bool { return x.owner == servicesOwn }
	switch n := slices.IndexFunc(within, isService); {
	case n < 0:
		return pods
	case slices.ContainsFunc(within, func(x inside) bool { return !isService(x) }):
		return pods + "; for a service's address, name the pods behind the service"
	}
	return behindServices
}

// insideText names parts of the cluster: the pod range 10.0.0.0/16 and the node address 192.0.2.1.
func insideText(within []inside) string {
	var parts []string
	for _, stray := range []bool{false, true} {
		for o := range nobodyOwns {
			var names []string
			for _, x := range within {
				switch {
				case x.owner != o || x.stray != stray:
				case stray:
					names = append(names, x.Addr().String())
				default:
					names = append(names, x.String())
				}
			}
			if len(names) > 0 {
				parts = append(parts, "the "+o.String()+" "+plural(map[bool]string{false: "range", true: "address"}[stray], len(names))+" "+someOf(names))
			}
		}
	}
	return andList(parts)
}

func plural(word string, n int) string {
	switch {
	case n == 1:
		return word
	case strings.HasSuffix(word, "s"):
		return word + "es"
	}
	return word + "s"
}

// someOf lists names, at most maxNear and how many more there are.
func someOf(names []string) string {
	if len(names) > maxNear {
		names = append(names[:maxNear:maxNear], fmt.Sprintf("%d more", len(names)-maxNear))
	}
	return andList(names)
}
