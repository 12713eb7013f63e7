package analyze

import (
	"cmp"
	"context"
	"slices"

	"github.com/weir-mesh/weir/compiler/plan"
)

// Row is one line of what may talk to what. It holds for every pod, node and block that its ends stand for, over each
// address family that they share, but for what Family, FromOnly, ToOnly and Except say.
type Row struct {
	From string `json:"from"`
	To   string `json:"to"`
	// FromOnly and ToOnly are the pods, ns/name, or the nodes that the row is about, where it is not about all.
	FromOnly []string `json:"fromOnly,omitempty"`
	ToOnly   []string `json:"toOnly,omitempty"`
	// Family is IPv4 or IPv6 where the other one is answered otherwise.
	Family string `json:"family,omitempty"`
	// Ports are the connections, written out: TCP 8443, TCP 8000-8080, any.
	Ports []string `json:"ports"`
	// Requests are those that a waypoint lets through; empty where the connection alone decides.
	Requests []string `json:"requests,omitempty"`
	// Via says how it is authenticated, and by which waypoint or exception.
	Via string `json:"via"`
	// Denied says that nothing passes: the row is about what is in audit, which would let it (S30).
	Denied bool `json:"denied,omitempty"`
	// Audit is what would become of it with what is in audit enforced, where that differs (S30).
	Audit *Audit `json:"audit,omitempty"`
	// DependsOn is what is not known and decides whether the row holds: the pod's address (S4), the pod's node.
	DependsOn string `json:"dependsOn,omitempty"`
	// Except are parts of an end that the row does not hold for: blocks of the world, the API server of the nodes.
	Except []string `json:"except,omitempty"`
	// FromPods and ToPods are the pods, ns/name, where From or To stands for many that are alike, or the workloads that
	// share the network of the nodes that it stands for (S1).
	FromPods []string `json:"fromPods,omitempty"`
	ToPods   []string `json:"toPods,omitempty"`

	// fromBut and toBut are what FromOnly and ToOnly leave out; families those in which the row holds.
	fromBut, toBut []string
	families       families
}

// Reach lists what may talk to what: every ordered pair of workloads, of world and nodes with workloads. It ends with
// the context's error when the context does: many workloads make many pairs.
func (n *Names) Reach(ctx context.Context) ([]Row, error) {
	r := newReacher(n)
	ends := r.ends()
	var rows []Row
	for i := range ends {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for j := range ends {
			if j%foldEvery == foldEvery-1 && ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if a, b := &ends[i], &ends[j]; a.kind == podsEnd || b.kind == podsEnd {
				rows = r.pair(rows, a, b)
			}
		}
	}
	return fold(ctx, rows, ends) // in order, as the ends are
}

type reacher struct {
	names *Names
	plan  *plan.Plan
	// places is nil where nothing is in audit that changes an answer.
	places *places
	cache  map[[2]plan.PeerIndex][]span
	// pairs holds the lines of pairs that were looked at, without their names.
	pairs map[pairKey][]pairLine
	// lists are those of way.also; texts are the requests of ways; audits those that were met.
	lists  map[string][]plan.ListIndex
	texts  map[asks]string
	audits map[Audit]*Audit
}

func newReacher(n *Names) *reacher {
	r := &reacher{names: n, plan: n.plan, cache: map[[2]plan.PeerIndex][]span{}, pairs: map[pairKey][]pairLine{},
		lists: map[string][]plan.ListIndex{}, texts: map[asks]string{}, audits: map[Audit]*Audit{}}
	if n.audits {
		r.places = newPlaces(n.plan)
	}
	return r
}

// pairKey is all that the lines of a pair hang on, but for names and for how the kernels authenticate.
type pairKey struct {
	from, to int
	same     bool
}

// pair appends the lines from one end to another.
func (r *reacher) pair(rows []Row, a, b *reachEnd) []Row {
	if b.kind == ownNodeEnd {
		return rows // seen from the pod only as a source (S5)
	}
	if touched := cmp.Or(a.touched, b.touched); touched != "" {
		if a == b && a.pods < 2 {
			return rows
		}
		return append(rows, Row{From: a.name, To: b.name, Ports: []string{"unknown"}, Via: "unknown: " + touched,
			FromPods: a.alike, ToPods: b.alike, families: a.families & b.families})
	}
	key := pairKey{a.class, b.class, a == b}
	found, ok := r.pairs[key]
	if !ok {
		found = r.lines(a, b)
		r.pairs[key] = found
	}
	for i := range found {
		rows = append(rows, found[i].row(a, b))
	}
	return rows
}

// foldEvery is how many rows are looked at between two looks at the context.
const foldEvery = 1 << 12

// rowEnds are the names at the ends of a row.
type rowEnds struct{ from, to string }

// fold leaves out what a wider row says already: blocks of the world beside wider ones and world.
// Where one of those is not let through like the rest, the wider row says so.
func fold(ctx context.Context, rows []Row, ends []reachEnd) ([]Row, error) {
	widerOf, of := map[string]string{}, map[string]*reachEnd{}
	for i := range ends {
		widerOf[ends[i].name], of[ends[i].name] = ends[i].wider(ends), &ends[i]
	}
	parts := partsOf(widerOf)
	if e := of[apiServer]; e != nil { // on a node and outside, or in several blocks: a part of each
		for _, block := range e.blocks(ends) {
			for w, at := block, ""; w != at; w, at = widerOf[w], w {
				if of[w] != nil && !slices.Contains(parts[w], apiServer) {
					parts[w] = append(parts[w], apiServer)
				}
			}
		}
	}
	by := map[rowEnds][]Row{}
	for _, r := range rows {
		if of[r.From].kind == podsEnd && of[r.To].kind == podsEnd {
			continue // most rows, and nothing wider or narrower is among them
		}
		by[rowEnds{r.From, r.To}] = append(by[rowEnds{r.From, r.To}], r)
	}
	out := rows[:0]
	for i, r := range rows {
		if i%foldEvery == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		wide := rowEnds{widerOf[r.From], widerOf[r.To]}
		shown := r.From == apiServer || r.To == apiServer // people look for its rows, and it is not all of the nodes
		in := of[r.From].families & of[r.To].families
		if !shown && wide != (rowEnds{r.From, r.To}) && sameRows(by[rowEnds{r.From, r.To}], by[wide], in) {
			continue
		}
		for _, part := range parts[r.From] {
			if !holds(r.Except, part, widerOf) && !saysSo(by[rowEnds{part, r.To}], &r, of[part].families&of[r.To].families) {
				r.Except = append(r.Except, part)
			}
		}
		for _, part := range parts[r.To] {
			if !holds(r.Except, part, widerOf) && !saysSo(by[rowEnds{r.From, part}], &r, of[part].families&of[r.From].families) {
				r.Except = append(r.Except, part)
			}
		}
		out = append(out, r)
	}
	return out, ctx.Err()
}

// sameRows reports whether a narrower end's rows say the same as a wider one's do of its address families.
func sameRows(narrow, wide []Row, in families) bool {
	left := len(narrow)
	for i := range wide {
		if wide[i].families&in == 0 {
			continue
		}
		same := func(n Row) bool { return sameRow(&n, &wide[i]) && n.families == wide[i].families&in }
		if !slices.ContainsFunc(narrow, same) {
			return false
		}
		left--
	}
	return left == 0
}

// saysSo reports whether what a row says holds of a part of an end: these are the part's own rows, and the families that it
// shares with the other end.
func saysSo(rows []Row, r *Row, of families) bool {
	said := r.families & of
	if said == 0 {
		return of == 0 || r.Family != ""
	}
	return slices.ContainsFunc(rows, func(n Row) bool { return sameRow(&n, r) && said&^n.families == 0 })
}

// sameRow compares all but the ends' names and the families.
func sameRow(a, b *Row) bool {
	return a.sameWay(b) && a.DependsOn == b.DependsOn && slices.Equal(a.Ports, b.Ports) && a.sameAudit(b)
}

// sameWay reports whether rows differ in nothing but families, ports, the ends' names and what is in audit.
func (r *Row) sameWay(o *Row) bool {
	return r.Via == o.Via && slices.Equal(r.Requests, o.Requests) && slices.Equal(r.FromOnly, o.FromOnly) && slices.Equal(r.ToOnly, o.ToOnly)
}

func (r *Row) sameAudit(o *Row) bool {
	return r.Denied == o.Denied && (r.Audit == nil) == (o.Audit == nil) && (r.Audit == nil || *r.Audit == *o.Audit)
}
