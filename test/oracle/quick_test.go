package oracle

import (
	"net/netip"
	"testing"

	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/resolve"
)

// quickWorld is a world to which changes are made: a rule names labels, the port sql and blocks, and a service has a
// pod and a bare address behind it.
func quickWorld() *world {
	known := toDB(plain(ingress(ir.Allow)), plain(ingress(ir.Allow)))
	known.Rules[0].Ports = []ir.Port{{Space: ir.TCP, Name: "sql"}}
	known.Rules[1].Peers = []ir.Peer{{CIDR: &ir.CIDR{Prefix: netip.MustParsePrefix("192.0.2.0/24")}}, {CIDR: &ir.CIDR{Prefix: netip.MustParsePrefix("10.1.0.0/28"), MatchPods: true}}}
	w := smallWorld(lines([]ir.Policy{known})...)
	p := &w.inv.Services[0].Ports[0]
	p.Backends = append(p.Backends, inventory.Backend{Pod: ir.NamespacedName{Namespace: "shop", Name: "later"}, Port: 5432},
		inventory.Backend{Addr: netip.MustParseAddr("198.51.100.1"), Port: 5432}, inventory.Backend{Addr: address(podRange4, 60), Port: 5432})
	return w
}

// TestQuickPods says which pods are added at the cost of the change; whichever way, the outcome is a cold compile's.
func TestQuickPods(t *testing.T) {
	for _, c := range []struct {
		name  string
		quick bool
		make  func(*world, *inventory.Pod)
	}{
		{"like another", true, func(*world, *inventory.Pod) {}},
		{"like no other", true, func(_ *world, p *inventory.Pod) { p.Labels["app"] = "new" }},
		{"on the host's network", false, func(_ *world, p *inventory.Pod) { p.HostNetwork = true }},
		{"without an address", false, func(_ *world, p *inventory.Pod) { p.Addrs = nil }},
		{"in a namespace that no object describes", false, func(_ *world, p *inventory.Pod) { p.Namespace = "nowhere" }},
		{"with an address in the longer form", true, func(_ *world, p *inventory.Pod) {
			p.Addrs = []netip.Addr{netip.AddrFrom16(address(podRange4, 50).As16())}
		}},
		{"with another's address", false, func(w *world, p *inventory.Pod) { p.Addrs = w.inv.Pods[web].Addrs }},
		{"with a service's bare address", false, func(_ *world, p *inventory.Pod) { p.Addrs = []netip.Addr{address(podRange4, 60)} }},
		{"that a service waits for", false, func(_ *world, p *inventory.Pod) { p.Name = "later" }},
		{"named like one that a service waits for, elsewhere", true, func(_ *world, p *inventory.Pod) { p.Namespace, p.Name = "legacy", "later" }},
		{"with a known number of a named port", true, func(_ *world, p *inventory.Pod) {
			p.Ports = []inventory.NamedPort{{Name: "sql", Space: ir.TCP, Number: 5432}}
		}},
		{"with a new number", false, func(_ *world, p *inventory.Pod) {
			p.Ports = []inventory.NamedPort{{Name: "sql", Space: ir.TCP, Number: 5433}}
		}},
		{"with a named port that no rule names", true, func(_ *world, p *inventory.Pod) {
			p.Ports = []inventory.NamedPort{{Name: "sql", Space: ir.UDP, Number: 5433}, {Name: "x", Space: ir.TCP, Number: 1}}
		}},
		{"where a rule looks at requests", false, func(w *world, _ *inventory.Pod) {
			w.policies[0].Rules[0].HTTP = []ir.HTTPMatch{{Methods: []string{"GET"}}}
		}},
	} {
		w := quickWorld()
		p := inventory.Pod{Namespace: "shop", Name: "fresh", ServiceAccount: "default", Node: "node0", Labels: map[string]string{"app": "web"}, Addrs: []netip.Addr{address(podRange4, 50)}}
		c.make(w, &p)
		inc := resolve.NewIncremental(w.clone().input())
		quick := inc.AddPod(p)
		w.inv.Pods = append(w.inv.Pods, p)
		w.same(t, c.name, inc, quick, c.quick)
	}
}

// TestQuickPolicies does the same for policies.
func TestQuickPolicies(t *testing.T) {
	block := func(s string, matchPods bool, except ...string) func(*world, *ir.Policy) {
		return func(_ *world, p *ir.Policy) {
			c := &ir.CIDR{Prefix: netip.MustParsePrefix(s), MatchPods: matchPods}
			for _, e := range except {
				c.Except = append(c.Except, netip.MustParsePrefix(e))
			}
			p.Rules[0].Peers = []ir.Peer{{CIDR: c}}
		}
	}
	pods := func(s ir.Selector) func(*world, *ir.Policy) {
		return func(_ *world, p *ir.Policy) { p.Rules[0].Peers = []ir.Peer{{Pods: &s}} }
	}
	exists := func(key string) ir.LabelSelector { return ir.LabelSelector{{Key: key, Op: ir.Exists}} }
	for _, c := range []struct {
		name  string
		quick bool
		make  func(*world, *ir.Policy)
	}{
		{"about anybody", true, func(*world, *ir.Policy) {}},
		{"with a known label", true, pods(ir.Selector{Pods: exists("app")})},
		{"with a new label", false, pods(ir.Selector{Pods: exists("tier")})},
		{"with a new label of namespaces", false, pods(ir.Selector{Namespaces: exists("team")})},
		{"with a new label in its subject", false, func(_ *world, p *ir.Policy) { p.Subject.Pods = exists("tier") }},
		{"with a known named port", true, func(_ *world, p *ir.Policy) { p.Rules[0].Ports = []ir.Port{{Space: ir.TCP, Name: "sql"}} }},
		{"with a new named port", false, func(_ *world, p *ir.Policy) { p.Rules[0].Ports = []ir.Port{{Space: ir.UDP, Name: "sql"}} }},
		{"with a known block", true, block("192.0.2.0/24", false)},
		{"with a known block of pods", true, block("10.1.0.0/28", true)},
		{"with a new block of pods", false, block("10.1.0.0/29", true)},
		{"with a new block", true, block("203.0.113.0/24", false)},
		{"with a new block in a known one", true, block("192.0.2.16/28", false)},
		{"with half of a known block", true, block("192.0.2.128/25", false)},
		{"with a half of the world", false, block("128.0.0.0/1", false)},
		{"with a new block in a new one", true, block("203.0.113.0/24", false, "203.0.113.0/28")},
		{"with a new block around a known one", false, block("192.0.0.0/16", false)},
		{"with a new block around one of pods", false, block("10.1.0.0/16", false)},
		{"with a new block in a range", true, block("10.2.0.16/28", false)},
		{"with one address", false, block("203.0.113.7/32", false)},
		{"with everything", false, block("0.0.0.0/0", false)},
		{"with the other family", false, block("::/0", false)},
		{"with a part of the other family", true, block("2001:db8::/32", false)},
		{"with a block that holds a service's bare address", false, block("198.51.100.0/24", false)},
		{"with a new block beside API servers", false, func(w *world, p *ir.Policy) {
			w.inv.APIServers = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
			block("203.0.113.0/24", false)(w, p)
		}},
		{"that looks at requests", false, func(_ *world, p *ir.Policy) { p.Rules[0].HTTP = []ir.HTTPMatch{{Methods: []string{"GET"}}} }},
		{"beside one that does", false, func(w *world, _ *ir.Policy) {
			w.policies[0].Rules[0].HTTP = []ir.HTTPMatch{{Methods: []string{"GET"}}}
		}},
		{"with a name that is taken", false, func(w *world, p *ir.Policy) { p.Kind, p.Namespace, p.Name = w.policies[0].Kind, "", w.policies[0].Name }},
		{"with a taken name in another namespace", true, func(w *world, p *ir.Policy) { p.Kind, p.Name = w.policies[0].Kind, w.policies[0].Name }},
	} {
		w := quickWorld()
		p := policy(ir.Mesh, ir.Namespace, plain(ingress(ir.Allow)))
		p.Name, p.Namespace = "fresh", "shop"
		p.Rules[0].Pos.Line = 900
		c.make(w, &p)
		inc := resolve.NewIncremental(w.clone().input())
		quick := inc.AddPolicy(p)
		w.policies = append(w.policies, p)
		w.same(t, c.name, inc, quick, c.quick)
	}
}

// same compares what changes came to with a cold compile of the world.
func (w *world) same(t *testing.T, name string, inc *resolve.Incremental, quick, want bool) {
	t.Helper()
	if quick != want {
		t.Errorf("%s: at the cost of the change %t, want %t", name, quick, want)
	}
	cold, err := compile(w)
	if err != nil {
		t.Fatal(err)
	}
	c, err := bind(w, inc.Plan(), inc.Diagnostics())
	if err != nil {
		t.Fatal(err)
	}
	if err := samePlan(c.plan, cold.plan); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if name == "with a name that is taken" || name == "in a namespace that no object describes" || name == "with another's address" {
		return // what follows asks objects by name and pods by address
	}
	if err := c.checkPlan(); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}
