package oracle

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
)

func (g *gen) policies() {
	n := pick(g, 1, 2, 3, 4, 5, 6, 7, 8)
	if g.large {
		n, g.layer7 = 40, max(g.layer7, maxLayer7-2)
	}
	names := g.Perm(n)
	for i := range n {
		p := ir.Policy{Layer: pick(g, ir.Orchestrator, ir.Mesh, ir.Mesh), Tier: pick(g, ir.Admin, ir.Namespace, ir.Namespace, ir.Baseline),
			Name: fmt.Sprintf("p%d", names[i]), Priority: pick[int32](g, 0, 10, 10, 10, 20), Audit: g.one(8)}
		p.Pos = diag.Position{File: "w.cue", Line: 100 * (i + 1)}
		if g.simple {
			p.Priority, p.Audit = int32(i), false
		}
		g.kind(&p)
		for d := range p.Isolate {
			p.Isolate[d] = p.Tier == ir.Namespace && g.one(3) || g.one(30)
			p.AuditIsolate[d] = g.one(16) && !g.simple
		}
		rules := pick(g, 0, 1, 2, 2, 3, 4)
		if g.large {
			rules = 3
		}
		for range rules {
			r := g.rule(&p)
			r.Index, r.Pos = len(p.Rules), diag.Position{File: "w.cue", Line: 100*(i+1) + len(p.Rules) + 1}
			if g.simple {
				r.Audit, r.NotAfter = false, time.Time{}
				if r.Action == ir.Pass {
					r.Action = ir.Deny
				}
			}
			p.Rules = append(p.Rules, r)
		}
		g.w.policies = append(g.w.policies, p)
	}
}

// kind gives the policy a kind and a subject: one that selects many pods more often than few.
func (g *gen) kind(p *ir.Policy) {
	switch {
	case p.Tier != ir.Namespace && p.Layer == ir.Orchestrator:
		p.Kind = "ClusterNetworkPolicy"
	case p.Tier != ir.Namespace:
		p.Kind = "ClusterMeshPolicy"
	case p.Layer == ir.Orchestrator:
		p.Kind = "NetworkPolicy"
	default:
		p.Kind = pick(g, "MeshPolicy", "ClusterMeshPolicy")
	}
	switch n := g.IntN(5); {
	case n <= 1 || g.large && !g.one(20): // few classes of pods: what is large is what each of them is asked
	case n == 2:
		p.Subject.Pods = g.podLabels()
	case n == 3:
		p.Subject.Namespaces = g.namespaceLabels()
	default:
		p.Subject.Namespace = pick(g, g.w.inv.Namespaces...).Name
	}
	if p.Kind == "NetworkPolicy" || p.Kind == "MeshPolicy" {
		p.Subject.Namespace, p.Subject.Namespaces = pick(g, g.w.inv.Namespaces...).Name, nil
		p.Namespace = p.Subject.Namespace
	}
	if p.Layer == ir.Mesh && g.one(12) {
		p.Subject.EnrolledOnly = true
	}
	if g.one(10) {
		p.Subject.ServiceAccounts = []ir.NamespacedName{{Namespace: pick(g, g.w.inv.Namespaces...).Name, Name: "default"}}
	}
}

func (g *gen) rule(p *ir.Policy) ir.Rule {
	r := ir.Rule{Direction: pick(g, ir.Egress, ir.Ingress, ir.Ingress), Action: pick(g, ir.Deny, ir.Allow, ir.Allow), Name: pick(g, "", "a rule"), Audit: p.Audit || g.one(10)}
	if p.Tier == ir.Admin && g.one(3) {
		r.Action = ir.Pass
	}
	if p.Kind == "NetworkPolicy" {
		r.Action = ir.Allow
	}
	if !g.one(4) {
		for range pick(g, 1, 1, 2) {
			r.Peers = append(r.Peers, g.peer(r.Direction))
		}
	}
	if g.one(2) {
		for range pick(g, 1, 1, 2, 3) {
			r.Ports = append(r.Ports, g.port())
		}
	}
	if p.Kind != "NetworkPolicy" && g.layer7 < maxLayer7 && g.one(3) {
		g.layer7++
		for range pick(g, 1, 1, 2) {
			r.HTTP = append(r.HTTP, g.httpMatch())
		}
		if !g.one(4) {
			r.Ports = []ir.Port{{Space: ir.TCP, First: 80, Last: pick[uint16](g, 80, 8080)}}
		}
		if g.one(2) {
			r.Peers = nil
		}
	}
	if p.Layer == ir.Mesh && r.Action == ir.Allow && g.one(2) {
		r.Plaintext, r.Exception = true, "exception"
	}
	if seldom := g.seldom(5); r.Action == ir.Allow && g.one(seldom) || g.one(8*seldom) {
		r.NotAfter = genNow.Add(pick(g, -time.Hour, -time.Second, 0, time.Second, time.Second, time.Hour, 48*time.Hour))
	}
	if g.one(10) {
		log := g.one(2)
		r.Log = &log
	}
	return r
}

// seldom is n, and more in large worlds: each end of an allow is a moment at which all is decided anew.
func (g *gen) seldom(n int) int {
	if g.large {
		return 12 * n
	}
	return n
}

func (g *gen) podLabels() ir.LabelSelector {
	switch g.IntN(6) {
	case 0:
		return ir.LabelSelector{{Key: "tier", Op: ir.Exists}}
	case 1:
		return ir.LabelSelector{{Key: "tier", Op: ir.DoesNotExist}}
	case 2:
		return ir.LabelSelector{{Key: "tier", Op: ir.NotIn, Values: []string{"back"}}}
	case 3:
		return ir.LabelSelector{{Key: "app", Op: ir.In, Values: []string{"api", "web"}}, {Key: "tier", Op: ir.In, Values: []string{"front"}}}
	default:
		return ir.LabelSelector{{Key: "app", Op: ir.In, Values: []string{pick(g, "web", "db", "api")}}}
	}
}

func (g *gen) namespaceLabels() ir.LabelSelector {
	switch g.IntN(4) {
	case 0:
		return ir.LabelSelector{{Key: "team", Op: ir.Exists}}
	case 1:
		return ir.LabelSelector{{Key: "team", Op: ir.NotIn, Values: []string{"red"}}}
	case 2:
		return ir.LabelSelector{{Key: "kubernetes.io/metadata.name", Op: ir.In, Values: []string{pick(g, "a", "b", "c")}}}
	default:
		return ir.LabelSelector{{Key: "team", Op: ir.In, Values: []string{pick(g, "red", "blue")}}}
	}
}

// peer makes one of the peers of S15.
func (g *gen) peer(d ir.Direction) ir.Peer {
	switch g.IntN(10) {
	case 0, 1:
		return ir.Peer{CIDR: g.cidr()}
	case 2:
		if d == ir.Egress {
			return ir.Peer{DNS: pick(g, "example.com", "*.example.com", "**.example.com")}
		}
		return ir.Peer{Entity: ir.OwnNode} // R5: of ingress only
	case 3, 4:
		return ir.Peer{Entity: pick(g, ir.World, ir.Cluster, ir.Host, ir.KubeAPIServer)}
	case 5:
		return ir.Peer{Pods: &ir.Selector{ServiceAccounts: []ir.NamespacedName{
			{Namespace: pick(g, "a", "b", "c"), Name: "default"}, {Namespace: pick(g, "a", "b", "nowhere"), Name: "web"}}}}
	case 6:
		return ir.Peer{Pods: &ir.Selector{SPIFFE: []string{
			pick(g, "spiffe://example.org/ns/a/sa/web", "spiffe://example.org/ns/a/*", "spiffe://example.org/*", "spiffe://other.org/*"),
			pick(g, "spiffe://example.org/ns/b/sa/default", "spiffe://example.org/ns/b/sa/def", "spiffe://example.org/ns/c/sa/*")}}}
	default:
		s := &ir.Selector{}
		if g.one(2) {
			s.Namespace = pick(g, g.w.inv.Namespaces...).Name
		} else if g.one(2) {
			s.Namespaces = g.namespaceLabels()
		}
		if g.one(2) {
			s.Pods = g.podLabels()
		}
		s.EnrolledOnly = g.one(8)
		return ir.Peer{Pods: s}
	}
}

// cidr makes a block with holes: in the world, in the ranges, across their borders, or everything.
func (g *gen) cidr() *ir.CIDR {
	blocks := []string{"0.0.0.0/0", "::/0", "192.0.2.0/24", "192.0.2.0/28", "198.51.100.7/32", "2001:db8::/32", "10.0.0.0/8", "10.1.0.0/24", "10.1.0.0/30",
		"10.1.0.4/32", "10.0.0.1/32", "10.1.0.0/25", "10.1.0.128/25", "128.0.0.0/1", "0.0.0.0/2", "64.0.0.0/2", "10.2.0.0/24", "fd00::/16", "fd00:0:0:1::/124", "0.0.0.0/1", "192.0.2.77/24"}
	c := &ir.CIDR{Prefix: netip.MustParsePrefix(pick(g, blocks...)), MatchPods: g.one(2)}
	holes := []string{"192.0.2.0/28", "192.0.2.1/32", "10.1.0.0/30", "10.1.0.2/31", "10.0.0.0/24", "fd00:0:0:1::/126", "2001:db8::/48", "128.0.0.0/1"}
	for range pick(g, 0, 0, 1, 2) {
		if e := netip.MustParsePrefix(pick(g, holes...)); c.Prefix.Bits() < e.Bits() && c.Prefix.Contains(e.Addr()) {
			c.Except = append(c.Except, e)
		}
	}
	return c
}

func (g *gen) port() ir.Port {
	switch g.IntN(8) {
	case 0:
		return ir.Port{Space: pick(g, ir.TCP, ir.UDP, ir.TCP), Name: pick(g, "http", "http", "dns", "alt", "nowhere")}
	case 1:
		first := pick[uint16](g, 0, 1, 80, 8000)
		return ir.Port{Space: pick(g, ir.TCP, ir.UDP), First: first, Last: first + pick[uint16](g, 1, 79, 1000)}
	case 2:
		t := pick[uint16](g, 8<<8, 0, 3<<8, 128<<8)
		return ir.Port{Space: pick(g, ir.ICMPv4, ir.ICMPv6), First: t, Last: t | pick[uint16](g, 0xff, 0)}
	case 3:
		return ir.Port{Space: pick(g, ir.TCP, ir.UDP, ir.SCTP, ir.ICMPv4, ir.ICMPv6, ir.OtherProtocol), First: 0, Last: 65535}
	case 4:
		return ir.Port{Space: ir.OtherProtocol, First: 47, Last: 47}
	case 5:
		return ir.Port{Space: pick(g, ir.TCP, ir.SCTP), First: 65535, Last: 65535}
	default:
		n := pick[uint16](g, 80, 8080, 8081, 53, 443)
		return ir.Port{Space: pick(g, ir.TCP, ir.TCP, ir.UDP), First: n, Last: n}
	}
}

// httpMatch makes one alternative of a layer-7 rule (S22 to S24).
func (g *gen) httpMatch() ir.HTTPMatch {
	var m ir.HTTPMatch
	if g.one(2) {
		m.Methods = pick(g, []string{"GET"}, []string{"GET", "POST"}, []string{"DELETE"})
	}
	if !g.one(3) {
		m.Path = pick(g, &ir.StringMatch{Kind: ir.Exact, Value: "/"}, &ir.StringMatch{Kind: ir.Exact, Value: "/a/b"},
			&ir.StringMatch{Kind: ir.Prefix, Value: "/a"}, &ir.StringMatch{Kind: ir.Prefix, Value: "/"}, &ir.StringMatch{Kind: ir.Prefix, Value: "/a/"},
			&ir.StringMatch{Kind: ir.Regex, Value: "/[a-z]+"}, &ir.StringMatch{Kind: ir.Regex, Value: "/a|/b/.*"})
	}
	if g.one(5) {
		m.Hosts = pick(g, []string{"shop.example.com"}, []string{"*.example.com"}, []string{"example.com", "*.example.org"})
	}
	if g.one(4) {
		m.Headers = append(m.Headers, ir.KeyMatch{Key: "x-team", StringMatch: g.stringMatch()})
	}
	if g.one(6) {
		m.Query = append(m.Query, ir.KeyMatch{Key: "v", StringMatch: g.stringMatch()})
	}
	if g.one(8) {
		m.Claims = append(m.Claims, ir.KeyMatch{Key: "role", Provider: "idp", StringMatch: g.stringMatch()})
	}
	if g.one(10) {
		m = ir.HTTPMatch{GRPC: pick(g, &ir.GRPCMatch{Service: "shop.Cart"}, &ir.GRPCMatch{Service: "shop.Cart", Method: "Add"})}
	}
	return m
}

func (g *gen) stringMatch() ir.StringMatch {
	return pick(g, ir.StringMatch{Kind: ir.Exact, Value: "red"}, ir.StringMatch{Kind: ir.Prefix, Value: "re"},
		ir.StringMatch{Kind: ir.Regex, Value: "red|blue"}, ir.StringMatch{Kind: ir.Present})
}
