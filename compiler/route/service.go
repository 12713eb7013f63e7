package route

import (
	"cmp"
	"net/netip"
	"slices"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	upstream "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	envoytype "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// serviceKey names a port of a service.
type serviceKey struct {
	namespace, name string
	port            uint16
}

// servicePort is a TCP port of a service: its frontends, one for each family or none yet, and who is behind them.
type servicePort struct {
	serviceKey
	addrs []netip.Addr
	dests []dest
	// backends are addresses of endpoints: node state.
	backends []netip.AddrPort
}

// indexServices collects the plan's frontends by service and port.
func (b *builder) indexServices() {
	b.services = map[serviceKey]*servicePort{}
	for i := range b.plan.Frontends {
		f := &b.plan.Frontends[i]
		if f.Port.Space() != ir.TCP {
			continue
		}
		key := serviceKey{f.Namespace, f.Service, f.Port.Number()}
		s := b.services[key]
		if s == nil {
			s = &servicePort{serviceKey: key}
			b.services[key] = s
		}
		s.addrs = append(s.addrs, f.Addrs...)
		for j := range f.Backends {
			b.addBackend(s, &f.Backends[j])
		}
	}
	for _, s := range b.services {
		slices.SortFunc(s.addrs, netip.Addr.Compare)
		s.addrs = slices.Compact(s.addrs)
		slices.SortFunc(s.dests, func(x, y dest) int {
			return cmp.Or(slices.Compare(b.plan.Peers[x.peer].ID[:], b.plan.Peers[y.peer].ID[:]), cmp.Compare(x.port, y.port))
		})
		s.dests = slices.Compact(s.dests)
		slices.SortFunc(s.backends, netip.AddrPort.Compare)
		s.backends = slices.Compact(s.backends)
	}
}

func (b *builder) addBackend(s *servicePort, backend *plan.Backend) {
	for _, peer := range backend.Peers {
		s.dests = append(s.dests, dest{peer, backend.Port})
	}
	if backend.Addr.IsValid() {
		s.backends = append(s.backends, netip.AddrPortFrom(backend.Addr, backend.Port.Number()))
	} else if backend.Endpoint >= 0 {
		for _, a := range b.plan.Endpoints[backend.Endpoint].Addrs {
			s.backends = append(s.backends, netip.AddrPortFrom(a, backend.Port.Number()))
		}
	}
}

// servedBy says that every endpoint of the service is served by one waypoint, this one (S25).
func (t *tables) servedBy(s *servicePort) bool {
	for _, d := range s.dests {
		if t.plan.Peers[d.peer].Waypoint != t.index {
			return false
		}
	}
	return len(s.dests) > 0
}

// servicePorts makes the chains of connections that name a service's address.
func (t *tables) servicePorts() {
	keys := make([]serviceKey, 0, len(t.services))
	for k := range t.services {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compareService)
	for _, k := range keys {
		s := t.services[k]
		if !t.servedBy(s) {
			continue
		}
		who := t.access(s.dests, s.dests)
		if who.empty() {
			continue
		}
		t.followed[k] = true
		chain := t.serviceChain(s, who)
		for _, a := range s.addrs {
			t.out.Places = append(t.out.Places, Place{Addr: a, First: k.port, Last: k.port, Chain: chain.Name})
		}
	}
}

func compareService(x, y serviceKey) int {
	return cmp.Or(cmp.Compare(x.namespace, y.namespace), cmp.Compare(x.name, y.name), cmp.Compare(x.port, y.port))
}

// caps are bounds that Envoy keeps by cluster: a route that sets some gets clusters of its own.
type caps struct {
	limits ir.ConnectionLimits
	// budget is set for rules with retries.
	budget        bool
	percent       uint32
	minConcurrent uint32
}

// cluster returns the name of a service's cluster under the caps of owner (a route, or a rule of one).
func (t *tables) cluster(s *servicePort, owner string, c caps) string {
	name := s.clusterName()
	if c != (caps{}) {
		name += "|" + owner
	}
	if t.clusters[name] {
		return name
	}
	t.clusters[name] = true
	t.out.Clusters = append(t.out.Clusters, &cluster.Cluster{
		Name:                          name,
		ClusterDiscoveryType:          &cluster.Cluster_Type{Type: cluster.Cluster_EDS},
		EdsClusterConfig:              &cluster.Cluster_EdsClusterConfig{EdsConfig: ads()},
		ConnectTimeout:                connectTimeout,
		LbPolicy:                      cluster.Cluster_LEAST_REQUEST,
		CircuitBreakers:               c.breakers(),
		TypedExtensionProtocolOptions: sameProtocol(),
	})
	t.out.Assignments = append(t.out.Assignments, s.assignment(name))
	return name
}

var connectTimeout = durationpb.New(5e9)

func (s *servicePort) clusterName() string {
	return s.namespace + "/" + s.name + ":" + itoa(s.port)
}

// assignment lists the endpoints of a cluster.
func (s *servicePort) assignment(name string) *endpoint.ClusterLoadAssignment {
	a := &endpoint.ClusterLoadAssignment{ClusterName: name}
	if len(s.backends) == 0 {
		return a
	}
	group := &endpoint.LocalityLbEndpoints{}
	for _, b := range s.backends {
		group.LbEndpoints = append(group.LbEndpoints, &endpoint.LbEndpoint{
			HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{Address: address(b)}}})
	}
	a.Endpoints = []*endpoint.LocalityLbEndpoints{group}
	return a
}

func address(a netip.AddrPort) *core.Address {
	return &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
		Address:       a.Addr().String(),
		PortSpecifier: &core.SocketAddress_PortValue{PortValue: uint32(a.Port())}}}}
}

// breakers bound what a cluster gets; without caps nothing is bounded, Envoy's default of 1,024 neither.
func (c caps) breakers() *cluster.CircuitBreakers {
	const unbounded = 1 << 30
	or := func(n uint32) *wrapperspb.UInt32Value {
		if n == 0 {
			n = unbounded
		}
		return wrapperspb.UInt32(n)
	}
	t := &cluster.CircuitBreakers_Thresholds{MaxConnections: or(c.limits.Max), MaxPendingRequests: or(c.limits.Pending),
		MaxRequests: or(c.limits.Requests)}
	if c.budget {
		t.RetryBudget = &cluster.CircuitBreakers_Thresholds_RetryBudget{
			BudgetPercent:       &envoytype.Percent{Value: float64(c.percent)},
			MinRetryConcurrency: wrapperspb.UInt32(c.minConcurrent)}
	}
	return &cluster.CircuitBreakers{Thresholds: []*cluster.CircuitBreakers_Thresholds{t}}
}

// directCluster sends a connection on to the address that it names.
func directCluster() *cluster.Cluster {
	return &cluster.Cluster{
		Name:                          directRoutes,
		ClusterDiscoveryType:          &cluster.Cluster_Type{Type: cluster.Cluster_ORIGINAL_DST},
		LbPolicy:                      cluster.Cluster_CLUSTER_PROVIDED,
		ConnectTimeout:                connectTimeout,
		CircuitBreakers:               caps{}.breakers(),
		TypedExtensionProtocolOptions: sameProtocol(),
	}
}

// sameProtocol speaks to backends what the client spoke, so that gRPC stays HTTP/2.
func sameProtocol() map[string]*anypb.Any {
	return map[string]*anypb.Any{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": toAny(
		&upstream.HttpProtocolOptions{UpstreamProtocolOptions: &upstream.HttpProtocolOptions_UseDownstreamProtocolConfig{
			UseDownstreamProtocolConfig: &upstream.HttpProtocolOptions_UseDownstreamHttpConfig{
				HttpProtocolOptions:  &core.Http1ProtocolOptions{AllowCustomMethods: true},
				Http2ProtocolOptions: &core.Http2ProtocolOptions{}}}})}
}
