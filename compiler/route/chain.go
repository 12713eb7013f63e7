package route

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"time"

	xdscore "github.com/cncf/xds/go/xds/core/v3"
	xds "github.com/cncf/xds/go/xds/type/matcher/v3"
	mutation "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routes "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	setstate "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	bodylimit "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/body_size_limit/v3"
	jwt "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	ratelimit "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	rbac "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	httpstate "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	earlyheaders "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/weir-mesh/weir/compiler/ir"
)

// Names of the HTTP filters of a chain. A route's own configuration of a filter goes by the filter's name; a wrong
// name is silently without effect in Envoy, so Check compares them.
const (
	filterState     = "weir.request"
	filterJWT       = "weir.jwt"
	filterEgress    = "weir.egress"
	filterIngress   = "weir.ingress"
	filterFault     = "weir.fault." // and a content hash
	filterRateLimit = "weir.ratelimit"
	filterBody      = "weir.body." // and the limit
	filterRouter    = "envoy.filters.http.router"
)

// jwtNamespace is where the JWT filter leaves payloads, whatever the filter's own name.
const jwtNamespace = "envoy.filters.http.jwt_authn"

// sideFilters are the RBAC filters by direction.
var sideFilters = [ir.NumDirections]string{ir.Egress: filterEgress, ir.Ingress: filterIngress}

// Chain is a filter chain: an HTTP connection manager whose RBAC filters decide, and a route configuration.
type Chain struct {
	// Name is a content hash.
	Name string
	// Routes names the route configuration.
	Routes  string
	filters []*hcm.HttpFilter
}

// manager renders the chain's connection manager; inline is nil where the routes come by RDS.
func (c *Chain) manager(inline *routes.RouteConfiguration) *hcm.HttpConnectionManager {
	m := &hcm.HttpConnectionManager{
		CodecType:  hcm.HttpConnectionManager_AUTO,
		StatPrefix: c.Name,
		// S24. What is left after these three is what plan.ParseTarget gives.
		NormalizePath:                wrapperspb.Bool(true),
		MergeSlashes:                 true,
		PathWithEscapedSlashesAction: hcm.HttpConnectionManager_REJECT_REQUEST,
		// Methods are rules' business: without this a request with an unusual one gets 400 from HTTP/1 alone.
		HttpProtocolOptions: &core.Http1ProtocolOptions{AllowCustomMethods: true},
		// The client's address is the connection's, never that of a header (inPrefix).
		UseRemoteAddress: wrapperspb.Bool(true),
		SkipXffAppend:    true,
		// A waypoint leaves no trace that a backend or client could come to rely on.
		GenerateRequestId:             wrapperspb.Bool(false),
		ServerHeaderTransformation:    hcm.HttpConnectionManager_PASS_THROUGH,
		StreamIdleTimeout:             durationpb.New(time.Hour),
		EarlyHeaderMutationExtensions: []*core.TypedExtensionConfig{dropProxyHeaders()},
		UpgradeConfigs:                []*hcm.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}},
		HttpFilters:                   c.filters,
	}
	if inline != nil {
		m.RouteSpecifier = &hcm.HttpConnectionManager_RouteConfig{RouteConfig: inline}
	} else {
		m.RouteSpecifier = &hcm.HttpConnectionManager_Rds{Rds: &hcm.Rds{RouteConfigName: c.Routes, ConfigSource: ads()}}
	}
	return m
}

// chain returns the chain for the clients who and the route configuration, making it where it is new. With own set,
// routes bring their own access, and who is nil: what no route matches is denied.
func (t *tables) chain(who *sources, own *routeAccess, routeConfig string) *Chain {
	c := &Chain{Routes: routeConfig}
	var decide []*hcm.HttpFilter
	if own == nil {
		own = &routeAccess{}
		t.resetUses()
		decide = t.sideFilters(who)
		own.queryKeys, own.providers = t.uses()
	} else {
		decide = []*hcm.HttpFilter{
			httpFilter(filterEgress, denyAll(filterEgress)), httpFilter(filterIngress, denyAll(filterIngress)),
		}
	}
	c.filters = append(c.filters, httpFilter(filterState, requestState(own.queryKeys)))
	if f := t.jwtFilter(own.providers); f != nil {
		c.filters = append(c.filters, f)
	}
	c.filters = append(c.filters, decide...)
	if own.rateLimit {
		c.filters = append(c.filters, disabled(httpFilter(filterRateLimit,
			&ratelimit.LocalRateLimit{StatPrefix: filterRateLimit})))
	}
	for _, name := range slices.Sorted(maps.Keys(own.switched)) {
		c.filters = append(c.filters, disabled(httpFilter(name, own.switched[name])))
	}
	c.filters = append(c.filters, httpFilter(filterRouter, &router.Router{SuppressEnvoyHeaders: true}))
	c.Name = contentName(c.manager(nil))
	if known := t.chains[c.Name]; known != nil {
		return known
	}
	t.chains[c.Name] = c
	t.out.Chains = append(t.out.Chains, c)
	return c
}

// routeAccess is what a chain whose routes bring their own access must offer them.
type routeAccess struct {
	queryKeys, providers []string
	rateLimit            bool
	// switched are filters that routes switch on: limits of bodies, and faults.
	switched map[string]proto.Message
}

func bodyFilter(limit uint32) string { return filterBody + itoa(limit) }

func bodyLimit(limit uint32) *bodylimit.BodySizeLimit {
	return &bodylimit.BodySizeLimit{MaxRequestBytes: wrapperspb.UInt64(uint64(limit))}
}

func (b *builder) resetUses() { b.queryKeys, b.providers = map[string]bool{}, map[string]bool{} }

func (b *builder) uses() (queryKeys, providers []string) {
	return slices.Sorted(maps.Keys(b.queryKeys)), slices.Sorted(maps.Keys(b.providers))
}

// sideFilters are the RBAC filters for the clients who. Both are in every chain, for routes name them.
func (b *builder) sideFilters(who *sources) []*hcm.HttpFilter {
	var out []*hcm.HttpFilter
	for dir, name := range sideFilters {
		out = append(out, httpFilter(name, b.sideRBAC(who, ir.Direction(dir))))
	}
	return out
}

// sideRBAC is one side's RBAC, with the audit lists beside it where they differ for some client (S30). The egress
// side says plainly yes where it has nothing else to say: the ingress side denies whoever is not listed.
func (b *builder) sideRBAC(who *sources, dir ir.Direction) *rbac.RBAC {
	needed, audit := dir == ir.Ingress, false
	for _, s := range who.all() {
		audit = audit || !slices.Equal(b.keys(s.sides[dir]), b.keys(s.audit[dir]))
		needed = needed || slices.ContainsFunc(s.sides[dir], func(n node) bool { return !n.allows() })
	}
	if !needed && !audit {
		return allowAll(sideFilters[dir])
	}
	r := &rbac.RBAC{
		RulesStatPrefix: sideFilters[dir] + ".",
		Matcher:         b.rbacMatcher(who, func(s *source) []node { return s.sides[dir] }),
	}
	if audit {
		r.ShadowRulesStatPrefix = sideFilters[dir] + ".audit."
		r.ShadowMatcher = b.rbacMatcher(who, func(s *source) []node { return s.audit[dir] })
	}
	return r
}

func (b *builder) keys(nodes []node) []string {
	out := make([]string, len(nodes))
	for i := range nodes {
		out[i] = b.key(&nodes[i])
	}
	return out
}

// requestState keeps the normalised path, without the query, and the parameters that lists ask for.
func requestState(queryKeys []string) *httpstate.Config {
	values := []*setstate.FilterStateValue{stateValue(statePath, "%PATH(NQ:PATH)%")}
	for _, k := range queryKeys {
		values = append(values, stateValue(stateQuery+k, "%QUERY_PARAM("+k+")%"))
	}
	return &httpstate.Config{OnRequestHeaders: values}
}

// stateValue sets nothing where the format is empty, so that an absent parameter matches nothing.
func stateValue(key, format string) *setstate.FilterStateValue {
	return &setstate.FilterStateValue{
		Key:        &setstate.FilterStateValue_ObjectKey{ObjectKey: key},
		FactoryKey: "envoy.string",
		Value: &setstate.FilterStateValue_FormatString{FormatString: &core.SubstitutionFormatString{
			Format: &core.SubstitutionFormatString_TextFormatSource{TextFormatSource: &core.DataSource{
				Specifier: &core.DataSource_InlineString{InlineString: format}}},
			OmitEmptyValues: true,
		}},
		SkipIfEmpty: true,
	}
}

// jwtFilter verifies tokens of the providers that lists ask for. A request without a token passes, its claims absent;
// one with a token that does not verify gets 401. A token without an end is refused.
func (b *builder) jwtFilter(providers []string) *hcm.HttpFilter {
	config := &jwt.JwtAuthentication{Providers: map[string]*jwt.JwtProvider{}}
	var any []*jwt.JwtRequirement
	for _, name := range providers {
		i := slices.IndexFunc(b.input.Providers, func(p ir.JWTProvider) bool { return p.Name == name })
		if i < 0 {
			continue // front ends report it; a claim that nothing verifies is absent
		}
		p := &b.input.Providers[i]
		config.Providers[name] = &jwt.JwtProvider{
			Issuer: p.Issuer, Audiences: p.Audiences, RequireExpiration: true, Forward: true, PayloadInMetadata: name,
			JwksSourceSpecifier: &jwt.JwtProvider_LocalJwks{LocalJwks: &core.DataSource{
				Specifier: &core.DataSource_InlineString{InlineString: p.JWKS}}},
		}
		any = append(any, &jwt.JwtRequirement{RequiresType: &jwt.JwtRequirement_ProviderName{ProviderName: name}})
	}
	if len(any) == 0 {
		return nil
	}
	any = append(any, &jwt.JwtRequirement{RequiresType: &jwt.JwtRequirement_AllowMissing{AllowMissing: &emptypb.Empty{}}})
	config.Rules = []*jwt.RequirementRule{{
		Match: &routes.RouteMatch{PathSpecifier: &routes.RouteMatch_Prefix{Prefix: "/"}},
		RequirementType: &jwt.RequirementRule_Requires{Requires: &jwt.JwtRequirement{
			RequiresType: &jwt.JwtRequirement_RequiresAny{RequiresAny: &jwt.JwtRequirementOrList{Requirements: any}}}},
	}}
	return httpFilter(filterJWT, config)
}

// proxyHeaders are requests to Envoy itself. A client may not lift a route's timeout or ask for retries or faults.
var proxyHeaders = []string{
	"x-envoy-attempt-count", "x-envoy-decorator-operation", "x-envoy-expected-rq-timeout-ms",
	"x-envoy-fault-abort-grpc-request", "x-envoy-fault-abort-request", "x-envoy-fault-abort-request-percentage",
	"x-envoy-fault-delay-request", "x-envoy-fault-delay-request-percentage", "x-envoy-fault-throughput-response",
	"x-envoy-fault-throughput-response-percentage", "x-envoy-force-trace", "x-envoy-hedge-on-per-try-timeout",
	"x-envoy-ip-tags", "x-envoy-max-retries", "x-envoy-original-path", "x-envoy-retriable-header-names",
	"x-envoy-retriable-status-codes", "x-envoy-retry-grpc-on", "x-envoy-retry-on",
	"x-envoy-upstream-alt-stat-name", "x-envoy-upstream-rq-per-try-timeout-ms",
	"x-envoy-upstream-rq-timeout-alt-response", "x-envoy-upstream-rq-timeout-ms",
	"x-envoy-upstream-stream-duration-ms",
}

func dropProxyHeaders() *core.TypedExtensionConfig {
	m := &earlyheaders.HeaderMutation{}
	for _, h := range proxyHeaders {
		m.Mutations = append(m.Mutations, &mutation.HeaderMutation{Action: &mutation.HeaderMutation_Remove{Remove: h}})
	}
	return &core.TypedExtensionConfig{Name: "weir.headers", TypedConfig: toAny(m)}
}

func httpFilter(name string, config proto.Message) *hcm.HttpFilter {
	return &hcm.HttpFilter{Name: name, ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: toAny(config)}}
}

// disabled switches a filter off but for routes that configure it.
func disabled(f *hcm.HttpFilter) *hcm.HttpFilter {
	f.Disabled = true
	return f
}

// denyAll is the access of a chain whose routes bring their own: a route without any can't open anything.
func denyAll(name string) *rbac.RBAC {
	return &rbac.RBAC{RulesStatPrefix: name + ".", Matcher: &xds.Matcher{OnNoMatch: decide(false, "weir/no-route")}}
}

func extension(name string, config proto.Message) *xdscore.TypedExtensionConfig {
	return &xdscore.TypedExtensionConfig{Name: name, TypedConfig: toAny(config)}
}

func ads() *core.ConfigSource {
	return &core.ConfigSource{ResourceApiVersion: core.ApiVersion_V3,
		ConfigSourceSpecifier: &core.ConfigSource_Ads{Ads: &core.AggregatedConfigSource{}}}
}

// toAny packs a message in the one order of bytes that is the same everywhere.
func toAny(m proto.Message) *anypb.Any {
	a := new(anypb.Any)
	if err := anypb.MarshalFrom(a, m, proto.MarshalOptions{Deterministic: true}); err != nil {
		panic("packing " + string(m.ProtoReflect().Descriptor().FullName()) + ": " + err.Error()) // only a string that is no UTF-8
	}
	return a
}

func contentName(m proto.Message) string {
	sum := sha256.Sum256(toAny(m).Value)
	return hex.EncodeToString(sum[:8])
}
