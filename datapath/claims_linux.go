package datapath

import (
	"fmt"
	"slices"
	"strings"
)

// claim is what is known about where one endpoint is.
type claim struct {
	name string
	// routed are the veths to which its own addresses, and nothing else, are routed: the node's word. inside are those whose
	// other end has one of them: the pod's word, as its namespace's owner may give itself any address.
	routed, inside []int
	// held is where the kernel's generation has it, with an address that it still has; 0 is nowhere.
	held int
	// none says why there is neither; empty Why is Nowhere.
	none Unfound
}

// settle gives each endpoint the interface that is its alone. What is in doubt is given nothing new. What is held stays while
// its interface exists, unless a route says otherwise: no pod gets out of its programs, or another's, by addresses that it
// gives itself. closed are interfaces that more than one endpoint must be behind: whose packets they are can't be told, so
// none may pass. exists has the names of the interfaces that there are.
func settle(claims []claim, exists map[int]string) (at, closed []int, missing []Unfound) {
	s := settlement{claims: claims, exists: exists, at: make([]int, len(claims)), owner: map[int]int{}, left: make([][]int, len(claims))}
	for i := range claims {
		c := &claims[i]
		s.left[i] = c.candidates()
		if exists[c.held] != "" && (len(s.left[i]) != 1 || len(c.routed) == 0) {
			s.left[i] = []int{c.held}
		}
	}
	// Pods that have the address come before those to which only a route leads.
	s.rounds(func(c *claim) bool { return len(c.inside) > 0 || len(c.routed) == 0 })
	s.rounds(func(*claim) bool { return true })
	for i := range claims { // of several that may be behind one, the one that is held there
		if h := claims[i].held; s.at[i] == 0 && exists[h] != "" && !s.taken(h) {
			s.give(i, h)
		}
	}
	for i := range claims {
		s.left[i] = slices.DeleteFunc(slices.Clone(s.left[i]), s.taken)
	}
	for i := range claims {
		if s.at[i] == 0 {
			missing = append(missing, s.why(i))
			if len(s.left[i]) == 1 && len(s.rivals(i)) > 0 {
				closed = append(closed, s.left[i][0])
			}
		}
	}
	slices.Sort(closed)
	return s.at, slices.Compact(closed), missing
}

// rivals are the endpoints that an endpoint without an interface shares its only candidate with, or that have it.
func (s *settlement) rivals(i int) (names []string) {
	all := s.claims[i].candidates()
	for j := range s.claims {
		if j != i && len(all) == 1 && (s.at[j] == all[0] || s.at[j] == 0 && slices.Equal(s.left[j], all)) {
			names = append(names, s.claims[j].name)
		}
	}
	return names
}

// candidates are the interfaces that may be the endpoint's; none where route and pod contradict each other.
func (c *claim) candidates() []int {
	switch {
	case len(c.inside) == 0:
		return c.routed
	case len(c.routed) == 0:
		return c.inside
	}
	return slices.DeleteFunc(slices.Clone(c.inside), func(x int) bool { return !slices.Contains(c.routed, x) })
}

type settlement struct {
	claims []claim
	exists map[int]string
	at     []int       // by claim, 0 for none
	owner  map[int]int // claim by interface
	left   [][]int     // by claim, the candidates that nobody has
}

func (s *settlement) taken(ifindex int) bool {
	_, yes := s.owner[ifindex]
	return yes
}

func (s *settlement) give(i, ifindex int) { s.at[i], s.owner[ifindex] = ifindex, i }

// rounds gives what only one can have, until nothing follows from that.
func (s *settlement) rounds(of func(*claim) bool) {
	for again := true; again; {
		again = false
		wanted := map[int][]int{}
		for i := range s.claims {
			s.left[i] = slices.DeleteFunc(slices.Clone(s.left[i]), s.taken)
			if s.at[i] == 0 && len(s.left[i]) == 1 && of(&s.claims[i]) {
				wanted[s.left[i][0]] = append(wanted[s.left[i][0]], i)
			}
		}
		for ifindex, by := range wanted {
			if len(by) == 1 {
				s.give(by[0], ifindex)
				again = true
			}
		}
	}
}

const oneVeth = "every pod needs a veth of its own, that has its address on the pod's side and that no other pod has"

// why says why an endpoint was given nothing.
func (s *settlement) why(i int) Unfound {
	c := &s.claims[i]
	u := Unfound{Name: c.name, Why: Ambiguous, Hint: oneVeth}
	all := c.candidates()
	switch {
	case len(c.routed) == 0 && len(c.inside) == 0:
		u = c.none
		u.Name = c.name
	case len(all) == 0:
		u.Text = fmt.Sprintf("its address is routed to %s, and %s has it", s.names(c.routed), s.behind(c.inside))
	case len(all) > 1:
		u.Text = fmt.Sprintf("its addresses lead to more than one interface: %s", s.names(all))
	default:
		u.Text = fmt.Sprintf("it and %s are behind the same interface, %s", strings.Join(s.rivals(i), ", "), s.names(all))
		if !s.taken(all[0]) {
			u.Text += ", where nothing passes now"
		}
	}
	return u
}

func (s *settlement) behind(ifindexes []int) string {
	if len(ifindexes) == 1 {
		return "the pod behind " + s.names(ifindexes)
	}
	return "each pod behind " + s.names(ifindexes)
}

func (s *settlement) names(ifindexes []int) string {
	var out []string
	for _, x := range ifindexes {
		out = append(out, s.exists[x])
	}
	return strings.Join(out, ", ")
}
