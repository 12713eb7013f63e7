package resolve

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// oneTable compiles policies that all select the one enrolled pod, and returns the builder as its ingress left it.
func oneTable(policies ...ir.Policy) *tableBuilder {
	inv := &inventory.Inventory{Namespaces: []inventory.Namespace{{Name: "a"}},
		Pods: []inventory.Pod{{Namespace: "a", Name: "p", Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}}}
	c := compileCold(Input{Policies: policies, Inventory: inv, Workers: 1, Now: time.Unix(100, 0),
		Config: inventory.Config{Present: true, Enrolled: []ir.Selector{{}}, PodRanges: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}})
	b := newTableBuilder(c)
	b.build(&c.subjects.list[0], ir.Ingress)
	return b
}

func rules(l ir.Layer, tier ir.Tier, priority int32, name string, rs ...ir.Rule) ir.Policy {
	for i := range rs {
		rs[i].Direction = ir.Ingress
	}
	return ir.Policy{Kind: "Policy", Name: name, Layer: l, Tier: tier, Priority: priority, Rules: rs}
}

// TestSimpleTables: a table whose first match decides is filled by its first matches, and no other is. The answers are
// the same either way (test/oracle); this is what makes a large compile quick.
func TestSimpleTables(t *testing.T) {
	deny, pass := ir.Rule{Action: ir.Deny}, ir.Rule{Action: ir.Pass}
	ends := ir.Rule{Action: ir.Allow, Plaintext: true, NotAfter: time.Unix(200, 0)}
	requests := ir.Rule{Action: ir.Deny, HTTP: []ir.HTTPMatch{{Methods: []string{"GET"}}}}
	audit := ir.Rule{Action: ir.Deny, Audit: true}
	isolates := rules(ir.Mesh, ir.Namespace, 0, "isolates")
	isolates.AuditIsolate[ir.Ingress] = true
	inAudit := rules(ir.Mesh, ir.Namespace, 0, "audit")
	inAudit.Isolate[ir.Ingress], inAudit.Audit = true, true
	for _, c := range []struct {
		what     string
		policies []ir.Policy
		simple   bool
		split    int // the first slot of the mesh
		cached   int
	}{
		{"no rule", nil, true, 0, 2},
		{"an admin rule", []ir.Policy{rules(ir.Mesh, ir.Admin, 0, "a", deny)}, true, 0, 4},
		{"both layers", []ir.Policy{rules(ir.Orchestrator, ir.Admin, 0, "a", deny, deny), rules(ir.Mesh, ir.Admin, 0, "b", deny)}, true, 2, 12},
		{"objects of one priority", []ir.Policy{rules(ir.Mesh, ir.Admin, 0, "a", deny), rules(ir.Mesh, ir.Admin, 0, "b", deny)}, false, 0, 0},
		{"of two", []ir.Policy{rules(ir.Mesh, ir.Admin, 0, "a", deny), rules(ir.Mesh, ir.Admin, 1, "b", deny)}, true, 0, 6},
		{"of two tiers", []ir.Policy{rules(ir.Mesh, ir.Admin, 0, "a", deny), rules(ir.Mesh, ir.Baseline, 0, "b", deny)}, true, 0, 6},
		{"of two layers", []ir.Policy{rules(ir.Orchestrator, ir.Admin, 0, "a", deny), rules(ir.Mesh, ir.Admin, 0, "b", deny)}, true, 1, 8},
		{"of the namespace tier", []ir.Policy{rules(ir.Mesh, ir.Namespace, 0, "a", deny), rules(ir.Mesh, ir.Namespace, 0, "b", deny)}, true, 0, 6},
		{"two rules of one object", []ir.Policy{rules(ir.Mesh, ir.Admin, 0, "a", deny, deny)}, true, 0, 6},
		{"a pass", []ir.Policy{rules(ir.Mesh, ir.Admin, 0, "a", pass)}, false, 0, 0},
		{"an end", []ir.Policy{rules(ir.Mesh, ir.Namespace, 0, "a", ends)}, false, 0, 0},
		{"requests", []ir.Policy{rules(ir.Mesh, ir.Namespace, 0, "a", requests)}, false, 0, 0},
		{"a rule in audit", []ir.Policy{rules(ir.Mesh, ir.Namespace, 0, "a", audit)}, false, 0, 0},
		{"an isolation in audit", []ir.Policy{isolates}, false, 0, 0},
		{"an object in audit", []ir.Policy{inAudit}, false, 0, 0},
		{"more pairs than are kept", []ir.Policy{rules(ir.Orchestrator, ir.Admin, 0, "a", slices.Repeat([]ir.Rule{deny}, 1023)...),
			rules(ir.Mesh, ir.Admin, 0, "b", slices.Repeat([]ir.Rule{deny}, 512)...)}, false, 1023, 0},
		{"as many as are kept", []ir.Policy{rules(ir.Orchestrator, ir.Admin, 0, "a", slices.Repeat([]ir.Rule{deny}, 1023)...),
			rules(ir.Mesh, ir.Admin, 0, "b", slices.Repeat([]ir.Rule{deny}, 511)...)}, true, 1023, 1 << 20},
	} {
		b := oneTable(c.policies...)
		if b.simple != c.simple || b.split != c.split || c.simple && len(b.fast) != c.cached {
			t.Errorf("%s: simple %t, split %d, %d kept; want %t, %d, %d", c.what, b.simple, b.split, len(b.fast), c.simple, c.split, c.cached)
		}
		if want := wordsFor(len(b.chain.slots) + specials); b.words != want {
			t.Errorf("%s: %d words, want %d", c.what, b.words, want)
		}
	}
}

// TestTableIsFull: what a table cannot number is denied, and said; what came before stays.
func TestTableIsFull(t *testing.T) {
	b := oneTable()
	b.decisions = make([]local, plan.MaxNodeDecisions-1)
	if got := b.add(local{}); int(got) != plan.MaxNodeDecisions-1 || b.chain.tooLong {
		t.Errorf("the last decision is %d, too many %t", got, b.chain.tooLong)
	}
	if got := b.add(local{}); got != 0 || !b.chain.tooLong || len(b.decisions) != plan.MaxNodeDecisions {
		t.Errorf("one more is %d of %d, too many %t", got, len(b.decisions), b.chain.tooLong)
	}
	b.chain.begin(nil, &subject{}, ir.Ingress)
	if b.chain.tooLong {
		t.Error("the next table is too long, too")
	}

	b.words = 2
	b.columns.reset(2)
	var table plan.Table
	for i := range plan.MaxClasses {
		b.emitClass(&table, uint32(i), bitset{uint64(i), 1})
	}
	var alike plan.Table
	for at := range uint32(3) {
		b.emitClass(&alike, at, bitset{5, 1})
	}
	if len(alike.Starts) != 1 || len(alike.Classes) != 1 {
		t.Errorf("%d intervals of one class", len(alike.Starts))
	}
	if b.chain.tooLong || len(table.Classes) != plan.MaxClasses || int(table.Classes[plan.MaxClasses-1]) != plan.MaxClasses-1 {
		t.Errorf("%d classes, too many %t", len(table.Classes), b.chain.tooLong)
	}
	b.emitClass(&table, 1<<17, bitset{7, 1}) // one of them again
	if b.chain.tooLong || table.Classes[len(table.Classes)-1] != 7 {
		t.Errorf("a known class is %d, too many %t", table.Classes[len(table.Classes)-1], b.chain.tooLong)
	}
	b.emitClass(&table, 1<<17+1, bitset{7, 1})
	if len(table.Starts) != plan.MaxClasses+1 {
		t.Error("an interval of the class before starts anew")
	}
	b.emitClass(&table, 1<<17+2, bitset{7, 2})
	if !b.chain.tooLong || table.Classes[len(table.Classes)-1] != 0 {
		t.Errorf("one class more is %d, too many %t", table.Classes[len(table.Classes)-1], b.chain.tooLong)
	}
}

// TestEdges: a slot begins and ends to match at its ports' edges, the first and the last port of all apart.
func TestEdges(t *testing.T) {
	const last = uint32(ir.NumSpaces)<<16 - 1
	edge := func(at uint32) uint64 { return uint64(at)<<32 | 3 }
	for _, c := range []struct {
		ports  []interval
		atZero bool
		want   []uint64
	}{
		{nil, false, nil},
		{everyPort, true, nil},
		{[]interval{{0, 0}}, true, []uint64{edge(1)}},
		{[]interval{{1, last}}, false, []uint64{edge(1)}},
		{[]interval{{0, last - 1}}, true, []uint64{edge(last)}},
		{[]interval{{last, last}}, false, []uint64{edge(last)}},
		{[]interval{{5, 6}, {9, 9}}, false, []uint64{edge(5), edge(7), edge(9), edge(10)}},
	} {
		b := tableBuilder{scratch: newBitset(4)}
		b.addEdges(3, c.ports)
		if b.scratch.has(3) != c.atZero || !slices.Equal(b.edges, c.want) {
			t.Errorf("%v: matches the first %t, edges %x; want %t, %x", c.ports, b.scratch.has(3), b.edges, c.atZero, c.want)
		}
	}
}

// TestManyDecisions: a plan of more decisions than a node holds is made, and a warning says what it needs.
func TestManyDecisions(t *testing.T) {
	for n, want := range map[int]int{plan.MaxNodeDecisions: 0, plan.MaxNodeDecisions + 1: 1} {
		c := &compiler{plan: &plan.Plan{Decisions: make([]plan.Decision, n)}}
		c.findings()
		if len(c.diags) != want || want > 0 && (c.diags[0].Code != "WEIR3001" || c.diags.HasErrors()) {
			t.Errorf("%d decisions: found %v", n, c.diags)
		}
	}
}
