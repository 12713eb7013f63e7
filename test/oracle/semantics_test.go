package oracle

import (
	"net/netip"
	"testing"
	"time"

	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// The world of the table: pods web and db of namespace shop are enrolled, old of namespace legacy is not.
const (
	web = iota
	db
	old
)

func smallWorld(policies ...ir.Policy) *world {
	w := &world{now: genNow, policies: policies}
	w.config = inventory.Config{Present: true, TrustDomain: "example.org", Enrolled: []ir.Selector{{Namespace: "shop"}},
		PodRanges: []netip.Prefix{podRange4}, NodeRanges: []netip.Prefix{nodeRange4}, ServiceRanges: []netip.Prefix{serviceRange4}}
	w.inv.Namespaces = []inventory.Namespace{{Name: "shop"}, {Name: "legacy"}}
	w.inv.Nodes = []inventory.Node{{Name: "node0", Addrs: []netip.Addr{address(nodeRange4, 1)}}}
	for i, p := range []inventory.Pod{{Namespace: "shop", Name: "web"}, {Namespace: "shop", Name: "db"}, {Namespace: "legacy", Name: "old"}} {
		p.Labels = map[string]string{"app": p.Name}
		p.ServiceAccount, p.Node = "default", "node0"
		p.Addrs = []netip.Addr{address(podRange4, i+1)}
		w.inv.Pods = append(w.inv.Pods, p)
	}
	w.inv.Pods[db].Ports = []inventory.NamedPort{{Name: "sql", Space: ir.TCP, Number: 5432}}
	w.inv.Services = []inventory.Service{{Namespace: "shop", Name: "db", ClusterIPs: []netip.Addr{address(serviceRange4, 1)}, Ports: []inventory.ServicePort{
		{Space: ir.TCP, Port: 80, Backends: []inventory.Backend{{Pod: ir.NamespacedName{Namespace: "shop", Name: "db"}, Port: 5432}}}}}}
	return w
}

// lines numbers the rules of policies, so that cases can say which one decides.
func lines(policies []ir.Policy) []ir.Policy {
	for i := range policies {
		policies[i].Name = string(rune('a' + i))
		for j := range policies[i].Rules {
			policies[i].Rules[j].Pos.Line = 10*(i+1) + j
		}
	}
	return policies
}

func policy(l ir.Layer, t ir.Tier, rules ...ir.Rule) ir.Policy {
	return ir.Policy{Kind: "Policy", Layer: l, Tier: t, Rules: rules}
}

// toDB is a policy of the mesh's namespace tier about what reaches db.
func toDB(rules ...ir.Rule) ir.Policy {
	p := policy(ir.Mesh, ir.Namespace, rules...)
	p.Subject.Pods = ir.LabelSelector{{Key: "app", Op: ir.In, Values: []string{"db"}}}
	return p
}

func ingress(a ir.Action) ir.Rule { return ir.Rule{Direction: ir.Ingress, Action: a} }

func plain(r ir.Rule) ir.Rule { r.Plaintext = true; return r }

func (w *world) podEnd(i int) end { return end{place: inPod, pod: i, addr: w.inv.Pods[i].Addrs[0]} }

// TestEvaluator pins the evaluator itself: what each case expects was written by hand from semantics.md.
func TestEvaluator(t *testing.T) {
	auditDeny := ingress(ir.Deny)
	auditDeny.Audit = true
	ended := plain(ingress(ir.Allow))
	ended.NotAfter = genNow
	endedDeny := ingress(ir.Deny)
	endedDeny.NotAfter = genNow.Add(-time.Hour)
	byName := plain(ingress(ir.Allow))
	byName.Ports = []ir.Port{{Space: ir.TCP, Name: "sql"}}
	fromCIDR := func(matchPods bool) ir.Rule {
		r := plain(ingress(ir.Allow))
		r.Peers = []ir.Peer{{CIDR: &ir.CIDR{Prefix: netip.MustParsePrefix("10.0.0.0/8"), MatchPods: matchPods}}}
		return r
	}
	fromEntity := func(e ir.Entity) ir.Rule {
		r := plain(ingress(ir.Allow))
		r.Peers = []ir.Peer{{Entity: e}}
		return r
	}
	get := plain(ingress(ir.Allow))
	get.HTTP = []ir.HTTPMatch{{Methods: []string{"GET"}}}
	admin := policy(ir.Mesh, ir.Admin, ingress(ir.Pass))
	adminDeny, adminAllow := policy(ir.Mesh, ir.Admin, ingress(ir.Deny)), policy(ir.Mesh, ir.Admin, plain(ingress(ir.Allow)))
	ordersOther := policy(ir.Mesh, ir.Admin, ingress(ir.Deny))
	ordersOther.Priority = 1
	isolating := toDB()
	isolating.Isolate[ir.Ingress] = true
	inAudit := isolating
	inAudit.Audit = true
	k8s := policy(ir.Orchestrator, ir.Namespace, ingress(ir.Allow))
	k8sDeny := policy(ir.Orchestrator, ir.Admin, ingress(ir.Deny))
	k8sAllow := policy(ir.Orchestrator, ir.Admin, ingress(ir.Allow))

	cases := []struct {
		name     string
		policies []ir.Policy
		src      string // a pod, node, translated, world or unknown
		port     uint16
		space    ir.Space
		want     string // of db's ingress
	}{
		{"S9: an enrolled endpoint denies by default", nil, "web", 5432, ir.TCP, "deny by enrolment"},
		{"S18: required is the default of an allow", []ir.Policy{toDB(ingress(ir.Allow))}, "web", 5432, ir.TCP, "allow by rule at line 10 auth required"},
		{"S18: it can never match UDP", []ir.Policy{toDB(ingress(ir.Allow))}, "web", 53, ir.UDP, "deny by enrolment"},
		{"S18: nor a peer without an SVID", []ir.Policy{toDB(ingress(ir.Allow))}, "old", 5432, ir.TCP, "deny by enrolment"},
		{"S18: plaintext under an exception", []ir.Policy{toDB(plain(ingress(ir.Allow)))}, "old", 5432, ir.TCP, "allow by rule at line 10 auth plaintext"},
		{"S18: an orchestrator's allow asks for proof", []ir.Policy{k8s}, "web", 5432, ir.TCP, "allow by rule at line 10 auth required"},
		{"S18: and denies without", []ir.Policy{k8s}, "old", 5432, ir.TCP, "deny by authentication at line 10"},
		{"S19: the strictest wins", []ir.Policy{toDB(plain(ingress(ir.Allow))), toDB(ingress(ir.Allow))}, "web", 5432, ir.TCP, "allow by rule at line 20 auth required"},
		{"S9: any deny denies", []ir.Policy{toDB(plain(ingress(ir.Allow))), k8sDeny}, "web", 5432, ir.TCP, "deny by rule at line 20"},
		{"S10: any matching deny of the namespace tier denies", []ir.Policy{toDB(plain(ingress(ir.Allow)), ingress(ir.Deny))}, "web", 5432, ir.TCP, "deny by rule at line 11"},
		{"S10: admin comes first", []ir.Policy{adminDeny, toDB(plain(ingress(ir.Allow)))}, "web", 5432, ir.TCP, "deny by rule at line 10"},
		{"S10: pass goes on", []ir.Policy{admin, ordersOther, toDB(plain(ingress(ir.Allow)))}, "web", 5432, ir.TCP, "allow by rule at line 30 auth plaintext"},
		{"S10: baseline comes last", []ir.Policy{policy(ir.Mesh, ir.Baseline, ingress(ir.Deny)), toDB(plain(ingress(ir.Allow)))}, "web", 5432, ir.TCP, "allow by rule at line 20 auth plaintext"},
		{"S11: isolation", []ir.Policy{isolating}, "web", 5432, ir.TCP, "deny by isolation of Policy a"},
		{"S11: a policy of denies only subtracts", []ir.Policy{k8s, toDB()}, "web", 5432, ir.TCP, "allow by rule at line 10 auth required"},
		{"S12: equal priority, different answers", []ir.Policy{adminDeny, adminAllow}, "web", 5432, ir.TCP, "deny by conflict at line 20"},
		{"S12: of imported kinds deny wins", []ir.Policy{k8sAllow, k8sDeny}, "web", 5432, ir.TCP, "deny by rule at line 20"},
		{"S12: priority belongs to the object", []ir.Policy{ordersOther, adminAllow}, "web", 5432, ir.TCP, "allow by rule at line 20 auth plaintext"},
		{"S13: a name, on the destination", []ir.Policy{toDB(byName)}, "old", 5432, ir.TCP, "allow by rule at line 10 auth plaintext"},
		{"S13: not another number", []ir.Policy{toDB(byName)}, "old", 5433, ir.TCP, "deny by enrolment"},
		{"S13: not another protocol", []ir.Policy{toDB(byName)}, "old", 5432, ir.UDP, "deny by enrolment"},
		{"S3: an unknown address is denied", []ir.Policy{toDB(plain(ingress(ir.Allow)))}, "unknown", 5432, ir.TCP, "deny by unknown-address"},
		{"S3: a CIDR leaves pods alone", []ir.Policy{toDB(fromCIDR(false))}, "old", 5432, ir.TCP, "deny by enrolment"},
		{"S3: with matchPods it does not", []ir.Policy{toDB(fromCIDR(true))}, "old", 5432, ir.TCP, "allow by rule at line 10 auth plaintext"},
		{"S5: own-node is a socket of the pod's node", []ir.Policy{toDB(fromEntity(ir.OwnNode))}, "node", 5432, ir.TCP, "allow by rule at line 10 auth plaintext"},
		{"S5: a translated packet is not", []ir.Policy{toDB(fromEntity(ir.OwnNode))}, "translated", 5432, ir.TCP, "deny by enrolment"},
		{"S5: it is world", []ir.Policy{toDB(fromEntity(ir.World))}, "translated", 5432, ir.TCP, "allow by rule at line 10 auth plaintext"},
		{"S5: cluster is any pod or node, not the world", []ir.Policy{toDB(fromEntity(ir.Cluster))}, "world", 5432, ir.TCP, "deny by enrolment"},
		{"S28: an allow ends at its second", []ir.Policy{toDB(ended)}, "web", 5432, ir.TCP, "deny by enrolment"},
		{"S28: a deny does not", []ir.Policy{toDB(endedDeny, plain(ingress(ir.Allow)))}, "web", 5432, ir.TCP, "deny by rule at line 10"},
		{"S30: a rule in audit is absent", []ir.Policy{toDB(auditDeny, plain(ingress(ir.Allow)))}, "web", 5432, ir.TCP, "allow by rule at line 11 auth plaintext"},
		{"S30: isolation included", []ir.Policy{inAudit, k8s}, "web", 5432, ir.TCP, "allow by rule at line 20 auth required"},
		{"S22: a layer-7 rule redirects", []ir.Policy{toDB(get)}, "web", 5432, ir.TCP, "redirect by rule auth plaintext"},
		{"S22: a final admin allow before it does not", []ir.Policy{adminAllow, toDB(get)}, "web", 5432, ir.TCP, "allow by rule at line 10 auth plaintext"},
	}
	for _, c := range cases {
		w := smallWorld(lines(c.policies)...)
		f := flow{dst: w.podEnd(db), space: c.space, number: c.port}
		switch c.src {
		case "web":
			f.src = w.podEnd(web)
		case "old":
			f.src = w.podEnd(old)
		case "node":
			f.src = end{place: onNode, addr: w.inv.Nodes[0].Addrs[0]}
		case "translated":
			f.src = end{place: translated, addr: w.inv.Nodes[0].Addrs[0]}
		case "unknown":
			f.src = end{place: atAddress, addr: address(podRange4, 99)}
		default:
			f.src = end{place: atAddress, addr: netip.MustParseAddr("192.0.2.1")}
		}
		got := w.decide(f).ingress.enforced
		if s := describe(got.verdict, got.reason, got.rule, got.policy, got.auth); s != c.want {
			t.Errorf("%s: got %s, want %s", c.name, s, c.want)
		}
	}
}

// TestEvaluatorSides pins what concerns both sides, services and requests.
func TestEvaluatorSides(t *testing.T) {
	get := plain(ingress(ir.Allow))
	get.HTTP = []ir.HTTPMatch{{Methods: []string{"GET"}, Path: &ir.StringMatch{Kind: ir.Prefix, Value: "/v1"}}}
	out := ir.Rule{Direction: ir.Egress, Action: ir.Allow, Ports: []ir.Port{{Space: ir.TCP, First: 5432, Last: 5432}}}
	w := smallWorld(lines([]ir.Policy{toDB(get), policy(ir.Mesh, ir.Namespace, out)})...)
	f := flow{src: w.podEnd(web), dst: w.podEnd(db), space: ir.TCP, number: 5432}
	if v := w.decide(f); v.verdict != plan.Redirect || v.by != ir.Ingress || v.auth != plan.AuthRequired {
		t.Errorf("S8, S19, S22: got %s by %s auth %s", v.verdict, v.by, v.auth)
	}
	for path, want := range map[string]plan.Verdict{"/v1/x": plan.Allow, "/v1": plan.Allow, "/v10": plan.Deny, "/x/../v1/y": plan.Allow, "/v1%2fx": plan.Deny, "//v1": plan.Allow} {
		f.request = &request{method: "GET", path: path}
		if v := w.decide(f).ingress.requestEnforced; v.verdict != want {
			t.Errorf("S24: GET %s: got %s, want %s", path, v.verdict, want)
		}
	}
	f.request = nil
	if v := w.decide(f).ingress.requestEnforced; v.verdict != plan.Deny {
		t.Errorf("S23: what is not HTTP: got %s", v.verdict)
	}
	w.config.Waypoint = inventory.WaypointNone
	if v := w.decide(f).ingress.enforced; v.verdict != plan.Deny || v.reason != plan.ByNoWaypoint {
		t.Errorf("S25: without a waypoint: got %s by %s", v.verdict, v.reason)
	}
	w.config.Waypoint = inventory.WaypointPerNamespace
	f.dst = end{place: atAddress, addr: address(serviceRange4, 1)}
	f.number = 80
	if v := w.decide(f); v.egress.enforced.verdict != plan.Allow || v.verdict != plan.Redirect {
		t.Errorf("S27: through the service: got egress %s, both %s", v.egress.enforced.verdict, v.verdict)
	}
	f.src = w.podEnd(db)
	if v := w.decide(f); v.egress.enforced.reason != plan.BySelf || v.verdict != plan.Allow {
		t.Errorf("S6: through its own service: got %s by %s", v.verdict, v.egress.enforced.reason)
	}
	f.number = 81
	if v := w.decide(f); v.verdict != plan.Deny {
		t.Errorf("S27: no endpoint: got %s", v.verdict)
	}
}
