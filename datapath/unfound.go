package datapath

// Unfound is an endpoint of which no interface was found: nothing of its pod is enforced.
type Unfound struct {
	Name string
	Why  Why
	// Text says what was found in the interface's place, and Hint the way out.
	Text, Hint string
}

// Why says what kind of thing keeps an endpoint from being enforced.
type Why string

// The kinds.
const (
	// Nowhere: nothing on the node is known to have the endpoint's addresses. It may not have started.
	Nowhere Why = "nowhere"
	// NoVeth: its address is routed to an interface of a kind that nothing can be attached to.
	NoVeth Why = "no-veth"
	// Ambiguous: several interfaces may be its own, or one is several endpoints'.
	Ambiguous Why = "ambiguous"
)
