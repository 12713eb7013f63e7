package resolve

import (
	"math"
	"slices"

	"github.com/weir-mesh/weir/compiler/plan"
)

// unknown adds the decision for an in-cluster address that no object explains (S3). It is a table's first, 0, which is
// what the cells of a new line hold.
func (b *tableBuilder) unknown() {
	o := plan.Outcome{Verdict: plan.Deny, Reason: plan.ByUnknownAddress, Rule: plan.None, Policy: plan.None, List: plan.None}
	b.add(local{list: plan.None, auditList: plan.None, Decision: plan.Decision{Outcome: o, Audit: o, Log: b.c.in.Config.LogDenied && b.chain.enrolled}})
}

// add keeps a decision. A table with more than a cell can number denies what is over, with a finding.
func (b *tableBuilder) add(d local) uint16 {
	if len(b.decisions) >= plan.MaxNodeDecisions {
		b.chain.tooLong = true
		return 0
	}
	b.decisions = append(b.decisions, d)
	return uint16(len(b.decisions) - 1)
}

// decide answers for a set of slots, once.
func (b *tableBuilder) decide(m bitset) uint16 {
	number, fresh := b.decided.intern(m)
	if !fresh {
		return b.memo[number]
	}
	var later uint16 // the decision has its place when what may follow it has one
	b.memo = append(b.memo[:number], later)
	d := b.judge(m)
	next, t := b.afterNextEnd(m)
	for next != nil {
		if then := b.decide(next); !b.same(&d, &b.decisions[then]) {
			d.NotAfter, d.then = t, int32(then)
			break
		}
		next, t = b.afterNextEnd(next)
	}
	b.memo[number] = b.add(d)
	return b.memo[number]
}

// afterNextEnd returns the slots that are left when the next of them ends, and when that is (S28).
func (b *tableBuilder) afterNextEnd(m bitset) (bitset, int64) {
	end := int64(math.MaxInt64)
	for i := range b.chain.slots {
		if b.expiring.has(i) && m.has(i) {
			end = min(end, b.chain.slots[i].notAfter)
		}
	}
	if end == math.MaxInt64 {
		return nil, end
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
	var entries []plan.Entry
	d.Outcome, entries = b.chain.outcome(m, false)
	d.list = b.keep(entries)
	d.Audit, d.auditList = d.Outcome, d.list
	if b.auditing {
		d.Audit, entries = b.chain.outcome(m, true)
		d.auditList = b.keep(entries)
	}
	d.Log = b.logged(&d.Outcome)
	return d
}

// keep gives a request list its place in the table.
func (b *tableBuilder) keep(entries []plan.Entry) int32 {
	if entries == nil {
		return plan.None
	}
	b.lists = append(b.lists, entries)
	return int32(len(b.lists) - 1)
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

// same compares what two decisions of the table do, apart from their ends.
func (b *tableBuilder) same(x, y *local) bool {
	return x.Outcome == y.Outcome && x.Audit == y.Audit && x.Log == y.Log &&
		b.sameList(x.list, y.list) && b.sameList(x.auditList, y.auditList)
}

// sameList compares the lists of two outcomes that are the same: either both have one or none has.
func (b *tableBuilder) sameList(x, y int32) bool {
	return x == plan.None || slices.EqualFunc(b.lists[x], b.lists[y], func(a, b plan.Entry) bool {
		return a.Outcome == b.Outcome && hashOf("conds", a.Conds) == hashOf("conds", b.Conds)
	})
}
