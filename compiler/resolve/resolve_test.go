package resolve_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/resolve"
)

var now = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// world is a small cluster: web and db in shop (enrolled), batch in jobs (not enrolled), one node.
type world struct {
	policies []ir.Policy
	inv      inventory.Inventory
	cfg      inventory.Config
}

func newWorld(policies ...ir.Policy) *world {
	w := &world{policies: policies}
	w.inv.Namespaces = []inventory.Namespace{
		{Name: "shop", Labels: map[string]string{"mesh": "on"}}, {Name: "jobs", Labels: map[string]string{}}}
	w.pod("shop", "web", "10.0.0.1", inventory.NamedPort{Name: "http", Space: ir.TCP, Number: 8080})
	w.pod("shop", "db", "10.0.0.2")
	w.pod("jobs", "batch", "10.0.0.3")
	w.inv.Nodes = []inventory.Node{{Name: "n1", Addrs: []netip.Addr{netip.MustParseAddr("192.168.0.1")}}}
	w.cfg = inventory.Config{Present: true, TrustDomain: "example.org", PodRanges: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")},
		Enrolled: []ir.Selector{{Namespaces: labels("mesh", "on")}}, LogDenied: true}
	return w
}

func (w *world) pod(ns, name, addr string, ports ...inventory.NamedPort) {
	w.inv.Pods = append(w.inv.Pods, inventory.Pod{Namespace: ns, Name: name, Workload: inventory.Workload{Kind: "Deployment", Namespace: ns, Name: name},
		Labels: map[string]string{"app": name, "pod-template-hash": addr}, ServiceAccount: name, Node: "n1",
		Addrs: []netip.Addr{netip.MustParseAddr(addr)}, Ports: ports})
}

func labels(k string, v ...string) ir.LabelSelector {
	return ir.LabelSelector{{Key: k, Op: ir.In, Values: v}}
}

func app(ns, name string) ir.Selector { return ir.Selector{Namespace: ns, Pods: labels("app", name)} }

func from(s ir.Selector) []ir.Peer { return []ir.Peer{{Pods: &s}} }

func tcp(p uint16) []ir.Port { return []ir.Port{{Space: ir.TCP, First: p, Last: p}} }

// mesh makes a namespace-tier policy of ours for shop/db; allows isolate (S11).
func mesh(name string, rules ...ir.Rule) ir.Policy {
	p := ir.Policy{Kind: "MeshPolicy", Namespace: "shop", Name: name, Layer: ir.Mesh, Tier: ir.Namespace, Subject: app("shop", "db"), Rules: rules}
	for i := range rules {
		p.Isolate[rules[i].Direction] = p.Isolate[rules[i].Direction] || rules[i].Action == ir.Allow
	}
	return p
}

func in(action ir.Action, peers []ir.Peer, ports []ir.Port) ir.Rule {
	return ir.Rule{Direction: ir.Ingress, Action: action, Peers: peers, Ports: ports}
}

func (w *world) compile(t *testing.T) (*plan.Plan, diag.List) {
	t.Helper()
	return resolve.Compile(resolve.Input{Policies: w.policies, Inventory: &w.inv, Config: w.cfg, Now: now})
}

func end(p *plan.Plan, addr string) plan.End {
	a := netip.MustParseAddr(addr)
	e := plan.NewEnd(p.Addresses.Lookup(a))
	for i := range p.Endpoints {
		if slices.Contains(p.Endpoints[i].Addrs, a) {
			e.Endpoint = int32(i)
		}
	}
	return e
}

// ingress is what db decides on a flow from src.
func ingress(t *testing.T, p *plan.Plan, src string, k plan.PortKey) plan.Decision {
	t.Helper()
	return p.Decide(plan.Flow{Src: end(p, src), Dst: end(p, db), Port: k}).Ingress
}

const (
	web, db, batch = "10.0.0.1", "10.0.0.2", "10.0.0.3"
	node, outside  = "192.168.0.1", "203.0.113.9"
)

func http80() plan.PortKey { return plan.Key(ir.TCP, 80) }

func TestDecisions(t *testing.T) {
	admin := func(name string, prio int32, action ir.Action, peers []ir.Peer) ir.Policy {
		p := mesh(name, in(action, peers, nil))
		p.Kind, p.Tier, p.Priority, p.Isolate = "ClusterMeshPolicy", ir.Admin, prio, [2]bool{}
		return p
	}
	np := mesh("np", in(ir.Allow, from(app("shop", "web")), nil))
	np.Kind, np.Layer = "NetworkPolicy", ir.Orchestrator
	plain := in(ir.Allow, []ir.Peer{{Entity: ir.World}}, tcp(80))
	plain.Plaintext, plain.Exception = true, "public"
	expired := in(ir.Allow, from(app("shop", "web")), nil)
	expired.NotAfter = now
	audit := mesh("audit", in(ir.Allow, from(app("shop", "web")), nil))
	audit.Audit = true
	block := &ir.CIDR{Prefix: netip.MustParsePrefix("203.0.113.0/24"), Except: []netip.Prefix{netip.MustParsePrefix("203.0.113.8/29")}}

	for _, c := range []struct {
		name     string
		policies []ir.Policy
		src      string
		port     plan.PortKey
		verdict  plan.Verdict
		reason   plan.Reason
		auth     plan.Auth
	}{
		{"S9 an enrolled endpoint denies by default", nil, web, http80(), plan.Deny, plan.ByEnrolment, plan.AuthNone},
		{"S10 an allow of the namespace tier", []ir.Policy{mesh("a", in(ir.Allow, from(app("shop", "web")), tcp(80)))}, web, http80(),
			plan.Allow, plan.ByRule, plan.AuthRequired},
		{"S10 isolation denies what no rule allows", []ir.Policy{mesh("a", in(ir.Allow, from(app("shop", "web")), tcp(81)))}, web, http80(),
			plan.Deny, plan.ByIsolation, plan.AuthNone},
		{"S10 a deny beats an allow in the namespace tier", []ir.Policy{mesh("a", in(ir.Allow, nil, nil)), mesh("b", in(ir.Deny, from(app("shop", "web")), nil))},
			web, http80(), plan.Deny, plan.ByRule, plan.AuthNone},
		{"S10 an admin allow ends the layer", []ir.Policy{admin("a", 1, ir.Allow, nil), mesh("b", in(ir.Deny, nil, nil))}, web, http80(),
			plan.Allow, plan.ByRule, plan.AuthRequired},
		{"S10 an admin pass skips later admin rules", []ir.Policy{admin("a", 1, ir.Pass, nil), admin("b", 2, ir.Deny, nil), mesh("c", in(ir.Allow, nil, nil))},
			web, http80(), plan.Allow, plan.ByRule, plan.AuthRequired},
		{"S12 equal priority, different answers", []ir.Policy{admin("a", 1, ir.Allow, nil), admin("b", 1, ir.Deny, from(app("shop", "web")))}, web, http80(),
			plan.Deny, plan.ByConflict, plan.AuthNone},
		{"S11 denies alone do not isolate", []ir.Policy{mesh("a", in(ir.Deny, from(app("jobs", "batch")), nil))}, web, http80(), plan.Deny, plan.ByEnrolment, plan.AuthNone},
		{"S9 a deny of one layer beats an allow of the other", []ir.Policy{np, mesh("b", in(ir.Deny, nil, nil))}, web, http80(), plan.Deny, plan.ByRule, plan.AuthNone},
		{"S18 a NetworkPolicy alone opens what can be authenticated", []ir.Policy{np}, web, http80(), plan.Allow, plan.ByRule, plan.AuthRequired},
		{"S18 and nothing else", []ir.Policy{np}, web, plan.Key(ir.UDP, 80), plan.Deny, plan.ByAuthentication, plan.AuthNone},
		{"S18 required does not match a peer without an SVID", []ir.Policy{mesh("a", in(ir.Allow, nil, nil))}, batch, http80(), plan.Deny, plan.ByIsolation, plan.AuthNone},
		{"S18 plaintext under an exception", []ir.Policy{mesh("a", plain)}, outside, http80(), plan.Allow, plan.ByRule, plan.AuthPlaintext},
		{"S3 world is not the node", []ir.Policy{mesh("a", plain)}, node, http80(), plan.Deny, plan.ByIsolation, plan.AuthNone},
		{"S3 an unexplained address of a range is unknown", []ir.Policy{mesh("a", plain)}, "10.0.9.9", http80(), plan.Deny, plan.ByUnknownAddress, plan.AuthNone},
		{"S28 what has ended allows nothing and still isolates", []ir.Policy{mesh("a", expired)}, web, http80(), plan.Deny, plan.ByIsolation, plan.AuthNone},
		{"S30 audit is absent, isolation included", []ir.Policy{audit}, web, http80(), plan.Deny, plan.ByEnrolment, plan.AuthNone},
		{"S3 a hole in a block", []ir.Policy{mesh("a", ir.Rule{Direction: ir.Ingress, Action: ir.Allow, Peers: []ir.Peer{{CIDR: block}}, Plaintext: true})}, outside, http80(),
			plan.Deny, plan.ByIsolation, plan.AuthNone},
		{"S3 beside the hole", []ir.Policy{mesh("a", ir.Rule{Direction: ir.Ingress, Action: ir.Allow, Peers: []ir.Peer{{CIDR: block}}, Plaintext: true})}, "203.0.113.7", http80(),
			plan.Allow, plan.ByRule, plan.AuthPlaintext},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, _ := newWorld(c.policies...).compile(t)
			got := ingress(t, p, c.src, c.port)
			if got.Verdict != c.verdict || got.Reason != c.reason || got.Auth != c.auth {
				t.Errorf("got %s by %s, authentication %s; want %s by %s, %s", got.Verdict, got.Reason, got.Auth, c.verdict, c.reason, c.auth)
			}
		})
	}
}

func TestConflictIsAnError(t *testing.T) {
	a, b := mesh("a", in(ir.Allow, nil, nil)), mesh("b", in(ir.Deny, nil, nil))
	a.Tier, b.Tier = ir.Baseline, ir.Baseline
	a.Isolate, b.Isolate = [2]bool{}, [2]bool{}
	_, ds := newWorld(a, b).compile(t)
	if len(ds) != 1 || ds[0].Code != "WEIR2012" || ds[0].Severity != diag.Error {
		t.Errorf("S12: want one error WEIR2012, got %v", ds)
	}
}

func TestNamedPortIsTheDestinations(t *testing.T) {
	p := mesh("a", ir.Rule{Direction: ir.Egress, Action: ir.Allow, Peers: from(app("shop", "web")), Ports: []ir.Port{{Space: ir.TCP, Name: "http"}}})
	pl, _ := newWorld(p).compile(t)
	for port, want := range map[uint16]plan.Verdict{8080: plan.Allow, 8081: plan.Deny} {
		got := pl.Decide(plan.Flow{Src: end(pl, db), Dst: end(pl, web), Port: plan.Key(ir.TCP, port)}).Egress.Verdict
		if got != want {
			t.Errorf("S13: egress to the named port http at %d: got %s, want %s", port, got, want)
		}
	}
}

// TestNamedPortOfAnotherProtocol: what asks for authentication or looks at requests is about TCP, however a port is written (S13,
// S18).
func TestNamedPortOfAnotherProtocol(t *testing.T) {
	rule := in(ir.Allow, from(app("shop", "web")), []ir.Port{{Space: ir.UDP, Name: "dns"}})
	plain := rule
	plain.Plaintext = true
	requests := plain
	requests.HTTP = []ir.HTTPMatch{{Methods: []string{"GET"}}}
	for _, c := range []struct {
		what string
		rule ir.Rule
		want plan.Verdict
	}{{"authenticated", rule, plan.Deny}, {"plaintext", plain, plan.Allow}, {"requests", requests, plan.Deny}} {
		w := newWorld(mesh("a", c.rule))
		w.inv.Pods[1].Ports = []inventory.NamedPort{{Name: "dns", Space: ir.UDP, Number: 53}}
		p, _ := w.compile(t)
		if got := ingress(t, p, web, plan.Key(ir.UDP, 53)); got.Verdict != c.want {
			t.Errorf("%s: %s, want %s", c.what, got.Verdict, c.want)
		}
	}
}

func TestLayer7(t *testing.T) {
	get := in(ir.Allow, from(app("shop", "web")), tcp(80))
	get.HTTP = []ir.HTTPMatch{{Methods: []string{"GET"}}}
	p, ds := newWorld(mesh("a", get)).compile(t)
	d := ingress(t, p, web, http80())
	if d.Verdict != plan.Redirect || len(p.Waypoints) != 1 || len(ds) != 0 {
		t.Fatalf("S22: got %s, %d waypoints, findings %v; want a redirect to one waypoint", d.Verdict, len(p.Waypoints), ds)
	}
	if l := p.Lists[d.List].Entries; len(l) != 2 || l[0].Verdict != plan.Allow || l[1].Verdict != plan.Deny {
		t.Errorf("S22: the list is %v; want GET allowed, the rest denied", l)
	}
	idle, _ := newWorld(mesh("a", get), mesh("b", in(ir.Allow, nil, tcp(80)))).compile(t)
	if d := ingress(t, idle, web, http80()); d.Verdict != plan.Allow {
		t.Errorf("S22: a layer-4 allow beside it: got %s, want allow", d.Verdict)
	}
	w := newWorld(mesh("a", get))
	w.cfg.Waypoint = inventory.WaypointNone
	none, ds := w.compile(t)
	if d := ingress(t, none, web, http80()); d.Verdict != plan.Deny || d.Reason != plan.ByNoWaypoint || !ds.HasErrors() {
		t.Errorf("S25: without a waypoint: got %s by %s, findings %v; want a denial and an error", d.Verdict, d.Reason, ds)
	}
}

func TestAuditBesideEnforcement(t *testing.T) {
	audit := mesh("audit", in(ir.Allow, from(app("shop", "web")), nil))
	audit.Audit = true
	p, _ := newWorld(audit).compile(t)
	d := ingress(t, p, web, http80())
	if d.Verdict != plan.Deny || d.Audit.Verdict != plan.Allow || !d.AuditDiffers() || p.Rules[d.Audit.Rule].Policy != 0 {
		t.Errorf("S30: enforced %s, audit %s; want deny and allow by the audit rule", d.Verdict, d.Audit.Verdict)
	}
}

func TestEndTravelsWithTheDecision(t *testing.T) {
	r := in(ir.Allow, from(app("shop", "web")), nil)
	r.NotAfter = now.Add(time.Hour)
	p, _ := newWorld(mesh("a", r)).compile(t)
	d := ingress(t, p, web, http80())
	if d.Verdict != plan.Allow || d.NotAfter != r.NotAfter.Unix() || p.Decisions[d.Then].Verdict != plan.Deny {
		t.Errorf("S28: got %s until %d, then %s", d.Verdict, d.NotAfter, p.Decisions[d.Then].Verdict)
	}
}

func TestServiceAddress(t *testing.T) {
	w := newWorld(mesh("a", ir.Rule{Direction: ir.Egress, Action: ir.Allow, Peers: from(app("shop", "web")), Ports: tcp(8080)}))
	w.pod("shop", "other", "10.0.0.4")
	svc := func(name, ip string, port uint16, pods ...string) {
		s := inventory.Service{Namespace: "shop", Name: name, ClusterIPs: []netip.Addr{netip.MustParseAddr(ip)}}
		sp := inventory.ServicePort{Space: ir.TCP, Port: port}
		for _, p := range pods {
			sp.Backends = append(sp.Backends, inventory.Backend{Pod: ir.NamespacedName{Namespace: "shop", Name: p}, Port: 8080})
		}
		s.Ports = append(s.Ports, sp)
		w.inv.Services = append(w.inv.Services, s)
	}
	svc("one", "10.96.0.1", 80, "web")
	svc("differ", "10.96.0.2", 80, "web", "other")
	svc("empty", "10.96.0.3", 80)
	svc("self", "10.96.0.4", 80, "db")
	svc("mine", "10.96.0.5", 80, "db", "web")
	p, _ := w.compile(t)
	for ip, want := range map[string]plan.Reason{"10.96.0.1": plan.ByRule, "10.96.0.2": plan.ByBackends, "10.96.0.3": plan.ByBackends,
		"10.96.0.4": plan.BySelf, "10.96.0.5": plan.ByRule} {
		f, service := p.FrontendAt(netip.MustParseAddr(ip), http80())
		if !service || f < 0 {
			t.Fatalf("S27: no frontend at %s", ip)
		}
		a := p.Decide(plan.Flow{Src: end(p, db), Dst: plan.End{Endpoint: plan.None, Frontend: f}, Port: http80()})
		if a.Egress.Reason != want || (a.Egress.Verdict == plan.Allow) != (want != plan.ByBackends) {
			t.Errorf("S27: egress to %s: %s by %s, want by %s", ip, a.Egress.Verdict, a.Egress.Reason, want)
		}
	}
}

func TestDigestsFollowContentOnly(t *testing.T) {
	a, b := mesh("a", in(ir.Allow, from(app("shop", "web")), tcp(80))), mesh("b", in(ir.Deny, from(app("jobs", "batch")), nil))
	p, _ := newWorld(a, b).compile(t)
	w := newWorld(b, a)
	w.policies[0].Pos, w.policies[1].Rules[0].Pos = diag.Position{File: "x.cue", Line: 9}, diag.Position{File: "y.cue", Line: 3}
	w.cfg.Pos = diag.Position{File: "z.cue", Line: 1, Col: 2, EndCol: 3}
	slices.Reverse(w.inv.Pods)
	w.pod("shop", "web", "10.0.0.77")
	w.inv.Pods[len(w.inv.Pods)-1].Name = "web-2"
	w.inv.Pods[len(w.inv.Pods)-1].Ports = w.inv.Pods[2].Ports
	q, _ := w.compile(t)
	if p.PolicyDigest != q.PolicyDigest || p.DecisionDigest != q.DecisionDigest {
		t.Error("another order, other files and one more pod of a known identity changed the policy or decision digest")
	}
	if p.NodeDigest == q.NodeDigest {
		t.Error("one more pod did not change the node digest")
	}
	w.policies[1].Rules[0].Ports = tcp(81)
	if r, _ := w.compile(t); r.PolicyDigest == q.PolicyDigest || r.DecisionDigest == q.DecisionDigest {
		t.Error("another port did not change the digests")
	}
}

// TestNumbersFollowContent: an identity has the same number in whatever order what was read came (S2).
func TestNumbersFollowContent(t *testing.T) {
	w := newWorld()
	w.pod("jobs", "other", "10.0.0.9")
	w.inv.APIServers = addrs("203.0.113.1", "203.0.113.2")
	w.inv.Nodes = append(w.inv.Nodes, inventory.Node{Name: "n2", Addrs: addrs("192.168.0.2")})
	block := ir.Peer{CIDR: &ir.CIDR{Prefix: netip.MustParsePrefix("192.168.0.2/32"), MatchPods: true}}
	w.policies = []ir.Policy{mesh("a", in(ir.Deny, []ir.Peer{block}, nil))}
	a, _ := w.compile(t)
	slices.Reverse(w.inv.APIServers)
	slices.Reverse(w.inv.Nodes)
	slices.Reverse(w.inv.Pods)
	b, _ := w.compile(t)
	if !slices.EqualFunc(a.Peers, b.Peers, func(x, y plan.Peer) bool { return x.ID == y.ID }) {
		t.Errorf("%d identities, in another order %d", len(a.Peers), len(b.Peers))
		for i := range min(len(a.Peers), len(b.Peers)) {
			t.Logf("%d: %s %s, %s %s", i, a.Peers[i].Kind, a.Peers[i].Prefix, b.Peers[i].Kind, b.Peers[i].Prefix)
		}
	}
}

func TestUndecidedAddress(t *testing.T) {
	cidr := &ir.CIDR{Prefix: netip.MustParsePrefix("10.0.0.0/24"), MatchPods: true}
	p := mesh("np", ir.Rule{Direction: ir.Ingress, Action: ir.Allow, Peers: []ir.Peer{{CIDR: cidr}}})
	p.Kind, p.Layer = "NetworkPolicy", ir.Orchestrator
	w := newWorld(p)
	w.inv.Pods[0].Addrs = nil
	two, _ := w.compile(t)
	w.cfg.PodRanges = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/25")}
	one, _ := w.compile(t)
	group := p
	group.Name = "group"
	group.Rules = []ir.Rule{{Direction: ir.Ingress, Action: ir.Allow, Peers: []ir.Peer{{CIDR: &ir.CIDR{Prefix: netip.MustParsePrefix("239.1.0.0/16"), MatchPods: true}}}}}
	w.policies, w.cfg.PodRanges = append(w.policies, group), nil
	anywhere, _ := w.compile(t)
	peers := func(p *plan.Plan) int {
		i := slices.IndexFunc(p.Endpoints, func(e plan.Endpoint) bool { return e.Name == "web" })
		return len(p.Endpoints[i].Peers)
	}
	if peers(two) != 2 || peers(one) != 1 {
		t.Errorf("S4: a pod without an address has %d identities where the block cuts its range (want 2), %d where not (want 1)", peers(two), peers(one))
	}
	if peers(anywhere) != 2 {
		t.Errorf("S6: a pod may get an address in the block or outside, and none of a group's: %d identities, want 2", peers(anywhere))
	}
}
