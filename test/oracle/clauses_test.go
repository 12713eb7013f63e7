package oracle

import (
	"slices"
	"sync"

	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// clauses lists what pairs are counted for, by section of docs/semantics.md.
var clauses = sync.OnceValue(func() []clause {
	return slices.Concat(endpointClauses(), chainClauses(), matchClauses(), authenticationClauses(), layer7Clauses(), otherClauses())
})

func endpointClauses() []clause {
	return []clause{
		{1, "a hostNetwork pod is its node", func(p *pair) bool {
			return (p.f.src.place == onNode || p.f.dst.place == onNode) && slices.ContainsFunc(p.c.inv.Pods, func(x inventory.Pod) bool {
				return x.HostNetwork && (slices.Contains(x.Addrs, p.f.src.addr) || slices.Contains(x.Addrs, p.f.dst.addr))
			})
		}},
		{1, "a declared pod", func(p *pair) bool { return p.anyPod(func(x party) bool { return x.pod.Declared }) }},
		{2, "two pods of one identity with other labels", func(p *pair) bool { return p.anyPod(p.sharesIdentity) }},
		{2, "two addresses of one pod with identities of their own (R6)", func(p *pair) bool {
			return p.anyPod(func(x party) bool {
				_, e := p.c.endpoint(x.pod.Namespace, x.pod.Name)
				return len(e.Addrs) == 2 && e.Peers[0] != e.Peers[1]
			})
		}},
		{3, "an unknown address is denied", reason(plan.ByUnknownAddress)},
		{3, "an unknown address, and no policy that could deny it", func(p *pair) bool {
			return p.src.kind == unknown && p.dst.kind == pod && p.want.ingress.enforced.reason == plan.ByDefault
		}},
		{3, "a CIDR leaves pods and nodes alone", func(p *pair) bool { return p.nearCIDR(false) }},
		{3, "a CIDR with matchPods holds a pod or node", func(p *pair) bool { return p.nearCIDR(true) }},
		{3, "a rule decides on IPv6", func(p *pair) bool {
			return p.f.src.addr.Is6() && p.anySide(func(o outcome) bool { return o.rule != nil && o.rule.Peers != nil })
		}},
		{4, "the verdict hangs on the pod's address", func(p *pair) bool {
			return slices.ContainsFunc(p.all, func(v verdict) bool { return v.verdict != p.want.verdict })
		}},
		{4, "a declared pod whose ranges decide", func(p *pair) bool {
			return len(p.all) > 1 && !slices.ContainsFunc(p.all, func(v verdict) bool { return v.verdict != p.want.verdict })
		}},
		{5, "world", byEntity(ir.World)},
		{5, "cluster", byEntity(ir.Cluster)},
		{5, "host", byEntity(ir.Host)},
		{5, "own-node", byEntity(ir.OwnNode)},
		{5, "kube-apiserver", byEntity(ir.KubeAPIServer)},
		{5, "a translated packet is world", func(p *pair) bool { return p.src.kind == viaNode && byEntity(ir.World)(p) }},
		{6, "a pod to itself", func(p *pair) bool { return p.src.kind == pod && p.src.pod == p.dst.pod }},
		{6, "a multicast group", func(p *pair) bool { return p.dst.addr.IsMulticast() }},
		{6, "a pod to itself through its own service", func(p *pair) bool {
			return p.dst.kind == service && p.want.egress.enforced.reason == plan.BySelf
		}},
	}
}

// sharesIdentity says whether another pod with other labels has the same identity.
func (p *pair) sharesIdentity(x party) bool {
	_, e := p.c.endpoint(x.pod.Namespace, x.pod.Name)
	for i := range p.c.inv.Pods {
		o := &p.c.inv.Pods[i]
		if o == x.pod || o.Labels["pod-template-hash"] == x.pod.Labels["pod-template-hash"] {
			continue
		}
		if _, f := p.c.endpoint(o.Namespace, o.Name); f.Peers[0] == e.Peers[0] {
			return true
		}
	}
	return false
}

// nearCIDR says whether an in-cluster peer's address lies in the CIDR of a rule of the other end.
func (p *pair) nearCIDR(matchPods bool) bool {
	for _, x := range [][2]party{{p.src, p.dst}, {p.dst, p.src}} {
		if x[0].kind != pod || x[1].kind != pod && x[1].kind != host && x[1].kind != ownNode {
			continue
		}
		for i := range p.c.policies {
			if !p.c.selects(&p.c.policies[i].Subject, x[0].pod) {
				continue
			}
			for _, r := range p.c.policies[i].Rules {
				for _, peer := range r.Peers {
					if peer.CIDR != nil && peer.CIDR.MatchPods == matchPods && cidrHolds(peer.CIDR, x[1].addr) {
						return true
					}
				}
			}
		}
	}
	return false
}

func chainClauses() []clause {
	decides := func(t ir.Tier, s says) func(*pair) bool {
		return inLayer(func(_ ir.Layer, a answer) bool { return a.tier == t && a.says == s && a.rule != nil })
	}
	return []clause{
		{8, "one side allows, the other denies", func(p *pair) bool {
			return (p.want.egress.enforced.verdict == plan.Deny) != (p.want.ingress.enforced.verdict == plan.Deny)
		}},
		{8, "a side that is no endpoint allows", reason(plan.ByNoEndpoint)},
		{9, "any deny denies: the layers disagree", func(p *pair) bool {
			return p.anySide(func(o outcome) bool {
				x, y := o.layers[ir.Orchestrator].says, o.layers[ir.Mesh].says
				return x == allows && y == denies || x == denies && y == allows
			})
		}},
		{9, "any allow allows: one layer says nothing", func(p *pair) bool {
			return p.anySide(func(o outcome) bool {
				x, y := o.layers[ir.Orchestrator].says, o.layers[ir.Mesh].says
				return o.verdict == plan.Allow && (x == nothing) != (y == nothing)
			})
		}},
		{9, "the default of the enrolled", reason(plan.ByEnrolment)},
		{9, "the default of others", reason(plan.ByDefault)},
		{10, "admin allows", decides(ir.Admin, allows)},
		{10, "admin denies", decides(ir.Admin, denies)},
		{10, "a pass goes on", inLayer(func(_ ir.Layer, a answer) bool { return a.passed && a.says != nothing })},
		{10, "namespace allows", decides(ir.Namespace, allows)},
		{10, "namespace denies", decides(ir.Namespace, denies)},
		{10, "baseline allows", decides(ir.Baseline, allows)},
		{10, "baseline denies", decides(ir.Baseline, denies)},
		{11, "isolation denies", reason(plan.ByIsolation)},
		{12, "equal priority, different answers: denied", reason(plan.ByConflict)},
		{12, "equal priority of imported kinds: deny wins", func(p *pair) bool { return p.tied(ir.Orchestrator, denies) }},
		{12, "list order inside an object", func(p *pair) bool {
			return p.anySide(func(o outcome) bool {
				return o.rule != nil && p.c.policyOf(o.rule).Tier != ir.Namespace && o.rule != &p.c.policyOf(o.rule).Rules[0]
			})
		}},
		{31, "a rule is named", func(p *pair) bool { return p.anySide(func(o outcome) bool { return o.rule != nil }) }},
		{31, "a default is named", func(p *pair) bool {
			return reason(plan.ByEnrolment)(p) || reason(plan.ByDefault)(p) || reason(plan.ByIsolation)(p)
		}},
		{34, "both layers select one pod and speak", func(p *pair) bool {
			return p.anySide(func(o outcome) bool {
				return o.layers[ir.Orchestrator].says != nothing && o.layers[ir.Mesh].says != nothing
			})
		}},
	}
}

// tied says whether a layer's answer came from an object that another of its priority and tier stands beside.
func (p *pair) tied(l ir.Layer, s says) bool {
	return p.anySide(func(o outcome) bool {
		a := o.layers[l]
		if a.says != s || a.rule == nil || a.tier == ir.Namespace {
			return false
		}
		by := p.c.policyOf(a.rule)
		return slices.ContainsFunc(p.c.policies, func(x ir.Policy) bool {
			return x.Layer == l && x.Tier == by.Tier && x.Priority == by.Priority && x.Name != by.Name && len(x.Rules) > 0
		})
	})
}

func matchClauses() []clause {
	selector := func(is func(*ir.Selector) bool) func(*pair) bool {
		return byPeer(func(x *ir.Peer) bool { return x.Pods != nil && is(x.Pods) })
	}
	return []clause{
		{13, "no ports: every protocol", func(p *pair) bool {
			return p.f.space != ir.TCP && p.anySide(func(o outcome) bool { return o.rule != nil && o.rule.Ports == nil })
		}},
		{13, "a range", byPort(func(x *ir.Port) bool { return x.Name == "" && x.First < x.Last })},
		{13, "a name", byPort(func(x *ir.Port) bool { return x.Name != "" })},
		{13, "a name with other numbers elsewhere, as in a rollout", func(p *pair) bool {
			return byPort(func(x *ir.Port) bool {
				return x.Name != "" && slices.ContainsFunc(p.c.inv.Pods, func(o inventory.Pod) bool {
					return slices.ContainsFunc(o.Ports, func(n inventory.NamedPort) bool {
						return n.Name == x.Name && n.Space == x.Space && n.Number != p.f.number
					})
				})
			})(p)
		}},
		{13, "an ICMP type", byPort(func(x *ir.Port) bool { return x.Space == ir.ICMPv4 || x.Space == ir.ICMPv6 })},
		{13, "SCTP", byPort(func(x *ir.Port) bool { return x.Space == ir.SCTP })},
		{13, "another protocol", byPort(func(x *ir.Port) bool { return x.Space == ir.OtherProtocol })},
		{15, "pods of a namespace by label", selector(func(s *ir.Selector) bool { return s.Namespace != "" && s.Pods != nil })},
		{15, "namespaces by label", selector(func(s *ir.Selector) bool { return s.Namespaces != nil })},
		{15, "a service account", selector(func(s *ir.Selector) bool { return s.ServiceAccounts != nil })},
		{15, "a SPIFFE id or pattern", selector(func(s *ir.Selector) bool { return s.SPIFFE != nil })},
		{15, "a CIDR", byPeer(func(x *ir.Peer) bool { return x.CIDR != nil })},
		{15, "a CIDR with except", byPeer(func(x *ir.Peer) bool { return x.CIDR != nil && x.CIDR.Except != nil })},
		{15, "a DNS name that nothing has learnt", func(p *pair) bool {
			return p.src.kind == pod && p.dst.kind == outside && slices.ContainsFunc(p.c.policies, func(x ir.Policy) bool {
				return p.c.selects(&x.Subject, p.src.pod) && slices.ContainsFunc(x.Rules, func(r ir.Rule) bool {
					return slices.ContainsFunc(r.Peers, func(y ir.Peer) bool { return y.DNS != "" })
				})
			})
		}},
		{16, "an enrolled pod", func(p *pair) bool { return p.anyPod(func(x party) bool { return p.c.enrolled(x.pod) }) }},
		{16, "a pod that is not, under policies", func(p *pair) bool {
			return p.anyPod(func(x party) bool { return !p.c.enrolled(x.pod) && p.c.policed(x.pod) })
		}},
		{16, "no MeshConfig", func(p *pair) bool { return !p.c.config.Present }},
		{17, "attached", func(p *pair) bool { return p.anyPod(func(x party) bool { return p.c.attached(x.pod) }) }},
		{17, "policies that only a CNI enforces", func(p *pair) bool {
			return p.anyPod(func(x party) bool { return p.c.policed(x.pod) && !p.c.attached(x.pod) })
		}},
	}
}

func authenticationClauses() []clause {
	return []clause{
		{18, "required", func(p *pair) bool { return p.want.verdict == plan.Allow && p.want.auth == plan.AuthRequired }},
		{18, "plaintext under an exception", func(p *pair) bool {
			return p.want.verdict == plan.Allow && p.want.auth == plan.AuthPlaintext
		}},
		{18, "an allow that asks what the peer cannot prove", func(p *pair) bool { return p.unprovable() }},
		{18, "the orchestrator alone opens nothing unauthenticated", reason(plan.ByAuthentication)},
		{19, "one side required, the other plaintext", func(p *pair) bool {
			x, y := p.want.egress.enforced.auth, p.want.ingress.enforced.auth
			return p.want.verdict == plan.Allow && max(x, y) == plan.AuthRequired && min(x, y) == plan.AuthPlaintext
		}},
		{19, "the strictest of overlapping rules", func(p *pair) bool { return p.stricter() }},
	}
}

// unprovable says whether a side was denied by default beside a mesh allow that would match if the ends could prove
// who they are.
func (p *pair) unprovable() bool {
	if p.dst.kind != pod || p.want.ingress.enforced.verdict != plan.Deny {
		return false
	}
	return p.matching(func(x *ir.Policy, r *ir.Rule, q *question) bool {
		as := *r
		as.Plaintext = true
		return x.Layer == ir.Mesh && r.Action == ir.Allow && !r.Plaintext && !q.reaches(x, r) && q.reaches(x, &as)
	}) > 0
}

// stricter says whether the destination's namespace tier has a plaintext allow and one that asks for more.
func (p *pair) stricter() bool {
	if p.dst.kind != pod || p.want.ingress.enforced.auth != plan.AuthRequired {
		return false
	}
	allows := func(plain bool) int {
		return p.matching(func(x *ir.Policy, r *ir.Rule, q *question) bool {
			return x.Layer == ir.Mesh && x.Tier == ir.Namespace && r.Action == ir.Allow && r.Plaintext == plain && r.HTTP == nil && q.reaches(x, r)
		})
	}
	return allows(true) > 0 && allows(false) > 0
}

// matching counts the rules of the destination that are so.
func (p *pair) matching(is func(*ir.Policy, *ir.Rule, *question) bool) int {
	q := &question{w: p.c.world, direction: ir.Ingress, subject: p.dst.pod, peer: p.src, destination: p.dst, space: p.f.space, number: p.f.number}
	n := 0
	for i := range p.c.policies {
		x := &p.c.policies[i]
		if !p.c.selects(&x.Subject, p.dst.pod) {
			continue
		}
		for j := range x.Rules {
			if is(x, &x.Rules[j], q) {
				n++
			}
		}
	}
	return n
}

func layer7Clauses() []clause {
	path := func(k ir.MatchKind) func(*pair) bool {
		return byCondition(func(m *ir.HTTPMatch) bool { return m.Path != nil && m.Path.Kind == k })
	}
	return []clause{
		{22, "redirected", func(p *pair) bool { return p.want.verdict == plan.Redirect }},
		{22, "layer 7 in admin", redirectIn(ir.Admin)},
		{22, "layer 7 in namespace", redirectIn(ir.Namespace)},
		{22, "layer 7 in baseline", redirectIn(ir.Baseline)},
		{22, "layer 7 in both layers", func(p *pair) bool {
			return p.anySide(func(o outcome) bool {
				has := func(l ir.Layer) bool {
					return slices.ContainsFunc(o.layer7, func(r *ir.Rule) bool { return p.c.policyOf(r).Layer == l })
				}
				return has(ir.Orchestrator) && has(ir.Mesh)
			})
		}},
		{22, "several layer-7 rules in one chain", func(p *pair) bool {
			return p.anySide(func(o outcome) bool { return len(o.layer7) > 2 })
		}},
		{22, "a layer-7 rule that changes nothing", func(p *pair) bool { return p.idle() }},
		{22, "a request allowed", onRequest(func(_ *request, o outcome) bool { return o.verdict == plan.Allow })},
		{22, "a request denied", onRequest(func(r *request, o outcome) bool { return r != nil && !r.refused() && o.verdict == plan.Deny })},
		{23, "what is not HTTP is refused", onRequest(func(r *request, _ outcome) bool { return r == nil })},
		{23, "an absent header or claim", func(p *pair) bool { return p.absent() }},
		{24, "a path refused", onRequest(func(r *request, _ outcome) bool { return r != nil && r.refused() })},
		{24, "a path normalised", onRequest(func(r *request, o outcome) bool {
			return r != nil && !r.refused() && r.cleanPath() != r.path && o.rule != nil && o.rule.HTTP != nil
		})},
		{24, "an exact path", path(ir.Exact)},
		{24, "a prefix by segment", path(ir.Prefix)},
		{24, "a regular expression", path(ir.Regex)},
		{24, "a method", byCondition(func(m *ir.HTTPMatch) bool { return m.Methods != nil })},
		{24, "a host", byCondition(func(m *ir.HTTPMatch) bool { return m.Hosts != nil })},
		{24, "a query", byCondition(func(m *ir.HTTPMatch) bool { return m.Query != nil })},
		{24, "a header", byCondition(func(m *ir.HTTPMatch) bool { return m.Headers != nil })},
		{24, "a claim", byCondition(func(m *ir.HTTPMatch) bool { return m.Claims != nil })},
		{24, "a gRPC method", byCondition(func(m *ir.HTTPMatch) bool { return m.GRPC != nil })},
		{25, "no waypoint: denied", reason(plan.ByNoWaypoint)},
	}
}

// idle says whether the destination has a layer-7 rule for the flow, and the connection is allowed all the same.
func (p *pair) idle() bool {
	return p.dst.kind == pod && p.want.ingress.enforced.verdict == plan.Allow && p.want.ingress.enforced.rule != nil &&
		p.matching(func(x *ir.Policy, r *ir.Rule, q *question) bool { return r.HTTP != nil && q.reaches(x, r) }) > 0
}

// absent says whether a reached layer-7 rule asks for a header or claim that the request does not have.
func (p *pair) absent() bool {
	r := p.f.request
	if r == nil || r.headers["x-team"] != nil || r.claims["idp"] != nil {
		return false
	}
	return p.anySide(func(o outcome) bool {
		return slices.ContainsFunc(o.layer7, func(x *ir.Rule) bool {
			return slices.ContainsFunc(x.HTTP, func(m ir.HTTPMatch) bool { return m.Headers != nil || m.Claims != nil })
		})
	})
}

func otherClauses() []clause {
	audit := func(from, to plan.Verdict) func(*pair) bool {
		return func(p *pair) bool {
			for _, j := range []judgement{p.want.egress, p.want.ingress} {
				if j.enforced.verdict == from && j.audit.verdict == to {
					return true
				}
			}
			return false
		}
	}
	return []clause{
		{27, "allowed for every endpoint behind an address", func(p *pair) bool {
			return p.dst.kind == service && p.want.egress.enforced.verdict == plan.Allow && p.want.egress.enforced.rule != nil
		}},
		{27, "denied for every endpoint", func(p *pair) bool {
			return p.dst.kind == service && p.want.egress.enforced.verdict == plan.Deny && p.want.egress.enforced.reason != plan.ByBackends
		}},
		{27, "redirected for every endpoint", func(p *pair) bool {
			return p.dst.kind == service && p.want.egress.enforced.verdict == plan.Redirect
		}},
		{27, "endpoints differ, or there is none", reason(plan.ByBackends)},
		{27, "endpoints differ in audit only", func(p *pair) bool {
			return p.dst.kind == service && p.want.egress.enforced.verdict == plan.Allow && p.want.egress.audit.reason == plan.ByBackends
		}},
		{27, "a port that the service does not have", func(p *pair) bool {
			return p.dst.kind == service && p.c.servicePort(p.dst.addr, p.f) == nil && p.want.egress.enforced.verdict == plan.Deny
		}},
		{28, "an allow has ended", func(p *pair) bool { return p.ended(func(s int64) bool { return s <= p.c.now.Unix() }) }},
		{28, "an allow will end", func(p *pair) bool {
			return p.anySide(func(o outcome) bool { return o.rule != nil && o.verdict == plan.Allow && !o.rule.NotAfter.IsZero() })
		}},
		{30, "audit would deny", audit(plan.Allow, plan.Deny)},
		{30, "audit would allow", audit(plan.Deny, plan.Allow)},
		{30, "audit would redirect", audit(plan.Allow, plan.Redirect)},
		{30, "audit has another list", func(p *pair) bool {
			for _, j := range []judgement{p.want.egress, p.want.ingress} {
				if j.enforced.verdict == plan.Redirect && j.audit.verdict == plan.Redirect && !sameCases(j.enforced, j.audit) {
					return true
				}
			}
			return false
		}},
	}
}

// ended says whether the destination is denied beside an allow whose end is such, and that would match without it.
func (p *pair) ended(is func(int64) bool) bool {
	if p.dst.kind != pod || p.want.ingress.enforced.verdict != plan.Deny {
		return false
	}
	return p.matching(func(x *ir.Policy, r *ir.Rule, q *question) bool {
		early := *q.w
		early.now = timeOf(0)
		e := *q
		e.w = &early
		return r.Action == ir.Allow && !r.NotAfter.IsZero() && is(r.NotAfter.Unix()) && !q.reaches(x, r) && e.reaches(x, r)
	}) > 0
}
