package route

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"cel.dev/expr"
	xdscore "github.com/cncf/xds/go/xds/core/v3"
	xds "github.com/cncf/xds/go/xds/type/matcher/v3"
	xdstype "github.com/cncf/xds/go/xds/type/v3"
	envoycore "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbac "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	network "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	ip "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/input_matchers/ip/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/weir-mesh/weir/compiler/plan"
)

// statePeer is the filter state in which the outer listener hands over the client's SPIFFE id. It must be set by
// envoy.hashable_string: with envoy.string, connections of different clients share an upstream connection, and the
// first one's identity.
const statePeer = "weir.peer"

// maxMatchers bounds one side's matcher for one source. Lists that must all allow are nested, which multiplies them.
const maxMatchers = 4096

// rbacMatcher is one side's matcher: a look-up by the client's SPIFFE id; for a client without one, by its address,
// longest prefix first. Whoever is not listed is denied.
func (b *builder) rbacMatcher(sources *sources, get func(*source) []node) *xds.Matcher {
	unlisted := decide(false, "weir/unlisted")
	byAddress := unlisted
	if len(sources.addrs) > 0 {
		var list []*xds.Matcher_MatcherList_FieldMatcher
		for _, s := range sources.addrs {
			list = append(list, &xds.Matcher_MatcherList_FieldMatcher{Predicate: inPrefix(s.prefix),
				OnMatch: b.onMatch(get(s))})
		}
		byAddress = nested(&xds.Matcher{MatcherType: matcherList(list), OnNoMatch: unlisted})
		// A client that has an identity is never judged by its address.
		byAddress = nested(&xds.Matcher{MatcherType: matcherList([]*xds.Matcher_MatcherList_FieldMatcher{{
			Predicate: state(statePeer, fullMatch(anyBytes)), OnMatch: unlisted}}), OnNoMatch: byAddress})
	}
	return b.byIdentity(sources.ids, get, byAddress)
}

// maxAlternatives bounds the ids that one pattern tries.
const maxAlternatives = 256

// byIdentity looks a client up by its SPIFFE id, and asks otherwise for one that is not among ids. Ids whose lists are
// the same are matched by one pattern: the matcher API knows no references, and a map would hold a copy of the lists
// for each id.
func (b *builder) byIdentity(ids []*source, get func(*source) []node, otherwise *xds.Matcher_OnMatch) *xds.Matcher {
	one := map[string]*xds.Matcher_OnMatch{}
	var shared []*xds.Matcher_MatcherList_FieldMatcher
	for _, group := range b.alike(ids, get) {
		on := b.onMatch(get(group[0]))
		if len(group) == 1 || on.GetAction() != nil {
			for _, s := range group {
				one[s.spiffe] = on
			}
			continue
		}
		for part := range slices.Chunk(group, maxAlternatives) {
			shared = append(shared, &xds.Matcher_MatcherList_FieldMatcher{
				Predicate: state(statePeer, fullMatch(idPattern(part))), OnMatch: on})
		}
	}
	if len(shared) > 0 {
		otherwise = nested(&xds.Matcher{MatcherType: matcherList(shared), OnNoMatch: otherwise})
	}
	if len(one) == 0 {
		return &xds.Matcher{OnNoMatch: otherwise}
	}
	return &xds.Matcher{MatcherType: exactMap(extension("peer", &network.FilterStateInput{Key: statePeer}), one),
		OnNoMatch: otherwise}
}

// alike groups sources that get the same answer, in the order of their first ids.
func (b *builder) alike(ids []*source, get func(*source) []node) [][]*source {
	var groups [][]*source
	at := map[string]int{}
	for _, s := range ids {
		key := strings.Join(b.keys(get(s)), "\n")
		i, known := at[key]
		if !known {
			i = len(groups)
			at[key] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], s)
	}
	return groups
}

// idPattern is the pattern of the sources' ids.
func idPattern(group []*source) string {
	ids := make([]string, len(group))
	for i, s := range group {
		ids[i] = regexp.QuoteMeta(s.spiffe)
	}
	return strings.Join(ids, "|")
}

// onMatch is what a source gets at one side: allowed if every node allows.
func (b *builder) onMatch(nodes []node) *xds.Matcher_OnMatch {
	if i := slices.IndexFunc(nodes, func(n node) bool { return n.denies() }); i >= 0 {
		return b.chain(nodes[i:i+1], "")
	}
	if b.cost(nodes) > maxMatchers {
		b.reportTooMany()
		return decide(false, "weir/too-many-lists")
	}
	return b.chain(nodes, "weir/allow")
}

// cost is the number of actions that chain makes of nodes.
func (b *builder) cost(nodes []node) int {
	total := 1
	for i := range nodes {
		n := 0
		for at := &nodes[i]; at != nil; at = at.then {
			n++
			if at.outcome.Verdict == plan.Redirect {
				n += len(b.plan.Lists[at.outcome.List].Entries)
			}
		}
		if total *= n; total > maxMatchers {
			return total
		}
	}
	return total
}

// chain asks the nodes in turn; allowed names what allowed last.
func (b *builder) chain(nodes []node, allowed string) *xds.Matcher_OnMatch {
	if len(nodes) == 0 {
		return decide(true, allowed)
	}
	return b.ask(&nodes[0], nodes[1:])
}

func (b *builder) ask(n *node, rest []node) *xds.Matcher_OnMatch {
	now := b.answer(n, rest)
	if n.then == nil {
		return now
	}
	return nested(&xds.Matcher{MatcherType: matcherList([]*xds.Matcher_MatcherList_FieldMatcher{{
		Predicate: before(n.until), OnMatch: now}}), OnNoMatch: b.ask(n.then, rest)})
}

func (b *builder) answer(n *node, rest []node) *xds.Matcher_OnMatch {
	switch n.outcome.Verdict {
	case plan.Allow:
		return b.chain(rest, b.policyName(&n.outcome))
	case plan.Deny:
		return decide(false, b.policyName(&n.outcome))
	}
	list := &b.plan.Lists[n.outcome.List]
	var matchers []*xds.Matcher_MatcherList_FieldMatcher
	for _, key := range list.QueryKeys() {
		if !readableKey(key) {
			b.reportQueryKey(list, key)
			return decide(false, "weir/parameter-name")
		}
		b.useQueryKey(key)
		matchers = append(matchers, &xds.Matcher_MatcherList_FieldMatcher{Predicate: repeatedParam(key),
			OnMatch: decide(false, "weir/repeated-parameter")})
	}
	end := decide(false, "weir/no-entry")
	for i := range list.Entries {
		e := &list.Entries[i]
		b.useClaims(e)
		on := decide(false, b.policyName(&e.Outcome))
		// A client without an identity can't meet an entry that asks for one (S18).
		if e.Verdict == plan.Allow && (!n.plaintext || e.Auth != plan.AuthRequired) {
			on = b.chain(rest, b.policyName(&e.Outcome))
		}
		p := entryPredicate(e)
		if p == nil {
			end = on
			break
		}
		matchers = append(matchers, &xds.Matcher_MatcherList_FieldMatcher{Predicate: p, OnMatch: on})
	}
	if len(matchers) == 0 {
		return end
	}
	return nested(&xds.Matcher{MatcherType: matcherList(matchers), OnNoMatch: end})
}

// policyName is the name that a verdict carries into Envoy's response details and logs: the rule that decided, or
// the default (S31). Ids are content hashes, so names stay when files move.
func (b *builder) policyName(o *plan.Outcome) string {
	switch {
	case o.Rule >= 0:
		return o.Reason.String() + "/" + b.plan.Rules[o.Rule].ID.String()
	case o.Policy >= 0:
		return o.Reason.String() + "/" + b.plan.Policies[o.Policy].ID.String()
	}
	return o.Reason.String()
}

func decide(allow bool, name string) *xds.Matcher_OnMatch {
	action := rbac.RBAC_DENY
	if allow {
		action = rbac.RBAC_ALLOW
	}
	return &xds.Matcher_OnMatch{OnMatch: &xds.Matcher_OnMatch_Action{
		Action: extension("action", &rbac.Action{Name: name, Action: action})}}
}

func nested(m *xds.Matcher) *xds.Matcher_OnMatch {
	return &xds.Matcher_OnMatch{OnMatch: &xds.Matcher_OnMatch_Matcher{Matcher: m}}
}

func matcherList(list []*xds.Matcher_MatcherList_FieldMatcher) *xds.Matcher_MatcherList_ {
	return &xds.Matcher_MatcherList_{MatcherList: &xds.Matcher_MatcherList{Matchers: list}}
}

func exactMap(input *xdscore.TypedExtensionConfig, m map[string]*xds.Matcher_OnMatch) *xds.Matcher_MatcherTree_ {
	return &xds.Matcher_MatcherTree_{MatcherTree: &xds.Matcher_MatcherTree{Input: input,
		TreeType: &xds.Matcher_MatcherTree_ExactMatchMap{ExactMatchMap: &xds.Matcher_MatcherTree_MatchMap{Map: m}}}}
}

// inPrefix is true for a client whose address lies in the block. The address is that of the connection or, where the
// node agent handed the connection over, the one in its PROXY header; never one from a request header.
func inPrefix(p netip.Prefix) *predicate {
	return single(extension("source", &network.SourceIPInput{}),
		extension("envoy.matching.matchers.ip", &ip.Ip{StatPrefix: "weir", CidrRanges: []*envoycore.CidrRange{{
			AddressPrefix: p.Addr().String(), PrefixLen: wrapperspb.UInt32(uint32(p.Bits()))}}}))
}

// before is true until the second, so that an allow ends without a new table (S28): request.time < timestamp(t).
func before(second int64) *predicate {
	at := time.Unix(second, 0).UTC().Format(time.RFC3339)
	call := func(id int64, f string, args ...*expr.Expr) *expr.Expr {
		return &expr.Expr{Id: id, ExprKind: &expr.Expr_CallExpr{CallExpr: &expr.Expr_Call{Function: f, Args: args}}}
	}
	request := &expr.Expr{Id: 1, ExprKind: &expr.Expr_IdentExpr{IdentExpr: &expr.Expr_Ident{Name: "request"}}}
	now := &expr.Expr{Id: 2, ExprKind: &expr.Expr_SelectExpr{SelectExpr: &expr.Expr_Select{Operand: request, Field: "time"}}}
	text := &expr.Expr{Id: 3, ExprKind: &expr.Expr_ConstExpr{ConstExpr: &expr.Constant{
		ConstantKind: &expr.Constant_StringValue{StringValue: at}}}}
	less := call(5, "_<_", now, call(4, "timestamp", text))
	return single(extension("time", &xds.HttpAttributesCelMatchInput{}),
		extension("envoy.matching.matchers.cel_matcher", &xds.CelMatcher{ExprMatch: &xdstype.CelExpression{
			CelExprParsed: &expr.ParsedExpr{Expr: less}}}))
}

// node is one condition of access: an answer of the plan, until a moment after which another holds (S28).
type node struct {
	outcome plan.Outcome
	until   int64
	then    *node
	// plaintext says that the client proves no identity.
	plaintext bool
	// text is key's answer, once it was asked for.
	text string
}

// allows says that the node never denies.
func (n *node) allows() bool {
	return n.outcome.Verdict == plan.Allow && (n.then == nil || n.then.allows())
}

// denies says that the node never allows.
func (n *node) denies() bool {
	return n.outcome.Verdict == plan.Deny && (n.then == nil || n.then.denies())
}

// nodeRef is what a node is made of.
type nodeRef struct {
	decision         *plan.Decision
	audit, plaintext bool
}

// newNode follows a decision, or its audit answer, through time. Nodes are kept: few decisions serve many clients.
func (b *builder) newNode(d *plan.Decision, audit, plaintext bool) node {
	ref := nodeRef{d, audit, plaintext}
	n, known := b.nodes[ref]
	if !known {
		n = b.makeNode(d, audit, plaintext)
		n.text = b.key(&n)
		b.nodes[ref] = n
	}
	return n
}

func (b *builder) makeNode(d *plan.Decision, audit, plaintext bool) node {
	n := node{outcome: d.Outcome, plaintext: plaintext}
	if audit {
		n.outcome = d.Audit
	}
	if n.plaintext && n.outcome.Auth == plan.AuthRequired && n.outcome.Verdict == plan.Allow {
		n.outcome = plan.Outcome{Verdict: plan.Deny, Reason: plan.ByAuthentication, Rule: n.outcome.Rule,
			Policy: plan.None, List: plan.None}
	}
	if d.NotAfter != 0 {
		then := b.newNode(&b.plan.Decisions[d.Then], audit, plaintext)
		if b.key(&then) != b.key(&n) {
			n.until, n.then = d.NotAfter, &then
		}
	}
	return n
}

// key orders nodes, and is equal for those that answer alike. It is made of content hashes, like all that is sent.
func (b *builder) key(n *node) string {
	if n.text != "" {
		return n.text
	}
	o := &n.outcome
	k := fmt.Sprint(o.Verdict, " ", o.Auth, " ", n.plaintext, " ", b.policyName(o))
	if o.Verdict == plan.Redirect {
		k += " " + b.plan.Lists[o.List].ID.String()
	}
	if n.then != nil {
		k += fmt.Sprint(" until ", n.until, " then ", b.key(n.then))
	}
	return k
}

// tidy sorts nodes and drops repeats. Denials come first: verdicts sort so.
func (b *builder) tidy(nodes []node) []node {
	slices.SortFunc(nodes, func(x, y node) int { return strings.Compare(b.key(&x), b.key(&y)) })
	return slices.CompactFunc(nodes, func(x, y node) bool { return b.key(&x) == b.key(&y) })
}
