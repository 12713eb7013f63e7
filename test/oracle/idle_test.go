package oracle

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/weir-mesh/weir/compiler/analyze"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// idleWorlds is how many worlds are searched for rules that decide nothing.
const idleWorlds = 60

// TestIdleRulesCanBeTakenOut takes each rule out that is found never to decide: whatever flow of the world is asked, now and
// later, the answer stays (S9 to S12, S19, S22, S28, S30).
func TestIdleRulesCanBeTakenOut(t *testing.T) {
	named, asked, layers := 0, 0, map[ir.Layer]int{}
	for seed := uint64(5_000_000); seed < 5_000_000+idleWorlds; seed++ {
		g := newGen(seed)
		w := g.world()
		rules, err := idleRules(w)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, at := range rules {
			var flows []flow
			for range 100 {
				flows = append(flows, g.flow())
			}
			p, r := &w.policies[at[0]], &w.policies[at[0]].Rules[at[1]]
			for range 300 {
				if f := g.anyFlow(); w.isAbout(p, r, f) {
					flows = append(flows, f)
				}
			}
			named, asked = named+1, asked+len(flows)
			layers[p.Layer]++
			if err := changesNothing(w, []*world{w.without(at, true), w.without(at, false)}, flows); err != nil {
				t.Fatalf("seed %d: %s:%d was found never to decide: %v\n%s", seed, r.Pos.File, r.Pos.Line, err, w)
			}
		}
	}
	t.Logf("%d rules named, %v by layer; %d flows asked with and without", named, layers, asked)
	if named < 60 || layers[ir.Orchestrator] < 20 || layers[ir.Mesh] < 20 {
		t.Errorf("too few rules are named: %d, %v", named, layers)
	}
}

// idleRules finds the places of the rules that are said never to decide.
func idleRules(w *world) ([][2]int, error) {
	c, err := compile(w)
	if err != nil {
		return nil, err
	}
	n, err := analyze.NewNames(c.plan)
	if err != nil {
		return nil, err
	}
	var out [][2]int
	for _, d := range analyze.Lint(n) {
		if d.Code != analyze.CodeNeverDecides {
			continue
		}
		for i := range w.policies {
			for j := range w.policies[i].Rules {
				if w.policies[i].Rules[j].Pos.Line == d.Pos.Line {
					out = append(out, [2]int{i, j})
				}
			}
		}
	}
	return out, nil
}

// without takes a rule out. isolates says that its object's source isolates by more than this rule (S11).
func (w *world) without(at [2]int, isolates bool) *world {
	c := w.clone()
	p := &c.policies[at[0]]
	r := p.Rules[at[1]]
	p.Rules = slices.Delete(p.Rules, at[1], at[1]+1)
	left := func(audit bool) bool {
		return slices.ContainsFunc(p.Rules, func(x ir.Rule) bool {
			return x.Direction == r.Direction && x.Action == ir.Allow && (audit || !x.Audit)
		})
	}
	if !isolates {
		all := p.Isolate[r.Direction] || p.AuditIsolate[r.Direction]
		p.Isolate[r.Direction] = p.Isolate[r.Direction] && left(false)
		p.AuditIsolate[r.Direction] = all && left(true)
	}
	return c
}

// changesNothing compares a world's answers with those of others, now and when something has ended.
func changesNothing(w *world, others []*world, flows []flow) error {
	for _, later := range []time.Duration{0, 2 * time.Second, 2 * time.Hour} {
		was, err := w.deeds(later, flows)
		if err != nil {
			return err
		}
		for n, o := range others {
			is, err := o.deeds(later, flows)
			if err != nil {
				return err
			}
			for i := range flows {
				if !slices.Equal(was[i], is[i]) {
					return fmt.Errorf("after %s, %s: with it %v, without (%d) %v", later, w.tellFlow(flows[i]), was[i], n, is[i])
				}
			}
		}
	}
	return nil
}

// deeds are what becomes of flows some time later.
func (w *world) deeds(later time.Duration, flows []flow) ([][]string, error) {
	then := *w
	then.now = w.now.Add(later)
	c, err := compile(&then)
	if err != nil {
		return nil, err
	}
	out := make([][]string, len(flows))
	for i, f := range flows {
		if out[i], err = c.deeds(f); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// deeds are what becomes of a flow, as text: one for each answer that a pod without an address may get.
func (c *compiled) deeds(f flow) ([]string, error) {
	key, srcs, dsts, err := c.bothEnds(f)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, s := range srcs {
		for _, d := range dsts {
			a := c.plan.Decide(plan.Flow{Src: s, Dst: d, Port: key})
			text := a.Verdict.String()
			if a.Verdict != plan.Deny {
				text += " " + a.Auth.String()
			}
			for _, o := range []*plan.Outcome{&a.Egress.Outcome, &a.Egress.Audit, &a.Ingress.Outcome, &a.Ingress.Audit} {
				text += " " + c.deed(o, f.request)
			}
			out = append(out, text)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func (c *compiled) deed(o *plan.Outcome, r *request) string {
	text := o.Verdict.String()
	if o.Verdict != plan.Deny {
		text += "," + o.Auth.String()
	}
	if o.Verdict == plan.Redirect && r != nil {
		answer, _, ok := c.requests.List(o.List, r.plan())
		text += fmt.Sprintf(",%s,%t", answer.Verdict, ok)
	}
	return text
}
