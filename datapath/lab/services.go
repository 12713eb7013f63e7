package lab

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// natTable is the table's name; it lives and dies with the node's namespace.
const natTable = "weir_lab"

// Ruleset translates services in a node's namespace as kube-proxy's nftables mode does (KEP-3866): a service's address is
// replaced once a connection by that of an endpoint chosen at random, and the source by the node's where the reply would
// otherwise not come back this way: a pod that reaches itself (hairpin), and what came in through a NodePort. An address
// without an endpoint on that port is refused. Endpoints at bare addresses that nobody in the lab has are none.
func Ruleset(w *World) string {
	p := w.Plan
	var chains, services strings.Builder
	var virtual [2][]string
	for i := range p.Frontends {
		f := &p.Frontends[i]
		proto, ok := natProtocol(f.Port.Space())
		if !ok {
			continue
		}
		for _, a := range f.Addrs {
			virtual[family(a)] = append(virtual[family(a)], a.String())
		}
		for fam := range 2 {
			addrs := ofFamily(f.Addrs, fam)
			eps := w.backendAddrs(f, fam)
			if len(eps) == 0 || len(addrs) == 0 && f.NodePort == 0 {
				continue
			}
			name := fmt.Sprintf("svc_%d_%d", i, fam)
			endpointChains(&chains, name, proto, eps)
			for _, a := range addrs {
				fmt.Fprintf(&services, "\t\t%s daddr %s %s dport %d goto %s\n", ipWord(fam), a, proto, f.Port.Number(), name)
			}
			if f.NodePort != 0 {
				for _, a := range nodeAddrs(p, fam) {
					fmt.Fprintf(&services, "\t\t%s daddr %s %s dport %d goto %s_ext\n", ipWord(fam), a, proto, f.NodePort, name)
				}
			}
		}
	}
	return fmt.Sprintf("table inet %s {\n%s\tchain services {\n%s\t}\n%s%s}\n", natTable, chains.String(), services.String(), natHooks, refuse(virtual))
}

// natHooks use kube-proxy's mark for what has to be masqueraded.
const natHooks = `	chain prerouting {
		type nat hook prerouting priority dstnat;
		jump services
	}
	chain output {
		type nat hook output priority -100;
		jump services
	}
	chain postrouting {
		type nat hook postrouting priority srcnat;
		meta mark & 0x4000 != 0 masquerade
	}
`

func refuse(virtual [2][]string) string {
	var s strings.Builder
	for _, hook := range []string{"forward", "output"} {
		fmt.Fprintf(&s, "\tchain refuse_%s {\n\t\ttype filter hook %s priority filter;\n", hook, hook)
		for fam, addrs := range virtual {
			if len(addrs) > 0 {
				fmt.Fprintf(&s, "\t\t%s daddr { %s } drop\n", ipWord(fam), strings.Join(unique(addrs), ", "))
			}
		}
		s.WriteString("\t}\n")
	}
	return s.String()
}

func endpointChains(s *strings.Builder, name, proto string, eps []netip.AddrPort) {
	var choice []string
	for i, e := range eps {
		fam := family(e.Addr())
		fmt.Fprintf(s, "\tchain %s_%d {\n\t\t%s saddr %s meta mark set meta mark | 0x4000\n", name, i, ipWord(fam), e.Addr())
		fmt.Fprintf(s, "\t\tmeta l4proto %s dnat %s to %s\n\t}\n", proto, ipWord(fam), e)
		choice = append(choice, fmt.Sprintf("%d : goto %s_%d", i, name, i))
	}
	fmt.Fprintf(s, "\tchain %s {\n\t\tnumgen random mod %d vmap { %s }\n\t}\n", name, len(eps), strings.Join(choice, ", "))
	fmt.Fprintf(s, "\tchain %s_ext {\n\t\tmeta mark set meta mark | 0x4000\n\t\tgoto %s\n\t}\n", name, name)
}

func natProtocol(s ir.Space) (string, bool) {
	switch s {
	case ir.TCP:
		return "tcp", true
	case ir.UDP:
		return "udp", true
	case ir.SCTP:
		return "sctp", true
	}
	return "", false
}

func ipWord(fam int) string { return [...]string{"ip", "ip6"}[fam] }

func ofFamily(as []netip.Addr, fam int) []netip.Addr {
	var out []netip.Addr
	for _, a := range as {
		if family(a) == fam {
			out = append(out, a)
		}
	}
	return out
}

func nodeAddrs(p *plan.Plan, fam int) []netip.Addr {
	var out []netip.Addr
	for i := range p.Nodes {
		out = append(out, ofFamily(p.Nodes[i].Addrs, fam)...)
	}
	return out
}

// backendAddrs are the endpoints of one family behind a frontend.
func (w *World) backendAddrs(f *plan.Frontend, fam int) []netip.AddrPort {
	var out []netip.AddrPort
	for i := range f.Backends {
		if _, a, ok := w.backend(&f.Backends[i], fam); ok {
			out = append(out, netip.AddrPortFrom(a, f.Backends[i].Port.Number()))
		}
	}
	return out
}

// unique drops repeats; it keeps the order.
func unique[T comparable](in []T) []T {
	seen := map[T]bool{}
	var out []T
	for _, x := range in {
		if !seen[x] {
			seen[x] = true
			out = append(out, x)
		}
	}
	return out
}
