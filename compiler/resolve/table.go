package resolve

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"slices"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// built is a table before its decisions and lists have places in the plan.
type built struct {
	table     plan.Table
	decisions []local
	found
}

// found is what a table's compile met that a person must know.
type found struct {
	tooLong   bool
	conflicts map[[2]plan.RuleIndex]bool
	unserved  map[plan.RuleIndex]bool
}

// local is a decision of one table: entries are the request lists of the enforced and the audit chain, then is a
// place among the table's decisions.
type local struct {
	plan.Decision
	entries, auditEntries []plan.Entry
	then                  int
}

// tableBuilder compiles one side of one subject.
type tableBuilder struct {
	c     *compiler
	chain chain
	words int
	out   built
	// memo finds the decision of a set of slots; fast, where the rules allow it, that of the first slots that match.
	memo     map[string]uint16
	fast     []int32
	split    int // first slot of the mesh layer
	expiring bitset
	auditing bool
	scratch  bitset
}

// build compiles a subject's table for a direction.
func (c *compiler) build(s *subject, d ir.Direction, w *worker) built {
	b := &tableBuilder{c: c, memo: map[string]uint16{}}
	b.chain = chain{slots: c.tableSlots(s, d), enrolled: s.enrolled, direction: d, served: s.waypoint,
		conflicts: map[[2]plan.RuleIndex]bool{}, unserved: map[plan.RuleIndex]bool{}}
	b.out.decisions = make([]local, 0, len(b.chain.slots)/4+8)
	b.isolation(s, d)
	sets := b.sets()
	b.words = (len(b.chain.slots) + 2 + 63) / 64
	b.scratch = newBitset(b.words * 64)
	b.prepare()
	columns := b.ports()
	rows := b.rows(sets, w)
	b.fill(rows, columns, w)
	b.out.found = found{b.chain.tooLong || b.chain.cut, b.chain.conflicts, b.chain.unserved}
	return b.out
}

func (b *tableBuilder) isolation(s *subject, d ir.Direction) {
	for l := range b.chain.isolation {
		b.chain.isolation[l] = [2]plan.PolicyIndex{plan.None, plan.None}
	}
	for _, k := range s.policies {
		p := b.c.policies[k]
		enforced := p.Isolate[d] && !p.Audit
		audited := p.Isolate[d] || p.AuditIsolate[d]
		iso := &b.chain.isolation[p.Layer]
		if enforced && iso[0] == plan.None {
			iso[0] = plan.PolicyIndex(k)
		}
		if audited && iso[1] == plan.None {
			iso[1] = plan.PolicyIndex(k)
		}
		b.auditing = b.auditing || audited != enforced
	}
}

// sets lists the peer sets that the table asks for, in the order of their content hashes.
func (b *tableBuilder) sets() []int32 {
	n := len(b.chain.slots)
	b.chain.special = special{provable: n, waypoint: n + 1}
	var sets []int32
	orchestrator, http := false, false
	for i := range b.chain.slots {
		s := &b.chain.slots[i]
		if s.match.set != anyPeer {
			sets = append(sets, s.match.set)
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
	sets = slices.Compact(sets)
	b.out.table.PeerSets = sets
	return sets
}

// prepare finds out whether a cell's answer follows from the first slots that match it.
func (b *tableBuilder) prepare() {
	slots := b.chain.slots
	b.expiring = newBitset(b.words * 64)
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
	if n := (b.split + 1) * (len(slots) - b.split + 1) * 2; simple && !b.auditing && n <= 1<<20 {
		b.fast = make([]int32, n)
		for i := range b.fast {
			b.fast[i] = -1
		}
	}
}

// ports cuts the key space where some slot begins or ends, and returns each port class's slots.
func (b *tableBuilder) ports() []bitset {
	var at uint32
	current := newBitset(b.words * 64)
	type edge struct {
		key  uint32
		slot int
	}
	var flips []edge
	add := func(slot int, in []interval) {
		for _, i := range in {
			if i.first == 0 {
				current.set(slot)
			} else {
				flips = append(flips, edge{i.first, slot})
			}
			if i.last+1 < uint32(ir.NumSpaces)<<16 {
				flips = append(flips, edge{i.last + 1, slot})
			}
		}
	}
	for i := range b.chain.slots {
		add(i, b.chain.slots[i].match.ports)
	}
	add(b.chain.special.provable, tcpPorts)
	add(b.chain.special.waypoint, everyPort)
	slices.SortFunc(flips, func(x, y edge) int { return int(x.key) - int(y.key) })
	classes := map[string]uint16{}
	var columns []bitset
	t := &b.out.table
	emit := func() {
		k := wordsKey(current)
		class, ok := classes[k]
		if !ok && len(columns) >= plan.MaxClasses {
			// More classes than can be numbered: the rest of the space shares a class that nothing matches.
			b.chain.tooLong = true
			class, ok = 0, true
		}
		if !ok {
			class = uint16(len(columns))
			classes[k] = class
			columns = append(columns, current.clone())
		}
		if n := len(t.Classes); n > 0 && t.Classes[n-1] == class {
			return
		}
		t.Starts, t.Classes = append(t.Starts, at), append(t.Classes, class)
	}
	for i := 0; i < len(flips); {
		emit()
		at = flips[i].key
		for ; i < len(flips) && flips[i].key == at; i++ {
			current.flip(flips[i].slot)
		}
	}
	emit()
	t.NumClasses = len(columns)
	return columns
}

func wordsKey(b bitset) string {
	out := make([]byte, 0, len(b)*8)
	for _, w := range b {
		out = binary.LittleEndian.AppendUint64(out, w)
	}
	return string(out)
}

// rows returns the slots of each row by its key, keys in order; the unknown peer's row, whose key is empty, is not
// among them.
func (b *tableBuilder) rows(sets []int32, w *worker) []row {
	always := newBitset(b.words * 64)
	masks := make([]bitset, len(sets))
	for i := range masks {
		masks[i] = newBitset(b.words * 64)
	}
	put := func(slot int, set int32) {
		if set == anyPeer {
			always.set(slot)
			return
		}
		if at := slices.Index(sets, set); at >= 0 {
			masks[at].set(slot)
		}
	}
	for i := range b.chain.slots {
		put(i, b.chain.slots[i].match.set)
	}
	put(b.chain.special.provable, b.c.sets.enrolled)
	put(b.chain.special.waypoint, b.c.sets.waypoint)
	keys := w.keys(b.c, sets)
	out := make([]row, len(keys))
	slab := make(bitset, len(keys)*b.words)
	for i, k := range keys {
		r := slab[i*b.words : (i+1)*b.words]
		copy(r, always)
		for s := range sets {
			if k[s>>3]&(1<<(s&7)) != 0 {
				r.or(masks[s])
			}
		}
		out[i] = row{key: k, slots: r}
	}
	return out
}

// row is a class of identities that the table's sets do not tell apart.
type row struct {
	key   string
	slots bitset
}

// fill decides every cell. Rows that are alike become one.
func (b *tableBuilder) fill(rows []row, columns []bitset, w *worker) {
	t := &b.out.table
	t.Rows = make(map[string]int, len(rows)+1)
	t.Rows[""] = 0
	unknown := b.unknown()
	n := len(columns)
	cells := w.cells[:0]
	for range n {
		cells = append(cells, unknown)
	}
	clear(w.lines)
	raw := make([]byte, 0, 2*n)
	for _, r := range rows {
		at := len(cells) / n
		raw = raw[:0]
		for _, col := range columns {
			d := b.cell(r.slots, col)
			cells = append(cells, d)
			raw = binary.LittleEndian.AppendUint16(raw, d)
		}
		h := maphash.Bytes(w.seed, raw)
		if same := slices.IndexFunc(w.lines[h], func(i int) bool { return slices.Equal(cells[i*n:(i+1)*n], cells[at*n:]) }); same >= 0 {
			cells = cells[:at*n]
			at = w.lines[h][same]
		} else {
			w.lines[h] = append(w.lines[h], at)
		}
		t.Rows[r.key] = at
	}
	w.cells = cells
	t.Cells = slices.Clone(cells)
}

// unknown is the decision for an in-cluster address that no object explains (S3).
func (b *tableBuilder) unknown() uint16 {
	o := plan.Outcome{Verdict: plan.Deny, Reason: plan.ByUnknownAddress, Rule: plan.None, Policy: plan.None, List: plan.None}
	return b.add(local{Decision: plan.Decision{Outcome: o, Audit: o, Log: b.c.in.Config.LogDenied && b.chain.enrolled}})
}

// add keeps a decision. A table with more than a cell can number denies what is over, with a finding.
func (b *tableBuilder) add(d local) uint16 {
	if len(b.out.decisions) >= plan.MaxNodeDecisions {
		b.chain.tooLong = true
		return 0
	}
	b.out.decisions = append(b.out.decisions, d)
	return uint16(len(b.out.decisions) - 1)
}

// cell returns the decision for the slots that a row and a column share.
func (b *tableBuilder) cell(r, col bitset) uint16 {
	if b.fast == nil {
		for i := range b.scratch {
			b.scratch[i] = r[i] & col[i]
		}
		return b.decide(b.scratch)
	}
	o := first(r, col, 0, b.split)
	m := first(r, col, b.split, len(b.chain.slots))
	k := (o*(len(b.chain.slots)-b.split+1) + m - b.split) << 1
	p := b.chain.special.provable
	if r[p>>6]&col[p>>6]&(1<<(p&63)) != 0 {
		k |= 1
	}
	if d := b.fast[k]; d >= 0 {
		return uint16(d)
	}
	for i := range b.scratch {
		b.scratch[i] = r[i] & col[i]
	}
	d := b.decide(b.scratch)
	b.fast[k] = int32(d)
	return d
}

// first returns the lowest slot in [from, to) that both hold, or to.
func first(r, col bitset, from, to int) int {
	if from >= to {
		return to
	}
	i := from >> 6
	x := r[i] & col[i] &^ (1<<(from&63) - 1)
	for x == 0 {
		if i++; i<<6 >= to {
			return to
		}
		x = r[i] & col[i]
	}
	return min(i<<6+bits.TrailingZeros64(x), to)
}

// decide answers for a set of slots, once.
func (b *tableBuilder) decide(m bitset) uint16 {
	key := wordsKey(m)
	if d, ok := b.memo[key]; ok {
		return d
	}
	d := b.judge(m)
	next, t := b.afterNextEnd(m)
	for next != nil {
		if then := b.decide(next); !sameDecision(&d, &b.out.decisions[then]) {
			d.NotAfter, d.then = t, int(then)
			break
		}
		next, t = b.afterNextEnd(next)
	}
	at := b.add(d)
	b.memo[key] = at
	return at
}

// afterNextEnd returns the slots that are left when the next of them ends, and when that is (S28).
func (b *tableBuilder) afterNextEnd(m bitset) (bitset, int64) {
	var end int64
	for i := range b.chain.slots {
		if s := &b.chain.slots[i]; b.expiring.has(i) && m.has(i) && (end == 0 || s.notAfter < end) {
			end = s.notAfter
		}
	}
	if end == 0 {
		return nil, 0
	}
	out := m.clone()
	for i := range b.chain.slots {
		if b.expiring.has(i) && m.has(i) && b.chain.slots[i].notAfter == end {
			out.flip(i)
		}
	}
	return out, end
}

func (b *tableBuilder) judge(m bitset) local {
	var d local
	d.Outcome, d.entries = b.chain.outcome(m, false)
	d.Audit, d.auditEntries = d.Outcome, d.entries
	if b.auditing {
		d.Audit, d.auditEntries = b.chain.outcome(m, true)
	}
	d.Log = b.logged(&d.Outcome)
	return d
}

func (b *tableBuilder) logged(o *plan.Outcome) bool {
	if o.Rule != plan.None {
		if l := b.c.plan.Rules[o.Rule].Source.Log; l != nil {
			return *l
		}
	}
	if o.Verdict == plan.Deny {
		return b.chain.enrolled && b.c.in.Config.LogDenied
	}
	return b.c.in.Config.LogAllowed
}

// sameDecision compares what two decisions of one table do, apart from their ends.
func sameDecision(x, y *local) bool {
	return x.Outcome == y.Outcome && x.Audit == y.Audit && x.Log == y.Log && y.NotAfter == 0 &&
		sameEntries(x.entries, y.entries) && sameEntries(x.auditEntries, y.auditEntries)
}

func sameEntries(x, y []plan.Entry) bool {
	return slices.EqualFunc(x, y, func(a, b plan.Entry) bool {
		return a.Outcome == b.Outcome && hashOf("conds", a.Conds) == hashOf("conds", b.Conds)
	})
}
