package oracle

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/weir-mesh/weir/compiler/analyze"
	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// reachWorlds is how many worlds' rows are read, reachFlows how many flows of each are looked for among them besides those
// between pods.
const reachWorlds, reachFlows = 250, 150

// TestReachSaysWhatIsAllowed reads the rows of reach as a person would, and compares what they say of flows with what explain
// answers: all that is allowed is in a row, and nothing else is (S1, S3 to S6, S18 to S20, S30). Of the rows of two ends one
// holds, and no block has rows that say what those of a wider one do.
func TestReachSaysWhatIsAllowed(t *testing.T) {
	met := map[string]int{}
	for seed := uint64(6_000_000); seed < 6_000_000+reachWorlds; seed++ {
		g := newGen(seed)
		w := g.world()
		g.shareWorkloads()
		flows := g.betweenPods()
		for range reachFlows {
			flows = append(flows, g.anyFlow())
		}
		if f, err := reaches(w, flows, met); err != nil {
			small := smallest(w, f, err, func(w *world, f flow) error { _, err := reaches(w, []flow{f}, map[string]int{}); return err })
			t.Fatalf("seed %d: %s: %v\n%s", seed, small.w.tellFlow(small.f), small.err, small.w)
		}
	}
	t.Logf("%v", met)
	for what, want := range map[string]int{"allow": 1000, "deny": 1000, "redirect": 100, "depends": 5, "family": 100, "fromOnly": 100, "toOnly": 100, "except": 50, "audit": 100, "denied": 100, "block": 50} {
		if met[what] < want {
			t.Errorf("%s: only %d times", what, met[what])
		}
	}
}

// shareWorkloads makes workloads of several pods, which may differ, and in some worlds pods without an owner, or more that have
// no address yet.
func (g *gen) shareWorkloads() {
	bare, declared := g.one(4), g.one(3)
	for i := range g.w.inv.Pods {
		p := &g.w.inv.Pods[i]
		if declared && !p.HostNetwork && g.one(2) {
			p.Declared, p.Replicas, p.Node, p.Addrs = true, int32(1+g.IntN(2)), "", nil
		}
		if p.Workload = (inventory.Workload{Kind: "Deployment", Namespace: p.Namespace, Name: fmt.Sprintf("workload%d", g.IntN(3))}); bare {
			p.Workload = inventory.Workload{Kind: "Pod", Namespace: p.Namespace, Name: p.Name}
		}
	}
}

// betweenPods are flows between all pods, in both families, each on some of the world's ports.
func (g *gen) betweenPods() []flow {
	var out []flow
	for i := range g.w.inv.Pods {
		for j := range g.w.inv.Pods {
			for _, v4 := range []bool{true, false} {
				src, dst := g.podAt(i, v4), g.podAt(j, v4)
				for range 12 {
					space, number := g.spaceAndNumber(v4)
					out = append(out, flow{src: src, dst: dst, space: space, number: number})
				}
			}
		}
	}
	return out
}

func (g *gen) podAt(i int, v4 bool) end {
	return end{place: inPod, pod: i, addr: familyOf(g.w.inv.Pods[i].Addrs, v4)}
}

// reaches compares the rows with the answers on flows, and counts what it met; it returns the flow that fails.
func reaches(w *world, flows []flow, met map[string]int) (flow, error) {
	c, err := compile(w)
	if err != nil {
		return flow{}, err
	}
	n, err := analyze.NewNames(c.plan)
	if err != nil {
		return flow{}, err
	}
	rows, err := n.Reach(context.Background())
	if err != nil {
		return flow{}, err
	}
	r := &reader{compiled: c, names: n, explainer: analyze.NewExplainer(n), rows: map[[2]string][]*analyze.Row{}, met: met}
	for i := range rows {
		at := [2]string{rows[i].From, rows[i].To}
		r.rows[at] = append(r.rows[at], &rows[i])
	}
	for _, f := range flows {
		if err := r.compare(f); err != nil {
			return f, err
		}
	}
	return flow{}, r.coarse()
}

// reader reads rows.
type reader struct {
	*compiled
	names     *analyze.Names
	explainer *analyze.Explainer
	rows      map[[2]string][]*analyze.Row
	met       map[string]int
}

// told is an end as rows tell of it: the names that hold it, the one that limits a row to it, what else it is called, and the
// one that questions know it by.
type told struct {
	names           []string
	only, asked     string
	address         netip.Addr
	server, pod, in bool
	world           bool
}

// compare compares what rows say of a flow with the answer; flows that no row is about are passed over.
func (r *reader) compare(f flow) error {
	src, dst := r.tell(f.src, f.dst, true), r.tell(f.dst, f.src, false)
	if !src.in || !dst.in || !src.pod && !dst.pod || f.space == ir.OtherProtocol && f.number > 255 {
		return nil
	}
	q := analyze.Question{Port: analyze.Port{Space: f.space, Number: f.number}}
	var err error
	if q.From, err = r.names.Resolve(src.asked); err != nil {
		return err
	}
	if q.To, err = r.names.Resolve(dst.asked); err != nil {
		return err
	}
	found := r.covering(f, &src, &dst)
	if f.src.addr.IsValid() && f.dst.addr.IsValid() { // else it may be of a family that the pod won't have
		if err := disjoint(found); err != nil {
			return err
		}
	}
	maybe := slices.ContainsFunc(found, func(x *analyze.Row) bool { return x.DependsOn != "" && !x.Denied })
	reply, err := r.names.Ask(q)
	var differ *analyze.DifferError
	switch {
	case errors.As(err, &differ) && differ.Address && !maybe && strings.Contains(differ.Text, "redirect"):
		return nil // another identity of its SPIFFE id may send nothing (S21): it may be what the pod may become as well
	case errors.As(err, &differ) && differ.Address:
		r.met["depends"]++
		if !maybe {
			return fmt.Errorf("%w: no row says so: %s", err, tellRows(found))
		}
		return nil
	case err != nil && strings.HasSuffix(err.Error(), "have no address family in common"):
		return nil // a row is about those that they share
	case err != nil:
		return err
	}
	return r.compareReply(q, &reply, found)
}

func (r *reader) compareReply(q analyze.Question, reply *analyze.Reply, found []*analyze.Row) error {
	r.met[reply.Verdict.String()]++
	open := slices.DeleteFunc(slices.Clone(found), func(x *analyze.Row) bool { return x.Denied })
	switch {
	case reply.Verdict == plan.Deny && len(open) > 0:
		return fmt.Errorf("is denied, and a row lets it: %s", tellRows(open))
	case reply.Verdict == plan.Redirect && len(open) == 0 && r.shared(reply.Flow.Src.Peer):
		return nil // another identity of its SPIFFE id may send nothing (S21)
	case reply.Verdict != plan.Deny && len(open) == 0:
		return fmt.Errorf("is let through (%s), and no row says so", reply.Verdict)
	}
	for _, x := range open {
		// Which of several rows holds may depend on it, and which requests pass.
		if x.DependsOn != "" && x.Audit == nil && reply.Verdict != plan.Redirect && len(open) == 1 {
			return fmt.Errorf("depends on nothing, and a row says it does: %s", tellRows(open))
		}
		if !via(x, reply) && (x.DependsOn == "" || !slices.ContainsFunc(open, func(y *analyze.Row) bool { return via(y, reply) })) {
			return fmt.Errorf("is authenticated by %q, and a row says otherwise: %s", reply.How, tellRows(open))
		}
	}
	e, err := r.explainer.Explain(q)
	if err != nil {
		return err
	}
	said := map[string]bool{}
	for _, x := range found {
		if x.Audit != nil {
			said[x.Audit.Text] = true
		}
	}
	if (e.Audit != nil) != (len(said) > 0) || e.Audit != nil && !said[e.Audit.Text] {
		return fmt.Errorf("in audit: %+v, rows say %v", e.Audit, said)
	}
	return nil
}

// via says whether a row's way is a reply's (S18 to S20).
func via(x *analyze.Row, reply *analyze.Reply) bool {
	switch {
	case reply.Auth == plan.AuthRequired && reply.Verdict != plan.Redirect:
		return x.Via == reply.How || x.Via == "mTLS or kernel-attested"
	case reply.Auth == plan.AuthRequired:
		return strings.HasPrefix(x.Via, "mTLS, waypoint ")
	case reply.Auth == plan.AuthNone:
		return strings.HasPrefix(x.Via, "not authenticated")
	}
	return strings.HasPrefix(x.Via, "exception") || strings.HasPrefix(x.Via, "plaintext")
}

func (r *reader) shared(peer plan.PeerIndex) bool {
	id := r.plan.Peers[peer].SPIFFE
	for i := range r.plan.Peers {
		if plan.PeerIndex(i) != peer && id != "" && r.plan.Peers[i].SPIFFE == id {
			return true
		}
	}
	return false
}

// tell says what rows call an end.
func (r *reader) tell(e, other end, source bool) told {
	p := r.party(e, other)
	if e.place == translated || !e.addr.IsValid() && (p.kind != pod || len(p.pod.Addrs) > 0) {
		return told{}
	}
	out := told{in: true, address: e.addr, asked: e.addr.String(), server: e.addr.IsValid() && r.isAPIServer(e.addr)}
	switch p.kind {
	case pod:
		o := r.party(other, e)
		if o.kind == pod && o.pod == p.pod && (len(p.pod.Addrs) > 0 || p.pod.Replicas < 2) {
			return told{} // it talks to itself (S6)
		}
		out.pod, out.only = true, p.pod.Namespace+"/"+p.pod.Name
		if !e.addr.IsValid() {
			out.asked = p.pod.Namespace + "/pod/" + p.pod.Name
		}
		out.names = append(out.names, p.pod.Namespace+"/"+p.pod.Workload.Name)
		for at, rows := range r.rows {
			if strings.HasSuffix(at[0], " more like it") && slices.Contains(rows[0].FromPods, out.only) {
				out.names = append(out.names, at[0])
			}
			if strings.HasSuffix(at[1], " more like it") && slices.Contains(rows[0].ToPods, out.only) {
				out.names = append(out.names, at[1])
			}
		}
		slices.Sort(out.names)
		out.names = slices.Compact(out.names)
	case host, ownNode:
		out.tellNode(r.world, r.party(other, e).pod, source)
	case outside:
		out.names, out.world = []string{"world"}, true
		for at := range r.rows {
			for _, name := range at {
				if block, err := netip.ParsePrefix(name); err == nil && block.Contains(e.addr) && !slices.Contains(out.names, name) {
					out.names = append(out.names, name)
				}
			}
		}
		if out.server {
			out.names = append(out.names, "kube-apiserver")
		}
	default:
		return told{}
	}
	return out
}

// tellNode says what a node is called: to its own pods it is another than to the rest (S5).
func (o *told) tellNode(w *world, other *inventory.Pod, source bool) {
	node := ""
	for i := range w.inv.Nodes {
		if slices.Contains(w.inv.Nodes[i].Addrs, o.address) {
			node = w.inv.Nodes[i].Name
		}
	}
	if o.only = node; node == "" {
		o.only = o.address.String()
	}
	switch {
	case source && other != nil && other.Node == "":
		o.in = false // where it will run is not known
	case source && other != nil && node != "" && other.Node == node:
		o.names = []string{"own-node"}
	default:
		o.names = []string{"host"}
	}
	if o.server {
		o.names = append(o.names, "kube-apiserver")
	}
}

// covering are the rows that a reader finds a flow in.
func (r *reader) covering(f flow, src, dst *told) []*analyze.Row {
	var out []*analyze.Row
	for _, from := range src.names {
		for _, to := range dst.names {
			for _, x := range r.rows[[2]string{from, to}] {
				if r.speaksOf(x, f, src, dst) {
					out = append(out, x)
				}
			}
		}
	}
	return out
}

// speaksOf says whether a flow between two ends is among those that a row between their names is about.
func (r *reader) speaksOf(x *analyze.Row, f flow, src, dst *told) bool {
	for _, o := range []*told{src, dst} {
		for _, e := range x.Except {
			block, err := netip.ParsePrefix(e)
			if err == nil && o.world && block.Contains(o.address) || e == "kube-apiserver" && o.server {
				r.met["except"]++
				return false
			}
		}
	}
	if !portIn(x.Ports, f.space, f.number) {
		return false
	}
	if x.Family != "" {
		r.met["family"]++
	}
	for _, a := range []netip.Addr{src.address, dst.address} {
		if a.IsValid() && x.Family != "" && a.Is4() != (x.Family == "IPv4") {
			return false
		}
	}
	limited := func(what string, names []string, name string) bool {
		if names != nil {
			r.met[what]++
		}
		return names != nil && !slices.Contains(names, name)
	}
	if limited("fromOnly", x.FromOnly, src.only) || limited("toOnly", x.ToOnly, dst.only) {
		return false
	}
	if x.Audit != nil {
		r.met["audit"]++
	}
	if x.Denied {
		r.met["denied"]++
	}
	return true
}

// portIn reads the ports of a row.
func portIn(ports []string, space ir.Space, number uint16) bool {
	for _, p := range ports {
		if p == "any" || p == "any "+space.String() || p == "any other IP protocol" && space == ir.OtherProtocol {
			return true
		}
		var first, last, code uint16
		name, rest, _ := strings.Cut(p, " ")
		if name != space.String() {
			continue
		}
		switch {
		case scans(rest, "type %d code %d", &first, &code):
			first = first<<8 | code
			last = first
		case scans(rest, "types %d-%d", &first, &last):
			first, last = first<<8, last<<8|0xff
		case scans(rest, "type %d codes %d-%d", &first, &code, &last):
			first, last = first<<8|code, first<<8|last
		case scans(rest, "type %d", &first):
			first, last = first<<8, first<<8|0xff
		case scans(rest, "protocol %d", &first), scans(rest, "%d", &first):
			last = first
		case scans(rest, "%d-%d", &first, &last):
		default:
			panic("what port is " + p)
		}
		if first <= number && number <= last {
			return true
		}
	}
	return false
}

// scans reads all of a text.
func scans(text, format string, into ...any) bool {
	var rest string
	n, _ := fmt.Sscanf(text+" .", format+" %s", append(into, &rest)...)
	return n == len(into)+1 && rest == "."
}

func tellRows(rows []*analyze.Row) string {
	var out []string
	for _, x := range rows {
		out = append(out, fmt.Sprintf("%+v", *x))
	}
	return strings.Join(out, "\n")
}
