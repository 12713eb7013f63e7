package analyze

import (
	"math/rand/v2"
	"testing"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/resolve"
)

// TestHalfOpen asks the plan about every connection that an allow matches: where the allow is said to open nothing, each is
// denied; where it is not, one passes, or its other end may be none that was read, or another finding is about it (S8).
func TestHalfOpen(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 8))
	half, opening := 0, 0
	for range 300 {
		in := worldOf(r)
		for i := range in.Policies {
			for j := range in.Policies[i].Rules {
				rule := &in.Policies[i].Rules[j]
				if rule.Pos = (diag.Position{File: "p", Line: 100*i + j + 1}); rule.Peers != nil && rule.Peers[0].Pods != nil {
					rule.Peers = rule.Peers[:1]
				}
			}
		}
		p, _ := resolve.Compile(in)
		n, err := NewNames(p)
		if err != nil {
			t.Fatal(err)
		}
		said, other := map[int]bool{}, map[int]bool{}
		for _, d := range Lint(n) {
			said[d.Pos.Line] = said[d.Pos.Line] || d.Code == CodeHalfOpen
			other[d.Pos.Line] = other[d.Pos.Line] || d.Code == CodeNeverDecides || d.Code == CodeStrictest || d.Code == CodeIdleRequests
		}
		l := &linter{plan: p, rules: rulesOf(p)}
		for i := range p.Rules {
			rule := &p.Rules[i]
			if rule.Action != ir.Allow || rule.Audit || rule.PeerSet < 0 {
				continue
			}
			met, passes := l.tryRule(plan.RuleIndex(i))
			switch {
			case said[rule.Pos.Line] && (met == 0 || passes > 0):
				t.Fatalf("rule %d is said to open nothing: %d of %d connections that it matches pass", i, passes, met)
			case !said[rule.Pos.Line] && met > 0 && passes == 0 && !other[rule.Pos.Line]:
				t.Fatalf("rule %d opens none of %d connections, and nobody says so", i, met)
			case said[rule.Pos.Line]:
				half++
			case passes > 0:
				opening++
			}
		}
	}
	if half < 30 || opening < 300 {
		t.Fatalf("too little was tried: %d rules that open nothing, %d that open something", half, opening)
	}
}

// tryRule counts the connections that a rule matches and its own side lets through, and those of them that pass.
func (l *linter) tryRule(i plan.RuleIndex) (met, passes int) {
	r := &l.plan.Rules[i]
	v := &view{plan: l.plan, direction: r.Direction}
	for v.subject = 1; int(v.subject) < len(l.plan.Peers); v.subject++ {
		s := l.plan.SubjectOf(v.subject)
		if s == nil || !selects(s, r.Policy) {
			continue
		}
		for v.peer = 1; int(v.peer) < len(l.plan.Peers); v.peer++ {
			for _, v.key = range []plan.PortKey{plan.Key(ir.TCP, 22), plan.Key(ir.TCP, 80), plan.Key(ir.TCP, 81), plan.Key(ir.TCP, 82), plan.Key(ir.UDP, 53),
				plan.Key(ir.UDP, 99), plan.Key(ir.SCTP, 80), plan.Key(ir.ICMPv4, 0), plan.Key(ir.OtherProtocol, 47)} {
				if v.misses(i) != 0 {
					continue
				}
				a := l.plan.Decide(v.flow())
				if own := []*plan.Decision{&a.Egress, &a.Ingress}[r.Direction]; own.Verdict == plan.Deny {
					continue
				}
				met++
				if far := []*plan.Decision{&a.Egress, &a.Ingress}[opposite(r.Direction)]; far.Verdict != plan.Deny || broken(far.Reason) {
					passes++
				}
			}
		}
	}
	return met, passes
}

func selects(s *plan.Subject, p plan.PolicyIndex) bool {
	for _, q := range s.Policies {
		if p == q {
			return true
		}
	}
	return false
}
