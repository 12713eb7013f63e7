package analyze

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// ReachLines writes what may talk to what in the form "FROM => TO : PORTS", one line a pair, sorted. A workload is
// ns/name[Kind]; what lies outside the cluster is shown as ranges, a-b[External], cut where a block begins or ends
// that some rule of that direction names. A connection within one workload is left out. PORTS is "All Connections"
// where every port of TCP, UDP and SCTP is open: the form knows no other protocol.
//
// A workload whose pods differ shows what any of them may do, over any address family. IPv6 ranges appear when some rule
// names one. What the form can't say is returned, a sentence each. It ends with its context: many workloads make many lines.
func ReachLines(ctx context.Context, w io.Writer, n *Names) (unsaid []string, err error) {
	out := newListing(ctx, w)
	l := newLineWriter(n.plan)
	if err := l.each(func(line string) error {
		_, _ = out.WriteString(line)
		_ = out.WriteByte('\n')
		return out.failed()
	}); err != nil {
		return nil, err
	}
	if l.partial {
		unsaid = append(unsaid, "some of these lines hold for a part of a workload's pods or for one address family only")
	}
	if n.audits {
		unsaid = append(unsaid, "what is in audit would change some of these lines")
	}
	return unsaid, out.end()
}

// Lines returns what ReachLines writes.
func Lines(p *plan.Plan) []string {
	var out []string
	_ = newLineWriter(p).each(func(line string) error { out = append(out, line); return nil }) // only its function's errors end it
	return out
}

// each hands the lines on in order, until one is refused. Lines are sorted by sorting their ends: no name is the
// beginning of another, for each ends in its kind.
func (l *lineWriter) each(emit func(string) error) error {
	p, ws := l.plan, l.workloads()
	from := map[string]func() []string{}
	var egress []external
	for family := range 2 {
		ranges := worldRanges(p, family)
		for _, e := range l.external(ws, cutRanges(ranges, blocksOf(p, ir.Ingress)), ir.Ingress) {
			from[e.name] = func() []string { return e.from(ws) }
		}
		egress = append(egress, l.external(ws, cutRanges(ranges, blocksOf(p, ir.Egress)), ir.Egress)...)
	}
	for i, w := range ws {
		from[w.name] = func() []string { return l.fromWorkload(ws, i, egress) }
	}
	for _, name := range slices.Sorted(maps.Keys(from)) {
		for _, line := range from[name]() {
			if err := emit(line); err != nil {
				return err
			}
		}
	}
	return nil
}

// lineWriter holds one listing's state.
type lineWriter struct {
	plan  *plan.Plan
	hosts *nodeIndex
	// known holds the open ports from one identity to another; pairs the text between two classes of workloads.
	known map[[2]plan.PeerIndex]portSet
	pairs map[[2]int]string
	// partial says that not all that a line is about were let through alike.
	partial bool
}

func newLineWriter(p *plan.Plan) *lineWriter {
	return &lineWriter{plan: p, hosts: newNodeIndex(p), known: map[[2]plan.PeerIndex]portSet{}, pairs: map[[2]int]string{}}
}

// any is what is open on one of several ways.
func (l *lineWriter) any(ways []portSet) string {
	var all portSet
	for i, s := range ways {
		all = all.union(s)
		l.partial = l.partial || i > 0 && s.String() != ways[0].String()
	}
	return all.String()
}

// line writes a line; "" where nothing is open.
func line(from, to, ports string) string {
	if ports == "" {
		return ""
	}
	return from + " => " + to + " : " + ports
}

// inOrder sorts lines and leaves out what is empty.
func inOrder(lines []string) []string {
	slices.Sort(lines)
	return slices.DeleteFunc(lines, func(s string) bool { return s == "" })
}

// fromWorkload are the lines from one workload.
func (l *lineWriter) fromWorkload(ws []*workloadEnds, i int, egress []external) []string {
	var out []string
	for j, to := range ws {
		if i != j {
			out = append(out, line(ws[i].name, to.name, l.between(ws[i], to)))
		}
	}
	for _, e := range egress {
		out = append(out, line(ws[i].name, e.name, e.ports[i]))
	}
	return inOrder(out)
}

// workloadEnds are the identities of a workload's pods, by family; both where a pod has no address yet.
type workloadEnds struct {
	name  string
	peers [2][]plan.PeerIndex
	// nodes are the addresses of pods with their node's network; endpoints are all of its pods.
	nodes     []*nodeAddr
	endpoints []int32
	// class is one number for all workloads with the same identities.
	class int
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
		w.endpoints = append(w.endpoints, int32(i))
		for j, peer := range e.Peers {
			if n := l.nodeOf(e, j); n != nil {
				w.nodes = append(w.nodes, n)
			}
			for family := range 2 {
				if j < len(e.Addrs) && e.Addrs[j].Is4() != (family == 0) || slices.Contains(w.peers[family], peer) {
					continue
				}
				w.peers[family] = append(w.peers[family], peer)
			}
		}
	}
	classes := map[string]int{}
	for _, w := range out {
		key := fmt.Sprint(w.peers)
		if _, ok := classes[key]; !ok {
			classes[key] = len(classes)
		}
		w.class = classes[key]
	}
	return out
}

// nodeOf is the node whose address a pod has, if it has its node's network.
func (l *lineWriter) nodeOf(e *plan.Endpoint, address int) *nodeAddr {
	if !e.HostNetwork || address >= len(e.Addrs) {
		return nil
	}
	return l.hosts.at(e.Addrs[address])
}

func (l *lineWriter) between(from, to *workloadEnds) string {
	if from.nodes != nil {
		return l.fromNodes(from, to)
	}
	key := [2]int{from.class, to.class}
	if text, ok := l.pairs[key]; ok {
		return text
	}
	var ways []portSet
	for family := range 2 {
		for _, src := range from.peers[family] {
			for _, dst := range to.peers[family] {
				ways = append(ways, l.open(src, dst))
			}
		}
	}
	l.pairs[key] = l.any(ways)
	return l.pairs[key]
}

// fromNodes is what pods with their nodes' network may open: to pods of the same node they are its own (S5).
func (l *lineWriter) fromNodes(from, to *workloadEnds) string {
	var ways []portSet
	for _, n := range from.nodes {
		family := 0
		if !n.addr.Is4() {
			family = 1
		}
		for _, dst := range to.peers[family] {
			if l.plan.Peers[dst].Kind != plan.PodPeer {
				ways = append(ways, l.open(n.host, dst))
				continue
			}
			found := l.hosts.sources(n, to.endpoints, dst)
			if found.own != plan.None {
				ways = append(ways, l.open(n.own, dst))
			}
			if found.other != plan.None {
				ways = append(ways, l.open(n.host, dst))
			}
		}
	}
	return l.any(ways)
}

// external is a range outside the cluster, and what is open between it and each workload in one direction.
type external struct {
	name  string
	ports []string
}

// from are the lines from a range.
func (e *external) from(ws []*workloadEnds) []string {
	out := make([]string, len(ws))
	for i, w := range ws {
		out[i] = line(e.name, w.name, e.ports[i])
	}
	return inOrder(out)
}

// external looks at ranges in one direction.
func (l *lineWriter) external(ws []*workloadEnds, ranges []worldRange, d ir.Direction) []external {
	var out []external
	signatures := map[plan.PeerIndex][]string{}
	for _, r := range ranges {
		sig, ok := signatures[r.peer]
		if !ok {
			sig = l.signature(ws, r, d)
			signatures[r.peer] = sig
		}
		out = append(out, external{fmt.Sprintf("%s-%s[External]", r.first, r.last), sig})
	}
	return out
}

// signature holds, for each workload, what is open between it and the range.
func (l *lineWriter) signature(ws []*workloadEnds, r worldRange, d ir.Direction) []string {
	out := make([]string, len(ws))
	for i, w := range ws {
		var ways []portSet
		for _, peer := range w.peers[r.family()] {
			if d == ir.Ingress {
				ways = append(ways, l.open(r.peer, peer))
			} else {
				ways = append(ways, l.open(peer, r.peer))
			}
		}
		out[i] = l.any(ways)
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
