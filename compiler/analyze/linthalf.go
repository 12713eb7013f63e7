package analyze

import (
	"math/bits"
	"slices"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// CodeHalfOpen says that an allow opens nothing: the other end of every connection that it allows denies it (S8).
const CodeHalfOpen diag.Code = "WEIR2046"

// maxHalf bounds how many cells are looked at in search of half-open allows, of all rules together.
const maxHalf = 1_000_000

// closing is who denies what an allow of the other end allows: pods, and by what the first of them does; mixed says that it
// is not the same for all.
type closing struct {
	pods  []int32
	first int32
	by    plan.Outcome
	mixed bool
	// seen tells of cells that were looked at whether something is denied there; all of it is.
	seen map[cells]bool
}

// cells are those of a pair of identities: the pods of a subject share their tables.
type cells struct {
	subject plan.PeerIndex
	row     int
	far     int32
}

// halfOpen reports an allow of which every connection is denied at the other end. It is about pods that were read only: what
// else is there may be anything.
func (l *linter) halfOpen(r *plan.Rule, p *plan.Policy) {
	if r.Action != ir.Allow || r.Audit || r.PeerSet < 0 || hasEnded(l.plan, r) {
		return
	}
	v := &view{plan: l.plan, direction: r.Direction}
	peers := members(&l.plan.PeerSets[r.PeerSet])
	if len(peers) == 0 || slices.ContainsFunc(peers, func(p plan.PeerIndex) bool { return l.plan.Peers[p].Kind != plan.PodPeer }) {
		return
	}
	found := closing{seen: map[cells]bool{}}
	for _, s := range l.subjects[r.Policy] {
		for _, v.subject = range l.peersOf[s] {
			for _, v.peer = range peers {
				if l.half++; l.half > maxHalf || l.uncertain(v.peer) || l.uncertain(v.subject) || !l.closed(v, r, &found) {
					return
				}
			}
		}
	}
	if len(found.pods) == 0 {
		return
	}
	slices.Sort(found.pods)
	who := andList(l.names.labels(slices.Compact(found.pods)))
	why := l.closedBy(&found.by)
	if found.mixed {
		why = "at " + l.names.Label(found.first) + ", " + why
	}
	l.add(CodeHalfOpen, l.emptiness(p), r.Pos, "this allow opens nothing: the "+opposite(r.Direction).String()+" of "+who+" denies all that it allows",
		why+"; or take this rule out")
}

// members lists the identities of a set.
func members(s *plan.PeerSet) []plan.PeerIndex {
	var out []plan.PeerIndex
	for i, w := range s.Bits {
		for ; w != 0; w &= w - 1 {
			out = append(out, plan.PeerIndex(i<<6+bits.TrailingZeros64(w)))
		}
	}
	return out
}

func opposite(d ir.Direction) ir.Direction { return ir.NumDirections - 1 - d }

// broken reports whether a denial has an error of its own.
func broken(r plan.Reason) bool {
	return r == plan.ByConflict || r == plan.ByNoWaypoint || r == plan.ByCapacity
}

// uncertain reports whether something that was not understood may let pods of an identity through (S33).
func (l *linter) uncertain(peer plan.PeerIndex) bool {
	return slices.ContainsFunc(l.names.hosts.pods[peer], func(e int32) bool { return l.plan.Endpoints[e].Touched != "" })
}

// closed reports whether the peer's own side denies all that a rule allows between the ends of a view; it notes what does.
func (l *linter) closed(v *view, r *plan.Rule, found *closing) bool {
	own, far := l.plan.SubjectOf(v.subject).Tables[v.direction], (*plan.Table)(nil)
	at := cells{subject: v.subject, row: l.plan.Row(own, v.peer), far: l.plan.Peers[v.peer].Subject}
	if denies, ok := found.seen[at]; ok {
		if denies {
			found.pods = append(found.pods, l.names.hosts.pods[v.peer]...)
		}
		return true
	}
	starts, farRow := [2][]uint32{own.Starts}, 0
	if other := l.plan.SubjectOf(v.peer); other != nil {
		far = other.Tables[opposite(v.direction)]
		starts[1], farRow = far.Starts, l.plan.Row(far, v.subject)
	}
	denies := false
	shut := func() bool {
		if !v.here(r, v.provable()) {
			return true
		}
		if l.half++; l.plan.Decisions[own.Decision(at.row, own.Class(v.key))].Verdict == plan.Deny {
			return true
		}
		if far == nil {
			return false // no side (S8)
		}
		d := &l.plan.Decisions[far.Decision(farRow, far.Class(v.key))]
		if d.Verdict != plan.Deny || broken(d.Reason) {
			return false
		}
		found.note(&d.Outcome, l.names.hosts.pods[v.peer], !denies)
		denies = true
		return true
	}
	for _, v.key = range l.keys(v, r) { // a quick look: most allows open the first port that they name
		if !shut() {
			return false
		}
	}
	for _, starts := range starts {
		for _, start := range starts {
			if v.key = plan.PortKey(start); !shut() {
				return false
			}
		}
	}
	found.seen[at] = denies
	return true
}

// note adds what denies at pods, and the pods, where they are new.
func (c *closing) note(by *plan.Outcome, pods []int32, fresh bool) {
	if c.pods == nil && len(pods) > 0 {
		c.by, c.first = *by, pods[0]
	}
	c.mixed = c.mixed || by.Reason != c.by.Reason || by.Rule != c.by.Rule || by.Policy != c.by.Policy
	if fresh {
		c.pods = append(c.pods, pods...)
	}
}

// closedBy says what denies at the other end.
func (l *linter) closedBy(o *plan.Outcome) string {
	switch {
	case o.Reason == plan.ByRule && o.Rule != plan.None:
		return l.places.rule(o.Rule).Short + " denies it there: make that one narrower"
	case o.Policy != plan.None:
		return "no rule allows it there: the default of a subject with policies (" + l.places.policy(o.Policy).Short + "): allow it there, too"
	case o.Reason == plan.ByAuthentication:
		return "only a NetworkPolicy allows it there, which opens nothing unauthenticated: allow it there by a rule of the mesh, too"
	}
	return "nothing allows it there, and what is in the mesh denies by default: allow it there, too"
}
