package envoy

import (
	"net/netip"

	bootstrap "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routes "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	setstate "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	httpstate "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	internal "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/internal_upstream/v3"
	raw "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/weir-mesh/weir/compiler/route"
)

// PeerHeader is the header of a CONNECT request in which AddOuter's listener believes the client's SPIFFE id.
const PeerHeader = "x-weir-test-peer"

// AddOuter gives the configuration the outer listener that a waypoint has in front of its inner one, but for the
// mutual TLS: the client's id comes from a header. The authority of CONNECT is the destination. For tests only.
func AddOuter(b *bootstrap.Bootstrap, at netip.AddrPort) {
	const inner = "test.inner"
	manager := &hcm.HttpConnectionManager{
		StatPrefix:     "outer",
		UpgradeConfigs: []*hcm.HttpConnectionManager_UpgradeConfig{{UpgradeType: "CONNECT"}},
		RouteSpecifier: &hcm.HttpConnectionManager_RouteConfig{RouteConfig: &routes.RouteConfiguration{
			VirtualHosts: []*routes.VirtualHost{{Name: "any", Domains: []string{"*"}, Routes: []*routes.Route{{
				Match: &routes.RouteMatch{PathSpecifier: &routes.RouteMatch_ConnectMatcher_{
					ConnectMatcher: &routes.RouteMatch_ConnectMatcher{}}},
				Action: &routes.Route_Route{Route: &routes.RouteAction{
					ClusterSpecifier: &routes.RouteAction_Cluster{Cluster: inner},
					UpgradeConfigs: []*routes.RouteAction_UpgradeConfig{{UpgradeType: "CONNECT",
						ConnectConfig: &routes.RouteAction_UpgradeConfig_ConnectConfig{}}}}}}}}}}},
		HttpFilters: []*hcm.HttpFilter{
			httpFilter("state", &httpstate.Config{OnRequestHeaders: []*setstate.FilterStateValue{
				handOver("weir.peer", "envoy.hashable_string", "%REQ("+PeerHeader+")%"),
				handOver("envoy.filters.listener.original_dst.local_ip", "", "%REQ(:AUTHORITY)%"),
			}}),
			httpFilter("envoy.filters.http.router", &router.Router{}),
		},
	}
	b.StaticResources.Listeners = append(b.StaticResources.Listeners, &listener.Listener{
		Name: "test.outer", Address: address(at),
		FilterChains: []*listener.FilterChain{{Filters: []*listener.Filter{{Name: "http",
			ConfigType: &listener.Filter_TypedConfig{TypedConfig: pack(manager)}}}}},
	})
	b.StaticResources.Clusters = append(b.StaticResources.Clusters, &cluster.Cluster{
		Name:                 inner,
		ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_STATIC},
		LoadAssignment: &endpoint.ClusterLoadAssignment{ClusterName: inner, Endpoints: []*endpoint.LocalityLbEndpoints{{
			LbEndpoints: []*endpoint.LbEndpoint{{HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{
				Address: &core.Address{Address: &core.Address_EnvoyInternalAddress{EnvoyInternalAddress: &core.EnvoyInternalAddress{
					AddressNameSpecifier: &core.EnvoyInternalAddress_ServerListenerName{ServerListenerName: route.InnerListener}}}}}}}}}}},
		TransportSocket: &core.TransportSocket{Name: "internal", ConfigType: &core.TransportSocket_TypedConfig{TypedConfig: pack(
			&internal.InternalUpstreamTransport{TransportSocket: &core.TransportSocket{Name: "raw",
				ConfigType: &core.TransportSocket_TypedConfig{TypedConfig: pack(&raw.RawBuffer{})}}})}},
	})
}

// handOver sets filter state and shares it with the inner listener.
func handOver(key, factory, format string) *setstate.FilterStateValue {
	return &setstate.FilterStateValue{Key: &setstate.FilterStateValue_ObjectKey{ObjectKey: key}, FactoryKey: factory,
		Value: &setstate.FilterStateValue_FormatString{FormatString: &core.SubstitutionFormatString{OmitEmptyValues: true,
			Format: &core.SubstitutionFormatString_TextFormatSource{TextFormatSource: &core.DataSource{
				Specifier: &core.DataSource_InlineString{InlineString: format}}}}},
		SharedWithUpstream: setstate.FilterStateValue_ONCE, SkipIfEmpty: true}
}

func httpFilter(name string, config proto.Message) *hcm.HttpFilter {
	return &hcm.HttpFilter{Name: name, ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: pack(config)}}
}

func address(a netip.AddrPort) *core.Address {
	return &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{Address: a.Addr().String(),
		PortSpecifier: &core.SocketAddress_PortValue{PortValue: uint32(a.Port())}}}}
}

func pack(m proto.Message) *anypb.Any {
	a, err := anypb.New(m)
	if err != nil {
		panic(err) // a message of this file that does not marshal
	}
	return a
}
