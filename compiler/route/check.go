package route

import (
	"errors"
	"fmt"

	routes "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	ratelimit "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	rbac "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// typeRBAC is the type of the filters that decide.
var typeRBAC = typeURL(&rbac.RBAC{})

// perRoute are the configurations that a route may give a filter, by the filter's type. FilterConfig, which only
// switches a filter on, is allowed for filters that are switched off.
var perRoute = map[string]string{
	typeRBAC:                             typeURL(&rbac.RBACPerRoute{}),
	typeURL(&ratelimit.LocalRateLimit{}): typeURL(&ratelimit.LocalRateLimit{}),
}

func typeURL(m proto.Message) string {
	return "type.googleapis.com/" + string(m.ProtoReflect().Descriptor().FullName())
}

// Check finds what Envoy takes without a word and then does not do: a route's configuration for a filter that the
// chain does not have, or of a type that the filter does not read; access that is switched off by being empty; a
// chain without access; names of route configurations and clusters that nothing has.
func (w *Waypoint) Check() error {
	configs := map[string]*routes.RouteConfiguration{}
	for _, r := range w.Routes {
		configs[r.Name] = r
	}
	clusters := map[string]bool{missingCluster: true}
	for _, c := range w.Clusters {
		clusters[c.Name] = true
	}
	for _, c := range w.Chains {
		config := configs[c.Routes]
		if config == nil {
			return fmt.Errorf("chain %s: there is no route configuration %s", c.Name, c.Routes)
		}
		if err := CheckRoutes(c.filters, config); err != nil {
			return fmt.Errorf("chain %s: %w", c.Name, err)
		}
		if err := checkClusters(config, clusters); err != nil {
			return err
		}
	}
	for _, p := range w.Places {
		if w.chainNamed(p.Chain) == nil {
			return fmt.Errorf("place %s: there is no chain %s", p.Addr, p.Chain)
		}
	}
	return nil
}

func (w *Waypoint) chainNamed(name string) *Chain {
	for _, c := range w.Chains {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// CheckRoutes checks a route configuration against the HTTP filters of the chain that uses it.
func CheckRoutes(filters []*hcm.HttpFilter, config *routes.RouteConfiguration) error {
	byName := map[string]*hcm.HttpFilter{}
	decides := false
	for _, f := range filters {
		if byName[f.Name] != nil {
			return fmt.Errorf("two filters are named %s", f.Name)
		}
		byName[f.Name] = f
		if f.GetTypedConfig().GetTypeUrl() == typeRBAC {
			decides = decides || f.Name == filterIngress
			if err := checkAccess(f.GetTypedConfig()); err != nil {
				return fmt.Errorf("filter %s: %w", f.Name, err)
			}
		}
	}
	if !decides {
		return errors.New("no filter decides for the ingress side")
	}
	check := func(where string, configs map[string]*anypb.Any) error {
		for name, c := range configs {
			if err := checkPerRoute(byName[name], c); err != nil {
				return fmt.Errorf("%s: configuration of filter %s: %w", where, name, err)
			}
		}
		return nil
	}
	if err := check("routes "+config.Name, config.TypedPerFilterConfig); err != nil {
		return err
	}
	for _, v := range config.VirtualHosts {
		if err := check("virtual host "+v.Name, v.TypedPerFilterConfig); err != nil {
			return err
		}
		for _, r := range v.Routes {
			if err := check("route "+r.Name, r.TypedPerFilterConfig); err != nil {
				return err
			}
			for _, c := range r.GetRoute().GetWeightedClusters().GetClusters() {
				if err := check("route "+r.Name+", cluster "+c.Name, c.TypedPerFilterConfig); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func checkPerRoute(filter *hcm.HttpFilter, config *anypb.Any) error {
	if filter == nil {
		return errors.New("the chain has no such filter")
	}
	of := filter.GetTypedConfig().GetTypeUrl()
	if config.TypeUrl == typeURL(&routes.FilterConfig{}) {
		var c routes.FilterConfig
		if err := config.UnmarshalTo(&c); err != nil {
			return fmt.Errorf("reading it: %w", err)
		}
		if !filter.Disabled || c.Disabled || c.Config.GetTypeUrl() != "" {
			return errors.New("a FilterConfig may only switch on a filter that is switched off")
		}
		return nil
	}
	if want := perRoute[of]; config.TypeUrl != want {
		return fmt.Errorf("its type is %s, a filter of type %s reads %q", config.TypeUrl, of, want)
	}
	if of != typeRBAC {
		return nil
	}
	var c rbac.RBACPerRoute
	if err := config.UnmarshalTo(&c); err != nil {
		return fmt.Errorf("reading it: %w", err)
	}
	return checkMatcher(c.Rbac)
}

func checkAccess(config *anypb.Any) error {
	var c rbac.RBAC
	if err := config.UnmarshalTo(&c); err != nil {
		return fmt.Errorf("reading it: %w", err)
	}
	return checkMatcher(&c)
}

// checkMatcher refuses an RBAC without a matcher: it would let everything pass.
func checkMatcher(c *rbac.RBAC) error {
	if c.GetMatcher() == nil || c.GetRules() != nil {
		return errors.New("it has no matcher: everything would pass")
	}
	return nil
}

func checkClusters(config *routes.RouteConfiguration, known map[string]bool) error {
	for _, v := range config.VirtualHosts {
		for _, r := range v.Routes {
			var names []string
			if n := r.GetRoute().GetCluster(); n != "" {
				names = append(names, n)
			}
			for _, c := range r.GetRoute().GetWeightedClusters().GetClusters() {
				names = append(names, c.Name)
			}
			for _, p := range r.GetRoute().GetRequestMirrorPolicies() {
				names = append(names, p.Cluster)
			}
			for _, n := range names {
				if !known[n] {
					return fmt.Errorf("route %s: there is no cluster %s", r.Name, n)
				}
			}
		}
	}
	return nil
}
