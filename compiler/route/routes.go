package route

import (
	"slices"

	xds "github.com/cncf/xds/go/xds/type/matcher/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routes "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	common "github.com/envoyproxy/go-control-plane/envoy/extensions/common/matching/v3"
	faultcommon "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/fault/v3"
	skip "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/matcher/action/v3"
	fault "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	rbac "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// directRoutes names the route configuration, and the cluster, of connections that name a pod's own address.
const directRoutes = "weir/direct"

// missingCluster is the name of no cluster: requests for it get 500.
const missingCluster = "weir/missing"

// serviceChain is the chain of connections to a service's address, with the service's routes, and who may use it.
func (t *tables) serviceChain(s *servicePort, who *sources) *Chain {
	config := &routes.RouteConfiguration{Name: s.clusterName(), ValidateClusters: wrapperspb.Bool(false)}
	t.out.Routes = append(t.out.Routes, config)
	attached := t.attached[s.serviceKey]
	if len(attached) == 0 {
		action := (&alternative{rule: &ir.RouteRule{}}).forward()
		action.ClusterSpecifier = &routes.RouteAction_Cluster{Cluster: t.cluster(s, "", caps{})}
		config.VirtualHosts = everyHost(&routes.Route{Name: config.Name, Match: anyRequest(),
			Action: &routes.Route_Route{Route: action}})
		return t.chain(who, nil, config.Name)
	}
	m := &routeMaker{tables: t, service: s, who: map[*ir.RouteRule]map[string]*anypb.Any{}, reached: s.dests,
		offers: routeAccess{switched: map[string]proto.Message{}}}
	t.resetUses()
	var list []*routes.Route
	for _, a := range alternatives(attached) {
		list = append(list, m.route(&a))
	}
	// With a route attached, what no rule matches is not found (Gateway API); but only who may ask is told so.
	list = append(list, &routes.Route{Name: config.Name, Match: anyRequest(), Action: status(404),
		TypedPerFilterConfig: m.access(s.dests)})
	config.VirtualHosts = everyHost(list...)
	own := &m.offers
	own.queryKeys, own.providers = t.uses()
	return t.chain(nil, own, config.Name)
}

// everyHost is the one virtual host of a configuration. Its first route refuses what Envoy's normalisation lets through
// and plan.ParseTarget does not (S23, S24): broken escapes, and "//", which the merging of slashes leaves as it is.
func everyHost(list ...*routes.Route) []*routes.VirtualHost {
	refuse := &routes.Route{Name: "weir/malformed", Match: &routes.RouteMatch{
		PathSpecifier: &routes.RouteMatch_SafeRegex{SafeRegex: envoyRegex("//|" + plan.BrokenEscape)}},
		Action: status(400), TypedPerFilterConfig: map[string]*anypb.Any{}}
	for _, name := range sideFilters {
		refuse.TypedPerFilterConfig[name] = toAny(&rbac.RBACPerRoute{Rbac: allowAll(name)})
	}
	return []*routes.VirtualHost{{Name: "any", Domains: []string{"*"}, Routes: append([]*routes.Route{refuse}, list...)}}
}

// allowAll is for routes that end at no backend, or whose other side decides.
func allowAll(name string) *rbac.RBAC {
	return &rbac.RBAC{RulesStatPrefix: name + ".", Matcher: &xds.Matcher{OnNoMatch: decide(true, "weir/allow")}}
}

func anyRequest() *routes.RouteMatch {
	return &routes.RouteMatch{PathSpecifier: &routes.RouteMatch_Prefix{Prefix: "/"}}
}

func status(code uint32) *routes.Route_DirectResponse {
	return &routes.Route_DirectResponse{DirectResponse: &routes.DirectResponseAction{Status: code}}
}

// routeMaker makes the routes of one service.
type routeMaker struct {
	*tables
	service *servicePort
	reached []dest
	// who caches each rule's access.
	who    map[*ir.RouteRule]map[string]*anypb.Any
	offers routeAccess
}

// route renders one alternative.
func (m *routeMaker) route(a *alternative) *routes.Route {
	r := &routes.Route{Name: a.route.Namespace + "/" + a.route.Name + "/" + itoa(uint32(a.rule.Index)), Match: a.routeMatch()}
	a.changeHeaders(r)
	dests := m.service.dests
	if a.rule.Redirect != nil {
		r.Action = a.redirect()
	} else {
		dests = m.send(r, a)
	}
	perFilter := map[string]*anypb.Any{}
	if m.who[a.rule] == nil {
		m.who[a.rule] = m.access(dests)
	}
	for name, config := range m.who[a.rule] {
		perFilter[name] = config
	}
	m.features(a, perFilter)
	r.TypedPerFilterConfig = perFilter
	return r
}

// access is who may use a route that ends at dests.
func (m *routeMaker) access(dests []dest) map[string]*anypb.Any {
	if len(dests) == 0 {
		dests = m.service.dests
	}
	who := m.tables.access(m.reached, dests)
	out := map[string]*anypb.Any{}
	for dir, name := range sideFilters {
		out[name] = toAny(&rbac.RBACPerRoute{Rbac: m.sideRBAC(who, ir.Direction(dir))})
	}
	return out
}

// send sets where a rule's requests go, and returns every identity that may get one. A share whose backend can't be
// used gets 500, and so does everything where no share is left (Gateway API, HTTPBackendRef and weight).
func (m *routeMaker) send(r *routes.Route, a *alternative) []dest {
	backends := a.rule.Backends
	if backends == nil {
		s := m.service
		backends = []ir.RouteBackend{{Namespace: s.namespace, Service: s.name, Port: s.port, Weight: 1, Pos: a.rule.Pos}}
	}
	var dests []dest
	shares := &routes.WeightedCluster{}
	for i := range backends {
		weight := backends[i].Weight
		if weight == 0 {
			continue
		}
		name := missingCluster
		if s := m.backend(a, &backends[i]); s != nil {
			name, dests = m.backendCluster(a, s), append(dests, s.dests...)
		}
		shares.Clusters = append(shares.Clusters, &routes.WeightedCluster_ClusterWeight{Name: name,
			Weight: wrapperspb.UInt32(weight)})
	}
	if len(shares.Clusters) == 0 {
		r.Action = status(500)
		return nil
	}
	action := a.forward()
	if len(shares.Clusters) == 1 {
		action.ClusterSpecifier = &routes.RouteAction_Cluster{Cluster: shares.Clusters[0].Name}
	} else {
		action.ClusterSpecifier = &routes.RouteAction_WeightedClusters{WeightedClusters: shares}
	}
	for i := range a.rule.Mirrors {
		// A copy is a request too: who may not send it there may not use the rule.
		if s := m.backend(a, &a.rule.Mirrors[i].Backend); s != nil {
			dests = append(dests, s.dests...)
			action.RequestMirrorPolicies = append(action.RequestMirrorPolicies, &routes.RouteAction_RequestMirrorPolicy{
				Cluster:         m.backendCluster(a, s),
				RuntimeFraction: &core.RuntimeFractionalPercent{DefaultValue: percent(a.rule.Mirrors[i].Percent)}})
		}
	}
	r.Action = &routes.Route_Route{Route: action}
	return dests
}

// backend finds a backend's service port; nil, with a finding, when the route may not use it.
func (m *routeMaker) backend(a *alternative, ref *ir.RouteBackend) *servicePort {
	s := m.services[serviceKey{ref.Namespace, ref.Service, ref.Port}]
	switch {
	case ref.Namespace != a.route.Namespace && !m.granted(a.route.Namespace, ref):
		m.reportNoGrant(a.route, ref)
		return nil
	case s == nil:
		m.reportNoBackend(ref)
		return nil
	case len(s.dests) > 0 && !m.servedBy(s):
		m.reportElsewhere(a.route, ref)
		return nil
	}
	return s
}

// granted says that a ReferenceGrant in the backend's namespace permits the reference.
func (b *builder) granted(from string, ref *ir.RouteBackend) bool {
	return slices.ContainsFunc(b.input.Grants, func(g ir.ReferenceGrant) bool {
		return g.From == from && g.Namespace == ref.Namespace && (g.Service == "" || g.Service == ref.Service)
	})
}

// backendCluster is a backend's cluster under the caps of the route and of the rule.
func (m *routeMaker) backendCluster(a *alternative, s *servicePort) string {
	c := caps{limits: a.route.Connections}
	owner := a.route.Namespace + "/" + a.route.Name
	if r := a.rule.Retries; r != nil {
		c.budget, c.percent, c.minConcurrent = true, r.BudgetPercent, r.MinConcurrent
		owner += "/" + itoa(uint32(a.rule.Index))
	}
	return m.cluster(s, owner, c)
}

// features switches a rule's limits and faults on.
func (m *routeMaker) features(a *alternative, perFilter map[string]*anypb.Any) {
	if l := a.rule.RateLimit; l != nil {
		m.offers.rateLimit = true
		perFilter[filterRateLimit] = toAny(rateLimit(l))
	}
	if n := a.rule.MaxBodyBytes; n != nil && *n == 0 {
		m.reportEmptyBody(a)
	} else if n != nil {
		m.offers.switched[bodyFilter(*n)] = bodyLimit(*n)
		perFilter[bodyFilter(*n)] = switchedOn()
	}
	// A fault that has ended is absent; one that has not ends in Envoy too (S28).
	if f := a.rule.Fault; f != nil && m.plan.Now.Before(f.Expires) {
		filter := faultFilter(f)
		name := filterFault + contentName(filter)
		m.offers.switched[name] = filter
		perFilter[name] = switchedOn()
	}
}

// switchedOn enables a filter that the chain holds switched off.
func switchedOn() *anypb.Any { return toAny(&routes.FilterConfig{Config: &anypb.Any{}}) }

// faultFilter injects a fault until it ends: the delegate skips the filter from then on.
func faultFilter(f *ir.Fault) proto.Message {
	config := &fault.HTTPFault{}
	if d := f.Delay; d != nil {
		config.Delay = &faultcommon.FaultDelay{Percentage: percent(d.Percent),
			FaultDelaySecifier: &faultcommon.FaultDelay_FixedDelay{FixedDelay: durationpb.New(d.Duration)}}
	}
	if a := f.Abort; a != nil {
		config.Abort = &fault.FaultAbort{Percentage: percent(a.Percent)}
		if a.Status != 0 {
			config.Abort.ErrorType = &fault.FaultAbort_HttpStatus{HttpStatus: a.Status}
		} else {
			config.Abort.ErrorType = &fault.FaultAbort_GrpcStatus{GrpcStatus: a.GRPCStatus}
		}
	}
	return &common.ExtensionWithMatcher{
		ExtensionConfig: &core.TypedExtensionConfig{Name: "envoy.filters.http.fault", TypedConfig: toAny(config)},
		XdsMatcher: &xds.Matcher{MatcherType: matcherList([]*xds.Matcher_MatcherList_FieldMatcher{{
			Predicate: not(before(f.Expires.Unix())),
			OnMatch: &xds.Matcher_OnMatch{OnMatch: &xds.Matcher_OnMatch_Action{
				Action: extension("skip", &skip.SkipFilter{})}}}})},
	}
}

func not(p *predicate) *predicate {
	return &predicate{MatchType: &xds.Matcher_MatcherList_Predicate_NotMatcher{NotMatcher: p}}
}

// attachRoutes finds the service ports of each route.
func (b *builder) attachRoutes() {
	b.attached = map[serviceKey][]*ir.Route{}
	for i := range b.input.Routes {
		r := &b.input.Routes[i]
		found := false
		for key := range b.services {
			if key.namespace == r.Namespace && key.name == r.Service && (r.Port == 0 || r.Port == key.port) {
				b.attached[key] = append(b.attached[key], r)
				found = true
			}
		}
		if !found {
			b.reportNoService(r)
		}
	}
	for _, list := range b.attached {
		slices.SortFunc(list, func(x, y *ir.Route) int {
			return slices.Compare([]string{x.Namespace, x.Name}, []string{y.Namespace, y.Name})
		})
	}
}
