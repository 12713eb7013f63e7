package analyze

import (
	"cmp"
	"context"

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
	// line is what the row was made of; nil where an end was not understood.
	line *pairLine
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
