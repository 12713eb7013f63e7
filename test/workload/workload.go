// Package workload makes the policies and identities of the compile benchmark: the shape that the peers were measured
// with, from a fixed seed.
package workload

import (
	"fmt"
	"math/rand/v2"
	"net/netip"

	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
)

// perNamespace identities: 5 apps in 4 tiers.
const (
	apps         = 5
	tiers        = 4
	perNamespace = apps * tiers
	teams        = 10
)

// Generator draws policies one by one from a fixed seed.
type Generator struct {
	r          *rand.Rand
	namespaces int
	next       int
}

// New makes a generator for a number of identities.
func New(seed uint64, identities int) *Generator {
	return &Generator{r: rand.New(rand.NewPCG(seed, 1)), namespaces: max(1, identities/perNamespace)}
}

// Inventory makes one pod for each identity.
func (g *Generator) Inventory() *inventory.Inventory {
	inv := &inventory.Inventory{}
	for n := range g.namespaces {
		inv.Namespaces = append(inv.Namespaces, inventory.Namespace{Name: nsName(n), Labels: map[string]string{
			"kubernetes.io/metadata.name": nsName(n), "team": fmt.Sprintf("team-%d", n%teams), "weir.dev/mesh": "enabled"}})
		for i := range perNamespace {
			inv.Pods = append(inv.Pods, g.Pod(n, i, fmt.Sprintf("app-%d", i%apps)))
		}
	}
	return inv
}

// Pod makes the i-th pod of a namespace.
func (g *Generator) Pod(n, i int, app string) inventory.Pod {
	name := fmt.Sprintf("%s-%d", app, i)
	id := n*64 + i
	return inventory.Pod{Namespace: nsName(n), Name: name, Workload: inventory.Workload{Kind: "Deployment", Namespace: nsName(n), Name: app},
		Labels: map[string]string{"app": app, "tier": fmt.Sprintf("tier-%d", i/apps%tiers), "pod-template-hash": fmt.Sprint(id)}, ServiceAccount: "default",
		Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, byte(id >> 16), byte(id >> 8), byte(id)})}}
}

func nsName(n int) string { return fmt.Sprintf("ns-%d", n) }

// Config enrols everything.
func Config() inventory.Config {
	return inventory.Config{Present: true, TrustDomain: "example.org", PodRanges: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		Enrolled: []ir.Selector{{Namespaces: eq("weir.dev/mesh", "enabled")}}, LogDenied: true}
}

func eq(k string, v ...string) ir.LabelSelector {
	return ir.LabelSelector{{Key: k, Op: ir.In, Values: v}}
}

// Policies draws n policies.
func (g *Generator) Policies(n int) []ir.Policy {
	out := make([]ir.Policy, n)
	for i := range out {
		out[i] = g.Policy()
	}
	return out
}

// Policy draws one.
func (g *Generator) Policy() ir.Policy {
	ns := nsName(g.next % g.namespaces)
	p := ir.Policy{Kind: "MeshPolicy", Namespace: ns, Name: fmt.Sprintf("p%06d", g.next), Layer: ir.Mesh, Tier: ir.Namespace,
		Subject: ir.Selector{Namespace: ns, Pods: g.subject()}}
	g.next++
	g.rules(&p, ir.Ingress, ns)
	if g.r.IntN(100) < 60 {
		g.rules(&p, ir.Egress, ns)
	}
	return p
}

func (g *Generator) subject() ir.LabelSelector {
	switch x := g.r.IntN(100); {
	case x < 45:
		return eq("app", g.app())
	case x < 75:
		return eq("tier", g.tier())
	case x < 90:
		return ir.LabelSelector{{Key: "app", Op: ir.In, Values: []string{"app-0", fmt.Sprintf("app-%d", 1+g.r.IntN(apps-1))}}}
	default:
		return nil
	}
}

func (g *Generator) app() string  { return fmt.Sprintf("app-%d", g.r.IntN(apps)) }
func (g *Generator) tier() string { return fmt.Sprintf("tier-%d", g.r.IntN(tiers)) }

func (g *Generator) rules(p *ir.Policy, d ir.Direction, ns string) {
	for i := range 1 + g.r.IntN(2) {
		peer, plain := g.peer(ns)
		p.Rules = append(p.Rules, ir.Rule{Direction: d, Index: i, Action: ir.Allow, Peers: []ir.Peer{peer}, Ports: g.ports(), Plaintext: plain})
	}
	p.Isolate[d] = true
	if g.r.IntN(100) < 8 {
		peer, _ := g.peer(ns)
		p.Rules = append(p.Rules, ir.Rule{Direction: d, Index: len(p.Rules), Action: ir.Deny, Peers: []ir.Peer{peer}, Ports: g.ports()})
	}
}

// peer draws a peer, and says whether it can only be met in plaintext.
func (g *Generator) peer(ns string) (ir.Peer, bool) {
	switch x := g.r.IntN(100); {
	case x < 45:
		return ir.Peer{Pods: &ir.Selector{Namespace: ns, Pods: eq("app", g.app())}}, false
	case x < 65:
		return ir.Peer{Pods: &ir.Selector{Namespaces: eq("team", fmt.Sprintf("team-%d", g.r.IntN(teams))), Pods: eq("tier", g.tier())}}, false
	case x < 75:
		return ir.Peer{Pods: &ir.Selector{Namespace: nsName(g.r.IntN(g.namespaces))}}, false
	case x < 85:
		return ir.Peer{Pods: &ir.Selector{Pods: ir.LabelSelector{{Key: "app", Op: ir.NotIn, Values: []string{g.app()}}, {Key: "tier", Op: ir.Exists}}}}, false
	case x < 95:
		a, b := byte(20+g.r.IntN(200)), byte(g.r.IntN(256))
		block := func(c byte, bits int) netip.Prefix {
			return netip.PrefixFrom(netip.AddrFrom4([4]byte{a, b, c, 0}), bits)
		}
		return ir.Peer{CIDR: &ir.CIDR{Prefix: block(0, 16), Except: []netip.Prefix{block(byte(g.r.IntN(128)), 24), block(byte(128+g.r.IntN(128)), 24)}}}, true
	default:
		e := [...]ir.Entity{ir.World, ir.Cluster, ir.Host, ir.KubeAPIServer}[g.r.IntN(4)]
		return ir.Peer{Entity: e}, e != ir.Cluster
	}
}

func (g *Generator) ports() []ir.Port {
	switch x := g.r.IntN(100); {
	case x < 50:
		var out []ir.Port
		for range 1 + g.r.IntN(4) {
			p := [...]uint16{80, 443, 8080, 8443, 9090, 5432, 6379, 3306, 9092, 50051}[g.r.IntN(10)]
			out = append(out, ir.Port{Space: ir.TCP, First: p, Last: p})
		}
		return out
	case x < 75:
		lo := uint16(1024 * (1 + g.r.IntN(30)))
		return []ir.Port{{Space: ir.TCP, First: lo, Last: lo + uint16(g.r.IntN(4096))}}
	case x < 85:
		return []ir.Port{{Space: ir.UDP, First: 53, Last: 53}, {Space: ir.TCP, First: 53, Last: 53}}
	default:
		return nil
	}
}
