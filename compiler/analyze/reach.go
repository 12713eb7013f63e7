package analyze

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// Row is one line of what may talk to what.
type Row struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Ports are the connections, written out: TCP 8443, TCP 8000-8080, any.
	Ports []string `json:"ports"`
	// Requests are those that a waypoint lets through; empty where the connection alone decides.
	Requests []string `json:"requests,omitempty"`
	// Via says how it is authenticated, and by which waypoint or exception.
	Via string `json:"via"`
	// Except are parts of an end that the row does not hold for: blocks of the world, the API server of the nodes.
	Except []string `json:"except,omitempty"`
	// FromPods and ToPods are the pods, ns/name, where From or To stands for many that are alike, or the workloads that
	// share the network of the nodes that it stands for (S1).
	FromPods []string `json:"fromPods,omitempty"`
	ToPods   []string `json:"toPods,omitempty"`
}

// keyRange is a range of port keys, both ends included.
type keyRange struct{ first, last uint32 }

// span is a range that is allowed in one way.
type span struct {
	keyRange
	way way
}

// way is how a connection is allowed; two spans of one way are one line.
type way struct {
	auth             plan.Auth
	egress, ingress  plan.ListIndex
	exceptE, exceptI plan.RuleIndex
	also             string // the lists of reacher.lists that a request has to pass besides
}

// Reach lists what may talk to what: every ordered pair of workloads, of world and nodes with workloads. It ends with
// the context's error when the context does: many workloads make many pairs.
func (n *Names) Reach(ctx context.Context) ([]Row, error) {
	r := &reacher{names: n, plan: n.plan, cache: map[[2]plan.PeerIndex][]span{}, pairs: map[pairKey][]Row{}, lists: map[string][]plan.ListIndex{}}
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
			if a, b := &ends[i], &ends[j]; (a.pod || b.pod) && (i != j || a.pods > 1) {
				rows = r.pair(rows, a, b)
			}
		}
	}
	return fold(ctx, rows, ends) // in order, as the ends are
}

type reacher struct {
	names *Names
	plan  *plan.Plan
	cache map[[2]plan.PeerIndex][]span
	// pairs holds the lines of pairs that were looked at, without their names.
	pairs map[pairKey][]Row
	// lists are those of way.also.
	lists map[string][]plan.ListIndex
}

// pairKey is all that the lines of a pair hang on, but for the names.
type pairKey struct {
	from, to int
	// together and apart are what meet says.
	together, apart bool
}

// pair appends the lines from one end to another.
func (r *reacher) pair(rows []Row, a, b *reachEnd) []Row {
	if b.ownNode {
		return rows // seen from the pod only as a source (S5)
	}
	if touched := cmp.Or(a.touched, b.touched); touched != "" {
		return r.named(rows, []Row{{Ports: []string{"unknown"}, Via: "unknown: " + touched}}, a, b)
	}
	if a.hosts != nil { // which node is whose own hangs on the pods of b
		return r.named(rows, r.lines(a, b, ""), a, b)
	}
	key := pairKey{from: a.class, to: b.class}
	key.together, key.apart = meet(a.nodes, b.nodes)
	found, ok := r.pairs[key]
	if !ok {
		found = r.lines(a, b, attested(key.together, key.apart))
		r.pairs[key] = found
	}
	return r.named(rows, found, a, b)
}

// named appends lines with the names of their ends.
func (r *reacher) named(rows, found []Row, a, b *reachEnd) []Row {
	for _, row := range found {
		row.From, row.To, row.FromPods, row.ToPods = a.name, b.name, a.alike, b.alike
		rows = append(rows, row)
	}
	return rows
}

// lines makes the lines of a pair, without names; how is how its kernels authenticate.
func (r *reacher) lines(a, b *reachEnd, how string) []Row {
	byWay := map[way][]keyRange{}
	var order []way
	for _, d := range b.peers {
		for _, s := range r.sources(a, b, d) {
			if !r.sameFamily(s, d) {
				continue
			}
			for _, sp := range r.spans(s, d) {
				if _, ok := byWay[sp.way]; !ok {
					order = append(order, sp.way)
				}
				byWay[sp.way] = append(byWay[sp.way], sp.keyRange)
			}
		}
	}
	var rows []Row
	for _, w := range order {
		rows = append(rows, Row{Ports: rangesText(mergeRanges(byWay[w])), Requests: r.requests(w), Via: r.via(w, b, how)})
	}
	return joinRows(rows)
}

// foldEvery is how many rows are looked at between two looks at the context.
const foldEvery = 1 << 12

// rowEnds are the names at the ends of a row.
type rowEnds struct{ from, to string }

// fold leaves out what a wider row says already: blocks of the world beside wider ones and world.
// Where one of those is not let through like the rest, the wider row says so.
func fold(ctx context.Context, rows []Row, ends []reachEnd) ([]Row, error) {
	widerOf, pods := map[string]string{}, map[string]bool{}
	for i := range ends {
		widerOf[ends[i].name], pods[ends[i].name] = ends[i].wider(ends), ends[i].pod
	}
	parts := partsOf(widerOf)
	by := map[rowEnds][]Row{}
	for _, r := range rows {
		if pods[r.From] && pods[r.To] {
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
		if !shown && wide != (rowEnds{r.From, r.To}) && slices.EqualFunc(by[rowEnds{r.From, r.To}], by[wide], sameRow) {
			continue
		}
		for _, part := range parts[r.From] {
			if !holds(r.Except, part, widerOf) && !slices.ContainsFunc(by[rowEnds{part, r.To}], func(n Row) bool { return sameRow(n, r) }) {
				r.Except = append(r.Except, part)
			}
		}
		for _, part := range parts[r.To] {
			if !holds(r.Except, part, widerOf) && !slices.ContainsFunc(by[rowEnds{r.From, part}], func(n Row) bool { return sameRow(n, r) }) {
				r.Except = append(r.Except, part)
			}
		}
		out = append(out, r)
	}
	return out, ctx.Err()
}

func sameRow(a, b Row) bool {
	return a.Via == b.Via && slices.Equal(a.Ports, b.Ports) && slices.Equal(a.Requests, b.Requests)
}

// joinRows makes one line of lines that differ in nothing but their ports.
func joinRows(rows []Row) []Row {
	var out []Row
	for _, row := range rows {
		i := slices.IndexFunc(out, func(o Row) bool { return o.Via == row.Via && slices.Equal(o.Requests, row.Requests) })
		if i < 0 {
			out = append(out, row)
			continue
		}
		for _, p := range row.Ports {
			if !slices.Contains(out[i].Ports, p) {
				out[i].Ports = append(out[i].Ports, p)
			}
		}
	}
	return out
}

// sameFamily reports whether two identities can be of one address family.
func (r *reacher) sameFamily(a, b plan.PeerIndex) bool {
	fa, fb := r.family(a), r.family(b)
	return fa == anyFamily || fb == anyFamily || fa == fb
}

func (r *reacher) family(i plan.PeerIndex) family {
	if p := &r.plan.Peers[i]; p.Kind == plan.WorldPeer {
		return addrFamily(p.Prefix.Addr())
	}
	return r.names.peerFamily[i]
}

// spans lists what is allowed from one identity to another, in ranges of ports with one answer.
func (r *reacher) spans(s, d plan.PeerIndex) []span {
	if out, ok := r.cache[[2]plan.PeerIndex{s, d}]; ok {
		return out
	}
	var out []span
	starts := r.starts(s, d)
	for i, first := range starts {
		last := uint32(ir.NumSpaces)<<16 - 1
		if i+1 < len(starts) {
			last = starts[i+1] - 1
		}
		a := r.plan.Decide(plan.Flow{Src: plan.NewEnd(s), Dst: plan.NewEnd(d), Port: plan.PortKey(first)})
		if a.Verdict == plan.Deny {
			continue
		}
		w := way{auth: a.Auth, egress: plan.None, ingress: plan.None, exceptE: r.exception(&a.Egress), exceptI: r.exception(&a.Ingress)}
		if a.Verdict == plan.Redirect {
			w.egress, w.ingress = a.Egress.List, a.Ingress.List
			lists, ok := r.sharing(plan.Flow{Src: plan.NewEnd(s), Dst: plan.NewEnd(d), Port: plan.PortKey(first)})
			if !ok {
				continue
			}
			w.also = r.keep(lists)
		}
		if n := len(out); n > 0 && out[n-1].way == w && out[n-1].last+1 == first {
			out[n-1].last = last
			continue
		}
		out = append(out, span{keyRange{first, last}, w})
	}
	r.cache[[2]plan.PeerIndex{s, d}] = out
	return out
}

// starts are the first keys of the ranges in which neither side's answer changes.
func (r *reacher) starts(s, d plan.PeerIndex) []uint32 {
	out := []uint32{0}
	for side, p := range []plan.PeerIndex{s, d} {
		if sub := r.plan.SubjectOf(p); sub != nil {
			out = append(out, sub.Tables[ir.Direction(side)].Starts...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (r *reacher) exception(d *plan.Decision) plan.RuleIndex {
	if d.Rule != plan.None && r.plan.Rules[d.Rule].Exception != "" {
		return d.Rule
	}
	return plan.None
}

// via says how a connection is authenticated (S18 to S20), and who decides its requests.
func (r *reacher) via(w way, b *reachEnd, how string) string {
	var parts []string
	switch w.auth {
	case plan.AuthRequired:
		if w.egress != plan.None || w.ingress != plan.None {
			parts = append(parts, "mTLS") // with the waypoint, wherever it runs
		} else {
			parts = append(parts, how)
		}
	case plan.AuthPlaintext:
		for _, i := range append([]plan.RuleIndex{w.exceptE, w.exceptI}, r.allowing(w)...) {
			if i == plan.None || r.plan.Rules[i].Exception == "" {
				continue
			}
			if text := "exception " + exceptionText(r.plan, i); !slices.Contains(parts, text) {
				parts = append(parts, text)
			}
		}
	default:
		parts = append(parts, "not authenticated")
	}
	if w.egress != plan.None || w.ingress != plan.None {
		if wp := r.plan.Peers[b.peers[0]].Waypoint; wp >= 0 {
			parts = append(parts, "waypoint "+r.plan.Waypoints[wp].Name())
		}
	}
	return strings.Join(parts, ", ")
}

func mergeRanges(in []keyRange) []keyRange {
	slices.SortFunc(in, func(a, b keyRange) int { return cmp.Compare(a.first, b.first) })
	var out []keyRange
	for _, k := range in {
		if n := len(out); n > 0 && k.first <= out[n-1].last+1 {
			out[n-1].last = max(out[n-1].last, k.last)
			continue
		}
		out = append(out, k)
	}
	return out
}

// rangesText writes ranges of port keys: "any" for everything, whole protocols by name.
func rangesText(in []keyRange) []string {
	if len(in) == 1 && in[0].first == 0 && in[0].last == uint32(ir.NumSpaces)<<16-1 {
		return []string{"any"}
	}
	var out []string
	for _, k := range in {
		for s := k.first >> 16; s <= k.last>>16; s++ {
			first, last := max(k.first, s<<16), min(k.last, s<<16|0xffff)
			out = append(out, spaceText(ir.Space(s), uint16(first), uint16(last)))
		}
	}
	return out
}

func spaceText(s ir.Space, first, last uint16) string {
	if s == ir.OtherProtocol {
		last = min(last, 255)
		if first == 0 && last == 255 {
			return "any other IP protocol"
		}
	}
	return portText(ir.Port{Space: s, First: first, Last: last})
}
