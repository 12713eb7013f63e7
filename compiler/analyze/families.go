package analyze

import (
	"fmt"
	"slices"

	"github.com/weir-mesh/weir/compiler/plan"
)

func (f family) String() string { return [...]string{"any", "IPv4", "IPv6"}[f] }

// byFamily says that ends answer by address family, where the family of every pair is known and tells the answer (S3).
func (n *Names) byFamily(flows []plan.Flow, req *plan.Request) error {
	var answers [v6 + 1]*Reply
	for _, f := range flows {
		fam := n.flowFamily(f)
		r := n.reply(f, req)
		agreed := n.agree(f, req) == nil
		if fam == anyFamily || answers[fam] != nil && !sameReply(answers[fam], &r) || !agreed {
			return nil
		}
		answers[fam] = &r
	}
	if answers[v4] == nil || answers[v6] == nil {
		return nil
	}
	return &DifferError{Text: fmt.Sprintf("the address families differ: over IPv4 %s, over IPv6 %s: name one of the ends by an address to ask about one",
		word(answers[v4]), word(answers[v6]))}
}

// flowFamily is the family of the addresses that a connection is between, as far as its ends tell.
func (n *Names) flowFamily(f plan.Flow) family {
	if f.Dst.Frontend >= 0 {
		if addrs := n.plan.Frontends[f.Dst.Frontend].Addrs; len(addrs) > 0 {
			return addrFamily(addrs[0]) // a frontend is of one family
		}
	}
	for _, e := range []plan.End{f.Src, f.Dst} {
		if fam := n.endFamily(e); fam != anyFamily {
			return fam
		}
	}
	return anyFamily
}

func (n *Names) endFamily(e plan.End) family {
	if e.Frontend >= 0 {
		return anyFamily
	}
	if e.Endpoint < 0 {
		if p := &n.plan.Peers[e.Peer]; p.Kind == plan.WorldPeer {
			return addrFamily(p.Prefix.Addr())
		}
		return n.peerFamily[e.Peer]
	}
	ep := &n.plan.Endpoints[e.Endpoint]
	out := anyFamily
	for i, a := range ep.Addrs {
		if ep.Peers[i] != e.Peer {
			continue
		}
		if fam := addrFamily(a); out == anyFamily || out == fam {
			out = fam
		} else {
			return anyFamily // one identity for both
		}
	}
	return out
}

// maxPlacings bounds how many ways to give addresses to the pods behind a service are tried; beyond it the answer hangs on
// them.
const maxPlacings = 256

// unplaced fails where the answer about a service's address hangs on an address that a pod behind it does not have yet (S4):
// one endpoint has one answer, which is not known, and that is no difference between endpoints (S27).
func (n *Names) unplaced(f plan.Flow, req *plan.Request) error {
	backends := n.plan.Frontends[f.Dst.Frontend].Backends
	waits := func(b plan.Backend) bool {
		return b.Endpoint >= 0 && undecided(n.plan, plan.End{Endpoint: b.Endpoint})
	}
	if !slices.ContainsFunc(backends, waits) {
		return nil
	}
	var choices [][]Reply
	placings := 1
	hangs := false
	for _, b := range backends {
		if b.Endpoint >= 0 && b.Endpoint == f.Src.Endpoint {
			continue
		}
		var replies []Reply
		for _, p := range b.Peers {
			r := n.reply(plan.Flow{Src: f.Src, Dst: plan.End{Peer: p, Endpoint: b.Endpoint, Frontend: plan.None}, Port: b.Port}, req)
			switch {
			case !waits(b): // each of its addresses may be chosen
				choices = append(choices, []Reply{r})
			case !slices.ContainsFunc(replies, func(o Reply) bool { return sameReply(&o, &r) && sameEgress(&o, &r) }):
				replies = append(replies, r)
			}
		}
		if len(replies) > 0 {
			choices = append(choices, replies)
			placings = min(placings*len(replies), maxPlacings+1)
			hangs = hangs || len(replies) > 1
		}
	}
	if !hangs {
		return nil
	}
	var all []string
	if placings <= maxPlacings {
		all = outcomes(choices, nil, nil)
	}
	if len(all) == 1 {
		return nil
	}
	slices.Sort(all)
	fe := &n.plan.Frontends[f.Dst.Frontend]
	text := orList(all)
	if len(all) == 0 {
		text = "many ways"
	}
	return &DifferError{Address: true, Text: fmt.Sprintf("depends on the address of a pod behind service %s/%s: %s", fe.Namespace, fe.Service, text)}
}

// outcomes lists what a service's address answers, for every choice of one reply for each endpoint behind it.
func outcomes(choices [][]Reply, chosen []*Reply, out []string) []string {
	if len(chosen) < len(choices) {
		for i := range choices[len(chosen)] {
			out = outcomes(choices, append(slices.Clip(chosen), &choices[len(chosen)][i]), out)
		}
		return out
	}
	text := word(chosen[0])
	for _, r := range chosen[1:] {
		switch {
		case !sameEgress(r, chosen[0]):
			text = plan.Deny.String() // the source's side can't see which endpoint is chosen (S27)
		case text != plan.Deny.String() && !sameReply(r, chosen[0]):
			text = "different answers of the endpoints"
		}
	}
	if slices.Contains(out, text) {
		return out
	}
	return append(out, text)
}

// sameEgress reports whether the source's side does the same to two connections.
func sameEgress(a, b *Reply) bool {
	x, y := &a.Answer.Egress, &b.Answer.Egress
	return x.Verdict == y.Verdict && x.Auth.SameDemand(y.Auth) && x.List == y.List
}
