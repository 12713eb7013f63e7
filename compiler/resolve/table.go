package resolve

import (
	"bytes"
	"slices"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// built is a table before its decisions and lists have places in the plan.
type built struct {
	table     plan.Table
	decisions []local
	// lists are the request lists that the decisions name by their places here.
	lists [][]plan.Entry
	met
}

// local is a decision of one table: list and auditList are places among the table's request lists, or plan.None, and
// then is a place among its decisions.
type local struct {
	plan.Decision
	list, auditList int32
	then            int32
}

// tableBuilder compiles sides of subjects, one after the other. What a table needs on the way is used again for the
// next: only what stays in the plan is allocated for each.
type tableBuilder struct {
	c         *compiler
	chain     chain
	words     int // of a set of slots
	decisions []local
	lists     [][]plan.Entry
	// expiring are the slots with an end; auditing says that the audit chain may answer otherwise.
	expiring bitset
	auditing bool
	// columns are the port classes, as sets of slots.
	columns runs
	edges   []uint64
	rowKeys rowKeys
	rows    []row
	slab    bitset
	masks   bitset
	// decided finds the decision of a set of slots: it is memo's at the set's number. Where the answer is simple, it is
	// that of the first slots that match, in fast.
	decided runs
	memo    []uint16
	simple  bool
	fast    []int32
	split   int // first slot of the mesh layer
	scratch bitset
	asked   []int32
	painter painter
	lines   runs
	line    []uint64
}

// undecided is, in fast, what no cell has asked for yet.
const undecided = -1

// row is a class of identities that the table's sets do not tell apart.
type row struct {
	// key is the place of the row's key among rowKeys.
	key   int32
	slots bitset
}

func newTableBuilder(c *compiler) *tableBuilder {
	return &tableBuilder{c: c, columns: newRuns(), rowKeys: rowKeys{keys: newRuns()}, decided: newRuns(), lines: newRuns()}
}

// build compiles a subject's table for a direction.
func (b *tableBuilder) build(s *subject, d ir.Direction) built {
	b.chain.begin(b.tableSlots(s, d), s, d)
	b.decisions, b.lists, b.auditing = b.decisions[:0], nil, false
	b.isolation(s, d)
	var out built
	t := &out.table
	t.PeerSets = b.sets()
	b.words = wordsFor(len(b.chain.slots) + specials)
	b.prepare()
	b.ports(t)
	b.findRows(t)
	b.fill(t)
	out.decisions, out.lists = slices.Clone(b.decisions), b.lists
	out.met = b.chain.met
	return out
}

func (b *tableBuilder) isolation(s *subject, d ir.Direction) {
	b.chain.noIsolation()
	for _, k := range s.policies {
		p := b.c.policies[k]
		enforced := p.Isolate[d] && !p.Audit
		audited := p.Isolate[d] || p.AuditIsolate[d]
		b.chain.isolate(p.Layer, plan.PolicyIndex(k), enforced, audited)
		b.auditing = b.auditing || audited != enforced
	}
}

// sets lists the peer sets that the table asks for, in the order of their content hashes.
func (b *tableBuilder) sets() []int32 {
	b.chain.special = specialsAfter(len(b.chain.slots))
	sets := b.asked[:0]
	orchestrator, http := false, false
	for i := range b.chain.slots {
		s := &b.chain.slots[i]
		if s.set != anyPeer {
			sets = append(sets, s.set)
		}
		orchestrator = orchestrator || s.layer == ir.Orchestrator
		http = http || s.http != nil
	}
	if orchestrator && b.chain.enrolled {
		sets = append(sets, b.c.sets.enrolled)
	}
	if http && b.chain.direction == ir.Egress {
		sets = append(sets, b.c.sets.waypoint)
	}
	all := b.c.plan.PeerSets
	slices.SortFunc(sets, func(x, y int32) int { return bytes.Compare(all[x].ID[:], all[y].ID[:]) })
	b.asked = sets
	return slices.Clone(slices.Compact(sets))
}

// prepare finds out whether a cell's answer follows from the first slots that match it.
func (b *tableBuilder) prepare() {
	slots := b.chain.slots
	b.scratch = emptied(b.scratch, b.words)
	b.expiring = emptied(b.expiring, b.words)
	simple := true
	b.split = len(slots)
	for i := range slots {
		s := &slots[i]
		if s.layer == ir.Mesh && b.split == len(slots) {
			b.split = i
		}
		if s.notAfter != 0 {
			b.expiring.set(i)
		}
		b.auditing = b.auditing || s.audit
		tied := i > 0 && s.tier != ir.Namespace && slots[i-1].layer == s.layer && slots[i-1].tier == s.tier &&
			slots[i-1].priority == s.priority && slots[i-1].policy != s.policy
		simple = simple && s.http == nil && s.notAfter == 0 && s.action != ir.Pass && !tied
	}
	n := (b.split + 1) * (len(slots) - b.split + 1) * 2
	b.simple = simple && !b.auditing && n <= 1<<20
	if b.simple {
		b.fast = slices.Grow(b.fast[:0], n)[:n]
		for i := range b.fast {
			b.fast[i] = undecided
		}
	}
}
