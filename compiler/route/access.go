package route

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// dest is a port of an identity.
type dest struct {
	peer plan.PeerIndex
	port plan.PortKey
}

// source is what a waypoint can tell clients apart by: a SPIFFE id, or an address block for clients that prove none.
// All nodes of a side must allow.
type source struct {
	spiffe string
	prefix netip.Prefix
	// sides holds the nodes by direction: [egress] what the source may send, [ingress] what the destinations take.
	sides, audit [ir.NumDirections][]node
	// peers are the identities that share the id or the address.
	peers []plan.PeerIndex
}

// sources are all clients that the plan sends to the waypoint for some destinations.
type sources struct{ ids, addrs []*source }

func (s *sources) empty() bool { return len(s.ids)+len(s.addrs) == 0 }

// all yields both kinds.
func (s *sources) all() []*source { return slices.Concat(s.ids, s.addrs) }

// access collects who may reach dests through the waypoint. Clients are those that the plan redirects for one of
// the reached destinations; they must be allowed at every one of dests (S27). Where one id stands for several
// identities, each of them must be allowed (S21): the waypoint sees the id alone.
func (b *builder) access(reached, dests []dest) *sources {
	byID, byPrefix := map[string]*source{}, map[netip.Prefix]*source{}
	for i := range b.plan.Peers {
		src := plan.PeerIndex(i)
		if !b.mayRedirect(src, reached) || !b.redirected(src, reached) {
			continue
		}
		peer := &b.plan.Peers[src]
		if peer.SPIFFE != "" {
			s := byID[peer.SPIFFE]
			if s == nil {
				s = &source{spiffe: peer.SPIFFE}
				byID[peer.SPIFFE] = s
			}
			b.require(s, src, dests, false)
		}
		if !b.mayBePlain(src, reached) {
			continue
		}
		for _, prefix := range b.prefixes[src] {
			s := byPrefix[prefix]
			if s == nil {
				s = &source{prefix: prefix}
				byPrefix[prefix] = s
			}
			b.require(s, src, dests, true)
		}
	}
	b.shadowBlocks(byPrefix)
	out := &sources{}
	for _, s := range byID {
		out.ids = append(out.ids, b.finish(s))
	}
	for _, s := range byPrefix {
		out.addrs = append(out.addrs, b.finish(s))
	}
	slices.SortFunc(out.ids, func(x, y *source) int { return cmp.Compare(x.spiffe, y.spiffe) })
	slices.SortFunc(out.addrs, func(x, y *source) int {
		return cmp.Or(-cmp.Compare(x.prefix.Bits(), y.prefix.Bits()), x.prefix.Addr().Compare(y.prefix.Addr()))
	})
	return out
}

// require adds what the plan says of src at each of dests.
func (b *builder) require(s *source, src plan.PeerIndex, dests []dest, plaintext bool) {
	s.peers = append(s.peers, src)
	for _, d := range dests {
		egress, ingress := b.sides(src, d)
		for dir, decision := range []*plan.Decision{ir.Egress: egress, ir.Ingress: ingress} {
			s.sides[dir] = append(s.sides[dir], b.newNode(decision, false, plaintext))
			s.audit[dir] = append(s.audit[dir], b.newNode(decision, true, plaintext))
		}
	}
}

func (b *builder) finish(s *source) *source {
	for dir := range s.sides {
		s.sides[dir], s.audit[dir] = b.tidy(s.sides[dir]), b.tidy(s.audit[dir])
	}
	return s
}

// shadowBlocks gives each block inside a listed one, whose own clients are not listed, an entry that denies: the
// longest prefix decides, as in the plan's look-up of addresses.
func (b *builder) shadowBlocks(listed map[netip.Prefix]*source) {
	deny := node{outcome: plan.Outcome{Verdict: plan.Deny, Reason: plan.ByUnknownAddress, Rule: plan.None,
		Policy: plan.None, List: plan.None}}
	wide := make([]netip.Prefix, 0, len(listed))
	for p := range listed {
		if !p.IsSingleIP() {
			wide = append(wide, p)
		}
	}
	for _, p := range b.blocks {
		if listed[p] != nil {
			continue
		}
		for _, w := range wide {
			if w.Bits() < p.Bits() && w.Contains(p.Addr()) {
				s := &source{prefix: p}
				for dir := range s.sides {
					s.sides[dir], s.audit[dir] = []node{deny}, []node{deny}
				}
				listed[p] = s
				break
			}
		}
	}
}

// redirected says that the plan sends src to the waypoint for one of the destinations: it leaves its own veth, and
// one of the sides asks for the waypoint. A source that only the destination's kernel refuses never gets here.
func (b *builder) redirected(src plan.PeerIndex, dests []dest) bool {
	for _, d := range dests {
		egress, ingress := b.sides(src, d)
		if egress.Verdict != plan.Deny && (egress.Verdict == plan.Redirect || ingress.Verdict == plan.Redirect) {
			return true
		}
	}
	return false
}

// mayBePlain says that a connection of src to one of the destinations asks for no proof of identity.
func (b *builder) mayBePlain(src plan.PeerIndex, dests []dest) bool {
	for _, d := range dests {
		egress, ingress := b.sides(src, d)
		if egress.Verdict != plan.Deny && ingress.Verdict != plan.Deny && max(egress.Auth, ingress.Auth) != plan.AuthRequired {
			return true
		}
	}
	return false
}

// sides are the two answers of plan.Decide for a connection between two identities, from rows looked up once.
func (b *builder) sides(src plan.PeerIndex, d dest) (egress, ingress *plan.Decision) {
	return b.side(src, d.peer, ir.Egress, d.port), b.side(d.peer, src, ir.Ingress, d.port)
}

func (b *builder) side(subject, peer plan.PeerIndex, dir ir.Direction, port plan.PortKey) *plan.Decision {
	s := b.plan.SubjectOf(subject)
	if s == nil || b.plan.Peers[subject].Kind != plan.PodPeer {
		return &b.noEndpoint
	}
	return &b.plan.Decisions[b.lookup(s.Tables[dir], peer, port)]
}

// lookup is plan.At with the row kept.
func (b *builder) lookup(t *plan.Table, peer plan.PeerIndex, port plan.PortKey) plan.DecisionIndex {
	rows := b.rows[t]
	if rows == nil {
		rows = make([]int32, len(b.plan.Peers)) // a row's number plus one; 0 is not looked up yet
		b.rows[t] = rows
	}
	if rows[peer] == 0 {
		rows[peer] = int32(b.plan.Row(t, peer)) + 1
	}
	return t.Decision(int(rows[peer])-1, t.Class(port))
}

// mayRedirect rules out most pairs without a look-up: neither table has a list.
func (b *builder) mayRedirect(src plan.PeerIndex, dests []dest) bool {
	if s := b.plan.SubjectOf(src); s != nil && b.hasList(s.Tables[ir.Egress]) {
		return true
	}
	for _, d := range dests {
		if s := b.plan.SubjectOf(d.peer); s != nil && b.hasList(s.Tables[ir.Ingress]) {
			return true
		}
	}
	return false
}

func (b *builder) hasList(t *plan.Table) bool {
	has, known := b.listed[t]
	if !known {
		for _, d := range t.Decisions {
			has = has || b.redirects(d)
		}
		b.listed[t] = has
	}
	return has
}

// portMayRedirect rules out most ports of a destination without a look at every source: no row of its own table and
// no egress table with lists redirects there.
func (b *builder) portMayRedirect(d dest) bool {
	s := b.plan.SubjectOf(d.peer)
	if s == nil {
		return false // a pod without a subject has no waypoint
	}
	t := s.Tables[ir.Ingress]
	class := t.Class(d.port)
	for at := class; b.hasList(t) && at < len(t.Cells); at += t.NumClasses {
		if b.redirects(t.Decisions[t.Cells[at]]) {
			return true
		}
	}
	for i := range b.plan.Subjects {
		if e := b.plan.Subjects[i].Tables[ir.Egress]; b.hasList(e) && b.redirects(b.lookup(e, d.peer, d.port)) {
			return true
		}
	}
	return false
}

// redirects says that a decision is, or once an allow has ended becomes, a redirect.
func (b *builder) redirects(i plan.DecisionIndex) bool {
	d := &b.plan.Decisions[i]
	return d.Verdict == plan.Redirect || d.NotAfter != 0 && b.redirects(d.Then)
}

// intervals are the port ranges of the TCP space inside which nothing changes for connections to peer.
func (b *builder) intervals(peer plan.PeerIndex) []portRange {
	starts := map[uint32]bool{0: true}
	add := func(t *plan.Table) {
		for _, s := range t.Starts {
			if plan.PortKey(s).Space() == ir.TCP {
				starts[s] = true
			}
		}
	}
	if s := b.plan.SubjectOf(peer); s != nil {
		add(s.Tables[ir.Ingress])
	}
	for i := range b.plan.Subjects {
		add(b.plan.Subjects[i].Tables[ir.Egress])
	}
	sorted := make([]uint32, 0, len(starts))
	for s := range starts {
		sorted = append(sorted, s)
	}
	slices.Sort(sorted)
	out := make([]portRange, len(sorted))
	for i, s := range sorted {
		out[i] = portRange{first: uint16(s), last: 65535}
		if i+1 < len(sorted) {
			out[i].last = uint16(sorted[i+1] - 1)
		}
	}
	return out
}

// portRange is a range of TCP ports.
type portRange struct{ first, last uint16 }

// addressBlocks inverts the plan's address table, and adds what a node's address may stand for (S5).
func (b *builder) addressBlocks() {
	b.prefixes = map[plan.PeerIndex][]netip.Prefix{}
	add := func(p netip.Prefix, peers ...plan.PeerIndex) {
		b.blocks = append(b.blocks, p)
		for _, peer := range peers {
			if !slices.Contains(b.prefixes[peer], p) {
				b.prefixes[peer] = append(b.prefixes[peer], p)
			}
		}
	}
	for p, peer := range b.plan.Addresses.Prefixes {
		add(p, peer)
	}
	for a, peer := range b.plan.Addresses.Exact {
		add(netip.PrefixFrom(a, a.BitLen()), peer)
	}
	for i := range b.plan.Nodes {
		n := &b.plan.Nodes[i]
		for j, a := range n.Addrs {
			add(netip.PrefixFrom(a, a.BitLen()), n.Host[j], n.Own[j], n.Translated[j])
		}
	}
	for _, ps := range b.prefixes {
		slices.SortFunc(ps, netip.Prefix.Compare)
	}
	slices.SortFunc(b.blocks, netip.Prefix.Compare)
	b.blocks = slices.Compact(b.blocks)
}

// answersAlike says that the plan tells the identities behind one id apart by nothing.
func (b *builder) answersAlike(s *source) bool {
	for dir := range s.sides {
		if len(s.sides[dir]) > 1 {
			return false
		}
	}
	return true
}

// separating is the place of a rule that looks at requests of one of the identities, for a finding.
func (b *builder) separating(s *source) diag.Position {
	for dir := range s.sides {
		for i := range s.sides[dir] {
			if r := s.sides[dir][i].outcome.Rule; len(s.sides[dir]) > 1 && r >= 0 {
				return b.plan.Rules[r].Pos
			}
		}
	}
	return diag.Position{}
}
