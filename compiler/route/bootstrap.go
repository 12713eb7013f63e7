package route

import (
	bootstrap "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	routes "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	internal "github.com/envoyproxy/go-control-plane/envoy/extensions/bootstrap/internal_listener/v3"
	"google.golang.org/protobuf/proto"
)

// Bootstrap is the waypoint as one file, with everything inline: for `envoy --mode validate`, which looks at nothing
// that comes by xDS, and for reading.
func (w *Waypoint) Bootstrap() *bootstrap.Bootstrap {
	configs := map[string]*routes.RouteConfiguration{}
	for _, r := range w.Routes {
		configs[r.Name] = r
	}
	endpoints := map[string]*endpoint.ClusterLoadAssignment{}
	for _, a := range w.Assignments {
		endpoints[a.ClusterName] = a
	}
	static := &bootstrap.Bootstrap_StaticResources{Listeners: w.listeners(configs)}
	for _, c := range w.Clusters {
		if c.GetType() == cluster.Cluster_EDS {
			c = proto.Clone(c).(*cluster.Cluster)
			c.ClusterDiscoveryType = &cluster.Cluster_Type{Type: cluster.Cluster_STATIC}
			c.EdsClusterConfig, c.LoadAssignment = nil, endpoints[c.Name]
		}
		static.Clusters = append(static.Clusters, c)
	}
	return &bootstrap.Bootstrap{
		Node:            &core.Node{Id: "waypoint/" + w.Name, Cluster: "weir"},
		StaticResources: static,
		BootstrapExtensions: []*core.TypedExtensionConfig{{Name: "envoy.bootstrap.internal_listener",
			TypedConfig: toAny(&internal.InternalListener{})}},
	}
}
