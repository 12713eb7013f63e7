package analyze

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/resolve"
)

// TestIdleRequests takes out each rule that looks at requests and is called idle: no request may get another answer (S22).
func TestIdleRequests(t *testing.T) {
	r := rand.New(rand.NewPCG(43, 1))
	idle, asked := 0, 0
	for range 300 {
		in := worldOf(r)
		in.Now = now
		for i := range in.Policies {
			p := &in.Policies[i]
			for j := range p.Rules {
				rule := &p.Rules[j]
				rule.Pos = diag.Position{File: "p", Line: 100*i + j + 1}
				if p.Layer == ir.Mesh && r.IntN(2) == 0 {
					rule.Ports, rule.HTTP = nil, []ir.HTTPMatch{matchOf(r)}
				}
			}
		}
		p, _ := resolve.Compile(in)
		n, err := NewNames(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range Lint(n) {
			policy, k := d.Pos.Line/100, d.Pos.Line%100-1
			if d.Code != CodeNeverDecides || in.Policies[policy].Rules[k].HTTP == nil {
				continue
			}
			idle++
			without := in
			without.Policies = slices.Clone(in.Policies)
			without.Policies[policy].Rules = slices.Delete(slices.Clone(in.Policies[policy].Rules), k, k+1)
			q, _ := resolve.Compile(without)
			asked += sameAnswers(t, r, p, q, fmt.Sprintf("rule %d of %s", k, in.Policies[policy].Name))
		}
	}
	if idle < 20 || asked < 5000 {
		t.Fatalf("too little was compared: %d idle rules, %d requests of connections that a waypoint decides", idle, asked)
	}
}

func matchOf(r *rand.Rand) ir.HTTPMatch {
	var m ir.HTTPMatch
	for m.Methods == nil && m.Path == nil && m.Query == nil && m.Headers == nil {
		if r.IntN(3) == 0 {
			m.Methods = pick(r, []string{"GET"}, []string{"GET", "POST"}, []string{"POST"})
		}
		if r.IntN(2) == 0 {
			m.Path = &ir.StringMatch{Kind: pick(r, ir.Exact, ir.Prefix, ir.Prefix, ir.Regex), Value: pick(r, "/", "/a", "/a/b", "/a/.*")}
		}
		if r.IntN(4) == 0 {
			m.Headers = []ir.KeyMatch{{Key: "x", StringMatch: ir.StringMatch{Kind: pick(r, ir.Exact, ir.Prefix, ir.Present), Value: pick(r, "v", "vw")}}}
		}
		if r.IntN(6) == 0 {
			m.Query = []ir.KeyMatch{{Key: pick(r, "p", "q"), StringMatch: ir.StringMatch{Kind: ir.Exact, Value: "1"}}}
		}
	}
	return m
}

// sameAnswers compares two plans over the same identities; it returns how many requests it asked both about.
func sameAnswers(t *testing.T, r *rand.Rand, p, q *plan.Plan, what string) int {
	t.Helper()
	before, err := plan.NewRequests(p)
	if err != nil {
		t.Fatal(err)
	}
	after, err := plan.NewRequests(q)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for i := range p.Endpoints {
		for j := range p.Endpoints {
			for _, k := range []plan.PortKey{plan.Key(ir.TCP, 80), plan.Key(ir.TCP, 443), plan.Key(ir.UDP, 53)} {
				a := p.Decide(plan.Flow{Src: plan.NewEnd(p.Endpoints[i].Peers[0]), Dst: plan.NewEnd(p.Endpoints[j].Peers[0]), Port: k})
				b := q.Decide(plan.Flow{Src: plan.NewEnd(q.Endpoints[i].Peers[0]), Dst: plan.NewEnd(q.Endpoints[j].Peers[0]), Port: k})
				for _, audit := range []bool{false, true} {
					if audit {
						a, b = a.InAudit(), b.InAudit()
					}
					if a.Verdict != b.Verdict || a.Auth != b.Auth {
						t.Fatalf("without %s, which is called idle, %s → %s %s gets %s, and with it %s", what, p.Endpoints[i].Name, p.Endpoints[j].Name, KeyText(k), b.Verdict, a.Verdict)
					}
					if a.Verdict != plan.Redirect {
						continue
					}
					for range 4 {
						req := &plan.Request{Method: pick(r, "GET", "POST", "PUT"), Path: pick(r, "/", "/a", "/a/b", "/a/b/c", "/ab") + pick(r, "", "", "?p=1", "?q=1", "?p=1&p=2")}
						if r.IntN(2) == 0 {
							req.Headers = map[string][]string{"x": {pick(r, "v", "vw", "u")}}
						}
						asked++
						if x, y := before.Decide(&a, req), after.Decide(&b, req); x.Verdict != y.Verdict || x.Status != y.Status {
							t.Fatalf("without %s, which is called idle, %s gets %s, and with it %s", what, RequestLine(req), y.Verdict, x.Verdict)
						}
					}
				}
			}
		}
	}
	return asked
}
