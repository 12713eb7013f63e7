package resolve

import (
	"encoding/binary"
	"hash/maphash"
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
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(c.workers(), max(1, len(all))) {
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
	c.placer = newPlacer(c.plan)
	for i := range all {
		for d := range all[i] {
			c.plan.Subjects[i].Tables[d] = c.placer.place(&all[i][d])
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
	seen  map[uint64]bool
	// met counts, by broad class, the identities that the table visited; class holds the classes' keys.
	met   []int32
	class []uint64
	lines map[uint64][]int
	cells []uint16
}

func newWorker(peers int) *worker {
	return &worker{seed: maphash.MakeSeed(), sig: make([]uint64, peers), mark: make([]bool, peers), seen: map[uint64]bool{},
		lines: map[uint64][]int{}}
}

// keys returns the row keys that the identities have in a table with these sets, in order. Of the broad sets it
// asks the classes; of the others it visits the smaller part, whose keys differ from the rest's.
func (w *worker) keys(c *compiler, sets []int32) []string {
	peers := len(c.plan.Peers)
	stride := (len(sets) + 63) / 64
	if stride == 0 {
		return []string{"\x00"}
	}
	if need := stride * peers; cap(w.sig) < need {
		w.sig = make([]uint64, need+need/8)
	}
	for len(w.mark) < peers {
		w.mark = append(w.mark, false)
	}
	sig := w.sig[:cap(w.sig)][:stride*peers]
	base := make([]uint64, stride)
	w.classes(c, sets, stride)
	touched := w.dirty[:0]
	for i, s := range sets {
		word, bit := i>>6, uint64(1)<<(i&63)
		if c.sets.broad.place[s] >= 0 {
			continue
		}
		p := &c.sets.parts[s]
		if p.inverted {
			base[word] |= bit
		}
		for _, k := range p.peers {
			if !w.mark[k] {
				w.mark[k] = true
				touched = append(touched, k)
			}
			sig[int(k)*stride+word] |= bit
		}
	}
	w.dirty = touched
	k := keyWriter{base: base, bytes: (len(sets) + 7) / 8}
	w.emit(&c.sets.broad, sig, stride, &k)
	for _, p := range touched {
		w.mark[p] = false
		clear(sig[int(p)*stride : (int(p)+1)*stride])
	}
	slices.Sort(k.out)
	return slices.Compact(k.out)
}

// classes writes the broad classes' part of a key.
func (w *worker) classes(c *compiler, sets []int32, stride int) {
	b := &c.sets.broad
	n := len(b.bits)
	w.class = slices.Grow(w.class[:0], n*stride)[:n*stride]
	clear(w.class)
	w.met = slices.Grow(w.met[:0], n)[:n]
	clear(w.met)
	for i, s := range sets {
		if at := b.place[s]; at >= 0 {
			for class := range n {
				if b.bits[class].has(int(at)) {
					w.class[class*stride+i>>6] |= 1 << (i & 63)
				}
			}
		}
	}
}

// emit writes the keys of the identities that were visited, and of the classes that hold others.
func (w *worker) emit(b *broadClasses, sig []uint64, stride int, k *keyWriter) {
	clear(w.seen)
	diff := make([]uint64, stride)
	last := uint64(0)
	for _, p := range w.dirty {
		class := int(b.of[p])
		w.met[class]++
		for i := range diff {
			diff[i] = sig[int(p)*stride+i] ^ w.class[class*stride+i]
		}
		if stride > 1 {
			k.add(diff)
			continue
		}
		if d := diff[0]; (d != last || len(k.out) == 0) && !w.seen[d] {
			w.seen[d] = true
			k.add(diff)
		}
		last = diff[0]
	}
	for class := range w.met {
		if w.met[class] < b.size[class] {
			k.add(w.class[class*stride : (class+1)*stride])
		}
	}
}

// keyWriter turns differences into keys.
type keyWriter struct {
	base  []uint64
	bytes int
	out   []string
	seen  map[string]bool
}

func (k *keyWriter) add(diff []uint64) {
	buf := make([]byte, 0, len(k.base)*8)
	for i, v := range k.base {
		buf = binary.LittleEndian.AppendUint64(buf, v^diff[i])
	}
	if k.seen == nil {
		k.seen = map[string]bool{}
	}
	if key := buf[:k.bytes]; !k.seen[string(key)] {
		k.seen[string(key)] = true
		k.out = append(k.out, string(key))
	}
}
