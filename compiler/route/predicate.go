package route

import (
	"regexp"
	"strconv"
	"strings"

	xdscore "github.com/cncf/xds/go/xds/core/v3"
	xds "github.com/cncf/xds/go/xds/type/matcher/v3"
	network "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	metadata "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/input_matchers/metadata/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// predicate is a condition in Envoy's matcher API; nil is always true.
type predicate = xds.Matcher_MatcherList_Predicate

// Filter state that the chain's first filter sets, so that rules look at the same path and parameters as the plan:
// the matchers of the RBAC filter have no input for either.
const (
	statePath  = "weir.path"
	stateQuery = "weir.query."
)

// anyBytes matches every value, also one that is no UTF-8.
const anyBytes = `\C*`

// entryPredicate is true for the requests that an entry of a list matches.
func entryPredicate(e *plan.Entry) *predicate {
	var conds []*predicate
	for _, cond := range e.Conds {
		var alternatives []*predicate
		for i := range cond {
			alternatives = append(alternatives, matchPredicate(&cond[i]))
		}
		conds = append(conds, anyOf(alternatives))
	}
	return allOf(conds)
}

func matchPredicate(m *ir.HTTPMatch) *predicate {
	var ps []*predicate
	if m.Methods != nil {
		var methods []*predicate
		for _, method := range m.Methods {
			methods = append(methods, header(":method", exactly(method)))
		}
		ps = append(ps, anyOf(methods))
	}
	if m.Path != nil {
		ps = append(ps, pathPredicate(m.Path))
	}
	if m.GRPC != nil {
		ps = append(ps, header(":method", exactly("POST")), state(statePath, fullMatch(grpcPath(m.GRPC))))
	}
	if m.Hosts != nil {
		ps = append(ps, header(":authority", fullMatch(hostsPattern(m.Hosts))))
	}
	for i := range m.Headers {
		name := m.Headers[i].Key
		if name == "host" {
			name = ":authority"
		}
		ps = append(ps, header(name, xdsString(&m.Headers[i].StringMatch)))
	}
	for i := range m.Query {
		ps = append(ps, queryPredicate(&m.Query[i]))
	}
	for i := range m.Claims {
		ps = append(ps, claimPredicate(&m.Claims[i]))
	}
	return allOf(ps)
}

func pathPredicate(m *ir.StringMatch) *predicate {
	if m.Kind != ir.Prefix {
		return state(statePath, xdsString(m))
	}
	prefix := strings.TrimRight(m.Value, "/")
	if prefix == "" {
		return state(statePath, beginsWith("/"))
	}
	return anyOf([]*predicate{state(statePath, exactly(prefix)), state(statePath, beginsWith(prefix+"/"))})
}

// grpcPath is the pattern of the paths of a gRPC method, or of all methods of a service.
func grpcPath(m *ir.GRPCMatch) string {
	if m.Method == "" {
		return "/" + regexp.QuoteMeta(m.Service) + "/[^/]+"
	}
	return "/" + regexp.QuoteMeta(m.Service+"/"+m.Method)
}

// hostsPattern is the pattern of an authority that one of the hosts stands for: without case, with or without a
// port and the root's dot (S24).
func hostsPattern(hosts []string) string {
	var ps []string
	for _, h := range hosts {
		if suffix, wild := strings.CutPrefix(h, "*"); wild {
			ps = append(ps, `[^.:@/][^:@/]*`+regexp.QuoteMeta(suffix))
		} else {
			ps = append(ps, regexp.QuoteMeta(h))
		}
	}
	return `(?i)(?:` + strings.Join(ps, "|") + `)\.?(?::[0-9]*)?`
}

// queryPredicate compares the first value of a parameter. Filter state can't hold an empty value, so an empty value
// and mere presence are looked for in the raw query.
func queryPredicate(m *ir.KeyMatch) *predicate {
	present := header(":path", fullMatch(`[^?]*\?(?:[^&]*&)*`+escaped(m.Key)+`(?:=[^&]*)?(?:&.*)?`))
	empty := header(":path", fullMatch(`[^?]*\?(?:[^&]*&)*`+escaped(m.Key)+`=?(?:&.*)?`))
	switch {
	case m.Kind == ir.Present || m.Kind == ir.Prefix && m.Value == "":
		return present
	case m.Kind == ir.Exact && m.Value == "":
		return empty
	case m.Kind == ir.Regex && matchesEmpty(m.Value):
		return anyOf([]*predicate{state(stateQuery+m.Key, xdsString(&m.StringMatch)), empty})
	}
	return state(stateQuery+m.Key, xdsString(&m.StringMatch))
}

// repeatedParam is true for a request that gives a parameter more than once.
func repeatedParam(key string) *predicate {
	k := escaped(key) + `(?:=[^&]*)?`
	return header(":path", fullMatch(`[^?]*\?(?:[^&]*&)*`+k+`&(?:[^&]*&)*`+k+`(?:&.*)?`))
}

// escaped is the pattern of a text in a query, with any of its bytes escaped.
func escaped(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		hex := strings.ToLower(strconv.FormatUint(uint64(c)|0x100, 16)[1:])
		if c >= 0x7f { // only ever escaped: ParseTarget
			b.WriteString("%(?i:" + hex + ")")
			continue
		}
		b.WriteString("(?:" + regexp.QuoteMeta(string(rune(c))) + "|%(?i:" + hex + "))")
	}
	return b.String()
}

func matchesEmpty(pattern string) bool {
	re, err := regexp.Compile(`^(?:` + pattern + `)$`)
	return err == nil && re.MatchString("")
}

// claimPredicate compares a claim of the payload that the JWT filter left behind; a list matches if one of its
// strings does.
func claimPredicate(m *ir.KeyMatch) *predicate {
	path := []*network.DynamicMetadataInput_PathSegment{segment(m.Provider)}
	for _, step := range strings.Split(m.Key, ".") {
		path = append(path, segment(step))
	}
	var value *matcher.ValueMatcher
	if m.Kind == ir.Present {
		value = &matcher.ValueMatcher{MatchPattern: &matcher.ValueMatcher_PresentMatch{PresentMatch: true}}
	} else {
		one := &matcher.ValueMatcher{MatchPattern: &matcher.ValueMatcher_StringMatch{StringMatch: envoyString(&m.StringMatch)}}
		list := &matcher.ValueMatcher{MatchPattern: &matcher.ValueMatcher_ListMatch{ListMatch: &matcher.ListMatcher{
			MatchPattern: &matcher.ListMatcher_OneOf{OneOf: one}}}}
		value = &matcher.ValueMatcher{MatchPattern: &matcher.ValueMatcher_OrMatch{OrMatch: &matcher.OrMatcher{
			ValueMatchers: []*matcher.ValueMatcher{one, list}}}}
	}
	return single(extension("claim", &network.DynamicMetadataInput{Filter: jwtNamespace, Path: path}),
		extension("envoy.matching.matchers.metadata_matcher", &metadata.Metadata{Value: value}))
}

func segment(key string) *network.DynamicMetadataInput_PathSegment {
	return &network.DynamicMetadataInput_PathSegment{Segment: &network.DynamicMetadataInput_PathSegment_Key{Key: key}}
}

func header(name string, m *xds.StringMatcher) *predicate {
	return singleString(extension("header", &matcher.HttpRequestHeaderMatchInput{HeaderName: name}), m)
}

func state(key string, m *xds.StringMatcher) *predicate {
	return singleString(extension("state", &network.FilterStateInput{Key: key}), m)
}

func singleString(input *xdscore.TypedExtensionConfig, m *xds.StringMatcher) *predicate {
	return &predicate{MatchType: &xds.Matcher_MatcherList_Predicate_SinglePredicate_{
		SinglePredicate: &xds.Matcher_MatcherList_Predicate_SinglePredicate{Input: input,
			Matcher: &xds.Matcher_MatcherList_Predicate_SinglePredicate_ValueMatch{ValueMatch: m}}}}
}

func single(input, custom *xdscore.TypedExtensionConfig) *predicate {
	return &predicate{MatchType: &xds.Matcher_MatcherList_Predicate_SinglePredicate_{
		SinglePredicate: &xds.Matcher_MatcherList_Predicate_SinglePredicate{Input: input,
			Matcher: &xds.Matcher_MatcherList_Predicate_SinglePredicate_CustomMatch{CustomMatch: custom}}}}
}

// allOf is true when all are; the matcher API wants at least two in a list.
func allOf(ps []*predicate) *predicate {
	var kept []*predicate
	for _, p := range ps {
		if p != nil {
			kept = append(kept, p)
		}
	}
	switch len(kept) {
	case 0:
		return nil
	case 1:
		return kept[0]
	}
	return &predicate{MatchType: &xds.Matcher_MatcherList_Predicate_AndMatcher{
		AndMatcher: &xds.Matcher_MatcherList_Predicate_PredicateList{Predicate: kept}}}
}

// anyOf is true when one is.
func anyOf(ps []*predicate) *predicate {
	for _, p := range ps {
		if p == nil {
			return nil
		}
	}
	if len(ps) == 1 {
		return ps[0]
	}
	return &predicate{MatchType: &xds.Matcher_MatcherList_Predicate_OrMatcher{
		OrMatcher: &xds.Matcher_MatcherList_Predicate_PredicateList{Predicate: ps}}}
}

func exactly(s string) *xds.StringMatcher {
	return &xds.StringMatcher{MatchPattern: &xds.StringMatcher_Exact{Exact: s}}
}

func beginsWith(s string) *xds.StringMatcher {
	return &xds.StringMatcher{MatchPattern: &xds.StringMatcher_Prefix{Prefix: s}}
}

func fullMatch(pattern string) *xds.StringMatcher {
	return &xds.StringMatcher{MatchPattern: &xds.StringMatcher_SafeRegex{SafeRegex: &xds.RegexMatcher{
		EngineType: &xds.RegexMatcher_GoogleRe2{GoogleRe2: &xds.RegexMatcher_GoogleRE2{}}, Regex: pattern}}}
}

// xdsString compares a value that is there.
func xdsString(m *ir.StringMatch) *xds.StringMatcher {
	switch {
	case m.Kind == ir.Exact:
		return exactly(m.Value)
	case m.Kind == ir.Prefix && m.Value != "":
		return beginsWith(m.Value)
	case m.Kind == ir.Regex:
		return fullMatch(m.Value)
	}
	return fullMatch(anyBytes)
}

// envoyString is xdsString in Envoy's own type, which routes and metadata use.
func envoyString(m *ir.StringMatch) *matcher.StringMatcher {
	switch {
	case m.Kind == ir.Exact:
		return &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_Exact{Exact: m.Value}}
	case m.Kind == ir.Prefix && m.Value != "":
		return &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_Prefix{Prefix: m.Value}}
	case m.Kind == ir.Regex:
		return &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_SafeRegex{SafeRegex: envoyRegex(m.Value)}}
	}
	return &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_SafeRegex{SafeRegex: envoyRegex(anyBytes)}}
}

func envoyRegex(pattern string) *matcher.RegexMatcher { return &matcher.RegexMatcher{Regex: pattern} }
