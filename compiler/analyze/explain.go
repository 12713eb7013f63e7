package analyze

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// Explanation is a verdict and how it came about (S31). The verdict is the plan's; the steps narrate it.
type Explanation struct {
	From    string `json:"from"`
	To      string `json:"to"`
	Port    string `json:"port"`
	Request string `json:"request,omitempty"`
	Verdict string `json:"verdict"`
	// Status is what the client of a denied request gets.
	Status         int    `json:"status,omitempty"`
	Sides          []Side `json:"sides"`
	Decided        string `json:"decided"`
	Authentication string `json:"authentication"`
	// Audit is what would become of it with what is in audit enforced, where that differs (S30).
	Audit *Audit `json:"audit,omitempty"`
	// Notes are what else to know: a service in between, a side that only a CNI enforces.
	Notes []string `json:"notes,omitempty"`
}

// Side is what one end's policies say.
type Side struct {
	Direction string `json:"direction"`
	Of        string `json:"of"`
	Verdict   string `json:"verdict"`
	Reason    string `json:"reason"`
	Steps     []Step `json:"steps"`
	Near      []Near `json:"near,omitempty"`
	// Requests is the first-match list of a connection that a waypoint decides.
	Requests []RequestStep `json:"requests,omitempty"`
}

// Step is one tier, or the default that decided.
type Step struct {
	Step string   `json:"step"`
	Says string   `json:"says"`
	Rule *RuleRef `json:"rule,omitempty"`
	Text string   `json:"text,omitempty"`
}

// Near is a rule that would have allowed the flow, and what it misses.
type Near struct {
	Rule RuleRef `json:"rule"`
	Text string  `json:"text"`
}

// RequestStep is one entry of a first-match list.
type RequestStep struct {
	Verdict string   `json:"verdict"`
	Match   string   `json:"match"`
	Rule    *RuleRef `json:"rule,omitempty"`
}

// Explainer explains verdicts of one plan.
type Explainer struct {
	names    *Names
	plan     *plan.Plan
	places   *places
	narrator *narrator
}

// NewExplainer prepares explanations of the plan behind names.
func NewExplainer(n *Names) *Explainer {
	return &Explainer{names: n, plan: n.plan, places: newPlaces(n.plan), narrator: &narrator{n.plan, rulesOf(n.plan)}}
}

// Explain answers a question and says why.
func (x *Explainer) Explain(q Question) (*Explanation, error) {
	q = q.withHost()
	r, err := x.names.Ask(q)
	if err != nil {
		return nil, err
	}
	e := &Explanation{From: q.From.Name, To: q.To.Name, Port: q.Port.String(), Verdict: r.Word(), Status: r.Status,
		Authentication: x.authText(&r)}
	if q.Port.Name != "" {
		e.Port = portsOf(r.flows)
	}
	if q.Request != nil {
		e.Request = RequestLine(q.Request)
	}
	flow, note := x.behind(&r)
	if note != "" {
		e.Notes = append(e.Notes, note)
	}
	for d := range ir.NumDirections {
		e.Sides = append(e.Sides, x.side(d, q, &r, flow))
	}
	if r.NotPortable {
		e.Notes = append(e.Notes, "not portable: NetworkPolicy says nothing about "+protocolText(r.Flow.Port.Space())+", and CNIs differ")
	}
	if r.Touched != "" {
		e.Notes = append(e.Notes, touchedText(r.Touched))
	}
	if text := r.sharedText(); text != "" {
		e.Notes = append(e.Notes, text)
	}
	e.Notes = append(e.Notes, x.notEnforced(q, &r, flow)...)
	e.Notes = append(e.Notes, notCarried(&r)...)
	e.Audit = x.names.audit(x.places, &r, q.Request)
	e.Decided = x.decided(q, &r, flow)
	return e, nil
}

// portsOf are the numbers that a name stood for.
func portsOf(flows []plan.Flow) string {
	var out []string
	for _, f := range flows {
		if text := KeyText(f.Port); !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return orList(out)
}

func protocolText(s ir.Space) string {
	if s == ir.ICMPv4 || s == ir.ICMPv6 {
		return s.String()
	}
	return "protocols but TCP, UDP and SCTP"
}

// behind returns the flow to narrate: at a service's address, that to the endpoint behind it whose answer holds (S27).
func (x *Explainer) behind(r *Reply) (plan.Flow, string) {
	f := r.Flow
	if f.Dst.Frontend < 0 {
		return f, ""
	}
	fe := &x.plan.Frontends[f.Dst.Frontend]
	head := fmt.Sprintf("service %s/%s %s", fe.Namespace, fe.Service, KeyText(fe.Port))
	var ends []string
	found := false
	for i := range fe.Backends {
		b := &fe.Backends[i]
		if b.Endpoint >= 0 && b.Endpoint == r.Flow.Src.Endpoint {
			continue
		}
		for _, p := range b.Peers {
			g := plan.Flow{Src: r.Flow.Src, Dst: plan.End{Peer: p, Endpoint: b.Endpoint, Frontend: plan.None}, Port: b.Port}
			if !found || x.plan.Decide(g).Ingress.Outcome == r.Answer.Ingress.Outcome {
				f, found = g, true
			}
			if name := x.endName(g.Dst) + " " + KeyText(g.Port); !slices.Contains(ends, name) {
				ends = append(ends, name)
			}
		}
	}
	switch len(ends) {
	case 0:
		note := head + " has no endpoint behind it"
		if fe.NoBackends != "" {
			note += ": " + fe.NoBackends
		}
		return f, note
	case 1:
		return f, head + " leads to " + ends[0]
	}
	return f, fmt.Sprintf("%s leads to %s: all must be allowed; shown is %s %s", head, strings.Join(ends, ", "), x.endName(f.Dst), KeyText(f.Port))
}

// backendsText says why a service's address is denied as such (S27).
func (x *Explainer) backendsText(r *Reply) string {
	f := &x.plan.Frontends[r.Flow.Dst.Frontend]
	var ends []string
	for i := range f.Backends {
		if b := &f.Backends[i]; b.Endpoint < 0 || b.Endpoint != r.Flow.Src.Endpoint {
			ends = append(ends, x.names.backendText(f, &plan.BackendAnswer{Backend: i}))
		}
	}
	slices.Sort(ends)
	switch ends = slices.Compact(ends); len(ends) {
	case 0:
		return "nothing is behind the service: no connection can be made"
	case 1:
		return "the addresses of " + ends[0] + ", which is behind the service, do not get the same answer"
	}
	return "the endpoints behind the service do not all get the same answer"
}

func (x *Explainer) endName(e plan.End) string {
	if e.Endpoint >= 0 {
		return x.names.Label(e.Endpoint)
	}
	return x.names.peerText(e.Peer)
}

// sideName names an end as the user did, where that end is meant.
func (x *Explainer) sideName(t *Target, r *Reply, e plan.End) string {
	service := t.Kind == ServiceTarget || t.Kind == AddressTarget && len(t.ends) == 0
	if r.Flow.Dst.Frontend >= 0 && service && e.Frontend < 0 {
		return x.endName(e)
	}
	return t.Name
}

func (x *Explainer) side(d ir.Direction, q Question, r *Reply, f plan.Flow) Side {
	subject, o, c, t := f.Src, &r.Egress, &r.Answer.Egress, q.From
	if d == ir.Ingress {
		subject, o, c, t = f.Dst, &r.Ingress, &r.Answer.Ingress, q.To
	}
	s := Side{Direction: d.String(), Of: x.sideName(t, r, subject), Verdict: o.Verdict.String(), Reason: o.Reason.String()}
	v := x.view(d, q, f, c)
	if sub := x.plan.SubjectOf(subject.Peer); sub != nil && subject.Frontend < 0 && tells(o.Reason) {
		st := x.narrator.tell(v, sub)
		for i := range st.tiers {
			s.Steps = append(s.Steps, x.step(&st.tiers[i]))
		}
		s.Near = x.near(d, q, r, f)
	}
	if step, ok := x.last(v, o, s.Of); ok {
		if o.Reason == plan.ByRequest && c.List != plan.None && q.Request != nil {
			if key := x.names.requests.Repeated(c.List, q.Request); key != "" {
				step.Text = fmt.Sprintf("the request gives the query parameter %q more than once, and a rule looks at it: whoever reads it may take the other one", key)
			}
		}
		if subject.Frontend >= 0 && o.Reason == plan.ByNoEndpoint {
			step.Text = "nothing is behind it: no connection can be made"
		}
		if o.Reason == plan.ByBackends {
			step.Text = x.backendsText(r)
		}
		if o.Reason == plan.ByUnknownAddress && (q.From.isGroup() || q.To.isGroup()) {
			step.Text = "multicast and broadcast never pass"
		}
		s.Steps = append(s.Steps, step)
	}
	if c.Verdict == plan.Redirect && q.Request == nil {
		s.Requests = x.requests(c.List)
	}
	return s
}

// view is one side of a flow that a question is about, which gets a decision.
func (x *Explainer) view(d ir.Direction, q Question, f plan.Flow, c *plan.Decision) *view {
	v := &view{plan: x.plan, direction: d, subject: f.Src.Peer, peer: f.Dst.Peer, key: f.Port, request: q.Request}
	if d == ir.Ingress {
		v.subject, v.peer = v.peer, v.subject
	}
	v.settle(c)
	return v
}

// tells reports whether the tiers had a say in an outcome.
func tells(r plan.Reason) bool {
	switch r {
	case plan.BySelf, plan.ByNoEndpoint, plan.ByUnknownAddress, plan.ByBackends, plan.ByCapacity:
		return false
	}
	return true
}

func stepName(l ir.Layer, t ir.Tier) string {
	if l == ir.Orchestrator {
		return "k8s " + t.String()
	}
	return t.String()
}

func (x *Explainer) step(ts *tierStory) Step {
	s := Step{Step: stepName(ts.layer, ts.tier), Says: ts.says.String()}
	switch {
	case ts.other != plan.None:
		a, b := x.places.rule(ts.rule), x.places.rule(ts.other)
		s.Rule, s.Text = &a, "contradicts "+b.Short+", which has the same priority: denied"
	case ts.rule != plan.None:
		ref := x.places.rule(ts.rule)
		s.Rule = &ref
		if r := &x.plan.Rules[ts.rule]; ts.says == saysAsk {
			s.Text = requestsText(r.Source.HTTP)
		}
	case ts.isolating != plan.None:
		ref := x.places.policy(ts.isolating)
		s.Rule = nil
		s.Text = fmt.Sprintf("no rule allows it: the default of a subject with policies (%s)", ref.Short)
	default:
		s.Text = looked(ts.looked)
	}
	return s
}

func requestsText(ms []ir.HTTPMatch) string {
	var parts []string
	for i := range ms {
		parts = append(parts, RequestText(&ms[i]))
	}
	return orList(parts)
}

func looked(n int) string {
	if n == 1 {
		return "1 rule looked at, none matched"
	}
	return fmt.Sprintf("%d rules looked at, none matched", n)
}

// last is what decided when it was no tier.
func (x *Explainer) last(v *view, o *plan.Outcome, of string) (Step, bool) {
	deny := func(step, text string) (Step, bool) { return Step{Step: step, Says: "deny", Text: text}, true }
	allow := func(step, text string) (Step, bool) { return Step{Step: step, Says: "allow", Text: text}, true }
	switch o.Reason {
	case plan.ByEnrolment:
		return deny("default", "nothing allows it, and "+of+" is enrolled in the mesh")
	case plan.ByDefault:
		return allow("default", "nothing speaks about it, and "+of+" is not enrolled in the mesh")
	case plan.ByUnknownAddress:
		return deny("address", "the other end is an in-cluster address that no object explains")
	case plan.ByAuthentication:
		return deny("identity", "a NetworkPolicy opens nothing unauthenticated for an enrolled endpoint: "+x.unproved(v))
	case plan.ByNoWaypoint:
		return deny("waypoint", "a rule looks at requests, and no waypoint serves the destination")
	case plan.BySelf:
		return allow("self", "traffic of a pod to itself never leaves it")
	case plan.ByNoEndpoint:
		return allow("none", "it is no pod: this side has no say")
	case plan.ByBackends:
		return deny("service", "") // see backendsText
	case plan.ByCapacity:
		return deny("capacity", "its rules need more request entries than a waypoint holds")
	case plan.ByRequest:
		return deny("request", "the request cannot be evaluated: its path is malformed, or holds what is refused (%2f, %5c, %00, #)")
	}
	return Step{}, false
}

// unproved says why the two ends cannot prove who they are (S18).
func (x *Explainer) unproved(v *view) string {
	if s := v.key.Space(); s != ir.TCP {
		return s.String() + " carries no identity"
	}
	for _, p := range []plan.PeerIndex{v.subject, v.peer} {
		if peer := &x.plan.Peers[p]; !peer.Enrolled {
			return x.names.peerText(p) + " is not enrolled in the mesh"
		}
	}
	return "both are enrolled"
}

func (x *Explainer) requests(l plan.ListIndex) []RequestStep {
	var out []RequestStep
	for _, e := range x.plan.Lists[l].Entries {
		s := RequestStep{Verdict: e.Verdict.String(), Match: anyRequest}
		var all []string
		for _, c := range e.Conds {
			all = append(all, requestsText(c))
		}
		if len(all) > 0 {
			s.Match = strings.Join(all, " and ")
		}
		if e.Rule != plan.None {
			ref := x.places.rule(e.Rule)
			s.Rule = &ref
		}
		out = append(out, s)
	}
	return out
}

// notEnforced says which ends only a CNI enforces: they never count as a control (S16).
func (x *Explainer) notEnforced(q Question, r *Reply, f plan.Flow) []string {
	var out []string
	for i, e := range []plan.End{f.Src, f.Dst} {
		if s := x.plan.SubjectOf(e.Peer); s != nil && !s.Attached {
			name := x.sideName([]*Target{q.From, q.To}[i], r, e)
			out = append(out, name+" is not in the mesh: only a CNI that enforces NetworkPolicy keeps its side")
		}
	}
	return out
}

// notCarried says what keeps an allowed connection off the wire in this version: the plan is about a mesh that has its tunnel
// and its waypoints, and the datapath denies what needs them.
func notCarried(r *Reply) []string {
	switch {
	case r.Verdict == plan.Deny:
		return nil
	case r.Answer.Verdict == plan.Redirect:
		return []string{"not carried yet: nothing runs waypoints in this version, and the datapath denies what needs one"}
	case r.How == attested(false, true):
		return []string{"not carried yet: nothing runs the tunnel between nodes in this version, and the datapath denies what needs it"}
	case r.How == attested(true, true):
		return []string{"carried on one node only: nothing runs the tunnel between nodes in this version, and the datapath denies what needs it"}
	}
	return nil
}

// authText is Reply.How with the exception behind plaintext (S18).
func (x *Explainer) authText(r *Reply) string {
	if r.Verdict == plan.Deny || r.Auth != plan.AuthPlaintext {
		return r.How
	}
	return x.plaintext(r)
}

// plaintext names the exceptions that a connection in plaintext leans on, where a rule says so.
func (x *Explainer) plaintext(r *Reply) string {
	if names := x.exceptions(r); names != nil {
		return "plaintext under exception " + strings.Join(names, " and ")
	}
	return "plaintext"
}

// exceptions are those that the two sides lean on, with what is left of them.
func (x *Explainer) exceptions(r *Reply) []string {
	var out []string
	for _, o := range []*plan.Outcome{&r.Egress, &r.Ingress} {
		if o.Rule == plan.None || x.plan.Rules[o.Rule].Exception == "" {
			continue
		}
		text := exceptionText(x.plan, o.Rule)
		if !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}

// exceptionText names a rule's exception and how long it holds, and the rule, where that ends before.
func exceptionText(p *plan.Plan, i plan.RuleIndex) string {
	r := &p.Rules[i]
	var left []string
	if end := r.Source.ExceptionEnds; !end.IsZero() {
		left = append(left, daysLeft(end, p.Now))
	}
	if end := r.Source.NotAfter; !end.Equal(r.Source.ExceptionEnds) {
		left = append(left, "the rule: "+daysLeft(end, p.Now))
	}
	if left == nil {
		return r.Exception
	}
	return r.Exception + " (" + strings.Join(left, ", ") + ")"
}

// decided says who decides, and under which identity.
func (x *Explainer) decided(q Question, r *Reply, f plan.Flow) string {
	as := ""
	if id := x.plan.Peers[f.Src.Peer].SPIFFE; id != "" && r.Answer.Auth == plan.AuthRequired {
		as = " as " + id
	}
	switch {
	case r.Answer.Verdict == plan.Redirect:
		text := "decided by the waypoint of " + x.waypoint(f)
		if q.Request == nil {
			text = "each request is " + text
		}
		switch r.Answer.Auth {
		case plan.AuthRequired:
			return text + ", after mTLS" + as
		case plan.AuthPlaintext:
			return text + ", in " + x.plaintext(r)
		}
		return text
	case r.Verdict == plan.Deny:
		side := q.From
		if r.By == ir.Ingress {
			side = q.To
		}
		return "decided at " + side.Name + ", by its " + r.By.String()
	}
	switch r.Auth {
	case plan.AuthRequired:
		return "decided in the kernel; " + x.authText(r) + as
	case plan.AuthPlaintext:
		return "decided in the kernel; " + x.authText(r)
	}
	return "decided without authentication: nothing asks for it"
}

func (x *Explainer) waypoint(f plan.Flow) string {
	w := x.plan.Peers[f.Dst.Peer].Waypoint
	if w < 0 {
		return "nothing"
	}
	wp := &x.plan.Waypoints[w]
	if wp.ServiceAccount != "" {
		return "service account " + wp.Name()
	}
	return "namespace " + wp.Namespace
}
