package oracle

import (
	"net/netip"
	"testing"

	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// TestTwoOwners gives an address to two: until that is settled it is nobody's, whoever comes first, and an error says so.
// The evaluator asks who has an address, so this is no part of the property test.
func TestTwoOwners(t *testing.T) {
	for name, change := range map[string]func(*world){
		"pod and pod":     func(w *world) { w.inv.Pods[old].Addrs = w.inv.Pods[web].Addrs },
		"pod and node":    func(w *world) { w.inv.Nodes[0].Addrs = w.inv.Pods[web].Addrs },
		"pod and service": func(w *world) { w.inv.Services[0].ClusterIPs = w.inv.Pods[web].Addrs },
		"mapped": func(w *world) {
			w.inv.Services[0].ClusterIPs = []netip.Addr{netip.AddrFrom16(w.inv.Pods[web].Addrs[0].As16())}
		},
	} {
		w := smallWorld(toDB(plain(ingress(ir.Allow))))
		taken := w.inv.Pods[web].Addrs[0]
		change(w)
		c, err := compile(w)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.plan.Addresses.Lookup(taken); got != 0 || !c.found.HasErrors() {
			t.Errorf("S1: %s: %s is identity %d, findings %v", name, taken, got, c.found)
		}
	}
	w := smallWorld()
	if c, err := compile(w); err != nil || len(c.found) != 0 {
		t.Errorf("nobody shares an address: %v, findings %v", err, c.found)
	}
}

// TestMappedAddresses writes every IPv4 address in its IPv6 form: the plan is the same.
func TestMappedAddresses(t *testing.T) {
	mapped := func(in []netip.Addr) (out []netip.Addr) {
		for _, a := range in {
			out = append(out, netip.AddrFrom16(a.As16()))
		}
		return out
	}
	w := everything()
	w.inv.Pods[old].HostNetwork, w.inv.Pods[old].Node, w.inv.Pods[old].Addrs = true, "far", []netip.Addr{address(nodeRange4, 77)}
	w.inv.APIServers = append(w.inv.APIServers, address(nodeRange4, 88))
	want, err := compile(w)
	if err != nil {
		t.Fatal(err)
	}
	m := w.clone()
	m.inv.APIServers = mapped(m.inv.APIServers)
	for i := range m.inv.Pods {
		m.inv.Pods[i].Addrs = mapped(m.inv.Pods[i].Addrs)
	}
	for i := range m.inv.Nodes {
		m.inv.Nodes[i].Addrs = mapped(m.inv.Nodes[i].Addrs)
	}
	for i := range m.inv.Services {
		s := &m.inv.Services[i]
		s.ClusterIPs = mapped(s.ClusterIPs)
		for j := range s.Ports {
			for k := range s.Ports[j].Backends {
				if b := &s.Ports[j].Backends[k]; b.Addr.IsValid() {
					b.Addr = netip.AddrFrom16(b.Addr.As16())
				}
			}
		}
	}
	got, err := compile(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := sameDigests(got.plan, want.plan); err != nil {
		t.Error(err)
	}
	if len(got.found) != len(want.found) {
		t.Errorf("found %v, want %v", got.found, want.found)
	}
}

// TestUndecided lists the identities of a declared pod: one for each way in which blocks may fall on an address of the
// ranges, and none for what they leave no room for (S4).
func TestUndecided(t *testing.T) {
	prefixes := func(s ...string) (out []netip.Prefix) {
		for _, p := range s {
			out = append(out, netip.MustParsePrefix(p))
		}
		return out
	}
	cases := []struct {
		name           string
		ranges, blocks []netip.Prefix
		want           int
	}{
		{"no block", prefixes("10.1.0.0/24"), nil, 1},
		{"a block around the range", prefixes("10.1.0.0/24"), prefixes("10.0.0.0/8"), 1},
		{"a block outside", prefixes("10.1.0.0/24"), prefixes("10.2.0.0/24"), 1},
		{"a block inside", prefixes("10.1.0.0/24"), prefixes("10.1.0.0/25"), 2},
		{"two halves", prefixes("10.1.0.0/24"), prefixes("10.1.0.0/25", "10.1.0.128/25"), 2},
		{"quarters and a half", prefixes("10.1.0.0/24"), prefixes("10.1.0.0/26", "10.1.0.64/26", "10.1.0.128/25"), 3},
		{"three quarters", prefixes("10.1.0.0/24"), prefixes("10.1.0.0/26", "10.1.0.64/26", "10.1.0.128/26"), 4},
		{"one address of two", prefixes("10.1.0.0/31"), prefixes("10.1.0.1/32"), 2},
		{"a range of one address", prefixes("10.1.0.1/32"), prefixes("10.1.0.1/32"), 1},
		{"no range, one family", nil, prefixes("10.1.0.0/24"), 2},
		{"no range, all of one family", nil, prefixes("0.0.0.0/0"), 1},
		{"no range, both families", nil, prefixes("10.1.0.0/24", "fd00::/16"), 3},
		{"two ranges", prefixes("10.1.0.0/24", "10.3.0.0/24"), prefixes("10.3.0.0/24"), 2},
	}
	for _, c := range cases {
		p := toDB()
		for _, b := range c.blocks {
			r := plain(ingress(ir.Allow))
			r.Peers = []ir.Peer{{CIDR: &ir.CIDR{Prefix: b, MatchPods: true}}}
			p.Rules = append(p.Rules, r)
		}
		w := smallWorld(lines([]ir.Policy{p})...)
		w.config.PodRanges = c.ranges
		w.inv.Pods = append(w.inv.Pods, inventory.Pod{Namespace: "shop", Name: "new", ServiceAccount: "default", Declared: true})
		got, err := compile(w)
		if err != nil {
			t.Fatal(err)
		}
		if _, e := got.endpoint("shop", "new"); len(e.Peers) != c.want {
			t.Errorf("%s: %d identities, want %d", c.name, len(e.Peers), c.want)
		}
	}
}

// TestUnscheduledHost has a hostNetwork pod without an address, and one whose node no object describes: both are nodes (S1).
func TestUnscheduledHost(t *testing.T) {
	w := smallWorld()
	at := address(nodeRange4, 77)
	w.inv.Pods = append(w.inv.Pods, inventory.Pod{Namespace: "shop", Name: "agent", HostNetwork: true},
		inventory.Pod{Namespace: "shop", Name: "proxy", HostNetwork: true, Node: "far", Addrs: []netip.Addr{at}},
		inventory.Pod{Namespace: "shop", Name: "local", HostNetwork: true, Addrs: w.inv.Nodes[0].Addrs})
	c, err := compile(w)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.found) != 0 {
		t.Errorf("found %v", c.found)
	}
	for _, name := range []string{"agent", "proxy", "local"} {
		if _, e := c.endpoint("shop", name); len(e.Peers) != 1 || c.plan.Peers[e.Peers[0]].Kind != plan.HostPeer || e.Attached {
			t.Errorf("%s: got %+v", name, e)
		}
	}
	if got := c.plan.Addresses.Lookup(at); c.plan.Peers[got].Kind != plan.HostPeer {
		t.Errorf("%s is a %s", at, c.plan.Peers[got].Kind)
	}
}
