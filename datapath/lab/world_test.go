package lab

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// shop is a small world: an enrolled namespace with services, NodePort and a hostNetwork workload, a namespace that is
// not enrolled, rules of both layers.
func shop() Source {
	pod := func(ns, name string, ports ...inventory.NamedPort) inventory.Pod {
		return inventory.Pod{Namespace: ns, Name: name, Workload: inventory.Workload{Kind: "Deployment", Namespace: ns, Name: name},
			Labels: map[string]string{"app": name}, ServiceAccount: name, Ports: ports, Declared: true, Replicas: 1}
	}
	tcp := func(n uint16) inventory.NamedPort { return inventory.NamedPort{Space: ir.TCP, Number: n} }
	node := pod("kube-system", "exporter", tcp(9100))
	node.HostNetwork = true
	inv := &inventory.Inventory{
		Namespaces: []inventory.Namespace{{Name: "shop", Labels: map[string]string{"weir.dev/mesh": "enabled"}}, {Name: "batch"}, {Name: "kube-system"}},
		Pods: []inventory.Pod{pod("shop", "web", tcp(8080)), pod("shop", "cart", tcp(7070)), pod("shop", "db", tcp(5432), tcp(9000), inventory.NamedPort{Space: ir.UDP, Number: 53}),
			pod("batch", "report"), node},
		Services: []inventory.Service{service("web", 80, 8080, 30080, "web"), service("cart", 7070, 7070, 0, "cart"), service("both", 9000, 9000, 0, "web", "cart")},
	}
	enrolled := ir.Selector{Namespaces: ir.LabelSelector{{Key: "weir.dev/mesh", Op: ir.In, Values: []string{"enabled"}}}}
	return Source{Inventory: inv, Config: inventory.Config{Present: true, TrustDomain: "example.org", Enrolled: []ir.Selector{enrolled}}, Policies: shopPolicies()}
}

func service(name string, port, target, nodePort uint16, pods ...string) inventory.Service {
	s := inventory.Service{Namespace: "shop", Name: name, Exposed: nodePort != 0}
	p := inventory.ServicePort{Space: ir.TCP, Port: port, NodePort: nodePort}
	for _, pod := range pods {
		p.Backends = append(p.Backends, inventory.Backend{Pod: ir.NamespacedName{Namespace: "shop", Name: pod}, Port: target})
	}
	s.Ports = []inventory.ServicePort{p}
	return s
}

func shopPolicies() []ir.Policy {
	app := func(name string) *ir.Selector {
		return &ir.Selector{Namespace: "shop", Pods: ir.LabelSelector{{Key: "app", Op: ir.In, Values: []string{name}}}}
	}
	port := func(n uint16) []ir.Port { return []ir.Port{{Space: ir.TCP, First: n, Last: n}} }
	allow := func(d ir.Direction, i int, ports []ir.Port, peers ...ir.Peer) ir.Rule {
		return ir.Rule{Direction: d, Index: i, Action: ir.Allow, Peers: peers, Ports: ports}
	}
	plain := func(r ir.Rule) ir.Rule {
		r.Plaintext, r.Exception = true, "lab"
		return r
	}
	both := [ir.NumDirections]bool{true, true}
	return []ir.Policy{
		{Kind: "MeshPolicy", Namespace: "shop", Name: "web", Layer: ir.Mesh, Tier: ir.Namespace, Subject: *app("web"), Isolate: both, Rules: []ir.Rule{
			plain(allow(ir.Ingress, 0, port(8080), ir.Peer{Entity: ir.World}, ir.Peer{Entity: ir.OwnNode})),
			allow(ir.Egress, 0, port(7070), ir.Peer{Pods: app("cart")}),
			allow(ir.Egress, 1, port(9000), ir.Peer{Pods: app("db")}),
		}},
		{Kind: "MeshPolicy", Namespace: "shop", Name: "cart", Layer: ir.Mesh, Tier: ir.Namespace, Subject: *app("cart"), Isolate: both, Rules: []ir.Rule{
			allow(ir.Ingress, 0, port(7070), ir.Peer{Pods: app("web")}),
			allow(ir.Egress, 0, port(5432), ir.Peer{Pods: app("db")}),
			plain(allow(ir.Egress, 1, []ir.Port{{Space: ir.UDP, First: 53, Last: 53}}, ir.Peer{Pods: app("db")})),
		}},
		{Kind: "MeshPolicy", Namespace: "shop", Name: "db", Layer: ir.Mesh, Tier: ir.Namespace, Subject: *app("db"), Isolate: both, Rules: []ir.Rule{
			allow(ir.Ingress, 0, nil, ir.Peer{Pods: app("cart")}),
			plain(allow(ir.Ingress, 1, []ir.Port{{Space: ir.UDP, First: 53, Last: 53}, {Space: ir.ICMPv4, First: 0, Last: 65535}, {Space: ir.ICMPv6, First: 0, Last: 65535}},
				ir.Peer{Pods: app("cart")})),
			allow(ir.Ingress, 2, port(9000), ir.Peer{Pods: app("web")}),
		}},
		{Kind: "NetworkPolicy", Namespace: "batch", Name: "report", Layer: ir.Orchestrator, Tier: ir.Namespace, Subject: ir.Selector{Namespace: "batch"},
			Isolate: [ir.NumDirections]bool{ir.Ingress: true}, Rules: []ir.Rule{
				allow(ir.Ingress, 0, nil, ir.Peer{CIDR: &ir.CIDR{Prefix: netip.MustParsePrefix("198.51.100.0/24")}}),
			}},
	}
}

func TestEverythingGetsAnAddress(t *testing.T) {
	src := shop()
	src.Inventory.Pods[0].Addrs = []netip.Addr{netip.MustParseAddr("10.244.0.1")}
	for _, nodes := range []int{1, 2} {
		w, diags, err := NewWorld(src, nodes)
		if err != nil || diags.HasErrors() {
			t.Fatal(err, diags)
		}
		seen := map[netip.Addr]string{}
		for i := range w.Plan.Endpoints {
			e := &w.Plan.Endpoints[i]
			want := 2
			if e.Name == "web" {
				want = 1 // a running pod keeps what it has
			}
			if len(e.Addrs) != want {
				t.Errorf("%s has %v", endpointName(e), e.Addrs)
			}
			for _, a := range e.Addrs {
				if other := seen[a]; other != "" && !e.HostNetwork {
					t.Errorf("%s and %s both have %s", other, endpointName(e), a)
				}
				seen[a] = endpointName(e)
			}
		}
		for i := range w.Inventory.Services {
			if len(w.Inventory.Services[i].ClusterIPs) != 2 {
				t.Errorf("service %s has %v", w.Inventory.Services[i].Name, w.Inventory.Services[i].ClusterIPs)
			}
		}
		for _, o := range w.Outside {
			if w.Plan.Addresses.Lookup(o.Addr) != o.Peer {
				t.Errorf("%s is not identity %d", o.Addr, o.Peer)
			}
		}
		if len(w.Plan.Nodes) != nodes {
			t.Errorf("%d nodes", len(w.Plan.Nodes))
		}
	}
}

// expected finds a probe and says whether it must pass.
func expected(t *testing.T, w *World, from, to, port string, fam int) bool {
	t.Helper()
	for _, p := range w.probes() {
		if w.sourceName(p.from, p.src) == from && p.to == to && portName(p.key) == port && family(p.src) == fam {
			return p.mustPass()
		}
	}
	t.Fatalf("no probe %s → %s %s", from, to, port)
	return false
}

// TestExpectations are worked out by hand from semantics.md.
func TestExpectations(t *testing.T) {
	one, _, err := NewWorld(shop(), 1)
	if err != nil {
		t.Fatal(err)
	}
	two, _, err := NewWorld(shop(), 2)
	if err != nil {
		t.Fatal(err)
	}
	const world = "world 203.0.113.10"
	for _, c := range []struct {
		from, to, port string
		one, two       bool
		why            string
	}{
		{"shop/web", "shop/cart", "TCP 7070", true, false, "S20: attested by one kernel, and only by one"},
		{"shop/cart", "shop/db", "TCP 5432", true, false, "S20: authentication between nodes needs the tunnel"},
		{"shop/cart", "shop/db", "UDP 53", true, true, "S18: plaintext under an exception"},
		{"shop/web", "shop/db", "TCP 5432", false, false, "S8: neither side allows"},
		{"shop/web", "service shop/cart", "TCP 7070", true, false, "S27: all endpoints allow, S20"},
		{"shop/web", "service shop/both", "TCP 9000", false, false, "S27: denied for cart"},
		{"shop/web", "service shop/web", "TCP 80", true, true, "S6: itself through its service"},
		{world, "shop/web", "TCP 8080", true, true, "S5: the world, under an exception"},
		{world, "NodePort of shop/web on node-1", "TCP 30080", true, true, "S5: translated packets are the world's"},
		{"node-1", "shop/web", "TCP 8080", true, true, "S5: a socket of the own node"},
		{"node-2", "shop/web", "TCP 8080", false, false, "S5: another node is no own-node"},
		{"unknown 10.244.255.254", "shop/web", "TCP 8080", false, false, "S3: nothing explains the address"},
		{"world 198.51.100.10", "batch/report", "TCP 7777", true, true, "S13: a NetworkPolicy without ports"},
		{world, "batch/report", "TCP 7777", false, false, "S11: isolated by a NetworkPolicy"},
		{"batch/report", "node-1", "TCP 9100", true, true, "S9: not enrolled, no egress policy"},
	} {
		if c.from != "node-2" {
			if got := expected(t, one, c.from, c.to, c.port, 0); got != c.one {
				t.Errorf("one node: %s → %s %s: %v, want %v (%s)", c.from, c.to, c.port, got, c.one, c.why)
			}
		}
		if got := expected(t, two, c.from, c.to, c.port, 0); got != c.two {
			t.Errorf("two nodes: %s → %s %s: %v, want %v (%s)", c.from, c.to, c.port, got, c.two, c.why)
		}
	}
}

// withBare is the shop with services that have endpoints at bare addresses: beside a pod, alone, and at one that the outside
// has.
func withBare() Source {
	s := shop()
	bare := func(name string, addr string, pods ...string) inventory.Service {
		x := service(name, 80, 8080, 0, pods...)
		x.Ports[0].Backends = append(x.Ports[0].Backends, inventory.Backend{Addr: netip.MustParseAddr(addr), Port: 8080})
		return x
	}
	s.Inventory.Services = append(s.Inventory.Services, bare("mixed", "192.0.2.77", "web"), bare("far", "192.0.2.77"), bare("taken", "10.244.0.1"),
		bare("here", "203.0.113.10"))
	s.Inventory.Services[len(s.Inventory.Services)-3].Ports[0].NodePort = 30081
	return s
}

// TestLeftOut: what the lab has no host for is no target, and is counted.
func TestLeftOut(t *testing.T) {
	w, _, err := NewWorld(withBare(), 1)
	if err != nil {
		t.Fatal(err)
	}
	left := w.leftOut()
	if len(left) != 1 || left[0] != (LeftOut{noSuchHost, 3, "service shop/far TCP 80 → 192.0.2.77"}) {
		t.Errorf("left out: %+v", left)
	}
	seen := map[string]bool{}
	for _, p := range w.probes() {
		if family(p.src) != 0 {
			continue // no service has an endpoint there
		}
		seen[p.to] = true
		for _, x := range p.targets {
			if p.to == "service shop/mixed" && x.at.kind == outsideHost {
				t.Errorf("%s may arrive outside", p.to)
			}
		}
	}
	if !seen["service shop/mixed"] || !seen["service shop/here"] || seen["service shop/far"] || seen["service shop/taken"] || seen["NodePort of shop/far on node-1"] {
		t.Errorf("probed: %v", seen)
	}
	if rules := Ruleset(w); strings.Contains(rules, "192.0.2.77") || strings.Contains(rules, "to 10.244.0.1:") || !strings.Contains(rules, "to 203.0.113.10:8080") {
		t.Errorf("the rules lead where nobody is:\n%s", rules)
	}
	for i := range w.Plan.Endpoints { // an address of the pod range that a service's endpoint has is given to no pod
		if slices.Contains(w.Plan.Endpoints[i].Addrs, netip.MustParseAddr("10.244.0.1")) {
			t.Errorf("%s has the bare address", endpointName(&w.Plan.Endpoints[i]))
		}
	}
	s := shop()
	s.Policies[0].Rules[0].Peers = append(s.Policies[0].Rules[0].Peers, ir.Peer{CIDR: &ir.CIDR{Prefix: netip.MustParsePrefix("169.254.169.254/32")}})
	if w, _, err = NewWorld(s, 1); err != nil {
		t.Fatal(err)
	}
	if left = w.leftOut(); len(left) != 1 || left[0] != (LeftOut{noWorldAddr, 1, "169.254.169.254/32"}) {
		t.Errorf("left out: %+v", left)
	}
}

// TestRules holds that nft is told of every service port, both families, and of NodePorts.
func TestRules(t *testing.T) {
	w, _, err := NewWorld(shop(), 1)
	if err != nil {
		t.Fatal(err)
	}
	rules := Ruleset(w)
	for _, want := range []string{"tcp dport 30080 goto", "tcp dport 80 goto", "ip6 daddr fd77:6569:7296::", "meta mark & 0x4000 != 0 masquerade", "numgen random mod 2"} {
		if !strings.Contains(rules, want) {
			t.Errorf("the rules lack %q:\n%s", want, rules)
		}
	}
}

func TestJudge(t *testing.T) {
	w, _, err := NewWorld(shop(), 1)
	if err != nil {
		t.Fatal(err)
	}
	web, db := host{podHost, 0}, host{podHost, 1}
	pass := probe{from: web, src: w.Plan.Endpoints[0].Addrs[0], to: "x", key: plan.Key(ir.TCP, 1), targets: []target{{at: db, pass: true}}}
	deny := pass
	deny.targets = []target{{at: db}}
	for _, c := range []struct {
		name string
		p    probe
		f    fate
		ok   bool
	}{
		{"allowed, arrives, answered", pass, fate{arrived: true, at: db, replied: true}, true},
		{"allowed, no answer", pass, fate{arrived: true, at: db}, false},
		{"allowed, lost", pass, fate{}, false},
		{"allowed, elsewhere", pass, fate{arrived: true, at: web, replied: true}, false},
		{"denied, lost", deny, fate{}, true},
		{"denied, arrives", deny, fate{arrived: true, at: db}, false},
	} {
		if m := w.judge(&c.p, c.f); (m == nil) != c.ok {
			t.Errorf("%s: %v", c.name, m)
		}
	}
}

// TestNames holds that no name reaches a terminal as a command to it.
func TestNames(t *testing.T) {
	for name, want := range map[string]string{"shop/web": "shop/web", "a b/ü": "a b/ü", "shop/\x1b[2Jweb": `"shop/\x1b[2Jweb"`, "shop/\u202eweb": `"shop/\u202eweb"`, "\xff": `"\xff"`} {
		if got := shown(name); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
	s := shop()
	for i := range s.Inventory.Pods {
		s.Inventory.Pods[i].Name += "\x1b[2J"
	}
	w, _, err := NewWorld(s, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range w.probes() {
		if m := w.judge(&p, fate{err: errors.New("x")}); strings.Contains(m.String(), "\x1b") {
			t.Fatalf("%q", m.String())
		}
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 412: "412", 5580: "5,580", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestPayloads(t *testing.T) {
	data := payload(7, 42)
	if id, ok := parsePayload(data, 7); !ok || id != 42 {
		t.Errorf("payload: %d %v", id, ok)
	}
	if _, ok := parsePayload(data, 8); ok {
		t.Error("a payload of another run is taken")
	}
	kind, src, dst, got, ok := parseSCTP(sctpPacket(sctpInit, 1000, 3868, data))
	if !ok || kind != sctpInit || src != 1000 || dst != 3868 || string(got) != string(data) {
		t.Errorf("SCTP: %d %d %d %x %v", kind, src, dst, got, ok)
	}
	if c := checksum(echoPacket(false, 3, 4, data)); c != 0 {
		t.Errorf("a packet with its checksum sums up to %#x, want 0", c)
	}
}
