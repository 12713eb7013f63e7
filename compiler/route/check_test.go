package route

import (
	"strings"
	"testing"

	xds "github.com/cncf/xds/go/xds/type/matcher/v3"
	rbacconfig "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routes "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	buffer "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/buffer/v3"
	rbac "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// TestCheckRoutes: what Envoy takes without a word and then does not do is found. Each case breaks a good table.
func TestCheckRoutes(t *testing.T) {
	matcher := &xds.Matcher{OnNoMatch: decide(false, "x")}
	good := map[string]proto.Message{filterIngress: &rbac.RBACPerRoute{Rbac: &rbac.RBAC{Matcher: matcher}}}
	filters := func() []*hcm.HttpFilter {
		return []*hcm.HttpFilter{httpFilter(filterEgress, denyAll(filterEgress)), httpFilter(filterIngress, denyAll(filterIngress)),
			disabled(httpFilter(bodyFilter(10), bodyLimit(10)))}
	}
	for _, c := range []struct {
		what    string
		filters []*hcm.HttpFilter
		config  map[string]proto.Message
		want    string
	}{
		{"good", filters(), good, ""},
		{"a limit switched on", filters(), map[string]proto.Message{bodyFilter(10): &routes.FilterConfig{Config: &anypb.Any{}}}, ""},
		{"a mistyped name", filters(), map[string]proto.Message{"weir.ingres": good[filterIngress]}, "no such filter"},
		{"the wrong type", filters(), map[string]proto.Message{filterIngress: &buffer.BufferPerRoute{}}, "BufferPerRoute"},
		{"the filter's own type", filters(), map[string]proto.Message{filterIngress: denyAll("x")}, "reads"},
		{"an RBAC that is not there", filters(), map[string]proto.Message{filterIngress: &rbac.RBACPerRoute{}}, "everything would pass"},
		{"an RBAC without a matcher", filters(), map[string]proto.Message{filterIngress: &rbac.RBACPerRoute{Rbac: &rbac.RBAC{}}},
			"everything would pass"},
		{"rules beside the matcher", filters(), map[string]proto.Message{filterIngress: &rbac.RBACPerRoute{Rbac: &rbac.RBAC{Matcher: matcher,
			Rules: &rbacconfig.RBAC{}}}}, "everything would pass"},
		{"access switched off", filters(), map[string]proto.Message{filterIngress: &routes.FilterConfig{Disabled: true}}, "switch on"},
		{"no filter that decides", filters()[:1], nil, "no filter decides"},
		{"a filter without a matcher", []*hcm.HttpFilter{httpFilter(filterIngress, &rbac.RBAC{})}, nil, "everything would pass"},
		{"two filters of one name", append(filters(), filters()[0]), nil, "two filters"},
	} {
		packed := map[string]*anypb.Any{}
		for name, m := range c.config {
			packed[name] = toAny(m)
		}
		for where, config := range map[string]*routes.RouteConfiguration{
			"configuration": {TypedPerFilterConfig: packed},
			"virtual host":  {VirtualHosts: []*routes.VirtualHost{{TypedPerFilterConfig: packed}}},
			"route":         {VirtualHosts: []*routes.VirtualHost{{Routes: []*routes.Route{{TypedPerFilterConfig: packed}}}}},
			"cluster": {VirtualHosts: []*routes.VirtualHost{{Routes: []*routes.Route{{Action: &routes.Route_Route{Route: &routes.RouteAction{
				ClusterSpecifier: &routes.RouteAction_WeightedClusters{WeightedClusters: &routes.WeightedCluster{
					Clusters: []*routes.WeightedCluster_ClusterWeight{{TypedPerFilterConfig: packed}}}}}}}}}}},
		} {
			err := CheckRoutes(c.filters, config)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, at a %s: %v, want %q", c.what, where, err, c.want)
			}
		}
	}
}

func TestCheckNames(t *testing.T) {
	chain := &Chain{Name: "c", Routes: "r", filters: []*hcm.HttpFilter{httpFilter(filterIngress, denyAll(filterIngress))}}
	to := func(cluster string) *routes.RouteConfiguration {
		return &routes.RouteConfiguration{Name: "r", VirtualHosts: []*routes.VirtualHost{{Routes: []*routes.Route{{
			Action: &routes.Route_Route{Route: &routes.RouteAction{ClusterSpecifier: &routes.RouteAction_Cluster{Cluster: cluster}}}}}}}}
	}
	for want, w := range map[string]Waypoint{
		"no route configuration r": {Chains: []*Chain{chain}},
		"no cluster gone":          {Chains: []*Chain{chain}, Routes: []*routes.RouteConfiguration{to("gone")}},
		"no chain d":               {Chains: []*Chain{chain}, Routes: []*routes.RouteConfiguration{to(missingCluster)}, Places: []Place{{Chain: "d"}}},
		"":                         {Chains: []*Chain{chain}, Routes: []*routes.RouteConfiguration{to(missingCluster)}, Places: []Place{{Chain: "c"}}},
	} {
		if err := w.Check(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
