package plan

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
)

// allowed, denied and handed are outcomes of a rule.
func allowed(r RuleIndex, a Auth) Outcome {
	return Outcome{Verdict: Allow, Rule: r, Policy: None, Auth: a, List: None}
}

func denied(r RuleIndex) Outcome { return Outcome{Verdict: Deny, Rule: r, Policy: None, List: None} }

func handed(r RuleIndex, l ListIndex) Outcome {
	return Outcome{Verdict: Redirect, Rule: r, Policy: None, List: l}
}

func decision(o Outcome) Decision { return Decision{Outcome: o, Audit: o} }

// behindService is a plan in which pod 1 asks a service, frontend 0, that has pods 2 and 3 behind it. Each answers, as
// pod 1's egress and as its own ingress, with a decision of its own; later are decisions that Then may name, from 2 on.
// Frontend 1 has no backend, frontend 2 only pod 1.
func behindService(a, b Decision, later ...Decision) *Plan {
	table := &Table{PeerSets: []int32{0, 1}, Rows: Rows{Width: 1, Keys: []byte{0, 1, 2}, Of: []uint32{0, 1, 2}},
		Starts: []uint32{0}, Classes: []uint16{0}, NumClasses: 1, Cells: []uint16{0, 1, 2}, Decisions: []DecisionIndex{2, 0, 1}}
	always := func(d uint16) *Table {
		return &Table{Rows: Rows{Width: 1, Keys: []byte{0}, Of: []uint32{0}}, Starts: []uint32{0}, Classes: []uint16{0}, NumClasses: 1,
			Cells: []uint16{d}, Decisions: []DecisionIndex{0, 1, 2}}
	}
	pod := func(subject int32) Peer { return Peer{Kind: PodPeer, Subject: subject} }
	if later == nil {
		later = []Decision{decision(denied(None))}
	}
	backend := func(p PeerIndex) Backend {
		return Backend{Endpoint: int32(p - 1), Peers: []PeerIndex{p}, Port: Key(ir.TCP, 8080)}
	}
	return &Plan{
		Peers:     []Peer{{Subject: None}, pod(0), pod(1), pod(2), {Kind: HostPeer, Subject: None}, pod(None)},
		PeerSets:  []PeerSet{{Bits: []uint64{1 << 2}}, {Bits: []uint64{1 << 3}}},
		Subjects:  []Subject{{Tables: [2]*Table{table, always(2)}}, {Tables: [2]*Table{always(2), always(0)}}, {Tables: [2]*Table{always(2), always(1)}}},
		Decisions: append([]Decision{a, b}, later...),
		Frontends: []Frontend{{Backends: []Backend{backend(2), backend(3)}}, {}, {Backends: []Backend{backend(1)}}},
	}
}

// TestRowKey has a bit for each set, eight to a byte, lowest bit first.
func TestRowKey(t *testing.T) {
	p := &Plan{PeerSets: []PeerSet{{Bits: []uint64{0}}, {Bits: []uint64{1 << 3}}, {Bits: []uint64{1<<3 | 1<<2, 1}}}}
	for _, c := range []struct {
		sets []int32
		peer PeerIndex
		want []byte
	}{
		{nil, 3, []byte{0}},
		{[]int32{1}, 3, []byte{1}},
		{[]int32{1}, 2, []byte{0}},
		{[]int32{0, 1, 2}, 3, []byte{6}},
		{[]int32{0, 1, 2}, 2, []byte{4}},
		{[]int32{0, 1, 2}, 64, []byte{4}},
		{[]int32{0, 1, 2}, 128, []byte{0}},
		{[]int32{1, 0, 0, 0, 0, 0, 0, 2}, 3, []byte{0x81}},
		{[]int32{1, 0, 0, 0, 0, 0, 0, 2, 2}, 2, []byte{0x80, 1}},
		{[]int32{1, 0, 0, 0, 0, 0, 0, 2, 0}, 3, []byte{0x81, 0}},
	} {
		if got := p.RowKey([]byte{7}, &Table{PeerSets: c.sets}, c.peer); !bytes.Equal(got[1:], c.want) || got[0] != 7 {
			t.Errorf("sets %v, identity %d: %x, want 07%x", c.sets, c.peer, got, c.want)
		}
	}
}

// TestClass asks at the edges of intervals: of one, two and three.
func TestClass(t *testing.T) {
	for _, n := range []int{1, 2, 3} {
		table := &Table{Starts: []uint32{0, 80, 1 << 16}[:n], Classes: []uint16{0, 1, 2}[:n]}
		for key, want := range map[PortKey]int{0: 0, 79: 0, 80: 1, 81: 1, 1<<16 - 1: 1, 1 << 16: 2, 6<<16 - 1: 2} {
			if got := table.Class(key); got != min(want, n-1) {
				t.Errorf("%d intervals, key %#x: class %d, want %d", n, uint32(key), got, min(want, n-1))
			}
		}
	}
}

// TestConclude joins both sides: a denial names its side, egress first; else the side with a rule, ingress first; the
// stricter demand holds (S8, S19).
func TestConclude(t *testing.T) {
	silent, ruled, deny, redirect := side(Allow, ByNoEndpoint), decision(allowed(1, AuthPlaintext)), decision(denied(2)), decision(handed(3, 0))
	asks := decision(allowed(1, AuthRequired))
	for _, c := range []struct {
		egress, ingress Decision
		verdict         Verdict
		by              ir.Direction
		auth            Auth
	}{
		{silent, silent, Allow, ir.Ingress, AuthNone},
		{ruled, silent, Allow, ir.Egress, AuthPlaintext},
		{silent, ruled, Allow, ir.Ingress, AuthPlaintext},
		{ruled, asks, Allow, ir.Ingress, AuthRequired},
		{asks, ruled, Allow, ir.Ingress, AuthRequired},
		{deny, deny, Deny, ir.Egress, AuthNone},
		{deny, redirect, Deny, ir.Egress, AuthNone},
		{redirect, deny, Deny, ir.Ingress, AuthNone},
		{redirect, ruled, Redirect, ir.Egress, AuthPlaintext},
		{ruled, redirect, Redirect, ir.Ingress, AuthPlaintext},
		{redirect, redirect, Redirect, ir.Ingress, AuthNone},
	} {
		a := Answer{Verdict: Redirect, By: ir.Ingress, Auth: AuthRequired, Egress: c.egress, Ingress: c.ingress}
		a.conclude()
		if a.Verdict != c.verdict || a.By != c.by || a.Auth != c.auth {
			t.Errorf("egress %s, ingress %s: %s by %s asking %s, want %s by %s asking %s", c.egress.Verdict, c.ingress.Verdict,
				a.Verdict, a.By, a.Auth, c.verdict, c.by, c.auth)
		}
		want := &a.Ingress
		if c.by == ir.Egress {
			want = &a.Egress
		}
		if a.Side() != want {
			t.Errorf("egress %s, ingress %s: not the side that decided", c.egress.Verdict, c.ingress.Verdict)
		}
	}
}

// TestInAudit: what is in audit takes the place of what is enforced on both sides, and concludes anew (S30).
func TestInAudit(t *testing.T) {
	allow, deny := allowed(1, AuthRequired), denied(2)
	for _, c := range []struct {
		egress, ingress Decision
		verdict         Verdict
		by              ir.Direction
	}{
		{Decision{Outcome: allow, Audit: deny}, decision(allow), Deny, ir.Egress},
		{decision(allow), Decision{Outcome: allow, Audit: deny}, Deny, ir.Ingress},
		{Decision{Outcome: deny, Audit: allow}, Decision{Outcome: deny, Audit: allow}, Allow, ir.Ingress},
	} {
		a := Answer{Egress: c.egress, Ingress: c.ingress}
		a.conclude()
		was := a
		got := a.InAudit()
		if got.Verdict != c.verdict || got.By != c.by || got.Egress.Outcome != c.egress.Audit || got.Ingress.Outcome != c.ingress.Audit || a != was {
			t.Errorf("%s, %s in audit: %s by %s", c.egress.Audit.Verdict, c.ingress.Audit.Verdict, got.Verdict, got.By)
		}
	}
}

// TestStrictestBackend is the destination's side of a service's address: deny before redirect before allow, of equals the
// first (S27).
func TestStrictestBackend(t *testing.T) {
	deny, redirect, allow := decision(denied(1)), decision(handed(2, 0)), decision(allowed(3, AuthNone))
	other := decision(allowed(4, AuthNone))
	for _, c := range []struct {
		a, b Decision
		want RuleIndex
	}{
		{deny, redirect, 1}, {redirect, deny, 1}, {deny, allow, 1}, {allow, deny, 1}, {redirect, allow, 2}, {allow, redirect, 2},
		{allow, other, 3}, {other, allow, 4},
	} {
		p := behindService(c.a, c.b)
		got := p.Decide(Flow{Src: End{Peer: 4, Endpoint: None, Frontend: None}, Dst: End{Endpoint: None, Frontend: 0}})
		if got.Ingress.Rule != c.want || got.Egress.Reason != ByNoEndpoint {
			t.Errorf("%s and %s: by rule %d, want %d; egress by %s", c.a.Verdict, c.b.Verdict, got.Ingress.Rule, c.want, got.Egress.Reason)
		}
	}
	p := behindService(deny, allow)
	each := p.DecideEach(Flow{Src: End{Peer: 4, Endpoint: None, Frontend: None}, Dst: End{Endpoint: None, Frontend: 0}})
	if len(each) != 2 || each[0].Backend != 0 || each[0].Peer != 2 || each[0].Answer.Verdict != Deny || each[0].Answer.By != ir.Ingress ||
		each[1].Backend != 1 || each[1].Peer != 3 || each[1].Answer.Verdict != Allow {
		t.Errorf("endpoint by endpoint: %+v", each)
	}
	if each := p.DecideEach(Flow{Src: End{Peer: 1, Endpoint: 0}, Dst: End{Frontend: 2}}); len(each) != 0 {
		t.Errorf("who asks is one of those behind it: %+v", each)
	}
	for _, c := range []struct {
		src      End
		frontend int32
		want     Reason
	}{
		{End{Peer: 1, Endpoint: 0}, 2, BySelf},
		{End{Peer: 1, Endpoint: 0}, 1, ByNoEndpoint},
		{End{Peer: 4, Endpoint: None}, 2, ByRule},
	} {
		if got := p.Decide(Flow{Src: c.src, Dst: End{Endpoint: None, Frontend: c.frontend}}).Ingress; got.Reason != c.want {
			t.Errorf("frontend %d from %+v: ingress by %s, want by %s", c.frontend, c.src, got.Reason, c.want)
		}
	}
}

// TestFrontendEgress is the source's side of a service's address (S27).
func TestFrontendEgress(t *testing.T) {
	rule := decision(allowed(1, AuthRequired))
	other := rule
	other.Rule, other.ID = 2, ID{2}
	plaintext := decision(allowed(1, AuthPlaintext))
	audited := rule
	audited.Audit = denied(5)
	logged := rule
	logged.Log = true
	ends := func(at int64) Decision { d := rule; d.NotAfter, d.Then = at, 2; return d }
	different := side(Deny, ByBackends)
	withAudit := func(d Decision, o Outcome) Decision { d.Audit = o; return d }
	withLog := func(d Decision) Decision { d.Log = true; return d }
	until := func(at int64) Decision { d := rule; d.NotAfter = at; return d }
	for _, c := range []struct {
		what string
		a, b Decision
		want Decision
	}{
		{"alike", rule, rule, rule},
		{"by other rules", rule, other, rule},
		{"by other rules, turned", other, rule, func() Decision { d := other; d.ID = ID{}; return d }()},
		{"of one content", other, other, other},
		{"with another demand", rule, plaintext, different},
		{"with another verdict", rule, decision(denied(1)), different},
		{"with other lists", decision(handed(1, 0)), decision(handed(1, 1)), different},
		{"with one list", decision(handed(1, 1)), decision(handed(2, 1)), decision(handed(1, 1))},
		{"other in audit only", rule, audited, withAudit(rule, different.Outcome)},
		{"alike in audit", audited, audited, audited},
		{"one is recorded", rule, logged, withLog(rule)},
		{"the other is", logged, rule, withLog(rule)},
		{"one ends", ends(9), rule, until(9)},
		{"the other ends", rule, ends(9), until(9)},
		{"both end", ends(9), ends(8), until(8)},
		{"the first first", ends(7), ends(8), until(7)},
		{"in the first second of 1970", ends(1), rule, until(1)},
	} {
		p := behindService(c.a, c.b)
		if got := p.FrontendEgress(End{Peer: 1, Endpoint: 0}, 0); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.what, got, c.want)
		}
	}
	p := behindService(ends(9), ends(9), decision(denied(6)))
	for at, want := range map[int64]RuleIndex{0: 1, 8: 1, 9: 6, 10: 6} {
		if got := p.FrontendTableDecision(p.Subjects[0].Tables[ir.Egress], 0, 0, at); got.Rule != want || got.Then != 0 {
			t.Errorf("S28: at %d by rule %d, want %d; then %d", at, got.Rule, want, got.Then)
		}
	}
	for _, c := range []struct {
		what    string
		src     End
		f       FrontendIndex
		verdict Verdict
		reason  Reason
	}{
		{"nobody behind it", End{Peer: 1, Endpoint: 0}, 1, Deny, ByBackends},
		{"only who asks", End{Peer: 1, Endpoint: 0}, 2, Allow, BySelf},
		{"another pod of the same identity", End{Peer: 1, Endpoint: 9}, 2, Deny, ByRule},
		{"a node asks", End{Peer: 4, Endpoint: None}, 1, Allow, ByNoEndpoint},
		{"a pod that nothing governs asks", End{Peer: 5, Endpoint: 7}, 1, Allow, ByDefault},
	} {
		if got := p.FrontendEgress(c.src, c.f); got.Verdict != c.verdict || got.Reason != c.reason {
			t.Errorf("%s: %s by %s, want %s by %s", c.what, got.Verdict, got.Reason, c.verdict, c.reason)
		}
	}
}

// TestRuleName names a rule by its place, or by its object where it has none.
func TestRuleName(t *testing.T) {
	p := &Plan{Policies: []Policy{{Object: "MeshPolicy a"}, {Object: "MeshPolicy shop/b"}}, Rules: []Rule{
		{Policy: 1, Direction: ir.Ingress, Index: 3, Pos: diag.Position{File: "a.cue", Line: 7}}, {Policy: 1, Direction: ir.Egress, Index: 2}}}
	for i, want := range []string{"a.cue:7", "MeshPolicy shop/b spec.egress[2]"} {
		if got := p.RuleName(RuleIndex(i)); got != want {
			t.Errorf("rule %d: %q, want %q", i, got, want)
		}
	}
}

// TestFrontendAt tells a service's address from others, and its ports.
func TestFrontendAt(t *testing.T) {
	a, b := netip.MustParseAddr("10.2.0.1"), netip.MustParseAddr("fd00::1")
	p := &Plan{Frontends: []Frontend{{Port: Key(ir.TCP, 80)}, {Addrs: []netip.Addr{a, b}, Port: Key(ir.TCP, 80)}, {Addrs: []netip.Addr{a}, Port: Key(ir.UDP, 80)}}}
	for _, c := range []struct {
		addr    netip.Addr
		key     PortKey
		f       int32
		service bool
	}{
		{a, Key(ir.TCP, 80), 1, true}, {b, Key(ir.TCP, 80), 1, true}, {a, Key(ir.UDP, 80), 2, true}, {b, Key(ir.UDP, 80), None, true},
		{a, Key(ir.TCP, 81), None, true}, {netip.MustParseAddr("10.2.0.2"), Key(ir.TCP, 80), None, false},
		{a, Key(ir.OtherProtocol, 65535), None, true},
	} {
		if f, service := p.FrontendAt(c.addr, c.key); f != c.f || service != c.service {
			t.Errorf("%s %#x: frontend %d, service %t; want %d, %t", c.addr, uint32(c.key), f, service, c.f, c.service)
		}
	}
}
