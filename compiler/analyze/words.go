package analyze

import (
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// RuleRef names a rule or an object for people and programs.
type RuleRef struct {
	// Place is file:line, else the object and the field.
	Place string `json:"place"`
	// Short is Place without the folder, where that is not ambiguous.
	Short  string `json:"-"`
	Object string `json:"object"`
	Path   string `json:"path,omitempty"`
	// Name is the rule's own name.
	Name string `json:"name,omitempty"`
}

// places shortens the names of files that a plan speaks of.
type places struct {
	plan *plan.Plan
	// files holds, by base name, the one file that has it, or "".
	files map[string]string
}

func newPlaces(p *plan.Plan) *places {
	s := &places{plan: p, files: map[string]string{}}
	add := func(pos diag.Position) {
		base := path.Base(pos.File)
		if have, ok := s.files[base]; ok && have != pos.File {
			s.files[base] = ""
		} else {
			s.files[base] = pos.File
		}
	}
	for i := range p.Policies {
		add(p.Policies[i].Pos)
	}
	for i := range p.Rules {
		add(p.Rules[i].Pos)
	}
	return s
}

func (s *places) rule(i plan.RuleIndex) RuleRef {
	r := &s.plan.Rules[i]
	field := fmt.Sprintf("spec.%s[%d]", r.Direction, r.Index)
	out := RuleRef{Object: s.plan.Policies[r.Policy].Object, Path: field, Name: r.Name}
	out.Place, out.Short = s.at(r.Pos, out.Object+" "+field)
	return out
}

func (s *places) policy(i plan.PolicyIndex) RuleRef {
	p := &s.plan.Policies[i]
	out := RuleRef{Object: p.Object}
	out.Place, out.Short = s.at(p.Pos, p.Object)
	return out
}

func (s *places) at(pos diag.Position, other string) (place, short string) {
	if !pos.IsValid() {
		return other, other
	}
	place = fmt.Sprintf("%s:%d", pos.File, pos.Line)
	if base := path.Base(pos.File); s.files[base] == pos.File {
		return place, fmt.Sprintf("%s:%d", base, pos.Line)
	}
	return place, place
}

// anyRequest is what a match without a condition matches.
const anyRequest = "any request"

// RequestText writes what a match of a rule matches: POST /v1/charges/….
func RequestText(m *ir.HTTPMatch) string {
	var parts []string
	switch {
	case m.GRPC != nil && m.GRPC.Method != "":
		parts = append(parts, "gRPC "+m.GRPC.Service+"/"+m.GRPC.Method)
	case m.GRPC != nil:
		parts = append(parts, "gRPC "+m.GRPC.Service+"/…")
	}
	if m.Methods != nil {
		parts = append(parts, strings.Join(m.Methods, "|"))
	}
	if m.Path != nil {
		parts = append(parts, pathText(m.Path))
	}
	if m.Hosts != nil {
		parts = append(parts, "host "+strings.Join(m.Hosts, "|"))
	}
	for i := range m.Headers {
		parts = append(parts, "header "+keyText(&m.Headers[i]))
	}
	for i := range m.Query {
		parts = append(parts, "query "+keyText(&m.Query[i]))
	}
	for i := range m.Claims {
		parts = append(parts, "claim "+m.Claims[i].Provider+":"+keyText(&m.Claims[i]))
	}
	if parts == nil {
		return anyRequest
	}
	return strings.Join(parts, " ")
}

func pathText(m *ir.StringMatch) string {
	switch {
	case m.Kind == ir.Prefix && m.Value == "/":
		return "any path"
	case m.Kind == ir.Prefix:
		return strings.TrimSuffix(m.Value, "/") + "/…"
	case m.Kind == ir.Regex:
		return "~" + m.Value
	}
	return m.Value
}

func keyText(m *ir.KeyMatch) string {
	switch m.Kind {
	case ir.Prefix:
		return m.Key + "=" + m.Value + "…"
	case ir.Regex:
		return m.Key + "=~" + m.Value
	case ir.Present:
		return m.Key
	}
	return m.Key + "=" + m.Value
}

// RequestLine writes a request: DELETE /v1/charges/42.
func RequestLine(q *plan.Request) string {
	method := q.Method
	switch {
	case method == "" && q.GRPC:
		method = "POST"
	case method == "":
		method = "GET"
	}
	return method + " " + q.Path
}

// daysLeft words an end: "61 days left", "until 2099-12-31", "ended on 2026-01-01".
func daysLeft(end, now time.Time) string {
	left := end.Sub(now)
	switch days := int(left.Hours() / 24); {
	case left <= 0:
		return "ended on " + ir.EndText(end)
	case days == 0:
		return "ends within a day"
	case days == 1:
		return "1 day left"
	case days > 2*365:
		return "until " + ir.EndText(end)
	default:
		return fmt.Sprintf("%d days left", days)
	}
}

// selectorText writes a selector as people say it: "pods app=checkout of namespace shop".
func selectorText(s *ir.Selector) string {
	text := "every pod"
	if len(s.Pods) > 0 {
		text = "pods " + labelsText(s.Pods)
	}
	switch {
	case s.Namespace != "":
		text += " of namespace " + s.Namespace
	case len(s.Namespaces) > 0:
		text += " of namespaces " + labelsText(s.Namespaces)
	}
	var who []string
	for _, sa := range s.ServiceAccounts {
		who = append(who, sa.String())
	}
	if who != nil {
		text += " with service account " + orList(who)
	}
	if s.SPIFFE != nil {
		text += " with the identity " + orList(s.SPIFFE)
	}
	return text
}

func labelsText(s ir.LabelSelector) string {
	var parts []string
	for _, r := range s {
		switch {
		case r.Op == ir.In && len(r.Values) == 1:
			parts = append(parts, r.Key+"="+r.Values[0])
		case r.Op == ir.In:
			parts = append(parts, r.Key+" in ("+strings.Join(r.Values, ",")+")")
		case r.Op == ir.NotIn:
			parts = append(parts, r.Key+" not in ("+strings.Join(r.Values, ",")+")")
		case r.Op == ir.Exists:
			parts = append(parts, "with "+r.Key)
		default:
			parts = append(parts, "without "+r.Key)
		}
	}
	return strings.Join(parts, ",")
}

// peersText says whom a rule names.
func peersText(peers []ir.Peer) string {
	if peers == nil {
		return "anyone"
	}
	var parts []string
	for i := range peers {
		switch p := &peers[i]; {
		case p.Pods != nil:
			parts = append(parts, selectorText(p.Pods))
		case p.CIDR != nil:
			parts = append(parts, p.CIDR.Prefix.String())
		case p.DNS != "":
			parts = append(parts, p.DNS)
		default:
			parts = append(parts, p.Entity.String())
		}
	}
	return orList(parts)
}

// portText says what a port of a rule is.
func portText(p ir.Port) string {
	switch {
	case p.Name != "":
		return p.Space.String() + " " + p.Name
	case p.First == 0 && p.Last == 65535:
		return "any " + p.Space.String()
	case p.First == p.Last:
		return KeyText(plan.Key(p.Space, p.First))
	case (p.Space == ir.ICMPv4 || p.Space == ir.ICMPv6) && p.First&0xff == 0 && p.Last&0xff == 0xff:
		if p.First>>8 != p.Last>>8 {
			return fmt.Sprintf("%s types %d-%d", p.Space, p.First>>8, p.Last>>8)
		}
		return fmt.Sprintf("%s type %d", p.Space, p.First>>8)
	}
	return fmt.Sprintf("%s %d-%d", p.Space, p.First, p.Last)
}

// portsText says on which ports a rule is.
func portsText(ports []ir.Port) string {
	var parts []string
	for _, p := range ports {
		parts = append(parts, portText(p))
	}
	return orList(parts)
}
