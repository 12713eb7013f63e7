package resolve

import (
	"net/netip"
	"slices"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// Incremental keeps a compile and applies changes to it at the cost of the change. What it holds after a change is
// what a cold compile of the changed input gives: the same digests and files. A change outside the quick paths
// (new label keys, named-port numbers, matchPods blocks, blocks around known ones, layer 7) is a cold compile.
type Incremental struct {
	c *compiler
	b *tableBuilder
	// buf holds what is hashed.
	buf []byte
	// by finds what a change touches.
	by *touched
}

// touched indexes the compile by what may change it.
type touched struct {
	// memberOf are, by identity, the sets that hold it; namespace lists identities by namespace.
	memberOf  [][]int32
	namespace map[string][]int32
	// sets by what an identity must have to be in them: a namespace, a label, or nothing that can be looked up.
	setsByNamespace map[string][]int32
	setsByLabel     map[label][]int32
	setsAlways      []int32
	children        [][]int32 // by base set
	inverted        []int32
	// local says, by set, that it is confined to namespaces; alike finds an identity by the sets that are not.
	local []bool
	alike map[string]int32
	// tables are, by set, the sides that ask for it.
	tables [][]*sideRef
	sides  [][ir.NumDirections]*sideRef
	// members are the identities of each subject; policies select in one namespace, or anywhere.
	members  [][]int32
	policies map[string][]int32
	anywhere []int32
	// objects are the names that are taken.
	objects map[ir.NamespacedName]bool
	// dead counts, by set, the sides that are gone and still listed.
	dead []int
	// backends are the pods and addresses that services name.
	backends map[string]bool
}

// label is a label with a value, of a pod or of its namespace.
type label struct {
	namespace  bool
	key, value string
}

// sideRef is one side of a subject; subjects move when one is removed.
type sideRef struct {
	subject   int32
	direction ir.Direction
	dead      bool
}

// NewIncremental compiles from cold.
func NewIncremental(in Input) *Incremental {
	n := &Incremental{}
	in.Policies = slices.Clone(in.Policies) // grows with the changes
	n.cold(in)
	return n
}

// Plan returns the plan as of the last change. It is changed in place by the next.
func (n *Incremental) Plan() *plan.Plan { return n.c.plan }

// Diagnostics returns what the compile found.
func (n *Incremental) Diagnostics() diag.List { return n.c.found() }

func (n *Incremental) cold(in Input) {
	n.c = compileCold(in)
	n.b, n.by = nil, nil
}

// AddPod adds a pod. It reports whether it did so at the cost of the change.
func (n *Incremental) AddPod(p inventory.Pod) bool {
	n.ready()
	in := n.c.in
	inv := *in.Inventory
	inv.Pods = append(inv.Pods, p)
	in.Inventory = &inv
	if !n.quickPod(&p) {
		n.cold(in)
		return false
	}
	n.c.in = in
	n.addPod(&inv.Pods[len(inv.Pods)-1])
	n.finish()
	return true
}

// AddPolicy adds an object that was not there. It reports whether it did so at the cost of the change.
func (n *Incremental) AddPolicy(p ir.Policy) bool {
	n.ready()
	in := n.c.in
	in.Policies = append(in.Policies, p)
	if !n.quickPolicy(&p) {
		n.cold(in)
		return false
	}
	n.c.in = in
	n.addPolicy(&p)
	n.finish()
	return true
}

// ready builds the indexes on the first change.
func (n *Incremental) ready() {
	if n.by == nil {
		n.b = newTableBuilder(n.c)
		n.by = newTouched(n.c)
	}
}

func (n *Incremental) finish() {
	p := n.c.plan
	p.PolicyDigest, p.DecisionDigest, p.NodeDigest = n.c.written.root(), n.c.decided.root(), n.c.placed.root()
}

// quickPod reports whether a pod changes nothing but its own identity.
func (n *Incremental) quickPod(p *inventory.Pod) bool {
	c := n.c
	if p.HostNetwork || len(p.Addrs) == 0 || slices.Contains(c.http, true) || c.peers.nsLabels[p.Namespace] == nil {
		return false
	}
	for _, port := range p.Ports {
		name := portName{port.Name, port.Space}
		if c.labels.ports[name] && !slices.Contains(c.numbers[name], port.Number) {
			return false
		}
	}
	for _, a := range p.Addrs {
		if _, taken := c.plan.Addresses.Exact[a.Unmap()]; taken || n.by.backends[a.Unmap().String()] {
			return false
		}
	}
	return !n.by.backends[p.Namespace+"/"+p.Name]
}

func (n *Incremental) addPod(p *inventory.Pod) {
	c := n.c
	e := c.peers.endpoint(p)
	for _, a := range p.Addrs {
		a = a.Unmap()
		known := len(c.plan.Peers)
		peer := c.peers.pod(p, c.peers.blocks(a))
		if int(peer) == known {
			n.addIdentity(int(peer))
		}
		e.Addrs, e.Peers = append(e.Addrs, a), append(e.Peers, peer)
		c.peers.own(a, peer, "pod "+p.Namespace+"/"+p.Name, p.Pos)
		c.placed.add(addressID(c.plan, a, peer))
	}
	c.attach(&e)
	c.plan.Endpoints = append(c.plan.Endpoints, e)
	c.placed.add(endpointID(c.plan, &e))
}

// addIdentity brings the identity that was appended last into sets, classes, subjects and tables.
func (n *Incremental) addIdentity(i int) {
	c, b := n.c, n.by
	p := &c.plan.Peers[i]
	c.index.grow(c.plan.Peers)
	in := b.setsOf(c, i)
	b.memberOf = append(b.memberOf, in)
	for _, s := range in {
		bits := bitset(c.plan.PeerSets[s].Bits)
		bits.put(i)
		c.plan.PeerSets[s].Bits = bits
		if !c.sets.parts[s].inverted {
			c.sets.parts[s].peers = append(c.sets.parts[s].peers, int32(i))
		}
	}
	for _, s := range b.inverted {
		if !slices.Contains(in, s) {
			c.sets.parts[s].peers = append(c.sets.parts[s].peers, int32(i))
		}
	}
	c.classify(i)
	c.selecting = append(c.selecting, b.selecting(c, i))
	c.decided.add(p.ID)
	n.freshRows(i)
	b.remember(int32(i))
	if p.Kind == plan.PodPeer {
		b.namespace[p.Namespace] = append(b.namespace[p.Namespace], int32(i))
	}
	if s, ok := c.subjectOf(i); ok {
		n.join(i, &s)
	}
	// Nothing looks at requests, or this were no quick change: no waypoint is needed.
	c.plan.Peers[i].Waypoint, c.plan.Waypoints = plan.None, nil
}

// freshRows builds the tables again in which the new identity is like no other. A table that asks for no set in
// which the identity and some other one differ has its row already.
func (n *Incremental) freshRows(i int) {
	for _, side := range n.by.asking(n.by.leastDifference(n.c, i)) {
		t := n.c.plan.Subjects[side.subject].Tables[side.direction]
		var buf [64]byte
		if _, ok := t.Rows.Find(n.c.plan.RowKey(buf[:0], t, plan.PeerIndex(i))); !ok {
			n.rebuild(side)
		}
	}
}

// rebuild compiles one side of a subject again.
func (n *Incremental) rebuild(side *sideRef) {
	c := n.c
	s := &c.plan.Subjects[side.subject]
	c.decided.remove(c.subjectIDs[side.subject])
	built := n.b.build(&c.subjects.list[side.subject], side.direction)
	s.Tables[side.direction] = c.placer.place(&built)
	c.report(s, &built.met)
	c.decisionIDsFrom(&n.c.hashed)
	c.subjectIDs[side.subject], n.buf = subjectID(c.plan, s, n.buf)
	c.decided.add(c.subjectIDs[side.subject])
}

// join puts an identity into a subject, compiling the subject's tables when it is new.
func (n *Incremental) join(i int, s *subject) {
	c, b := n.c, n.by
	at := c.subjects.intern(s)
	c.plan.Peers[i].Subject = at
	if int(at) < len(c.plan.Subjects) {
		b.members[at] = append(b.members[at], int32(i))
		return
	}
	c.plan.Subjects = append(c.plan.Subjects, c.planSubject(&c.subjects.list[at]))
	ps := &c.plan.Subjects[at]
	for d := range ir.NumDirections {
		built := n.b.build(&c.subjects.list[at], d)
		ps.Tables[d] = c.placer.place(&built)
		c.report(ps, &built.met)
	}
	c.decisionIDsFrom(&c.hashed)
	var id plan.ID
	id, n.buf = subjectID(c.plan, ps, n.buf)
	c.subjectIDs = append(c.subjectIDs, id)
	c.decided.add(c.subjectIDs[at])
	b.members = append(b.members, []int32{int32(i)})
	b.register(c, at)
}

// leave takes an identity out of its subject, for another one, and the subject out of the plan when nobody is left.
func (n *Incremental) leave(i int) {
	c, b := n.c, n.by
	at := c.plan.Peers[i].Subject
	if at < 0 {
		return
	}
	b.members[at] = slices.DeleteFunc(b.members[at], func(m int32) bool { return m == int32(i) })
	if len(b.members[at]) > 0 {
		return
	}
	c.decided.remove(c.subjectIDs[at])
	delete(c.subjects.byKey, c.subjects.list[at].key)
	for d, side := range b.sides[at] {
		side.dead = true
		b.bury(c.plan.Subjects[at].Tables[d].PeerSets)
	}
	if last := int32(len(c.plan.Subjects) - 1); at != last {
		c.plan.Subjects[at], c.subjects.list[at], c.subjectIDs[at] = c.plan.Subjects[last], c.subjects.list[last], c.subjectIDs[last]
		b.members[at], b.sides[at] = b.members[last], b.sides[last]
		c.subjects.byKey[c.subjects.list[at].key] = at
		for _, m := range b.members[at] {
			c.plan.Peers[m].Subject = at
		}
		for _, side := range b.sides[at] {
			side.subject = at
		}
	}
	last := len(c.plan.Subjects) - 1
	c.plan.Subjects, c.subjects.list, c.subjectIDs = c.plan.Subjects[:last], c.subjects.list[:last], c.subjectIDs[:last]
	b.members, b.sides = b.members[:last], b.sides[:last]
}

// quickPolicy reports whether a policy names nothing that would change the identities there are, and no other object
// has its name.
func (n *Incremental) quickPolicy(p *ir.Policy) bool {
	c := n.c
	if slices.Contains(c.http, true) || looksAtRequests(p) {
		return false
	}
	if n.by.objects[objectKey(p)] {
		return false
	}
	m := newMentioned()
	m.policy(p)
	return within(m.podKeys, c.labels.podKeys) && within(m.nsKeys, c.labels.nsKeys) && within(m.ports, c.labels.ports) &&
		!slices.ContainsFunc(m.podBlocks, func(b netip.Prefix) bool { return !slices.Contains(c.labels.podBlocks, b) }) &&
		!slices.ContainsFunc(m.allBlocks, func(b netip.Prefix) bool { return !c.atoms.blocks[b] && !n.quickBlock(b) })
}

func within[K comparable](a, b map[K]bool) bool {
	for k := range a {
		if !b[k] {
			return false
		}
	}
	return true
}

// quickBlock reports whether a new block splits one part of the world in two and touches nothing else: it is not a
// family's whole space, and no address that the plan holds by its identity lies in it.
func (n *Incremental) quickBlock(b netip.Prefix) bool {
	if b.IsSingleIP() || b.Bits() == 0 || len(n.c.in.Inventory.APIServers) > 0 || len(n.c.atoms.within(b)) > 0 {
		return false
	}
	return !slices.ContainsFunc(n.c.plan.Frontends, func(f plan.Frontend) bool {
		return slices.ContainsFunc(f.Backends, func(x plan.Backend) bool { return x.Addr.IsValid() && b.Contains(x.Addr.Unmap()) })
	})
}

func (n *Incremental) addPolicy(p *ir.Policy) {
	c, b := n.c, n.by
	i := len(c.policies)
	c.policies = append(c.policies, p)
	c.addBlocks(n, p)
	c.recordPolicy(i)
	c.identify(i)
	c.names, c.http = append(c.names, ingressNames(p)), append(c.http, false)
	known := len(c.plan.PeerSets)
	c.matchRules(i)
	for s := known; s < len(c.plan.PeerSets); s++ {
		c.sets.parts = append(c.sets.parts, c.part(c.plan.PeerSets[s].Bits))
		c.sets.broad.place = append(c.sets.broad.place, -1)
		b.addSet(c, int32(s))
	}
	c.written.add(c.plan.Policies[i].ID)
	b.addPolicy(p, int32(i))
	c.index.selector(&p.Subject).each(func(peer int) {
		at, _ := slices.BinarySearchFunc(c.selecting[peer], p, func(k int32, p *ir.Policy) int { return comparePolicies(c.policies[k], p) })
		c.selecting[peer] = slices.Insert(slices.Clone(c.selecting[peer]), at, int32(i))
		n.leave(peer)
		if s, ok := c.subjectOf(peer); ok {
			n.join(peer, &s)
		}
	})
	n.attachAgain()
}

// addBlocks makes identities of the blocks of a policy that have none, wider ones first.
func (c *compiler) addBlocks(n *Incremental, p *ir.Policy) {
	m := newMentioned()
	m.policy(p)
	for _, block := range sortedPrefixes(m.allBlocks) {
		c.atoms.add(block)
		if inAny(c.plan.Ranges, block) {
			continue
		}
		known := len(c.plan.Peers)
		peer := c.peers.intern(plan.Peer{Kind: plan.WorldPeer, Prefix: block, CIDRs: c.atoms.around(block)})
		c.plan.Addresses.Add(block, peer)
		if int(peer) == known {
			n.addIdentity(int(peer))
		}
	}
}

// attachAgain keeps the endpoints' attachment and the digest of node state in step with the subjects.
func (n *Incremental) attachAgain() {
	c := n.c
	for i := range c.plan.Endpoints {
		e := &c.plan.Endpoints[i]
		was := e.Attached
		c.attach(e)
		if e.Attached != was {
			now := e.Attached
			e.Attached = was
			c.placed.remove(endpointID(c.plan, e))
			e.Attached = now
			c.placed.add(endpointID(c.plan, e))
		}
	}
}
