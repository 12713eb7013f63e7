package analyze

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// Lines lists what may talk to what in the form "FROM => TO : PORTS", one line a pair, sorted. A workload is
// ns/name[Kind]; what lies outside the cluster is shown as ranges, a-b[External], cut where a block begins or ends
// that some rule of that direction names. A connection within one workload is left out. PORTS is "All Connections"
// where every port of TCP, UDP and SCTP is open: the form knows no other protocol.
//
// A workload whose pods differ shows what any of them may do. IPv6 ranges appear when some rule names one.
func Lines(p *plan.Plan) []string {
	l := &lineWriter{plan: p, known: map[[2]plan.PeerIndex]portSet{}}
	ws := l.workloads()
	for _, from := range ws {
		for _, to := range ws {
			if from.name != to.name {
				l.add(from.name, to.name, l.between(from, to))
			}
		}
	}
	for family := range 2 {
		ranges := worldRanges(p, family)
		for _, d := range []ir.Direction{ir.Ingress, ir.Egress} {
			l.external(ws, cutRanges(ranges, blocksOf(p, d)), d)
		}
	}
	slices.Sort(l.lines)
	return l.lines
}

// lineWriter holds one listing's state.
type lineWriter struct {
	plan  *plan.Plan
	lines []string
	// known holds the open ports from one identity to another.
	known map[[2]plan.PeerIndex]portSet
}

func (l *lineWriter) add(from, to, ports string) {
	if ports != "" {
		l.lines = append(l.lines, from+" => "+to+" : "+ports)
	}
}

// workloadEnds are the identities of a workload's pods, by family; both where a pod has no address yet.
type workloadEnds struct {
	name  string
	peers [2][]plan.PeerIndex
}

func (l *lineWriter) workloads() []*workloadEnds {
	byName := map[string]*workloadEnds{}
	var out []*workloadEnds
	for i := range l.plan.Endpoints {
		e := &l.plan.Endpoints[i]
		kind, name, _ := strings.Cut(e.Workload, "/")
		key := e.Namespace + "/" + name + "[" + kind + "]"
		w := byName[key]
		if w == nil {
			w = &workloadEnds{name: key}
			byName[key] = w
			out = append(out, w)
		}
		for j, peer := range e.Peers {
			for family := range 2 {
				if j < len(e.Addrs) && e.Addrs[j].Is4() != (family == 0) || slices.Contains(w.peers[family], peer) {
					continue
				}
				w.peers[family] = append(w.peers[family], peer)
			}
		}
	}
	return out
}

func (l *lineWriter) between(from, to *workloadEnds) string {
	var all portSet
	for family := range 2 {
		for _, src := range from.peers[family] {
			for _, dst := range to.peers[family] {
				all = all.union(l.open(src, dst))
			}
		}
	}
	return all.String()
}

// external adds the lines of one direction between workloads and ranges.
func (l *lineWriter) external(ws []*workloadEnds, ranges []worldRange, d ir.Direction) {
	signatures := map[plan.PeerIndex][]string{}
	for _, r := range ranges {
		sig, ok := signatures[r.peer]
		if !ok {
			sig = l.signature(ws, r, d)
			signatures[r.peer] = sig
		}
		name := fmt.Sprintf("%s-%s[External]", r.first, r.last)
		for j, w := range ws {
			if d == ir.Ingress {
				l.add(name, w.name, sig[j])
			} else {
				l.add(w.name, name, sig[j])
			}
		}
	}
}

// signature holds, for each workload, what is open between it and the range.
func (l *lineWriter) signature(ws []*workloadEnds, r worldRange, d ir.Direction) []string {
	out := make([]string, len(ws))
	for i, w := range ws {
		var all portSet
		for _, peer := range w.peers[r.family()] {
			if d == ir.Ingress {
				all = all.union(l.open(r.peer, peer))
			} else {
				all = all.union(l.open(peer, r.peer))
			}
		}
		out[i] = all.String()
	}
	return out
}

// open is what one identity may open to another. Both ends' tables change only at their intervals' starts, so the
// plan is asked once for each.
func (l *lineWriter) open(src, dst plan.PeerIndex) portSet {
	key := [2]plan.PeerIndex{src, dst}
	if s, ok := l.known[key]; ok {
		return s
	}
	var starts []uint32
	if s := l.plan.SubjectOf(src); s != nil {
		starts = append(starts, s.Tables[ir.Egress].Starts...)
	}
	if s := l.plan.SubjectOf(dst); s != nil {
		starts = append(starts, s.Tables[ir.Ingress].Starts...)
	}
	for space := range shownSpaces {
		starts = append(starts, uint32(plan.Key(ir.Space(space), 1)))
	}
	slices.Sort(starts)
	starts = slices.Compact(starts)
	var out portSet
	for i, start := range starts {
		k := plan.PortKey(start)
		if k.Space() >= shownSpaces {
			break
		}
		end := uint32(plan.Key(k.Space(), 65535))
		if i+1 < len(starts) {
			end = min(end, starts[i+1]-1)
		}
		a := l.plan.Decide(plan.Flow{Src: plan.NewEnd(src), Dst: plan.NewEnd(dst), Port: k})
		if a.Verdict != plan.Deny {
			out.append(k, uint16(end&0xffff))
		}
	}
	l.known[key] = out
	return out
}
