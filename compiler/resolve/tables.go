package resolve

import (
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// buildTables compiles both sides of every subject, and then gives decisions and lists their places in the plan, in
// the order of the subjects, whatever order the workers finished in.
func (c *compiler) buildTables() {
	all := make([][ir.NumDirections]built, len(c.plan.Subjects))
	c.share(len(all), tablesEach, func() func(int) {
		b := newTableBuilder(c)
		return func(i int) {
			for d := range ir.NumDirections {
				all[i][d] = b.build(&c.subjects.list[i], d)
			}
		}
	})
	c.placer = newPlacer(c.plan)
	for i := range all {
		for d := range all[i] {
			c.plan.Subjects[i].Tables[d] = c.placer.place(&all[i][d])
			c.report(&c.plan.Subjects[i], &all[i][d].met)
		}
	}
}

// placer interns decisions and lists.
type placer struct {
	plan      *plan.Plan
	decisions map[plan.Decision]plan.DecisionIndex
	lists     map[plan.ID]plan.ListIndex
}

func newPlacer(p *plan.Plan) *placer {
	return &placer{plan: p, decisions: map[plan.Decision]plan.DecisionIndex{}, lists: map[plan.ID]plan.ListIndex{}}
}

// place gives a table's decisions their places. A decision's Then is always before it in the table.
func (p *placer) place(b *built) *plan.Table {
	t := b.table
	t.Decisions = make([]plan.DecisionIndex, len(b.decisions))
	for i := range b.decisions {
		d := b.decisions[i].Decision
		d.List = p.list(b, b.decisions[i].list)
		d.Audit.List = p.list(b, b.decisions[i].auditList)
		if d.NotAfter != 0 {
			d.Then = t.Decisions[b.decisions[i].then]
		}
		at, ok := p.decisions[d]
		if !ok {
			at = plan.DecisionIndex(len(p.plan.Decisions))
			p.decisions[d] = at
			p.plan.Decisions = append(p.plan.Decisions, d)
		}
		t.Decisions[i] = at
	}
	return &t
}

func (p *placer) list(b *built, place int32) plan.ListIndex {
	if place == plan.None {
		return plan.None
	}
	entries := b.lists[place]
	id := p.listID(entries)
	if at, ok := p.lists[id]; ok {
		return at
	}
	at := plan.ListIndex(len(p.plan.Lists))
	p.lists[id] = at
	p.plan.Lists = append(p.plan.Lists, plan.List{ID: id, Entries: entries})
	return at
}

func (p *placer) listID(entries []plan.Entry) plan.ID {
	type entry struct {
		Conds   [][]ir.HTTPMatch
		Outcome stableOutcome
	}
	out := make([]entry, len(entries))
	for i := range entries {
		out[i] = entry{entries[i].Conds, stable(p.plan, &entries[i].Outcome)}
	}
	return hashOf("list", out)
}
