package analyze

import (
	"fmt"

	"github.com/weir-mesh/weir/compiler/plan"
)

// Audit is what would become of a flow if what is in audit were enforced, where that differs from what does (S30).
type Audit struct {
	Verdict string `json:"verdict"`
	// Rule is what would decide, EnforcedRule what does: a rule, or a default.
	Rule         string `json:"rule"`
	EnforcedRule string `json:"enforcedRule"`
	// Text says the same in a sentence.
	Text string `json:"-"`
}

// audit compares the two chains' answers on the flows of a reply; nil where they are the same.
func (n *Names) audit(s *places, r *Reply, req *plan.Request) *Audit {
	if !n.audits {
		return nil
	}
	for _, f := range r.flows {
		for _, a := range n.decideEach(f) {
			if found := n.auditOf(s, f, a, req); found != nil {
				return found
			}
		}
	}
	return nil
}

// auditOf compares the two chains' answers on one flow; nil where they are the same.
func (n *Names) auditOf(s *places, f plan.Flow, a plan.Answer, req *plan.Request) *Audit {
	is, would := n.answered(f, a, req), n.answered(f, a.InAudit(), req)
	if is.Verdict == would.Verdict && (req != nil || would.Verdict != plan.Redirect || sameLists(&is.Answer, &would.Answer)) {
		return nil
	}
	return &Audit{Verdict: would.Verdict.String(), Rule: outcomeText(s, would.Side()), EnforcedRule: outcomeText(s, is.Side()),
		Text: fmt.Sprintf("in audit: %s, by %s; enforced: %s, by %s", auditWord(&is, &would), s.decider(would.Side()), is.Verdict, s.decider(is.Side()))}
}

func auditWord(is, would *Reply) string {
	if is.Verdict == would.Verdict {
		return "other requests"
	}
	return would.Verdict.String()
}

// sameLists reports whether two answers let a waypoint decide by the same lists.
func sameLists(a, b *plan.Answer) bool {
	return a.Egress.List == b.Egress.List && a.Ingress.List == b.Ingress.List
}

// decider names what decided, in short.
func (s *places) decider(o *plan.Outcome) string {
	switch {
	case o.Rule != plan.None && o.Reason == plan.ByRule:
		ref := s.rule(o.Rule)
		if ref.Name != "" {
			return fmt.Sprintf("%s %q", ref.Short, ref.Name)
		}
		return ref.Short
	case o.Rule != plan.None:
		return "the " + o.Reason.String() + " at " + s.rule(o.Rule).Short
	case o.Policy != plan.None:
		return "the " + o.Reason.String() + " of " + s.policy(o.Policy).Short
	}
	return "the " + o.Reason.String()
}
