package analyze

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-mesh/weir/compiler/plan"
)

// differ explains how two pairs of ends get different answers.
func (n *Names) differ(q Question, a, b *Reply) error {
	e := &DifferError{}
	flow := func(r *Reply) string {
		f := &r.Flow
		// Which node is the pod's own is seen at a source only (S5).
		text := n.endText(q.From, f.Src, f.Dst) + " → " + n.endText(q.To, f.Dst, plan.NewEnd(f.Src.Peer))
		if a.Flow.Port != b.Flow.Port && f.Dst.Frontend < 0 { // one name for two numbers
			text += " " + KeyText(f.Port)
		}
		return text
	}
	// What differs between the two pairs is an end's pod, or only the identity that one pod may get.
	onlyAddress := func(t *Target, x, y plan.End) bool {
		return x == y || x.Endpoint == y.Endpoint && x.Frontend == y.Frontend && (undecided(n.plan, x) || n.ofOneUndecided(t, x, y))
	}
	switch {
	case a.Flow.Port == b.Flow.Port && onlyAddress(q.From, a.Flow.Src, b.Flow.Src) && onlyAddress(q.To, a.Flow.Dst, b.Flow.Dst):
		e.Address = true
		e.Text = fmt.Sprintf("depends on the pod's address: %s or %s", word(a), word(b))
	default:
		e.Text = fmt.Sprintf("the ends differ: %s for %s, %s for %s", word(a), flow(a), word(b), flow(b))
	}
	return e
}

// endText names one of the ends that a target stands for, so that it can be told from the others; other is the connection's
// other end.
func (n *Names) endText(t *Target, e, other plan.End) string {
	switch kind := n.plan.Peers[e.Peer].Kind; {
	case e.Frontend >= 0:
		return t.Name
	case e.Endpoint >= 0:
		return n.podText(e)
	case kind == plan.HostPeer, kind == plan.OwnHostPeer:
		return t.Name + " (" + n.hosts.text(e.Peer, other) + ")"
	case kind == plan.PodPeer && len(n.hosts.pods[e.Peer]) > 0:
		e.Endpoint = n.hosts.pods[e.Peer][0]
		return t.Name + " (" + n.podText(e) + ")"
	}
	return t.Name + " (" + n.peerText(e.Peer) + ")"
}

// podText names a pod, with the address where its addresses have identities of their own.
func (n *Names) podText(e plan.End) string {
	ep := &n.plan.Endpoints[e.Endpoint]
	name := ep.Namespace + "/" + ep.Name
	for i, p := range ep.Peers {
		if p == e.Peer && i < len(ep.Addrs) && slices.ContainsFunc(ep.Peers, func(q plan.PeerIndex) bool { return q != p }) {
			return name + " at " + ep.Addrs[i].String()
		}
	}
	return name
}

// Word is the verdict, or unknown where it is not all that decides (S33).
func (r *Reply) Word() string {
	if r.Touched != "" {
		return "unknown"
	}
	return r.Verdict.String()
}

func touchedText(object string) string {
	return object + " may change this, and is not understood (--lenient): what the known policies decide is enforced, and no more can be said"
}

func word(r *Reply) string {
	switch {
	case r.Verdict != plan.Deny && r.Auth == plan.AuthPlaintext:
		return r.Verdict.String() + " in plaintext"
	case r.Verdict != plan.Deny && r.Auth == plan.AuthRequired:
		return r.Verdict.String() + " with authentication"
	}
	return r.Verdict.String()
}

// peerText says what an identity is where it is no pod with a name.
func (n *Names) peerText(i plan.PeerIndex) string {
	p := &n.plan.Peers[i]
	switch p.Kind {
	case plan.UnknownPeer:
		return "an in-cluster address that no object explains"
	case plan.PodPeer:
		return p.Namespace + "/" + p.ServiceAccount
	case plan.WorldPeer:
		return p.Prefix.String()
	case plan.HostPeer:
		return "a node"
	case plan.OwnHostPeer:
		return "the pod's own node"
	default:
		return "a forwarded packet"
	}
}

// authentication says in words how an allowed connection is authenticated (S18 to S20).
func (n *Names) authentication(q Question, r *Reply) string {
	switch {
	case r.Verdict == plan.Deny:
		return "none"
	case r.Auth == plan.AuthPlaintext:
		return "plaintext"
	case r.Auth == plan.AuthNone:
		return "none"
	case r.Answer.Verdict == plan.Redirect:
		return "mTLS" // with the waypoint, wherever it runs
	}
	return attested(meet(n.nodes(q.From.Endpoints), n.nodes(n.behind(q.To, r))))
}

// meet reports whether pods on two sets of nodes, sorted and without doubles, may be on one node, and whether they may
// be on two; "" is a node that is not known yet.
func meet(from, to []string) (together, apart bool) {
	if len(from) == 0 || len(to) == 0 {
		return false, false
	}
	unknown := from[0] == "" || to[0] == ""
	together = from[0] == ""
	for i, j := 0, 0; i < len(from) && j < len(to) && !together; {
		switch c := strings.Compare(from[i], to[j]); {
		case c < 0:
			i++
		case c > 0:
			j++
		default:
			together = true
		}
	}
	return together, unknown || len(from) > 1 || len(to) > 1 || from[0] != to[0]
}

// attested words an authenticated connection: kernel-attested on one node, mTLS between nodes (S20), and either where
// the nodes are not known or both kinds of pairs exist.
func attested(together, apart bool) string {
	switch {
	case together && !apart:
		return "kernel-attested"
	case apart && !together:
		return "mTLS"
	}
	return "mTLS or kernel-attested"
}

// behind returns the pods that a target's connections end at.
func (n *Names) behind(t *Target, r *Reply) []int32 {
	if r.Flow.Dst.Frontend < 0 {
		return t.Endpoints
	}
	var out []int32
	for _, b := range n.plan.Frontends[r.Flow.Dst.Frontend].Backends {
		if b.Endpoint >= 0 {
			out = append(out, b.Endpoint)
		}
	}
	return out
}

// nodes are the nodes of pods, sorted; "" is a pod that has none yet.
func (n *Names) nodes(endpoints []int32) []string {
	out := make([]string, len(endpoints))
	for i, e := range endpoints {
		out[i] = n.plan.Endpoints[e].Node
	}
	slices.Sort(out)
	return slices.Compact(out)
}
