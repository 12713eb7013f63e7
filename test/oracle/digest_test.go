package oracle

import (
	"net/netip"
	"testing"
	"time"

	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
)

// TestDigestsStay holds the digests of one world with a bit of everything. A digest that changes makes every node and
// reviewer see a change where there is none (S2): put new values here only when what is hashed had to change.
func TestDigestsStay(t *testing.T) {
	c, err := compile(everything())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []struct{ what, got, want string }{
		{"policy", c.plan.PolicyDigest, "1501a19aac54c8b15d1ff8defa59b84a5116204d9bb453cde70bad3aa0167a7a"},
		{"decision", c.plan.DecisionDigest, "1efc305b029030ffe24278f117267cbfa86448b25be34c1f6165a468d4a8942c"},
		{"node state", c.plan.NodeDigest, "4b51a0cc42ebda6a6af5b8eb6a9c59da47ef545cca403cf37ecf7a6e31b52514"},
	} {
		if d.got != d.want {
			t.Errorf("%s digest: %s, want %s", d.what, d.got, d.want)
		}
	}
}

// everything is a world in which each kind of peer, port, tier, request and object occurs.
func everything() *world {
	w := smallWorld(lines(everyPolicy())...)
	w.config.Waypoint, w.config.LogDenied, w.config.EnforceNetworkPolicy = inventory.WaypointPerServiceAccount, true, true
	w.inv.APIServers = []netip.Addr{netip.MustParseAddr("192.0.2.10")}
	w.inv.Nodes = append(w.inv.Nodes, inventory.Node{Name: "node1", Addrs: []netip.Addr{address(nodeRange4, 2), address(nodeRange6, 2)},
		PodCIDRs: []netip.Prefix{podRange6}})
	for i, app := range []string{"cart", "mail", "pay"} {
		w.inv.Pods = append(w.inv.Pods, inventory.Pod{Namespace: "shop", Name: app, ServiceAccount: app, Node: "node1", Labels: map[string]string{"app": app, "tier": "back"},
			Addrs: []netip.Addr{address(podRange4, 20+i), address(podRange6, 20+i)}, Workload: inventory.Workload{Kind: "Deployment", Namespace: "shop", Name: app},
			Ports: []inventory.NamedPort{{Name: "sql", Space: ir.TCP, Number: 5433}, {Name: "sql", Space: ir.UDP, Number: uint16(5430 + i)}}})
	}
	w.inv.Pods = append(w.inv.Pods, inventory.Pod{Namespace: "shop", Name: "proxy", Node: "node1", HostNetwork: true, Addrs: w.inv.Nodes[1].Addrs},
		inventory.Pod{Namespace: "shop", Name: "next", ServiceAccount: "cart", Declared: true, Replicas: 2, Labels: map[string]string{"app": "next"}})
	back := func(pod string, port uint16) inventory.Backend {
		return inventory.Backend{Pod: ir.NamespacedName{Namespace: "shop", Name: pod}, Port: port}
	}
	w.inv.Services = append(w.inv.Services,
		inventory.Service{Namespace: "shop", Name: "all", ClusterIPs: []netip.Addr{address(serviceRange4, 2), address(serviceRange6, 2)}, Ports: []inventory.ServicePort{
			{Name: "web", Space: ir.TCP, Port: 80, NodePort: 30080, Backends: []inventory.Backend{back("cart", 8080), back("mail", 8080), {Addr: netip.MustParseAddr("192.0.2.1"), Port: 80}}},
			{Name: "dns", Space: ir.UDP, Port: 53, Backends: []inventory.Backend{back("pay", 53), back("next", 53)}}}},
		inventory.Service{Namespace: "shop", Name: "soon", Ports: []inventory.ServicePort{{Name: "web", Space: ir.TCP, Port: 80}}})
	return w
}

func everyPolicy() []ir.Policy {
	app := func(names ...string) *ir.Selector {
		return &ir.Selector{Namespace: "shop", Pods: ir.LabelSelector{{Key: "app", Op: ir.In, Values: names}}}
	}
	from := func(r ir.Rule, peers ...ir.Peer) ir.Rule { r.Peers = peers; return r }
	on := func(r ir.Rule, ports ...ir.Port) ir.Rule { r.Ports = ports; return r }
	http := func(r ir.Rule, m ...ir.HTTPMatch) ir.Rule { r.HTTP = m; return r }
	allowOut := func() ir.Rule { return ir.Rule{Direction: ir.Egress, Action: ir.Allow} }
	ends := plain(ingress(ir.Allow))
	ends.NotAfter = genNow.Add(time.Hour)
	log := true
	ends.Log = &log
	audit := ingress(ir.Deny)
	audit.Audit = true

	admin := policy(ir.Mesh, ir.Admin,
		from(ingress(ir.Deny), ir.Peer{Entity: ir.KubeAPIServer}, ir.Peer{CIDR: &ir.CIDR{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Except: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/28")}}}),
		from(ingress(ir.Pass), ir.Peer{Pods: app("pay")}),
		http(from(ingress(ir.Deny), ir.Peer{Pods: app("cart")}), ir.HTTPMatch{Methods: []string{"DELETE"}}))
	admin.Priority = 10
	request := policy(ir.Mesh, ir.Namespace,
		http(on(from(ingress(ir.Allow), ir.Peer{Pods: app("cart", "mail")}), ir.Port{Space: ir.TCP, First: 80, Last: 8080}),
			ir.HTTPMatch{Path: &ir.StringMatch{Kind: ir.Prefix, Value: "/v1"}, Hosts: []string{"*.example.com"}},
			ir.HTTPMatch{GRPC: &ir.GRPCMatch{Service: "shop.Cart"}, Headers: []ir.KeyMatch{{Key: "x", StringMatch: ir.StringMatch{Kind: ir.Present}}}}),
		on(from(plain(ingress(ir.Allow)), ir.Peer{Entity: ir.Cluster}), ir.Port{Space: ir.TCP, Name: "sql"}, ir.Port{Space: ir.UDP, Name: "sql"}),
		on(from(ends, ir.Peer{Entity: ir.World}), ir.Port{Space: ir.UDP, First: 53, Last: 53}, ir.Port{Space: ir.ICMPv4, First: 8 << 8, Last: 8<<8 | 255}),
		from(audit, ir.Peer{Entity: ir.Host}), from(plain(ingress(ir.Allow)), ir.Peer{Entity: ir.OwnNode}))
	request.Subject = *app("db", "pay")
	request.Isolate[ir.Ingress] = true
	out := policy(ir.Mesh, ir.Namespace,
		on(from(allowOut(), ir.Peer{Pods: &ir.Selector{SPIFFE: []string{"spiffe://example.org/ns/shop/*"}}}), ir.Port{Space: ir.TCP, Name: "sql"}, ir.Port{Space: ir.TCP, First: 8080, Last: 8080}),
		from(plain(allowOut()), ir.Peer{Pods: &ir.Selector{ServiceAccounts: []ir.NamespacedName{{Namespace: "shop", Name: "pay"}}}}),
		from(plain(allowOut()), ir.Peer{CIDR: &ir.CIDR{Prefix: netip.MustParsePrefix("10.1.0.16/28"), MatchPods: true}}),
		from(plain(allowOut()), ir.Peer{DNS: "*.example.com"}))
	out.Subject = *app("web", "cart")
	out.Isolate[ir.Egress] = true
	k8s := policy(ir.Orchestrator, ir.Namespace, from(ingress(ir.Allow), ir.Peer{Pods: &ir.Selector{Pods: ir.LabelSelector{{Key: "tier", Op: ir.Exists}}}}),
		on(from(ingress(ir.Allow), ir.Peer{Pods: &ir.Selector{Namespaces: ir.LabelSelector{{Key: "team", Op: ir.DoesNotExist}}}}), ir.Port{Space: ir.SCTP, First: 7, Last: 7}))
	k8s.Subject.Namespace = "shop"
	k8s.AuditIsolate[ir.Ingress] = true
	base := policy(ir.Orchestrator, ir.Baseline, on(ingress(ir.Deny), ir.Port{Space: ir.OtherProtocol, First: 47, Last: 47}),
		from(ingress(ir.Allow), ir.Peer{Pods: &ir.Selector{Pods: ir.LabelSelector{{Key: "app", Op: ir.NotIn, Values: []string{"old"}}}}}))
	return []ir.Policy{admin, request, out, k8s, base}
}
