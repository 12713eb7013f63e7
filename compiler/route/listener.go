package route

import (
	"net/netip"
	"strconv"
	"strings"

	xds "github.com/cncf/xds/go/xds/type/matcher/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routes "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	originaldst "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	proxyprotocol "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/proxy_protocol/v3"
	network "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// InnerListener is the internal listener that the outer one hands connections to: the client's SPIFFE id in filter
// state weir.peer (envoy.hashable_string), the destination in envoy.filters.listener.original_dst.local_ip.
const InnerListener = "weir.inner"

// plainListener takes connections of clients that prove no identity, from the node agent alone: over a socket that
// nothing else can open, with a PROXY header (version 2) that carries both addresses.
const plainListener = "weir.plain"

// PlainSocket is where plainListener listens inside the waypoint's pod.
const PlainSocket = "/run/weir/plain.sock"

// Listeners renders the listeners for delivery by xDS: route configurations come by RDS.
func (w *Waypoint) Listeners() []*listener.Listener { return w.listeners(nil) }

// listeners renders them with the routes inline where inline holds them. A waypoint that nothing is sent to has none.
func (w *Waypoint) listeners(inline map[string]*routes.RouteConfiguration) []*listener.Listener {
	if len(w.Chains) == 0 {
		return nil
	}
	chains := make([]*listener.FilterChain, len(w.Chains))
	for i, c := range w.Chains {
		chains[i] = &listener.FilterChain{Name: c.Name, Filters: []*listener.Filter{{
			Name:       "weir.http",
			ConfigType: &listener.Filter_TypedConfig{TypedConfig: toAny(c.manager(inline[c.Routes]))}}}}
	}
	inner := &listener.Listener{
		Name:               InnerListener,
		ListenerSpecifier:  &listener.Listener_InternalListener{InternalListener: &listener.Listener_InternalListenerConfig{}},
		ListenerFilters:    []*listener.ListenerFilter{listenerFilter("weir.destination", &originaldst.OriginalDst{})},
		FilterChainMatcher: chainMatcher(w.Places),
		FilterChains:       chains,
	}
	if !w.Plain {
		return []*listener.Listener{inner}
	}
	plain := &listener.Listener{
		Name:               plainListener,
		Address:            &core.Address{Address: &core.Address_Pipe{Pipe: &core.Pipe{Path: PlainSocket, Mode: 0o600}}},
		ListenerFilters:    []*listener.ListenerFilter{listenerFilter("weir.proxy", &proxyprotocol.ProxyProtocol{})},
		FilterChainMatcher: inner.FilterChainMatcher,
		FilterChains:       chains,
	}
	return []*listener.Listener{inner, plain}
}

func listenerFilter(name string, config proto.Message) *listener.ListenerFilter {
	return &listener.ListenerFilter{Name: name, ConfigType: &listener.ListenerFilter_TypedConfig{TypedConfig: toAny(config)}}
}

// chainMatcher picks the chain by destination address, then port. A connection to anything else finds no chain and
// is closed.
func chainMatcher(places []Place) *xds.Matcher {
	// The matcher API wants an entry where there is no place yet; no connection goes to this one.
	byAddr := map[string]*xds.Matcher_OnMatch{netip.IPv4Unspecified().String(): toChain("weir.none")}
	for i := 0; i < len(places); {
		j := i
		for j < len(places) && places[j].Addr == places[i].Addr {
			j++
		}
		byAddr[places[i].Addr.String()] = nested(portMatcher(places[i:j]))
		i = j
	}
	return &xds.Matcher{MatcherType: exactMap(extension("address", &network.DestinationIPInput{}), byAddr)}
}

// portMatcher looks single ports up and tries ranges in turn.
func portMatcher(places []Place) *xds.Matcher {
	port := extension("port", &network.DestinationPortInput{})
	exact := map[string]*xds.Matcher_OnMatch{}
	var ranges []*xds.Matcher_MatcherList_FieldMatcher
	for _, p := range places {
		if p.First == p.Last {
			exact[itoa(p.First)] = toChain(p.Chain)
			continue
		}
		ranges = append(ranges, &xds.Matcher_MatcherList_FieldMatcher{
			Predicate: singleString(port, fullMatch(rangePattern(p.First, p.Last))), OnMatch: toChain(p.Chain)})
	}
	switch {
	case len(ranges) == 0:
		return &xds.Matcher{MatcherType: exactMap(port, exact)}
	case len(exact) == 0:
		return &xds.Matcher{MatcherType: matcherList(ranges)}
	}
	return &xds.Matcher{MatcherType: exactMap(port, exact),
		OnNoMatch: nested(&xds.Matcher{MatcherType: matcherList(ranges)})}
}

func toChain(name string) *xds.Matcher_OnMatch {
	return &xds.Matcher_OnMatch{OnMatch: &xds.Matcher_OnMatch_Action{
		Action: extension("chain", wrapperspb.String(name))}}
}

// rangePattern is a pattern of the decimal numbers from first to last: Envoy's matchers compare ports as text.
func rangePattern(first, last uint16) string {
	var alternatives []string
	for lo := uint32(first); lo <= uint32(last); {
		// The largest block lo..hi in which trailing digits of lo are 0 and those of hi are 9.
		block := uint32(1)
		for lo%(block*10) == 0 && lo+block*10-1 <= uint32(last) && lo != 0 {
			block *= 10
		}
		alternatives = append(alternatives, blockPattern(lo, uint32(last), block))
		lo += block * repeats(lo, uint32(last), block)
	}
	return strings.Join(alternatives, "|")
}

// repeats is how many blocks of the size fit from lo on before last or the end of the decade.
func repeats(lo, last, block uint32) uint32 {
	return min((last-lo+1)/block, 10-lo/block%10)
}

func blockPattern(lo, last, block uint32) string {
	digit := lo / block % 10
	to := digit + repeats(lo, last, block) - 1
	out := ""
	if head := lo / block / 10; head > 0 {
		out = strconv.FormatUint(uint64(head), 10)
	}
	if out += "[" + itoa(digit) + "-" + itoa(to) + "]"; digit == to {
		out = out[:len(out)-5] + itoa(digit)
	}
	for ; block > 1; block /= 10 {
		out += "[0-9]"
	}
	return out
}
