package analyze

import (
	"slices"
	"strings"

	"github.com/weir-mesh/weir/compiler/plan"
)

// claim is what a row says of its ports, as people read it.
type claim struct {
	via string
	// attested says that the kernels authenticate: how hangs on the nodes.
	attested bool
	requests string // a line each
	denied   bool
	audit    *Audit // one of reacher.audits
	// depends says that it is so for some identities of an end that is not settled yet.
	depends bool
}

// cell is one part of each end, in one address family: what the rows of a pair are made of.
type cell struct {
	from, to, family int
	// pairs are the identities; several where it is not settled which.
	pairs [][2]plan.PeerIndex
}

// grid is the cells of a pair of ends.
type grid struct {
	from, to int // how many parts
	cells    []cell
	// at finds a cell: its place and 1, or 0 where there is none.
	at []int
}

func (g *grid) cell(from, to, family int) int { return g.at[(from*g.to+to)*2+family] - 1 }

func (r *reacher) grid(a, b *reachEnd) *grid {
	g := &grid{from: len(a.parts), to: len(b.parts), at: make([]int, len(a.parts)*len(b.parts)*2)}
	for i := range a.parts {
		for j := range b.parts {
			if a == b && i == j && a.parts[i].count < 2 {
				continue // one pod talks to itself anyway (S6)
			}
			for family := range 2 {
				c := cell{from: i, to: j, family: family}
				for _, s := range r.sources(a, &a.parts[i], &b.parts[j], family) {
					for _, d := range b.parts[j].peers[family] {
						c.pairs = append(c.pairs, [2]plan.PeerIndex{s, d})
					}
				}
				if c.pairs != nil {
					g.cells = append(g.cells, c)
					g.at[(i*g.to+j)*2+family] = len(g.cells)
				}
			}
		}
	}
	return g
}

// rect is cells that a row can name: parts of either end, and families.
type rect struct {
	from, to []int
	families families
}

// cover names a set of cells by rects that do not overlap and hold no other cell; cells that don't exist may lie in them.
func (g *grid) cover(in []bool) []rect {
	if !slices.Contains(in, false) {
		return []rect{{numbers(g.from), numbers(g.to), bothFamilies}}
	}
	left := slices.Clone(in)
	var out []rect
	for i := range left {
		if !left[i] {
			continue
		}
		best, most := rect{}, 0
		for _, order := range [...][3]side{{byFamily, byFrom, byTo}, {byFrom, byTo, byFamily}, {byTo, byFrom, byFamily}} {
			q := g.grow(left, &g.cells[i], order)
			if n := g.each(&q, func(int) bool { return true }); n > most {
				best, most = q, n
			}
		}
		g.each(&best, func(c int) bool { left[c] = false; return true })
		out = append(out, best)
	}
	return out
}

// side is what a rect can grow by.
type side uint8

const (
	byFamily side = iota
	byFrom
	byTo
)

// grow makes of a cell a rect as large as the cells left allow, in some order of its sides.
func (g *grid) grow(left []bool, c *cell, order [3]side) rect {
	q := rect{from: []int{c.from}, to: []int{c.to}, families: 1 << c.family}
	free := func(q rect) bool { return g.each(&q, func(c int) bool { return left[c] }) >= 0 }
	for _, by := range order {
		switch by {
		case byFamily:
			if free(rect{q.from, q.to, bothFamilies}) {
				q.families = bothFamilies
			}
		case byFrom:
			q.from = slices.DeleteFunc(numbers(g.from), func(i int) bool { return i != c.from && !free(rect{[]int{i}, q.to, q.families}) })
		case byTo:
			q.to = slices.DeleteFunc(numbers(g.to), func(i int) bool { return i != c.to && !free(rect{q.from, []int{i}, q.families}) })
		}
	}
	return q
}

// each calls a function for each cell of a rect and returns how many there are; -1 where it is false for one.
func (g *grid) each(q *rect, f func(c int) bool) int {
	n := 0
	for _, i := range q.from {
		for _, j := range q.to {
			for family := range 2 {
				if q.families&(1<<family) == 0 {
					continue
				}
				if c := g.cell(i, j, family); c >= 0 {
					if !f(c) {
						return -1
					}
					n++
				}
			}
		}
	}
	return n
}

func numbers(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// held is where a claim holds: ranges of ports by cell.
type held [][]keyRange

// cut cuts the ports of a claim into sets that hold for the same cells.
func (h held) cut() (sets [][]bool, ports [][]keyRange) {
	var starts []uint32
	for _, ranges := range h {
		for _, k := range ranges {
			starts = append(starts, k.first, k.last+1)
		}
	}
	slices.Sort(starts)
	starts = slices.Compact(starts)
	next := make([]int, len(h)) // each cell's first range that is not left behind
	at := map[string]int{}
	for i := range starts[:len(starts)-1] {
		in, key := make([]bool, len(h)), make([]byte, len(h))
		found := false
		for c, ranges := range h {
			for next[c] < len(ranges) && ranges[next[c]].last < starts[i] {
				next[c]++
			}
			if next[c] < len(ranges) && ranges[next[c]].first <= starts[i] {
				in[c], key[c], found = true, 1, true
			}
		}
		if !found {
			continue
		}
		j, ok := at[string(key)]
		if !ok {
			j = len(sets)
			at[string(key)] = j
			sets, ports = append(sets, in), append(ports, nil)
		}
		ports[j] = append(ports[j], keyRange{starts[i], starts[i+1] - 1})
	}
	return sets, ports
}

// pairLine is a row of a pair of ends without their names, which other pairs have, too.
type pairLine struct {
	Row
	attested bool
	ranges   []keyRange // of Ports, in order
	// from and to are the parts that it is about; nil for all. fromAll and toAll hold those, too, that meet none of the
	// other end's.
	from, to, fromAll, toAll []int
}

// row names the ends.
func (l *pairLine) row(a, b *reachEnd) Row {
	out := l.Row
	out.line = l
	out.From, out.To, out.FromPods, out.ToPods = a.name, b.name, a.alike, b.alike
	out.FromOnly, out.fromBut = a.only(l.from, l.fromAll)
	out.ToOnly, out.toBut = b.only(l.to, l.toAll)
	if l.attested {
		out.Via = attested(meet(a.nodesOf(l.from), b.nodesOf(l.to)))
	}
	return out
}

// only names some parts of an end, and those not among all; nothing where there are none of those.
func (e *reachEnd) only(parts, all []int) (names, but []string) {
	if parts == nil {
		return nil, nil
	}
	for i := range e.parts {
		switch {
		case slices.Contains(parts, i):
			names = append(names, e.parts[i].names...)
		case !slices.Contains(all, i):
			but = append(but, e.parts[i].names...)
		}
	}
	slices.Sort(names)
	slices.Sort(but)
	return names, but
}

func distinct(s []int) []int {
	slices.Sort(s)
	return slices.Compact(s)
}

func (e *reachEnd) nodesOf(parts []int) []string {
	if parts == nil {
		return e.nodes
	}
	var out []string
	for _, i := range parts {
		out = append(out, e.parts[i].nodes...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// lines makes the lines of a pair. What holds for all cells is a line without limits.
func (r *reacher) lines(a, b *reachEnd) []pairLine {
	g := r.grid(a, b)
	found := map[claim]held{}
	var order []claim
	for i := range g.cells {
		r.claims(&g.cells[i], func(c claim, k []keyRange) {
			h, ok := found[c]
			if !ok {
				h = make(held, len(g.cells))
				found[c] = h
				order = append(order, c)
			}
			h[i] = mergeRanges(append(h[i], k...))
		})
	}
	var out []pairLine
	for _, c := range order {
		out = append(out, r.claimLines(a, b, g, &c, found[c])...)
	}
	return out
}

// claims hands on what is said of a cell, and of which ports.
func (r *reacher) claims(c *cell, say func(claim, []keyRange)) {
	var all []map[claim][]keyRange
	var order []claim
	for _, pair := range c.pairs {
		of := map[claim][]keyRange{}
		for _, s := range r.spans(pair[0], pair[1]) {
			k := claim{requests: r.requestsText(s.way.asks), denied: s.way.denied, audit: s.way.audit}
			k.via, k.attested = r.via(&s.way, pair[1])
			of[k] = append(of[k], s.keyRange)
			if !slices.Contains(order, k) {
				order = append(order, k)
			}
		}
		all = append(all, of)
	}
	for _, k := range order {
		var by held
		for _, of := range all {
			by = append(by, mergeRanges(of[k]))
		}
		sets, ports := by.cut()
		for i, in := range sets {
			k.depends = slices.Contains(in, false)
			say(k, ports[i])
		}
	}
}

// requestsText is requests as one text.
func (r *reacher) requestsText(w asks) string {
	if w == asksNothing {
		return ""
	}
	text, ok := r.texts[w]
	if !ok {
		text = strings.Join(r.requests(w), "\n")
		r.texts[w] = text
	}
	return text
}

// claimLines are the lines that say one claim.
func (r *reacher) claimLines(a, b *reachEnd, g *grid, c *claim, h held) []pairLine {
	sets, ports := h.cut()
	var out []pairLine
	var ranges [][]keyRange // of each line
	for i, in := range sets {
		for _, q := range g.cover(in) {
			l := c.line(a, b, g, &q)
			j := slices.IndexFunc(out, func(o pairLine) bool {
				return slices.Equal(o.from, l.from) && slices.Equal(o.to, l.to) && o.families == l.families && o.Family == l.Family
			})
			if j < 0 {
				j = len(out)
				out, ranges = append(out, l), append(ranges, nil)
			}
			ranges[j] = append(ranges[j], ports[i]...)
		}
	}
	for i := range out {
		out[i].ranges = mergeRanges(ranges[i])
		out[i].Ports = rangesText(out[i].ranges)
	}
	return out
}

// line says a claim of a rect.
func (c *claim) line(a, b *reachEnd, g *grid, q *rect) pairLine {
	l := pairLine{attested: c.attested, Row: Row{Via: c.via, Denied: c.denied, Audit: c.audit}}
	if c.requests != "" {
		l.Requests = strings.Split(c.requests, "\n")
	}
	if q.families != bothFamilies {
		l.Family = (v4 + family(q.families>>1)).String()
	}
	var from, to []int // those that meet
	g.each(q, func(i int) bool {
		at := &g.cells[i]
		l.families |= 1 << at.family
		from, to = append(from, at.from), append(to, at.to)
		return true
	})
	if len(q.from) < g.from {
		l.from, l.fromAll = distinct(from), q.from
	}
	if len(q.to) < g.to {
		l.to, l.toAll = distinct(to), q.to
	}
	if c.depends {
		l.DependsOn = dependsOn(a, b, q)
	}
	return l
}

// dependsOn says what is not settled about the ends of a rect.
func dependsOn(a, b *reachEnd, q *rect) string {
	unplaced := func(e *reachEnd, parts []int) bool {
		return slices.ContainsFunc(parts, func(i int) bool { return e.parts[i].unplaced })
	}
	unscheduled := func(e *reachEnd, parts []int) bool {
		return slices.ContainsFunc(parts, func(i int) bool { return e.parts[i].class == notScheduled })
	}
	switch {
	case unplaced(a, q.from) || unplaced(b, q.to):
		return "the pod's address"
	case a.kind == apiServerEnd && unscheduled(b, q.to):
		return "the pod's node"
	}
	return "which of its addresses is used"
}
