package oracle

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/project"
)

// TestProjectionSaysTheSame looks up what each node's agent gets, and insists that there is something to look at.
func TestProjectionSaysTheSame(t *testing.T) {
	holds(t, "projects")
	var all projected
	for seed := range uint64(10) {
		if err := all.project(newGen(3_000_000 + seed).world()); err != nil {
			t.Fatal(err)
		}
	}
	if all.cells == 0 || all.frontends == 0 || all.ends == 0 {
		t.Errorf("compared %d cells, %d frontends, %d ends: none may be zero", all.cells, all.frontends, all.ends)
	}
}

// projectsTheSame looks up every identity, port class and frontend in what each node's agent gets, and follows the ends
// of allows there (S28): it is what the plan says.
func projectsTheSame(w *world, _ []flow) error { return new(projected).project(w) }

func (v *projected) project(w *world) (err error) {
	if v.c, err = compile(w); err != nil {
		return err
	}
	for _, n := range w.inv.Nodes {
		if v.p, err = project.Node(v.c.plan, n.Name, 1); err != nil {
			return err
		}
		for i := range v.p.Endpoints {
			if err := v.endpoint(&v.p.Endpoints[i]); err != nil {
				return fmt.Errorf("node %s: %s: %w", n.Name, v.p.Endpoints[i].Name, err)
			}
		}
	}
	return nil
}

// projected is a node's part of a plan, and what was compared of it.
type projected struct {
	c                      *compiled
	p                      *plan.Projection
	cells, frontends, ends int
}

func (v *projected) endpoint(e *plan.ProjectedEndpoint) error {
	p := v.c.plan
	for i := range p.Endpoints {
		ep := &p.Endpoints[i]
		if ep.Namespace+"/"+ep.Name != e.Name {
			continue
		}
		s := p.SubjectOf(ep.Peers[0])
		for d, at := range map[ir.Direction]int{ir.Egress: e.Egress, ir.Ingress: e.Ingress} {
			if err := v.table(s.Tables[d], &v.p.Tables[at]); err != nil {
				return fmt.Errorf("%s: %w", d, err)
			}
		}
		for f := range p.Frontends {
			if err := v.frontend(e, s.Tables[ir.Egress], int32(i), f); err != nil {
				return fmt.Errorf("frontend %s:%s: %w", p.Frontends[f].Service, p.Frontends[f].PortName, err)
			}
		}
		return nil
	}
	return fmt.Errorf("no such endpoint in the plan")
}

// table compares every cell.
func (v *projected) table(t *plan.Table, got *plan.ProjectedTable) error {
	for peer := range v.c.plan.Peers {
		row := int(binary.LittleEndian.Uint16(got.RowOfPeer[2*peer:]))
		for i, start := range got.Starts {
			cell := row*got.NumClasses + int(got.Classes[i])
			number := binary.LittleEndian.Uint16(got.Cells[2*cell:])
			want := &v.c.plan.Decisions[v.c.plan.At(t, plan.PeerIndex(peer), plan.PortKey(start))]
			v.cells++
			for d := &v.p.Decisions[number]; ; d, want = &v.p.Decisions[d.Then], &v.c.plan.Decisions[want.Then] {
				if err := v.same(d, want); err != nil {
					return fmt.Errorf("identity %d, key %#x: %w", peer, start, err)
				}
				if d.NotAfter == 0 {
					break
				}
				v.ends++
			}
		}
	}
	return nil
}

// frontend compares the decision for a service's port, now and after each end.
func (v *projected) frontend(e *plan.ProjectedEndpoint, t *plan.Table, self int32, f int) error {
	number, behind := e.SelfFrontends[uint32(f)]
	if !behind {
		number, self = binary.LittleEndian.Uint16(v.p.Tables[e.Egress].FrontendCells[2*f:]), plan.None
	}
	v.frontends++
	at := int64(0)
	for d := &v.p.Decisions[number]; ; d = &v.p.Decisions[d.Then] {
		want := v.c.plan.FrontendTableDecision(t, plan.FrontendIndex(f), self, at)
		if err := v.same(d, &want); err != nil {
			return fmt.Errorf("from %d on: %w", at, err)
		}
		if at = d.NotAfter; at == 0 {
			return nil
		}
		v.ends++
	}
}

// same compares what the node does and records.
func (v *projected) same(d *plan.ProjectedDecision, want *plan.Decision) error {
	switch {
	case d.Verdict != want.Verdict, d.Auth != want.Auth, d.Reason != want.Reason, d.NotAfter != want.NotAfter, d.Log != want.Log,
		d.AuditVerdict != want.Audit.Verdict, d.AuditDiffers != want.AuditDiffers(), v.rule(d.Rule) != v.planRule(want.Rule),
		v.rule(d.AuditRule) != v.planRule(want.Audit.Rule):
		return fmt.Errorf("node has %+v, plan %+v", *d, *want)
	}
	return nil
}

func (v *projected) rule(i int32) plan.ID {
	if i < 0 {
		return plan.ID{}
	}
	return v.p.Rules[i].ID
}

func (v *projected) planRule(i plan.RuleIndex) plan.ID {
	if i < 0 {
		return plan.ID{}
	}
	return v.c.plan.Rules[i].ID
}
