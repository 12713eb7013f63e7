//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"

	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/project"
	"github.com/weir-mesh/weir/compiler/resolve"
	"github.com/weir-mesh/weir/datapath/encode"
	"github.com/weir-mesh/weir/datapath/load"
	"github.com/weir-mesh/weir/test/bench/bpf"
)

// The decision benchmark's identities are in 16 teams of 4 tiers, and a rule names a port block and a team, or a tier
// of a team, as selectors do. What is counted as "rules" are pairs of identity and port block, which is what a map of
// the other designs holds.
const teams, tiers = 16, 4

// world is one size of the policy, in the form of each design.
type world struct {
	pairs   int
	ids     int
	rules   []pairRule
	project *plan.Projection
	// number is the projection's number of each identity.
	number []uint32
}

// pairRule allows identities a block of ports.
type pairRule struct {
	ids   []int
	space ir.Space
	port  uint16
	bits  int // of the port: 16 is one port
}

// newWorld draws a policy of about n pairs.
func newWorld(n int) (*world, error) {
	r := rand.New(rand.NewPCG(uint64(n), 3))
	w := &world{pairs: n, ids: min(1000, max(64, n/20))}
	var blocks []pairRule
	for range min(512, max(16, n/40)) {
		b := pairRule{space: []ir.Space{ir.TCP, ir.TCP, ir.UDP}[r.IntN(3)], bits: []int{16, 16, 16, 14, 12}[r.IntN(5)]}
		b.port = uint16(r.IntN(65536)) &^ (1<<(16-b.bits) - 1)
		blocks = append(blocks, b)
	}
	for pairs := 0; pairs < n; {
		rule := blocks[r.IntN(len(blocks))]
		rule.ids = nil
		team, tier := r.IntN(teams), r.IntN(tiers)
		whole := r.IntN(4) == 0
		for id := team; id < w.ids; id += teams {
			if whole || id/teams%tiers == tier {
				rule.ids = append(rule.ids, id)
			}
		}
		if len(rule.ids) == 0 {
			continue
		}
		pairs += len(rule.ids)
		w.rules = append(w.rules, rule)
	}
	return w, w.compile()
}

// compile makes the policy of our kinds and the subject's projection. Plaintext is permitted throughout, so that the
// designs decide the same question.
func (w *world) compile() error {
	p, err := w.plan(w.policy(-1, ir.Ingress), nil)
	if err != nil {
		return err
	}
	w.number = make([]uint32, w.ids)
	for i := range p.Endpoints {
		for id := range w.number {
			if p.Endpoints[i].Name == account(id) {
				w.number[id] = uint32(p.Endpoints[i].Peers[0])
			}
		}
	}
	w.project, err = project.Node(p, "node", 1)
	return err
}

// between compiles the policy for two pods at given addresses, the subject as server and the first identity as client,
// with one rule more on each side for their connection.
func (w *world) between(client, server netip.Addr) error {
	egress, ingress := w.policy(0, ir.Egress), w.policy(-1, ir.Ingress)
	for _, p := range []*ir.Policy{&egress, &ingress} {
		p.Rules = append(p.Rules, ir.Rule{Direction: p.Rules[0].Direction, Index: len(p.Rules), Action: ir.Allow,
			Ports: []ir.Port{{Space: ir.TCP, First: latencyPort, Last: latencyPort}}, Plaintext: true, Exception: "bench"})
	}
	egress.Name = "client"
	p, err := w.plan(ingress, map[int]netip.Addr{0: client, -1: server}, egress)
	if err != nil {
		return err
	}
	w.project, err = project.Node(p, "node", 1)
	return err
}

// policy writes the pairs as a policy for one identity (-1 is the subject).
func (w *world) policy(of int, d ir.Direction) ir.Policy {
	p := ir.Policy{Kind: "MeshPolicy", Namespace: "bench", Name: "subject", Layer: ir.Mesh, Tier: ir.Namespace,
		Subject: ir.Selector{Namespace: "bench", ServiceAccounts: []ir.NamespacedName{{Namespace: "bench", Name: account(of)}}}}
	p.Isolate[d] = true
	for i, r := range w.rules {
		sel := ir.Selector{Namespace: "bench"}
		for _, id := range r.ids {
			sel.ServiceAccounts = append(sel.ServiceAccounts, ir.NamespacedName{Namespace: "bench", Name: account(id)})
		}
		p.Rules = append(p.Rules, ir.Rule{Direction: d, Index: i, Action: ir.Allow, Peers: []ir.Peer{{Pods: &sel}},
			Ports: []ir.Port{{Space: r.space, First: r.port, Last: r.port | (1<<(16-r.bits) - 1)}}, Plaintext: true, Exception: "bench"})
	}
	return p
}

// plan compiles policies with a pod for each identity; at overrides addresses.
func (w *world) plan(policy ir.Policy, at map[int]netip.Addr, more ...ir.Policy) (*plan.Plan, error) {
	inv := &inventory.Inventory{Namespaces: []inventory.Namespace{{Name: "bench"}}}
	for id := -1; id < w.ids; id++ {
		name := account(id)
		addr, ok := at[id]
		if !ok {
			addr = netip.AddrFrom4([4]byte{10, 1, byte((id + 1) >> 8), byte(id + 1)})
		}
		inv.Pods = append(inv.Pods, inventory.Pod{Namespace: "bench", Name: name, ServiceAccount: name, Node: "node", Addrs: []netip.Addr{addr}})
	}
	p, ds := resolve.Compile(resolve.Input{Policies: append(more, policy), Inventory: inv, Now: time.Unix(1_700_000_000, 0)})
	if ds.HasErrors() {
		return nil, fmt.Errorf("compiling the benchmark's policy: %s", ds[0].Message)
	}
	return p, nil
}

func account(id int) string {
	if id < 0 {
		return "subject"
	}
	return fmt.Sprintf("id-%d", id)
}

// flows draws a trace: half aimed at a rule, half anywhere.
func (w *world) flows(n int) []byte {
	r := rand.New(rand.NewPCG(9, uint64(w.pairs)))
	out := make([]byte, 0, n*8)
	for range n {
		id, key := r.IntN(w.ids), plan.Key([]ir.Space{ir.TCP, ir.UDP}[r.IntN(2)], uint16(r.IntN(65536)))
		if r.IntN(2) == 0 {
			rule := w.rules[r.IntN(len(w.rules))]
			id = rule.ids[r.IntN(len(rule.ids))]
			key = plan.Key(rule.space, rule.port|uint16(r.IntN(1<<(16-rule.bits))))
		}
		out = binary.LittleEndian.AppendUint32(out, w.number[id])
		out = binary.LittleEndian.AppendUint32(out, uint32(key))
	}
	return out
}

// kernel is a world loaded in all three designs.
type kernel struct {
	o *bpf.BenchObjects
}

func loadWorld(w *world) (*kernel, error) {
	g, err := encode.Encode(encode.Input{Projection: w.project, Bindings: []encode.Binding{{Slot: 0, Ifindex: 1}}, Now: 1, Epoch: 1})
	if err != nil {
		return nil, err
	}
	spec, err := bpf.LoadBench()
	if err != nil {
		return nil, fmt.Errorf("reading the benchmark's programs: %w", err)
	}
	size := load.BlobFor(len(g.Bytes))
	spec.Maps["blob"].ValueSize = size
	if err := spec.Variables["blob_size"].Set(size); err != nil {
		return nil, fmt.Errorf("setting the blob's size: %w", err)
	}
	k := &kernel{o: &bpf.BenchObjects{}}
	if err := spec.LoadAndAssign(k.o, nil); err != nil {
		return nil, fmt.Errorf("loading the benchmark's programs: %w", err)
	}
	return k, errors.Join(k.publish(g, size), k.fill(w))
}

// publish writes a generation where the loader would: after the first 64 bytes.
func (k *kernel) publish(g *encode.Generation, size uint32) error {
	const at = 64
	blob := make([]byte, size)
	binary.LittleEndian.PutUint64(blob, at)
	copy(blob[at:], g.Bytes)
	return k.o.Blob.Put(uint32(0), blob)
}

// fill enters the pairs into the trie, and port by port into the hash.
func (k *kernel) fill(w *world) error {
	for i, r := range w.rules {
		for _, id := range r.ids {
			peer := w.number[id]
			lpm := bpf.BenchLpmKey{Bits: 48 + uint32(r.bits), Peer: bits.ReverseBytes32(peer), Space: uint8(r.space), Port: bits.ReverseBytes16(r.port)}
			if err := k.o.Lpm.Put(lpm, uint32(i+1)); err != nil {
				return fmt.Errorf("filling the trie: %w", err)
			}
			for p := range 1 << (16 - r.bits) {
				key := bpf.BenchHashKey{Peer: peer, Port: r.port | uint16(p), Space: uint8(r.space)}
				if err := k.o.Hash.Put(key, uint32(i+1)); err != nil {
					return fmt.Errorf("filling the hash: %w", err)
				}
			}
		}
	}
	return nil
}

// design is one program.
type design struct {
	name string
	prog func(*bpf.BenchObjects) *ebpf.Program
}

var designs = [...]design{
	{"classes", func(o *bpf.BenchObjects) *ebpf.Program { return o.BenchClasses }},
	{"LPM trie", func(o *bpf.BenchObjects) *ebpf.Program { return o.BenchLpm }},
	{"hash", func(o *bpf.BenchObjects) *ebpf.Program { return o.BenchHash }},
}

const decisionRounds = 15

// costs are what a decision takes above parsing, in nanoseconds, by design and size, one for each round.
type costs map[string]map[int]spread

func (c costs) add(design string, size int, ns float64) {
	if c[design] == nil {
		c[design] = map[int]spread{}
	}
	c[design][size] = append(c[design][size], ns)
}

// decisionSection measures all sizes in each round, so that what slows the machine for a while slows all of them.
func decisionSection(ctx context.Context, r *report) (err error) {
	cost := costs{}
	sizes := []int{100, 1_000, 10_000, 100_000}
	var kernels []*kernel
	defer func() {
		for _, k := range kernels {
			err = errors.Join(err, k.o.Close())
		}
	}()
	for _, n := range sizes {
		w, err := newWorld(n)
		if err != nil {
			return err
		}
		k, err := loadWorld(w)
		if err != nil {
			return err
		}
		kernels = append(kernels, k)
		if err := k.prepare(w); err != nil {
			return err
		}
	}
	for range decisionRounds {
		for i, n := range sizes {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := kernels[i].measure(n, cost); err != nil {
				return err
			}
		}
	}
	for _, d := range designs {
		for _, n := range sizes {
			r.line(fmt.Sprintf("%s, %d rules, 64 K random flows, above parsing", d.name, n), cost[d.name][n].format("%.1f", "ns"))
		}
	}
	ratio := func(a, b spread) spread {
		var out spread
		for i := range a {
			out = append(out, a[i]/b[i])
		}
		return out
	}
	lpm := ratio(cost["LPM trie"][10_000], cost["classes"][10_000])
	r.target("LPM over classes, 10,000 rules", lpm.format("%.1f", "x"), "at least 10x", lpm.median() >= 10)
	grow := ratio(cost["classes"][100_000], cost["classes"][100])
	r.target("classes, 100,000 rules over 100", grow.format("%.2f", "x"), "at most 1.5x", grow.median() <= 1.5)
	return nil
}

// prepare writes the trace and checks that the designs agree on it.
func (k *kernel) prepare(w *world) error {
	const trace = 65536
	if err := k.o.Trace.Put(uint32(0), w.flows(trace)); err != nil {
		return fmt.Errorf("writing the trace: %w", err)
	}
	return k.agree()
}

// measure runs the designs in turn and subtracts the parse-only program of the same round.
func (k *kernel) measure(n int, cost costs) error {
	parse, err := k.time(k.o.BenchParse)
	if err != nil {
		return err
	}
	for _, d := range designs {
		ns, err := k.time(d.prog(k.o))
		if err != nil {
			return err
		}
		cost.add(d.name, n, max(0.1, ns-parse))
	}
	return nil
}

// A run of a program takes batch flows (BATCH in bench.c); repeat visits the trace several times.
const (
	batch  = 16
	repeat = 1 << 19 / batch
)

// time is what one flow takes, once the trace was visited: the design before has left its own in the caches. The kernel reports
// whole nanoseconds a run, a sixteenth of that a flow.
func (k *kernel) time(p *ebpf.Program) (float64, error) {
	if _, _, err := p.Benchmark(make([]byte, 64), 1<<16/batch, nil); err != nil {
		return 0, fmt.Errorf("running %s: %w", p, err)
	}
	_, d, err := p.Benchmark(make([]byte, 64), repeat, nil)
	if err != nil {
		return 0, fmt.Errorf("running %s: %w", p, err)
	}
	return float64(d) / batch, nil
}

// agree checks that the designs give the same verdicts, so that none is fast because it is wrong.
func (k *kernel) agree() error {
	const flows = 4096
	var first []uint32
	for _, d := range designs {
		if err := k.o.Next.Set(uint32(0)); err != nil {
			return err
		}
		var got []uint32
		for range flows / batch {
			v, _, err := d.prog(k.o).Test(make([]byte, 64))
			if err != nil {
				return err
			}
			got = append(got, v)
		}
		if first == nil {
			first = got
			continue
		}
		for i := range got {
			if got[i] != first[i] {
				return fmt.Errorf("flows %d to %d: %s allows %016b, %s %016b", i*batch, (i+1)*batch-1, designs[0].name, first[i], d.name, got[i])
			}
		}
	}
	return nil
}
