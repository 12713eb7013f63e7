package route

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// The findings of route tables.
const (
	CodeNoService    diag.Code = "WEIR4001"
	CodeNoBackend    diag.Code = "WEIR4002"
	CodeNoGrant      diag.Code = "WEIR4003"
	CodeElsewhere    diag.Code = "WEIR4004"
	CodeSharedSPIFFE diag.Code = "WEIR4006"
	CodeTooMany      diag.Code = "WEIR4007"
	CodeParameter    diag.Code = "WEIR4008"
	CodeEmptyBody    diag.Code = "WEIR4009"
)

func (b *builder) report(code diag.Code, s diag.Severity, pos diag.Position, message, hint string, related ...diag.Related) {
	b.diags.Add(diag.Diagnostic{Code: code, Severity: s, Pos: pos, Message: message, Hint: hint, Related: related})
}

func (b *builder) reportNoService(r *ir.Route) {
	port := ""
	if r.Port != 0 {
		port = " port " + itoa(r.Port)
	}
	b.report(CodeNoService, diag.Error, r.Pos, fmt.Sprintf("there is no TCP service %s/%s%s", r.Namespace, r.Service, port),
		"a route is about a service of its own namespace that has an address")
}

func (b *builder) reportNoBackend(ref *ir.RouteBackend) {
	b.report(CodeNoBackend, diag.Error, ref.Pos, fmt.Sprintf("there is no TCP service %s/%s port %d", ref.Namespace, ref.Service,
		ref.Port), "its share of the requests gets 500, as the Gateway API says")
}

func (b *builder) reportNoGrant(r *ir.Route, ref *ir.RouteBackend) {
	b.report(CodeNoGrant, diag.Error, ref.Pos, fmt.Sprintf("namespace %s does not permit routes of %s to name its service %s",
		ref.Namespace, r.Namespace, ref.Service), "add a ReferenceGrant there; until then its share of the requests gets 500")
}

func (b *builder) reportElsewhere(r *ir.Route, ref *ir.RouteBackend) {
	b.report(CodeElsewhere, diag.Error, ref.Pos, fmt.Sprintf("service %s/%s is not served by the waypoint of %s/%s",
		ref.Namespace, ref.Service, r.Namespace, r.Service),
		"a waypoint reaches only what it serves (S25); its share of the requests gets 500")
}

func (b *builder) reportTooMany() {
	b.report(CodeTooMany, diag.Error, diag.Position{}, fmt.Sprintf("a client would need more than %d matchers at a waypoint: denied", maxMatchers),
		"give workloads that different rules select service accounts of their own")
}

func (b *builder) reportQueryKey(l *plan.List, key string) {
	b.report(CodeParameter, diag.Error, b.asking(l, key), fmt.Sprintf("the waypoint can't read a query parameter named %q: rules that ask for it deny", key),
		"use letters, digits and -._~[]")
}

func (b *builder) reportEmptyBody(a *alternative) {
	b.report(CodeEmptyBody, diag.Error, a.rule.Pos, "maxBodyBytes: 0 can't be enforced: the waypoint's smallest limit is 1 byte",
		"match methods without a body, for example method: \"GET\"")
}

// reportShared tells of workloads that a waypoint can't tell apart (S21).
func (b *builder) reportShared(who *sources, d dest) {
	for _, s := range who.ids {
		if len(s.peers) < 2 || b.answersAlike(s) {
			continue
		}
		to := &b.plan.Peers[d.peer]
		b.report(CodeSharedSPIFFE, diag.Warning, b.separating(s), fmt.Sprintf(
			"rules separate pods that share %s, which the waypoint of %s can't tell apart: a request passes only if all of them may send it",
			strings.TrimPrefix(s.spiffe, "spiffe://"), to.Namespace), "give them service accounts of their own")
	}
}

// asking is the place of a rule that asks for a query parameter.
func (b *builder) asking(l *plan.List, key string) diag.Position {
	for i := range l.Entries {
		e := &l.Entries[i]
		if e.Rule >= 0 && slices.Contains((&plan.List{Entries: l.Entries[i : i+1]}).QueryKeys(), key) {
			return b.plan.Rules[e.Rule].Pos
		}
	}
	return diag.Position{}
}

// readableKey says that the waypoint can look a query parameter up: in its format strings other characters have a
// meaning of their own.
func readableKey(key string) bool {
	for _, c := range []byte(key) {
		alphanumeric := c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		if !alphanumeric && strings.IndexByte("-._~[]", c) < 0 {
			return false
		}
	}
	return key != ""
}
