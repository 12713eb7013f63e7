package analyze

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// Question is a flow between two names. Request is nil where only the connection is asked about.
type Question struct {
	From, To *Target
	Port     Port
	Request  *plan.Request
}

// Reply is the plan's answer to a question. It holds for every pair of ends that the names stand for.
type Reply struct {
	// Flow is one of the pairs; Answer is the plan's answer for it.
	Flow   plan.Flow
	Answer plan.Answer
	// Egress and Ingress are what the sides say of the request, where there is one: a redirect is then decided. By is
	// the side that decided.
	Egress, Ingress plan.Outcome
	Verdict         plan.Verdict
	By              ir.Direction
	// Status is what the client of a denied request gets; 0 where no request was denied.
	Status int
	// SharedWith names a workload of the client's SPIFFE id that may not send the request, which is why it is denied.
	SharedWith string
	// Auth is what is asked of an allowed connection; How says it in words (S20).
	Auth plan.Auth
	How  string
	// Touched names what was not understood and may change the verdict, which is then unknown (S33); empty for nothing.
	Touched string
	// NotPortable says that a NetworkPolicy has a say in what its API says nothing about: a protocol other than TCP, UDP and
	// SCTP, where CNIs differ (S13).
	NotPortable bool
	// Pairs is how many pairs of ends were looked at.
	Pairs int
	// flows are all of them.
	flows []plan.Flow
}

// Side returns what the side that decided says.
func (r *Reply) Side() *plan.Outcome {
	if r.By == ir.Egress {
		return &r.Egress
	}
	return &r.Ingress
}

// DifferError says that the pairs of ends behind two names get different answers.
type DifferError struct {
	// Address is true when only the pod's address, which is not known before a merge, makes the difference (S4).
	Address bool
	Text    string
}

func (e *DifferError) Error() string { return e.Text }

// Ask answers a question. Where the ends behind the names get different answers, it fails with a DifferError.
func (n *Names) Ask(q Question) (Reply, error) {
	if q.Request != nil && q.Port.Space != ir.TCP {
		return Reply{}, fmt.Errorf("a request needs TCP: %s carries no HTTP", q.Port.Space)
	}
	q = q.withHost()
	flows, err := n.pairs(q)
	if err != nil {
		return Reply{}, err
	}
	first := n.reply(flows[0], q.Request)
	first.flows = flows
	first.Pairs = len(flows)
	for i, f := range flows {
		r := first
		if i > 0 {
			r = n.reply(f, q.Request)
		}
		if !sameReply(&r, &first) {
			if err := n.byFamily(flows, q.Request); err != nil {
				return Reply{}, err
			}
			return Reply{}, n.differ(q, &first, &r)
		}
		if err := n.agree(f, q.Request); err != nil {
			return Reply{}, err
		}
	}
	first.How = n.authentication(q, &first)
	for _, f := range flows {
		if first.Touched = n.plan.Touched(f); first.Touched != "" {
			break
		}
	}
	first.NotPortable = slices.ContainsFunc(flows, n.notPortable)
	return first, nil
}

// notPortable reports whether an end of a flow that no NetworkPolicy can speak about is isolated by one.
func (n *Names) notPortable(f plan.Flow) bool {
	switch f.Port.Space() {
	case ir.TCP, ir.UDP, ir.SCTP:
		return false
	}
	for d, peer := range []plan.PeerIndex{f.Src.Peer, f.Dst.Peer} {
		s := n.plan.SubjectOf(peer)
		if s != nil && slices.ContainsFunc(s.Policies, func(i plan.PolicyIndex) bool {
			p := n.plan.Policies[i].Source
			return p.Layer == ir.Orchestrator && p.Isolate[d]
		}) {
			return true
		}
	}
	return false
}

func sameReply(a, b *Reply) bool {
	return a.Verdict == b.Verdict && (a.Verdict == plan.Deny || a.Auth.SameDemand(b.Auth))
}

// agree fails where the endpoints behind a service's address answer differently: which of them a connection is led to is not
// the plan's to say, so that it can be called neither allowed nor denied (S27).
func (n *Names) agree(f plan.Flow, req *plan.Request) error {
	if f.Dst.Frontend < 0 {
		return nil
	}
	if err := n.unplaced(f, req); err != nil {
		return err
	}
	text := n.disagreement(f, req)
	if text == "" {
		return nil
	}
	fe := &n.plan.Frontends[f.Dst.Frontend]
	return &DifferError{Text: fmt.Sprintf("the endpoints behind service %s/%s differ: %s", fe.Namespace, fe.Service, text)}
}

// disagreement says what two endpoints behind a service's address answer that do not answer alike; empty where all do.
func (n *Names) disagreement(f plan.Flow, req *plan.Request) string {
	each := n.plan.DecideEach(f)
	var first Reply
	for i := range each {
		r := n.answered(f, each[i].Answer, req)
		if i == 0 {
			first = r
		}
		if !sameReply(&first, &r) {
			fe := &n.plan.Frontends[f.Dst.Frontend]
			return fmt.Sprintf("%s at %s, %s at %s", word(&first), n.backendText(fe, &each[0]), word(&r), n.backendText(fe, &each[i]))
		}
	}
	return ""
}

func (n *Names) backendText(f *plan.Frontend, a *plan.BackendAnswer) string {
	b := &f.Backends[a.Backend]
	if b.Endpoint < 0 {
		return b.Addr.String()
	}
	e := &n.plan.Endpoints[b.Endpoint]
	return e.Namespace + "/" + e.Name
}

// withHost gives a request without a host that of the destination, as a client in the cluster would.
func (q Question) withHost() Question {
	if q.Request == nil || q.Request.Host != "" {
		return q
	}
	r := *q.Request
	r.Host = q.To.Name
	if parts := strings.Split(q.To.Name, "/"); len(parts) > 1 && q.To.Kind <= ServiceTarget {
		r.Host = parts[len(parts)-1] + "." + parts[0]
	}
	q.Request = &r
	return q
}

// pairs returns the pairs of ends that a question is about; there is at least one.
func (n *Names) pairs(q Question) ([]plan.Flow, error) {
	if q.From.Kind == DNSTarget {
		return nil, fmt.Errorf("%s is a DNS name, which is only where a connection goes to (S15): write an address, or world", q.From.Name)
	}
	if q.To.Entity == ir.OwnNode {
		return nil, fmt.Errorf("own-node is only where a connection comes from (S5)")
	}
	to := q.To.ends
	if len(to) == 0 {
		var err error
		if to, err = n.frontend(q.To, q.Port); err != nil {
			return nil, err
		}
	}
	var flows []plan.Flow
	for _, s := range q.From.ends {
		for _, d := range to {
			if s.family != anyFamily && d.family != anyFamily && s.family != d.family || !n.hosts.exists(d) {
				continue
			}
			keys, err := n.portsAt(q, d)
			if err != nil {
				return nil, err
			}
			for _, k := range keys {
				if s.node != nil {
					flows = n.fromNode(flows, q, s, d, k)
				} else {
					flows = addFlow(flows, n.pair(q, s, d, k))
				}
			}
		}
	}
	if len(flows) == 0 {
		return nil, n.noPairs(q, to)
	}
	return flows, nil
}

// noPairs says why there is no connection between the ends that a question is about.
func (n *Names) noPairs(q Question, to []end) error {
	switch {
	case len(q.From.ends) == 0:
		return fmt.Errorf("%s is a service: a connection comes from a workload", q.From.Name)
	case q.From.Entity == ir.OwnNode && !slices.ContainsFunc(to, func(d end) bool { return d.Frontend >= 0 || n.plan.Peers[d.Peer].Kind == plan.PodPeer }):
		return fmt.Errorf("own-node is a pod's: ask about a pod")
	case q.From.Entity == ir.Host && n.hosts.onlyOwn(q.To.Endpoints):
		return fmt.Errorf("no node but the pod's own is known: ask about own-node")
	}
	return fmt.Errorf("%s and %s have no address family in common", q.From.Name, q.To.Name)
}

// frontend returns the ends of a service's port.
func (n *Names) frontend(t *Target, p Port) ([]end, error) {
	var have []string
	var out []end
	all := t.Frontends
	if t.Kind == AddressTarget {
		for i := range n.plan.Frontends {
			if slices.Contains(n.plan.Frontends[i].Addrs, t.addr) {
				all = append(all, int32(i))
			}
		}
	}
	for _, i := range all {
		f := &n.plan.Frontends[i]
		text := KeyText(f.Port)
		if f.PortName != "" {
			text += " (" + f.PortName + ")"
		}
		if !slices.Contains(have, text) { // each family has its own
			have = append(have, text)
		}
		if f.Port != plan.Key(p.Space, p.Number) && (p.Name == "" || p.Name != f.PortName || p.Space != f.Port.Space()) {
			continue
		}
		if t.Kind == AddressTarget {
			out = append(out, end{End: plan.End{Endpoint: plan.None, Frontend: i}, family: addrFamily(t.addr)})
			continue
		}
		if len(f.Addrs) == 0 {
			out = append(out, end{End: plan.End{Endpoint: plan.None, Frontend: i}})
			continue
		}
		for _, a := range f.Addrs {
			out = append(out, end{End: plan.End{Endpoint: plan.None, Frontend: i}, family: addrFamily(a)})
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("service %s has no port %s: it has %s", t.Name, p, orNothing(strings.Join(have, ", ")))
	}
	return out, nil
}

func orNothing(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// pair joins two ends.
func (n *Names) pair(q Question, s, d end, k plan.PortKey) plan.Flow {
	f := plan.Flow{Src: s.End, Dst: d.End, Port: k}
	// A workload of several pods: the traffic between two of them leaves the pod (S6 is about one).
	same := f.Src.Endpoint >= 0 && f.Src.Endpoint == f.Dst.Endpoint
	switch {
	case same && (q.To.pods > 1 || q.From.pods > 1):
		f.Dst.Endpoint = plan.None
	case d.Frontend >= 0 && f.Src.Endpoint >= 0 && n.plan.Endpoints[f.Src.Endpoint].Declared && n.plan.Endpoints[f.Src.Endpoint].Replicas > 1:
		f.Src.Endpoint = plan.None
	}
	return f
}

func addFlow(flows []plan.Flow, f plan.Flow) []plan.Flow {
	if slices.Contains(flows, f) {
		return flows
	}
	return append(flows, f)
}

// portsAt returns the port at one end of a question's destination; a service's was found by its own number or name. A name
// is looked up on the destination, where pods that no rule tells apart may have several numbers for it.
func (n *Names) portsAt(q Question, d end) ([]plan.PortKey, error) {
	switch {
	case d.Frontend >= 0:
		return []plan.PortKey{n.plan.Frontends[d.Frontend].Port}, nil
	case q.Port.Name == "":
		return []plan.PortKey{plan.Key(q.Port.Space, q.Port.Number)}, nil
	}
	var keys []plan.PortKey
	var has []string
	look := func(ports []plan.NamedPort) {
		for _, p := range ports {
			if k := plan.Key(p.Space, p.Number); p.Name == q.Port.Name && p.Space == q.Port.Space && !slices.Contains(keys, k) {
				keys = append(keys, k)
			}
			if text := p.Space.String() + " " + p.Name; !slices.Contains(has, text) {
				has = append(has, text)
			}
		}
	}
	look(n.plan.Peers[d.Peer].NamedPorts)
	for _, i := range n.endpointsAt(q.To, d) {
		look(n.plan.Endpoints[i].NamedPorts)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s has no container port named %q for %s: it has %s", q.To.Name, q.Port.Name, q.Port.Space, orNothing(strings.Join(has, ", ")))
	}
	return keys, nil
}

// endpointsAt lists the pods, those with their node's network among them, that a target's end stands for.
func (n *Names) endpointsAt(t *Target, d end) []int32 {
	if t.Endpoints == nil {
		return n.hosts.pods[d.Peer]
	}
	return slices.DeleteFunc(slices.Clone(t.Endpoints), func(i int32) bool { return !slices.Contains(n.plan.Endpoints[i].Peers, d.Peer) })
}

// reply asks the plan about one pair of ends, and a redirect's lists about the request. What is asked of the client is asked
// of its connection, before there is a request: it is the same for all of them (S22).
func (n *Names) reply(f plan.Flow, req *plan.Request) Reply {
	return n.answered(f, n.plan.Decide(f), req)
}

func (n *Names) answered(f plan.Flow, a plan.Answer, req *plan.Request) Reply {
	r := Reply{Flow: f, Answer: a, Egress: a.Egress.Outcome, Ingress: a.Ingress.Outcome, Verdict: a.Verdict, By: a.By, Auth: a.Auth}
	if req != nil && a.Verdict == plan.Redirect {
		ra := n.requests.Decide(&a, req)
		r.Egress, r.Ingress, r.Verdict, r.By, r.Status = ra.Egress, ra.Ingress, ra.Verdict, ra.By, ra.Status
		if r.Verdict != plan.Deny {
			n.limitBySharing(&r, req)
		}
	}
	return r
}

// limitBySharing denies a request that another identity of the client's SPIFFE id may not send: a waypoint knows its clients by
// that id alone, and lets pass what all of them may send that are led to it (S21; WEIR4006, compiler/route).
func (n *Names) limitBySharing(r *Reply, req *plan.Request) {
	for _, s := range n.sharers(r.Flow) {
		if ra := n.requests.Decide(&s.answer, req); ra.Verdict == plan.Deny {
			r.Egress, r.Ingress, r.Verdict, r.By, r.Status, r.SharedWith = ra.Egress, ra.Ingress, plan.Deny, ra.By, ra.Status, n.identityText(s.peer)
			return
		}
	}
}

// sharer is another identity of a client's SPIFFE id, and what the plan answers for it.
type sharer struct {
	peer   plan.PeerIndex
	answer plan.Answer
}

// sharers are the other identities of the client's SPIFFE id that are led to the same waypoint: the own kernel of the rest keeps
// them from it, or sends them elsewhere.
func (n *Names) sharers(f plan.Flow) []sharer {
	var out []sharer
	for _, peer := range n.sharing[n.plan.Peers[f.Src.Peer].SPIFFE] {
		if peer == f.Src.Peer {
			continue
		}
		f.Src = plan.NewEnd(peer)
		for _, a := range n.decideEach(f) {
			if a.Egress.Verdict == plan.Redirect || a.Egress.Verdict != plan.Deny && a.Ingress.Verdict == plan.Redirect {
				out = append(out, sharer{peer, a})
			}
		}
	}
	return out
}

// decideEach is the plan's answer for a flow; at a service's address one for each endpoint behind it, if there is any.
func (n *Names) decideEach(f plan.Flow) []plan.Answer {
	var out []plan.Answer
	if f.Dst.Frontend >= 0 {
		for _, each := range n.plan.DecideEach(f) {
			out = append(out, each.Answer)
		}
	}
	if out == nil {
		out = append(out, n.plan.Decide(f))
	}
	return out
}

// sharedText says why a request is denied that the client's own rules allow; empty where that is not so.
func (r *Reply) sharedText() string {
	if r.SharedWith == "" {
		return ""
	}
	return r.SharedWith + " shares the client's SPIFFE id and may not send this; the waypoint can't tell them apart (WEIR4006)"
}

// identityText names a workload of an identity.
func (n *Names) identityText(peer plan.PeerIndex) string {
	if pods := n.hosts.pods[peer]; len(pods) > 0 {
		return n.Label(pods[0])
	}
	return n.peerText(peer)
}

// undecided reports whether the end is a pod whose identity hangs on an address that it does not have yet (S4).
func undecided(p *plan.Plan, e plan.End) bool {
	return e.Endpoint >= 0 && len(p.Endpoints[e.Endpoint].Addrs) == 0 && len(p.Endpoints[e.Endpoint].Peers) > 1
}

// ofOneUndecided reports whether two identities are those of one pod without an address: where its replicas talk to each
// other, the end names no pod.
func (n *Names) ofOneUndecided(t *Target, x, y plan.End) bool {
	return x.Endpoint < 0 && slices.ContainsFunc(t.Endpoints, func(i int32) bool {
		e := &n.plan.Endpoints[i]
		return undecided(n.plan, plan.End{Endpoint: i}) && slices.Contains(e.Peers, x.Peer) && slices.Contains(e.Peers, y.Peer)
	})
}
