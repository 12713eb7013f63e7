package resolve

import (
	"hash/maphash"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// buildTables compiles both sides of every subject, and then gives decisions and lists their places in the plan, in
// the order of the subjects, whatever order the workers finished in.
func (c *compiler) buildTables() {
	all := make([][ir.NumDirections]built, len(c.plan.Subjects))
	workers := c.in.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(workers, max(1, len(all))) {
		wg.Go(func() {
			w := newWorker(len(c.plan.Peers))
			for i := int(next.Add(1)) - 1; i < len(all); i = int(next.Add(1)) - 1 {
				for d := range ir.NumDirections {
					all[i][d] = c.build(&c.subjects.list[i], d, w)
				}
			}
		})
	}
	wg.Wait()
	p := newPlacer(c.plan)
	for i := range all {
		for d := range all[i] {
			c.plan.Subjects[i].Tables[d] = p.place(&all[i][d])
			c.report(&c.plan.Subjects[i], &all[i][d].found)
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
		d.List = p.list(b.decisions[i].entries)
		d.Audit.List = p.list(b.decisions[i].auditEntries)
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

func (p *placer) list(entries []plan.Entry) plan.ListIndex {
	if entries == nil {
		return plan.None
	}
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

// worker holds what one goroutine uses again from table to table.
type worker struct {
	seed  maphash.Seed
	sig   []uint64 // a key for each identity, stride words each
	mark  []bool
	dirty []int32
}

func newWorker(peers int) *worker {
	return &worker{seed: maphash.MakeSeed(), sig: make([]uint64, peers), mark: make([]bool, peers)}
}

// keys returns the row keys that the identities have in a table with these sets, in order. It visits the smaller
// part of each set: a key is written as its difference from that of an identity in every larger set and no smaller.
func (w *worker) keys(c *compiler, sets []int32) []string {
	peers := len(c.plan.Peers)
	stride := (len(sets) + 63) / 64
	if stride == 0 {
		return []string{"\x00"}
	}
	if need := stride * peers; cap(w.sig) < need {
		w.sig = make([]uint64, need)
	}
	sig := w.sig[:stride*peers]
	base := make([]uint64, stride)
	touched := w.dirty[:0]
	for i, s := range sets {
		in := bitset(c.plan.PeerSets[s].Bits)
		members, inverted := smaller(in, c.index.all, peers)
		if inverted {
			base[i>>6] |= 1 << (i & 63)
		}
		members.each(func(p int) {
			if !w.mark[p] {
				w.mark[p] = true
				touched = append(touched, int32(p))
			}
			sig[p*stride+i>>6] |= 1 << (i & 63)
		})
	}
	out := distinct(sig, base, touched, stride, peers-1 > len(touched), len(sets))
	for _, p := range touched {
		w.mark[p] = false
		clear(sig[int(p)*stride : (int(p)+1)*stride])
	}
	w.dirty = touched
	return out
}

// smaller returns a set or, when that has fewer members, what is not in it (the unknown peer is in neither).
func smaller(in, all bitset, peers int) (bitset, bool) {
	n := 0
	for _, w := range in {
		n += popcount(w)
	}
	if 2*n <= peers {
		return in, false
	}
	out := all.clone()
	out.andNot(in)
	return out, true
}

// distinct turns differences into keys.
func distinct(sig, base []uint64, touched []int32, stride int, rest bool, bits int) []string {
	seen := map[string]bool{}
	buf := make([]byte, 0, stride*8)
	var last []uint64
	var out []string
	emit := func(diff []uint64) {
		buf = buf[:0]
		for i := range base {
			v := base[i]
			if diff != nil {
				v ^= diff[i]
			}
			for range 8 {
				buf, v = append(buf, byte(v)), v>>8
			}
		}
		k := buf[:(bits+7)/8]
		if !seen[string(k)] {
			s := string(k)
			seen[s] = true
			out = append(out, s)
		}
	}
	if rest {
		emit(nil)
	}
	recent := map[uint64]bool{}
	for _, p := range touched {
		d := sig[int(p)*stride : (int(p)+1)*stride]
		if stride == 1 {
			if last != nil && last[0] == d[0] || recent[d[0]] {
				last = d
				continue
			}
			recent[d[0]] = true
		}
		last = d
		emit(d)
	}
	slices.Sort(out)
	return out
}
