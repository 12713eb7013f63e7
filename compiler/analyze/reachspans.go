package analyze

import (
	"cmp"
	"slices"
	"strings"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// keyRange is a range of port keys, both ends included.
type keyRange struct{ first, last uint32 }

// span is a range of ports with one answer.
type span struct {
	keyRange
	way way
}

// way is how a connection is allowed, or, where it is denied, what is in audit about it.
type way struct {
	auth             plan.Auth
	asks             asks
	exceptE, exceptI plan.RuleIndex
	// audit is what would become of it with what is in audit enforced; nil where that is the same (S30).
	audit  *Audit
	denied bool
}

// asks are the lists that a request has to pass.
type asks struct {
	egress, ingress plan.ListIndex
	also            string // those of reacher.lists that a request has to pass besides
}

var asksNothing = asks{egress: plan.None, ingress: plan.None}

// spans lists what is allowed from one identity to another, in ranges of ports with one answer that do not overlap: what is in
// audit about it is part of the answer. What is denied and would be let through if that were enforced comes last.
func (r *reacher) spans(s, d plan.PeerIndex) []span {
	if out, ok := r.cache[[2]plan.PeerIndex{s, d}]; ok {
		return out
	}
	var out, denied []span
	starts := r.starts(s, d)
	for i, first := range starts {
		k := keyRange{first, uint32(ir.NumSpaces)<<16 - 1}
		if i+1 < len(starts) {
			k.last = starts[i+1] - 1
		}
		f := plan.Flow{Src: plan.NewEnd(s), Dst: plan.NewEnd(d), Port: plan.PortKey(first)}
		a := r.plan.Decide(f)
		w, passes := r.way(f, &a)
		if r.places != nil && (passes || a.Verdict == plan.Deny) {
			if audit := r.names.auditOf(r.places, f, a, nil); audit != nil {
				w.audit = r.oneAudit(audit)
			}
		}
		switch w.denied = !passes; {
		case passes:
			out = addSpan(out, span{k, w})
		case w.audit != nil:
			denied = addSpan(denied, span{k, w})
		}
	}
	out = append(out, denied...)
	r.cache[[2]plan.PeerIndex{s, d}] = out
	return out
}

// oneAudit makes equal audits one, so that what has them can be compared.
func (r *reacher) oneAudit(a *Audit) *Audit {
	if have, ok := r.audits[*a]; ok {
		return have
	}
	r.audits[*a] = a
	return a
}

// way is how a flow passes; it is false where nothing does.
func (r *reacher) way(f plan.Flow, a *plan.Answer) (way, bool) {
	w := way{asks: asksNothing, exceptE: plan.None, exceptI: plan.None}
	if a.Verdict == plan.Deny {
		return w, false
	}
	w.auth, w.exceptE, w.exceptI = a.Auth, r.exception(&a.Egress), r.exception(&a.Ingress)
	if a.Verdict == plan.Redirect {
		w.asks.egress, w.asks.ingress = a.Egress.List, a.Ingress.List
		lists, ok := r.sharing(f)
		if !ok {
			return w, false
		}
		w.asks.also = r.keep(lists)
		return w, r.requestsText(w.asks) != ""
	}
	return w, true
}

func addSpan(out []span, s span) []span {
	if n := len(out); n > 0 && out[n-1].way == s.way && out[n-1].last+1 == s.first {
		out[n-1].last = s.last
		return out
	}
	return append(out, s)
}

// starts are the first keys of the ranges in which neither side's answer changes.
func (r *reacher) starts(s, d plan.PeerIndex) []uint32 {
	out := []uint32{0}
	for side, p := range []plan.PeerIndex{s, d} {
		if sub := r.plan.SubjectOf(p); sub != nil {
			out = append(out, sub.Tables[ir.Direction(side)].Starts...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (r *reacher) exception(d *plan.Decision) plan.RuleIndex {
	if d.Rule != plan.None && r.plan.Rules[d.Rule].Exception != "" {
		return d.Rule
	}
	return plan.None
}

// via says how a connection to an identity is authenticated (S18 to S20), and who decides its requests. It is true where
// the kernels authenticate, who do it as the nodes lie.
func (r *reacher) via(w *way, d plan.PeerIndex) (text string, attested bool) {
	redirected := w.asks.egress != plan.None || w.asks.ingress != plan.None
	var parts []string
	switch {
	case w.denied:
		return "denied", false
	case w.auth == plan.AuthRequired && !redirected:
		return "", true
	case w.auth == plan.AuthRequired:
		parts = append(parts, "mTLS") // with the waypoint, wherever it runs
	case w.auth == plan.AuthPlaintext:
		for _, i := range append([]plan.RuleIndex{w.exceptE, w.exceptI}, r.allowing(w.asks)...) {
			if i == plan.None || r.plan.Rules[i].Exception == "" {
				continue
			}
			if text := "exception " + exceptionText(r.plan, i); !slices.Contains(parts, text) {
				parts = append(parts, text)
			}
		}
		if parts == nil {
			parts = append(parts, "plaintext")
		}
	default:
		parts = append(parts, "not authenticated")
	}
	if wp := r.plan.Peers[d].Waypoint; redirected && wp >= 0 {
		parts = append(parts, "waypoint "+r.plan.Waypoints[wp].Name())
	}
	return strings.Join(parts, ", "), false
}

func mergeRanges(in []keyRange) []keyRange {
	slices.SortFunc(in, func(a, b keyRange) int { return cmp.Compare(a.first, b.first) })
	var out []keyRange
	for _, k := range in {
		if n := len(out); n > 0 && k.first <= out[n-1].last+1 {
			out[n-1].last = max(out[n-1].last, k.last)
			continue
		}
		out = append(out, k)
	}
	return out
}

// rangesText writes ranges of port keys: "any" for everything, whole protocols by name.
func rangesText(in []keyRange) []string {
	if len(in) == 1 && in[0].first == 0 && in[0].last == uint32(ir.NumSpaces)<<16-1 {
		return []string{"any"}
	}
	var out []string
	for _, k := range in {
		for s := k.first >> 16; s <= k.last>>16; s++ {
			first, last := max(k.first, s<<16), min(k.last, s<<16|0xffff)
			out = append(out, spaceText(ir.Space(s), uint16(first), uint16(last)))
		}
	}
	return out
}

func spaceText(s ir.Space, first, last uint16) string {
	if s == ir.OtherProtocol {
		last = min(last, 255)
		if first == 0 && last == 255 {
			return "any other IP protocol"
		}
	}
	return portText(ir.Port{Space: s, First: first, Last: last})
}
