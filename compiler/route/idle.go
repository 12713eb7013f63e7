package route

import (
	"fmt"
	"slices"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/inventory"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/resolve"
)

// The findings of routes, and of parts of them, that do nothing.
const (
	// CodeUnreached says that no connection comes to a waypoint that would follow a route.
	CodeUnreached diag.Code = "WEIR4005"
	// CodeNeverChosen says that others are chosen before a rule, whatever a request says.
	CodeNeverChosen diag.Code = "WEIR4010"
	// CodeFaultEnded says that a fault has ended.
	CodeFaultEnded diag.Code = "WEIR4011"
)

// idle reports routes and rules of routes that do nothing, once the tables of all waypoints are made.
func (b *builder) idle() {
	for i := range b.input.Routes {
		r := &b.input.Routes[i]
		var keys []serviceKey
		for k, routes := range b.attached {
			if slices.Contains(routes, r) {
				keys = append(keys, k)
			}
		}
		slices.SortFunc(keys, compareService)
		at := slices.IndexFunc(keys, func(k serviceKey) bool { return b.followed[k] })
		switch {
		case len(keys) == 0: // it has an error
		case at < 0:
			b.unreached(r, keys[0])
		default:
			b.idleRules(r, keys)
		}
	}
}

// unreached reports a route that no waypoint follows. Of a service without endpoints, as before a merge, nothing is said.
func (b *builder) unreached(r *ir.Route, k serviceKey) {
	dests := b.services[k].dests
	if len(dests) == 0 {
		return
	}
	what, hint := fmt.Sprintf("no connection to %s/%s port %d goes through a waypoint", k.namespace, k.name, k.port), askForRequests
	if way := b.unserved(dests); way != "" {
		what, hint = fmt.Sprintf("no one waypoint serves all that is behind %s/%s port %d", k.namespace, k.name, k.port), way
	}
	b.report(CodeUnreached, diag.Warning, r.Pos, what+": the route does nothing", hint)
}

// askForRequests is what brings connections to the waypoint that serves their end.
const askForRequests = "a connection is redirected where a rule looks at requests, for example path: {prefix: \"/\"}"

// unserved says what keeps one waypoint from serving all of some endpoints, as the way out; empty where one may, whether or
// not a rule needs it now: the plan names none that nothing needs.
func (b *builder) unserved(dests []dest) string {
	cfg := &b.input.Config
	first := &b.plan.Peers[dests[0].peer]
	some := func(f func(*plan.Peer) bool) bool {
		return slices.ContainsFunc(dests, func(d dest) bool { return f(&b.plan.Peers[d.peer]) })
	}
	accounts := some(func(p *plan.Peer) bool { return p.ServiceAccount != first.ServiceAccount })
	none := ""
	if cfg.Waypoint == inventory.WaypointNone {
		to := "namespace or serviceAccount"
		if accounts {
			to = "namespace"
		}
		none = "set waypoints.scope in the MeshConfig, which is \"none\", to " + to + "; "
	}
	switch {
	case some(func(p *plan.Peer) bool { return p.Kind != plan.PodPeer || !p.Enrolled }):
		return none + "a waypoint serves enrolled pods of its namespace or service account: let the service lead to such only"
	case none != "":
		return none + askForRequests
	case cfg.Waypoints != nil && some(func(p *plan.Peer) bool {
		return !slices.ContainsFunc(cfg.Waypoints, func(s ir.Selector) bool { return resolve.Selects(&s, p) })
	}):
		return "let waypoints.selectors in the MeshConfig select all pods behind it; " + askForRequests
	case some(func(p *plan.Peer) bool { return p.Namespace != first.Namespace }),
		cfg.Waypoint == inventory.WaypointPerServiceAccount && accounts:
		return "a waypoint serves enrolled pods of its namespace or service account: let the service lead to such only"
	}
	return ""
}

// idleRules reports rules of a route before which others are chosen on every port of the service, and faults that have ended.
func (b *builder) idleRules(r *ir.Route, keys []serviceKey) {
	for i := range r.Rules {
		rule := &r.Rules[i]
		var before *alternative
		never := !slices.ContainsFunc(keys, func(k serviceKey) bool {
			by := firstBefore(alternatives(b.attached[k]), rule)
			if by != nil && before == nil {
				before = by
			}
			return by == nil
		})
		switch f := rule.Fault; {
		case never:
			b.report(CodeNeverChosen, diag.Warning, rule.Pos, fmt.Sprintf("this rule is never chosen: a rule of %s matches all its requests and comes first", before.route.Object()),
				"take it out, or let one of them match other requests", diag.Related{Pos: before.rule.Pos, Message: "the rule that is chosen"})
		case f != nil && !b.plan.Now.Before(f.Expires):
			b.report(CodeFaultEnded, diag.Warning, rule.Pos, "the fault of this rule ended on "+ir.EndText(f.Expires)+": it does nothing",
				"take fault out, or set a new end")
		}
	}
}

// firstBefore returns an alternative of another rule that is chosen before the last alternative of a rule could be, where
// one is before each of them; else nil.
func firstBefore(all []alternative, rule *ir.RouteRule) *alternative {
	var before *alternative
	for i := range all {
		if all[i].rule != rule {
			continue
		}
		own := all[i].entry()
		at := slices.IndexFunc(all[:i], func(a alternative) bool {
			other := a.entry()
			return a.rule != rule && plan.Implies(&own, &other)
		})
		if at < 0 {
			return nil
		}
		before = &all[at]
	}
	return before
}

// entry is what an alternative matches, in the form of a list's.
func (a *alternative) entry() plan.Entry {
	var m ir.HTTPMatch
	if a.match != nil {
		m = *a.match
	}
	if a.host != "" {
		m.Hosts = []string{a.host}
	}
	return plan.Entry{Conds: [][]ir.HTTPMatch{{m}}}
}
