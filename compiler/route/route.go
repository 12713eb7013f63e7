// Package route turns a plan and its routes into the tables of the waypoints: Envoy's own resources, in which every
// request is decided by the plan's first-match lists before it travels as a MeshRoute says.
//
// A waypoint has one inner listener, which sees connections after the outer one (HBONE, mutual TLS) has taken off the
// tunnel and set the client's SPIFFE id as filter state. The destination's address picks a filter chain; the chain's
// two RBAC filters ask the egress side of the client and the ingress side of the destination (S8); both must allow.
// Chains hold no addresses of enrolled pods: which address means which chain is node state, in Places.
//
// Section numbers (S1 to S34) refer to docs/semantics.md. Facts about Envoy are of version 1.40, which the tests run.
package route

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	routes "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// Input is what tables are made of beside the plan.
type Input struct {
	Routes []ir.Route
	// Grants permit backends in other namespaces.
	Grants []ir.ReferenceGrant
	// Providers verify the tokens whose claims rules ask for.
	Providers []ir.JWTProvider
	// Config says what waypoints serve; it decides nothing here, the plan does.
	Config inventory.Config
}

// Waypoint is one waypoint's tables. Everything in it is in a fixed order.
type Waypoint struct {
	ID   plan.ID
	Name string
	// Chains, Routes and Clusters are the decision; their names are content hashes or the names of services.
	Chains   []*Chain
	Routes   []*routes.RouteConfiguration
	Clusters []*cluster.Cluster
	// Places and Assignments are node state: which address and port means which chain, and the endpoints of services.
	Places []Place
	// Plain says that clients that prove no identity are sent here too.
	Plain       bool
	Assignments []*endpoint.ClusterLoadAssignment
}

// Place sends connections to an address and a range of ports into a chain.
type Place struct {
	Addr        netip.Addr
	First, Last uint16
	Chain       string
}

// Build makes the tables of every waypoint of the plan. The error is Weir's own fault: a table that fails Check.
func Build(p *plan.Plan, in Input) ([]Waypoint, diag.List, error) {
	b := &builder{plan: p, input: in, listed: map[*plan.Table]bool{},
		rows: map[*plan.Table][]int32{}, nodes: map[nodeRef]node{}, followed: map[serviceKey]bool{}}
	allow := plan.Outcome{Verdict: plan.Allow, Reason: plan.ByNoEndpoint, Rule: plan.None, Policy: plan.None, List: plan.None}
	b.noEndpoint = plan.Decision{Outcome: allow, Audit: allow}
	b.addressBlocks()
	b.indexServices()
	b.attachRoutes()
	out := make([]Waypoint, 0, len(p.Waypoints))
	for i := range p.Waypoints {
		w := b.waypoint(int32(i))
		if err := w.Check(); err != nil {
			return nil, nil, fmt.Errorf("checking the tables of waypoint %s: %w", w.Name, err)
		}
		out = append(out, w)
	}
	b.idle()
	b.diags.Sort()
	return out, b.diags, nil
}

// builder holds what is shared while tables are made.
type builder struct {
	plan  *plan.Plan
	input Input
	diags diag.List

	// noEndpoint is the answer of a side that is no endpoint (S8).
	noEndpoint plan.Decision
	// prefixes are the address blocks of each identity, blocks all of them, shortest look-up order aside.
	prefixes map[plan.PeerIndex][]netip.Prefix
	blocks   []netip.Prefix
	// listed caches whether a table has a decision that redirects.
	listed map[*plan.Table]bool
	// rows caches the rows of identities in tables.
	rows map[*plan.Table][]int32
	// nodes are those made so far.
	nodes map[nodeRef]node
	// services are the ports of services by name; attached the routes of each.
	services map[serviceKey]*servicePort
	attached map[serviceKey][]*ir.Route
	// followed are the service ports to which connections come through a waypoint, which follows their routes.
	followed map[serviceKey]bool
	// queryKeys and providers are what the lists of the chain in the making ask for.
	queryKeys map[string]bool
	providers map[string]bool
}

func (b *builder) useQueryKey(key string) { b.queryKeys[key] = true }

func (b *builder) useClaims(e *plan.Entry) {
	for _, cond := range e.Conds {
		for i := range cond {
			for _, claim := range cond[i].Claims {
				b.providers[claim.Provider] = true
			}
		}
	}
}

// waypoint makes one waypoint's tables.
func (b *builder) waypoint(index int32) Waypoint {
	w := Waypoint{ID: b.plan.Waypoints[index].ID, Name: b.plan.Waypoints[index].Name()}
	t := &tables{builder: b, index: index, out: &w, chains: map[string]*Chain{}, podChains: map[string]*Chain{},
		clusters: map[string]bool{}}
	t.pods()
	t.servicePorts()
	if len(w.Chains) > 0 {
		t.direct()
	}
	slices.SortFunc(w.Chains, func(x, y *Chain) int { return cmp.Compare(x.Name, y.Name) })
	slices.SortFunc(w.Routes, func(x, y *routes.RouteConfiguration) int { return cmp.Compare(x.Name, y.Name) })
	slices.SortFunc(w.Clusters, func(x, y *cluster.Cluster) int { return cmp.Compare(x.Name, y.Name) })
	slices.SortFunc(w.Assignments, func(x, y *endpoint.ClusterLoadAssignment) int {
		return cmp.Compare(x.ClusterName, y.ClusterName)
	})
	slices.SortFunc(w.Places, func(x, y Place) int {
		return cmp.Or(x.Addr.Compare(y.Addr), cmp.Compare(x.First, y.First))
	})
	return w
}

// tables is one waypoint in the making.
type tables struct {
	*builder
	index    int32
	out      *Waypoint
	chains   map[string]*Chain
	clusters map[string]bool
	// podChains are the chains of pods by who may use them: ports of many pods share one.
	podChains map[string]*Chain
}

// podChain is the chain of connections of the clients who that name a pod's own address.
func (t *tables) podChain(who *sources) *Chain {
	var key strings.Builder
	for _, s := range who.all() {
		key.WriteString(s.spiffe + " " + s.prefix.String())
		for dir := range s.sides {
			for _, nodes := range [][]node{s.sides[dir], s.audit[dir]} {
				key.WriteString("\n" + strings.Join(t.keys(nodes), ";"))
			}
		}
		key.WriteString("\n\n")
	}
	c := t.podChains[key.String()]
	if c == nil {
		c = t.chain(who, nil, directRoutes)
		t.podChains[key.String()] = c
	}
	return c
}

// direct adds what chains of pods route by.
func (t *tables) direct() {
	action := (&alternative{rule: &ir.RouteRule{}}).forward()
	action.ClusterSpecifier = &routes.RouteAction_Cluster{Cluster: directRoutes}
	t.out.Routes = append(t.out.Routes, &routes.RouteConfiguration{Name: directRoutes, VirtualHosts: everyHost(
		&routes.Route{Name: directRoutes, Match: anyRequest(), Action: &routes.Route_Route{Route: action}})})
	t.out.Clusters = append(t.out.Clusters, directCluster())
}

// pods makes the chains of connections that name a pod's own address.
func (t *tables) pods() {
	addrs := map[plan.PeerIndex][]netip.Addr{}
	for i := range t.plan.Endpoints {
		e := &t.plan.Endpoints[i]
		for j, a := range e.Addrs {
			addrs[e.Peers[j]] = append(addrs[e.Peers[j]], a)
		}
	}
	for i := range t.plan.Peers {
		peer := plan.PeerIndex(i)
		if t.plan.Peers[i].Waypoint != t.index {
			continue
		}
		var last *Place
		var places []Place
		for _, ports := range t.intervals(peer) {
			d := []dest{{peer, plan.Key(ir.TCP, ports.first)}}
			if !t.portMayRedirect(d[0]) {
				last = nil
				continue
			}
			who := t.access(d, d)
			if who.empty() {
				last = nil
				continue
			}
			t.reportShared(who, d[0])
			t.out.Plain = t.out.Plain || len(who.addrs) > 0
			name := t.podChain(who).Name
			if last != nil && last.Chain == name && uint32(last.Last)+1 == uint32(ports.first) {
				last.Last = ports.last
				continue
			}
			places = append(places, Place{First: ports.first, Last: ports.last, Chain: name})
			last = &places[len(places)-1]
		}
		for _, a := range addrs[peer] {
			for _, p := range places {
				p.Addr = a
				t.out.Places = append(t.out.Places, p)
			}
		}
	}
}
