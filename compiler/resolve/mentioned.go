package resolve

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/weir-mesh/weir/compiler/ir"
)

// mentioned is what some rule can tell apart: the rest is left out of identities (S2).
type mentioned struct {
	podKeys, nsKeys map[string]bool
	ports           map[portName]bool
	// podBlocks are the blocks, holes included, of CIDRs with matchPods; allBlocks those of every CIDR.
	podBlocks, allBlocks []netip.Prefix
}

// portName is a named port: name and protocol must both match (S13).
type portName struct {
	name  string
	space ir.Space
}

func newMentioned() mentioned {
	return mentioned{podKeys: map[string]bool{}, nsKeys: map[string]bool{}, ports: map[portName]bool{}}
}

func (c *compiler) findMentioned() {
	c.labels = newMentioned()
	m := &c.labels
	for i := range c.in.Config.Enrolled {
		m.selector(&c.in.Config.Enrolled[i])
	}
	for i := range c.in.Config.Waypoints {
		m.selector(&c.in.Config.Waypoints[i])
	}
	for _, p := range c.policies {
		m.policy(p)
	}
}

func (m *mentioned) policy(p *ir.Policy) {
	m.selector(&p.Subject)
	for i := range p.Rules {
		m.rule(&p.Rules[i])
	}
}

func (m *mentioned) selector(s *ir.Selector) {
	for _, r := range s.Pods {
		m.podKeys[r.Key] = true
	}
	for _, r := range s.Namespaces {
		m.nsKeys[r.Key] = true
	}
}

func (m *mentioned) rule(r *ir.Rule) {
	for _, p := range r.Ports {
		if p.Name != "" {
			m.ports[portName{p.Name, p.Space}] = true
		}
	}
	for i := range r.Peers {
		switch p := &r.Peers[i]; {
		case p.Pods != nil:
			m.selector(p.Pods)
		case p.CIDR != nil:
			blocks := append([]netip.Prefix{p.CIDR.Prefix}, p.CIDR.Except...)
			for i := range blocks {
				blocks[i] = blocks[i].Masked()
			}
			m.allBlocks = append(m.allBlocks, blocks...)
			if p.CIDR.MatchPods {
				m.podBlocks = append(m.podBlocks, blocks...)
			}
		}
	}
}

func sortedPrefixes(ps []netip.Prefix) []netip.Prefix {
	slices.SortFunc(ps, comparePrefix)
	return slices.Compact(ps)
}

// comparePrefix puts a block before what it contains.
func comparePrefix(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}
