package project

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// The forms below are the plan as files: everything is named by its content hash, lists are sorted by it, and no
// address, position or dense number is in them, so the same policy and workloads give the same bytes.

type fileOutcome struct {
	Verdict string   `json:"verdict"`
	Reason  string   `json:"reason"`
	Rule    *plan.ID `json:"rule,omitempty"`
	Policy  *plan.ID `json:"policy,omitempty"`
	Auth    string   `json:"authentication"`
	List    *plan.ID `json:"list,omitempty"`
}

type fileDecision struct {
	ID plan.ID `json:"id"`
	fileOutcome
	Audit    *fileOutcome `json:"audit,omitempty"`
	Log      bool         `json:"log,omitempty"`
	NotAfter int64        `json:"notAfter,omitempty"`
	Then     *plan.ID     `json:"then,omitempty"`
}

type fileTable struct {
	ID plan.ID `json:"id"`
	// PeerSets are what rows tell apart; Rows maps each identity to its row.
	Rows map[string]int `json:"rows"`
	// Ports are the first keys of the port intervals ("TCP 80") and their classes.
	Ports   []filePort `json:"ports"`
	Classes int        `json:"classes"`
	// Cells holds, row by row, places in Decisions.
	Cells     []uint16  `json:"cells"`
	Decisions []plan.ID `json:"decisions"`
}

type filePort struct {
	From  string `json:"from"`
	Class uint16 `json:"class"`
}

type fileSubject struct {
	ID       plan.ID   `json:"id"`
	Enrolled bool      `json:"enrolled"`
	Attached bool      `json:"attached"`
	Pods     []plan.ID `json:"identities"`
	Egress   fileTable `json:"egress"`
	Ingress  fileTable `json:"ingress"`
}

type fileEntry struct {
	When [][]ir.HTTPMatch `json:"when,omitempty"`
	fileOutcome
}

type fileList struct {
	ID      plan.ID     `json:"id"`
	Entries []fileEntry `json:"entries"`
}

type fileFrontend struct {
	Service  string    `json:"service"`
	Port     string    `json:"port"`
	Backends []plan.ID `json:"backends"`
}

type fileDecisions struct {
	Digest     string          `json:"digest"`
	Identities []plan.Peer     `json:"identities"`
	Subjects   []fileSubject   `json:"subjects"`
	Decisions  []fileDecision  `json:"decisions"`
	Lists      []fileList      `json:"lists,omitempty"`
	Services   []fileFrontend  `json:"services,omitempty"`
	Waypoints  []plan.Waypoint `json:"waypoints,omitempty"`
}

// Decisions writes the decision part of a plan as JSON.
func Decisions(p *plan.Plan) ([]byte, error) {
	out := fileDecisions{Digest: p.DecisionDigest, Identities: slices.Clone(p.Peers), Waypoints: p.Waypoints}
	sortByID(out.Identities, func(x *plan.Peer) plan.ID { return x.ID })
	for i := range p.Subjects {
		out.Subjects = append(out.Subjects, subject(p, int32(i)))
	}
	sortByID(out.Subjects, func(x *fileSubject) plan.ID { return x.ID })
	decisions, lists := used(p)
	for _, i := range decisions {
		out.Decisions = append(out.Decisions, decision(p, &p.Decisions[i]))
	}
	sortByID(out.Decisions, func(x *fileDecision) plan.ID { return x.ID })
	for _, i := range lists {
		l := fileList{ID: p.Lists[i].ID}
		for _, e := range p.Lists[i].Entries {
			l.Entries = append(l.Entries, fileEntry{e.Conds, outcome(p, &e.Outcome)})
		}
		out.Lists = append(out.Lists, l)
	}
	sortByID(out.Lists, func(x *fileList) plan.ID { return x.ID })
	for i := range p.Frontends {
		out.Services = append(out.Services, frontend(p, &p.Frontends[i]))
	}
	return encode("the decisions", out)
}

// used returns the decisions that some table holds, with what follows their ends, and those decisions' lists. A plan
// that was changed in place holds older ones too.
func used(p *plan.Plan) ([]plan.DecisionIndex, []plan.ListIndex) {
	decisions, lists := map[plan.DecisionIndex]bool{}, map[plan.ListIndex]bool{}
	for i := range p.Subjects {
		for _, t := range p.Subjects[i].Tables {
			for _, d := range t.Decisions {
				for !decisions[d] {
					decisions[d] = true
					x := &p.Decisions[d]
					lists[x.List], lists[x.Audit.List] = true, true
					if x.NotAfter != 0 {
						d = x.Then
					}
				}
			}
		}
	}
	delete(lists, plan.None)
	return slices.Sorted(maps.Keys(decisions)), slices.Sorted(maps.Keys(lists))
}

func sortByID[T any](s []T, id func(*T) plan.ID) {
	slices.SortFunc(s, func(a, b T) int {
		x, y := id(&a), id(&b)
		return slices.Compare(x[:], y[:])
	})
}

func outcome(p *plan.Plan, o *plan.Outcome) fileOutcome {
	out := fileOutcome{Verdict: o.Verdict.String(), Reason: o.Reason.String(), Auth: o.Auth.String()}
	if o.Rule != plan.None {
		out.Rule = &p.Rules[o.Rule].ID
	}
	if o.Policy != plan.None {
		out.Policy = &p.Policies[o.Policy].ID
	}
	if o.List != plan.None {
		out.List = &p.Lists[o.List].ID
	}
	return out
}

func decision(p *plan.Plan, d *plan.Decision) fileDecision {
	out := fileDecision{ID: d.ID, fileOutcome: outcome(p, &d.Outcome), Log: d.Log, NotAfter: d.NotAfter}
	if d.Audit != d.Outcome {
		audit := outcome(p, &d.Audit)
		out.Audit = &audit
	}
	if d.NotAfter != 0 {
		out.Then = &p.Decisions[d.Then].ID
	}
	return out
}

func subject(p *plan.Plan, i int32) fileSubject {
	s := &p.Subjects[i]
	out := fileSubject{ID: s.ID, Enrolled: s.Enrolled, Attached: s.Attached}
	for j := range p.Peers {
		if p.Peers[j].Subject == i {
			out.Pods = append(out.Pods, p.Peers[j].ID)
		}
	}
	sortByID(out.Pods, func(x *plan.ID) plan.ID { return *x })
	out.Egress, out.Ingress = table(p, s.Tables[ir.Egress]), table(p, s.Tables[ir.Ingress])
	return out
}

func table(p *plan.Plan, t *plan.Table) fileTable {
	out := fileTable{ID: t.ID, Rows: map[string]int{}, Classes: t.NumClasses, Cells: t.Cells}
	for i := range p.Peers {
		out.Rows[p.Peers[i].ID.String()] = p.Row(t, plan.PeerIndex(i))
	}
	for i, s := range t.Starts {
		k := plan.PortKey(s)
		out.Ports = append(out.Ports, filePort{fmt.Sprintf("%s %d", k.Space(), k.Number()), t.Classes[i]})
	}
	for _, d := range t.Decisions {
		out.Decisions = append(out.Decisions, p.Decisions[d].ID)
	}
	return out
}

func frontend(p *plan.Plan, f *plan.Frontend) fileFrontend {
	out := fileFrontend{Service: f.Namespace + "/" + f.Service, Port: fmt.Sprintf("%s %d", f.Port.Space(), f.Port.Number())}
	seen := map[plan.ID]bool{}
	for _, b := range f.Backends {
		for _, i := range b.Peers {
			if id := p.Peers[i].ID; !seen[id] {
				seen[id] = true
				out.Backends = append(out.Backends, id)
			}
		}
	}
	sortByID(out.Backends, func(x *plan.ID) plan.ID { return *x })
	return out
}

type filePolicy struct {
	ID       plan.ID    `json:"id"`
	Object   string     `json:"object"`
	Layer    string     `json:"layer"`
	Tier     string     `json:"tier"`
	Priority int32      `json:"priority"`
	Audit    bool       `json:"audit,omitempty"`
	Rules    []fileRule `json:"rules"`
}

type fileRule struct {
	ID        plan.ID   `json:"id"`
	Path      string    `json:"path"`
	Name      string    `json:"name,omitempty"`
	Action    string    `json:"action"`
	Audit     bool      `json:"audit,omitempty"`
	Exception string    `json:"exception,omitempty"`
	Peers     []plan.ID `json:"identities,omitempty"`
}

// Policies writes the policy part of a plan as JSON: every object and rule by its id, and whom each rule names.
func Policies(p *plan.Plan) ([]byte, error) {
	out := struct {
		Digest   string       `json:"digest"`
		Policies []filePolicy `json:"policies"`
	}{Digest: p.PolicyDigest}
	for i := range p.Policies {
		x := &p.Policies[i]
		out.Policies = append(out.Policies, filePolicy{ID: x.ID, Object: x.Object, Layer: x.Layer.String(), Tier: x.Tier.String(), Priority: x.Priority,
			Audit: x.Audit})
	}
	for i := range p.Rules {
		r := &p.Rules[i]
		f := fileRule{ID: r.ID, Path: rulePath(r), Name: r.Name, Action: r.Action.String(), Audit: r.Audit, Exception: r.Exception}
		for j := range p.Peers {
			if r.PeerSet >= 0 && p.PeerSets[r.PeerSet].Has(plan.PeerIndex(j)) {
				f.Peers = append(f.Peers, p.Peers[j].ID)
			}
		}
		sortByID(f.Peers, func(x *plan.ID) plan.ID { return *x })
		out.Policies[r.Policy].Rules = append(out.Policies[r.Policy].Rules, f)
	}
	slices.SortFunc(out.Policies, func(a, b filePolicy) int {
		return cmp.Or(cmp.Compare(a.Layer, b.Layer), cmp.Compare(a.Tier, b.Tier), cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Object, b.Object))
	})
	return encode("the policies", out)
}

func rulePath(r *plan.Rule) string { return fmt.Sprintf("spec.%s[%d]", r.Direction, r.Index) }

// Positions writes the side file that says where each rule and object was read.
func Positions(p *plan.Plan) ([]byte, error) {
	out := map[string]diag.Position{}
	for i := range p.Policies {
		out[p.Policies[i].ID.String()] = p.Policies[i].Pos
	}
	for i := range p.Rules {
		out[p.Rules[i].ID.String()] = p.Rules[i].Pos
	}
	return encode("the positions", out)
}

// NodeNames are the nodes that have a part in the plan, in order.
func NodeNames(p *plan.Plan) []string {
	names := map[string]bool{}
	for i := range p.Nodes {
		names[p.Nodes[i].Name] = true
	}
	for i := range p.Endpoints {
		if n := p.Endpoints[i].Node; n != "" {
			names[n] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func encode(what string, v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", what, err)
	}
	return append(b, '\n'), nil
}
