package analyze

import (
	"context"
	"slices"
)

// foldEvery is how many rows are looked at between two looks at the context.
const foldEvery = 1 << 12

// rowEnds are the names at the ends of a row.
type rowEnds struct{ from, to string }

// fold leaves out what a wider row says already: blocks of the world beside wider ones and world.
// Where one of those is not let through like the rest, the wider row leaves it out.
func fold(ctx context.Context, rows []Row, ends []reachEnd) ([]Row, error) {
	f := newFolder(rows, ends)
	out := rows[:0]
	for i, r := range rows {
		if i%foldEvery == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		at := rowEnds{r.From, r.To}
		shown := r.From == apiServer || r.To == apiServer // people look for its rows, and it is not all of the nodes
		if !shown && f.wider(at) != at && f.told(at) {
			continue
		}
		for _, part := range f.parts[r.From] {
			f.except(&r, part, rowEnds{part, r.To})
		}
		for _, part := range f.parts[r.To] {
			f.except(&r, part, rowEnds{r.From, part})
		}
		out = append(out, r)
	}
	return out, ctx.Err()
}

// folder knows which ends hold which.
type folder struct {
	ends    map[string]*reachEnd
	widerOf map[string]string
	parts   map[string][]string
	rows    map[rowEnds][]Row
	// same holds what told found.
	same map[rowEnds]bool
}

func newFolder(rows []Row, ends []reachEnd) *folder {
	f := &folder{ends: map[string]*reachEnd{}, widerOf: map[string]string{}, rows: map[rowEnds][]Row{}, same: map[rowEnds]bool{}}
	for i := range ends {
		f.widerOf[ends[i].name], f.ends[ends[i].name] = ends[i].wider(ends), &ends[i]
	}
	f.parts = partsOf(f.widerOf)
	if e := f.ends[apiServer]; e != nil { // on a node and outside, or in several blocks: a part of each
		for _, block := range e.blocks(ends) {
			for w, at := block, ""; w != at; w, at = f.widerOf[w], w {
				if f.ends[w] != nil && !slices.Contains(f.parts[w], apiServer) {
					f.parts[w] = append(f.parts[w], apiServer)
				}
			}
		}
	}
	for _, r := range rows {
		if f.ends[r.From].kind == podsEnd && f.ends[r.To].kind == podsEnd {
			continue // most rows, and nothing wider or narrower is among them
		}
		f.rows[rowEnds{r.From, r.To}] = append(f.rows[rowEnds{r.From, r.To}], r)
	}
	return f
}

func (f *folder) wider(at rowEnds) rowEnds { return rowEnds{f.widerOf[at.from], f.widerOf[at.to]} }

// shared are the address families that two ends share.
func (f *folder) shared(at rowEnds) families {
	return f.ends[at.from].families & f.ends[at.to].families
}

func (f *folder) pods(at rowEnds) foldedPods {
	if f.ends[at.from].kind == podsEnd {
		return foldedPods{f.ends[at.from], true}
	}
	return foldedPods{f.ends[at.to], false}
}

// told reports whether the rows of two ends say what those of the wider ones do.
func (f *folder) told(at rowEnds) bool {
	same, ok := f.same[at]
	if !ok {
		same = sameRows(f.rows[at], f.rows[f.wider(at)], f.pods(at), f.shared(at))
		f.same[at] = same
	}
	return same
}

// except makes a row leave out a part of an end that has rows of its own, or none. The API server's are always there: it is left
// out where the row does not hold for it.
func (f *folder) except(r *Row, part string, at rowEnds) {
	in := f.shared(at)
	switch {
	case holds(r.Except, part, f.widerOf) || in == 0 || r.families&in == 0 && r.Family != "":
	case part == apiServer && r.families&in != 0 && rowsSay(f.rows[at], r, f.pods(at), in):
	case part != apiServer && f.told(at):
	default:
		r.Except = append(r.Except, part)
	}
}

// foldedPods is the end of a row that is pods, where the other one may be a part of something wider.
type foldedPods struct {
	*reachEnd
	source bool
}

// sameRows reports whether a narrower end's rows say the same as a wider one's do of its address families, however either
// are cut.
func sameRows(narrow, wide []Row, pods foldedPods, in families) bool {
	return rowsSayAll(narrow, wide, pods, in) && rowsSayAll(wide, narrow, pods, in)
}

// rowsSayAll reports whether rows say of some families all that others do of them.
func rowsSayAll(rows, others []Row, pods foldedPods, of families) bool {
	for i := range others {
		if others[i].families&of != 0 && !rowsSay(rows, &others[i], pods, of) {
			return false
		}
	}
	return true
}

// rowsSay reports whether rows say of some families all that one does of them: one of the rows alone, or several together.
func rowsSay(rows []Row, r *Row, pods foldedPods, of families) bool {
	of &= r.families
	for i := range rows {
		if n := &rows[i]; sameClaim(n, r) && sameParts(n, r) && of&^n.families == 0 {
			return true
		}
	}
	if r.line == nil {
		return false
	}
	for i := range pods.parts {
		for f := range 2 {
			if of&(1<<f) != 0 && pods.about(r, i, f) && !within(r.line.ranges, pods.ranges(rows, r, i, f)) {
				return false
			}
		}
	}
	return true
}

// ranges are the ports that rows of a row's kind speak of for one part of the pods in one family.
func (p foldedPods) ranges(rows []Row, r *Row, part, family int) []keyRange {
	var out []keyRange
	for i := range rows {
		if n := &rows[i]; n.line != nil && sameClaim(n, r) && p.sameOther(n, r) && p.about(n, part, family) {
			out = append(out, n.line.ranges...)
		}
	}
	return mergeRanges(out)
}

// about reports whether a row is about a part of the pods in one family.
func (p foldedPods) about(r *Row, part, family int) bool {
	only := r.line.to
	if p.source {
		only = r.line.from
	}
	return r.families&(1<<family) != 0 && p.parts[part].peers[family] != nil && (only == nil || slices.Contains(only, part))
}

// sameOther reports whether rows are about the same part of the end that is not the pods.
func (p foldedPods) sameOther(a, b *Row) bool {
	if p.source {
		return slices.Equal(a.ToOnly, b.ToOnly)
	}
	return slices.Equal(a.FromOnly, b.FromOnly)
}

// sameParts reports whether rows are about the same ports of the same parts of their ends.
func sameParts(a, b *Row) bool {
	return slices.Equal(a.Ports, b.Ports) && slices.Equal(a.FromOnly, b.FromOnly) && slices.Equal(a.ToOnly, b.ToOnly)
}

// sameClaim compares all but the ends and the parts of them, the families and the ports.
func sameClaim(a, b *Row) bool {
	return a.Via == b.Via && slices.Equal(a.Requests, b.Requests) && a.DependsOn == b.DependsOn && a.Denied == b.Denied &&
		(a.Audit == nil) == (b.Audit == nil) && (a.Audit == nil || *a.Audit == *b.Audit)
}

// within reports whether ranges lie in others; both are merged.
func within(in, of []keyRange) bool {
	return !slices.ContainsFunc(in, func(k keyRange) bool {
		return !slices.ContainsFunc(of, func(o keyRange) bool { return o.first <= k.first && k.last <= o.last })
	})
}
