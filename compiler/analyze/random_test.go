package analyze

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/resolve"
)

var now = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// worldOf draws a small world: every tier of both layers, plaintext and authenticated allows, audit, ends, requests.
func worldOf(r *rand.Rand) resolve.Input {
	in := resolve.Input{Inventory: &inventory.Inventory{}, Now: now, Config: inventory.Config{Present: true, TrustDomain: "example.org",
		PodRanges: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}, Enrolled: []ir.Selector{{Namespaces: eq("mesh", "on")}}}}
	for i, mesh := range []string{"on", "on", "off"} {
		ns := fmt.Sprintf("ns%d", i)
		in.Inventory.Namespaces = append(in.Inventory.Namespaces, inventory.Namespace{Name: ns, Labels: map[string]string{"mesh": mesh}})
		for j, app := range []string{"a", "b", "c"} {
			in.Inventory.Pods = append(in.Inventory.Pods, inventory.Pod{Namespace: ns, Name: app, Workload: inventory.Workload{Kind: "Deployment", Namespace: ns, Name: app},
				Labels: map[string]string{"app": app}, ServiceAccount: app, Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(i), byte(j + 1)})},
				Ports: []inventory.NamedPort{{Name: "http", Space: ir.TCP, Number: uint16(80 + j)}}})
		}
	}
	for i := range 3 + r.IntN(6) {
		in.Policies = append(in.Policies, policyOf(r, i))
	}
	return in
}

func eq(k string, v ...string) ir.LabelSelector {
	return ir.LabelSelector{{Key: k, Op: ir.In, Values: v}}
}

func pick[T any](r *rand.Rand, s ...T) T { return s[r.IntN(len(s))] }

func policyOf(r *rand.Rand, i int) ir.Policy {
	p := ir.Policy{Kind: "Policy", Name: fmt.Sprintf("p%d", i), Layer: pick(r, ir.Orchestrator, ir.Mesh, ir.Mesh), Tier: pick(r, ir.Admin, ir.Namespace, ir.Namespace, ir.Baseline),
		Priority: int32(r.IntN(3)), Audit: r.IntN(8) == 0}
	if p.Tier == ir.Namespace {
		p.Namespace = fmt.Sprintf("ns%d", r.IntN(3))
		p.Subject.Namespace = p.Namespace
	}
	if r.IntN(2) == 0 {
		p.Subject.Pods = eq("app", pick(r, "a", "b", "c"))
	}
	for j := range 1 + r.IntN(4) {
		rule := ruleOf(r, &p, j)
		if rule.Action == ir.Allow && p.Tier == ir.Namespace {
			p.Isolate[rule.Direction] = true
		}
		p.Rules = append(p.Rules, rule)
	}
	return p
}

func ruleOf(r *rand.Rand, p *ir.Policy, j int) ir.Rule {
	rule := ir.Rule{Direction: pick(r, ir.Egress, ir.Ingress), Index: j, Action: pick(r, ir.Allow, ir.Allow, ir.Deny), Audit: r.IntN(10) == 0, Plaintext: r.IntN(3) == 0}
	if p.Tier == ir.Admin && r.IntN(4) == 0 {
		rule.Action = ir.Pass
	}
	switch r.IntN(4) {
	case 0:
		rule.Peers = []ir.Peer{{Pods: &ir.Selector{Pods: eq("app", pick(r, "a", "b", "c"))}}}
	case 1:
		rule.Peers = []ir.Peer{{Pods: &ir.Selector{Namespace: fmt.Sprintf("ns%d", r.IntN(3))}}, {Entity: pick(r, ir.World, ir.Cluster, ir.Host)}}
	case 2:
		rule.Peers = []ir.Peer{{CIDR: &ir.CIDR{Prefix: netip.MustParsePrefix("203.0.113.0/24")}}}
	}
	switch r.IntN(4) {
	case 0:
		rule.Ports = []ir.Port{{Space: ir.TCP, First: 80, Last: 81}}
	case 1:
		rule.Ports = []ir.Port{{Space: ir.TCP, Name: "http"}, {Space: ir.UDP, First: 53, Last: 53}}
	}
	if p.Layer == ir.Mesh && r.IntN(4) == 0 {
		rule.HTTP = []ir.HTTPMatch{{Methods: []string{pick(r, "GET", "POST")}}}
	}
	if rule.Action == ir.Allow && r.IntN(6) == 0 {
		rule.NotAfter = now.Add(pick(r, -time.Hour, time.Hour))
	}
	return rule
}

// TestNarrationFollowsVerdict holds that the tiers as they are told lead to the plan's verdict, for the connection and
// for a request, and to its rule where no request is asked about (S9, S10, S12, S18, S22, S28, S30).
func TestNarrationFollowsVerdict(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	told, settled, asked := 0, 0, map[plan.Verdict]int{}
	for range 400 {
		p, _ := resolve.Compile(worldOf(r))
		n, err := NewNames(p)
		if err != nil {
			t.Fatal(err)
		}
		x := NewExplainer(n)
		for range 60 {
			f := plan.Flow{Src: plan.NewEnd(plan.PeerIndex(r.IntN(len(p.Peers)))), Dst: plan.NewEnd(plan.PeerIndex(r.IntN(len(p.Peers)))),
				Port: pick(r, plan.Key(ir.TCP, 80), plan.Key(ir.TCP, 81), plan.Key(ir.TCP, 443), plan.Key(ir.UDP, 53))}
			req := &plan.Request{Method: pick(r, "GET", "POST", "PUT"), Path: "/"}
			reply := n.reply(f, req)
			asked[reply.Answer.Verdict]++
			for d, o := range []*plan.Outcome{&reply.Egress, &reply.Ingress} {
				v := &view{plan: p, direction: ir.Direction(d), subject: f.Src.Peer, peer: f.Dst.Peer, key: f.Port, request: req}
				if ir.Direction(d) == ir.Ingress {
					v.subject, v.peer = f.Dst.Peer, f.Src.Peer
				}
				s := p.SubjectOf(v.subject)
				if s == nil || !tells(o.Reason) || o.Reason == plan.ByNoWaypoint || o.Verdict == plan.Redirect {
					continue
				}
				v.settle([]*plan.Decision{&reply.Answer.Egress, &reply.Answer.Ingress}[d])
				st := x.narrator.tell(v, s)
				told++
				if v.settled {
					settled++
				}
				if verdict, rule := lead(v, s, st); verdict != o.Verdict || v.settled && o.Reason == plan.ByRule && rule != o.Rule {
					t.Fatalf("%s: the tiers lead to %s by rule %d, the plan says %s by rule %d (%s): %+v", ir.Direction(d), verdict, rule, o.Verdict, o.Rule, o.Reason, st.tiers)
				}
			}
		}
	}
	if told < 10_000 || settled < 1000 || told-settled < 100 || asked[plan.Allow] < 100 || asked[plan.Redirect] < 100 {
		t.Fatalf("too little was told: %d sides, %d of them for all requests alike, verdicts %v", told, settled, asked)
	}
}

// lead combines the tiers as S9 says.
func lead(v *view, s *plan.Subject, st story) (plan.Verdict, plan.RuleIndex) {
	var layer [ir.NumLayers]tierStory
	for _, ts := range st.tiers {
		if ts.says != saysPass && ts.says != saysNothing {
			layer[ts.layer] = ts
		}
	}
	o, m := layer[ir.Orchestrator], layer[ir.Mesh]
	switch {
	case o.says == saysDeny:
		return plan.Deny, o.rule
	case m.says == saysDeny:
		return plan.Deny, m.rule
	case m.says == saysAllow:
		return plan.Allow, m.rule
	case o.says == saysAllow && s.Enrolled && !v.provable():
		return plan.Deny, o.rule
	case o.says == saysAllow:
		return plan.Allow, o.rule
	case s.Enrolled:
		return plan.Deny, plan.None
	}
	return plan.Allow, plan.None
}
