package analyze

import (
	"slices"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/resolve"
)

// CodeNodesNetwork says that a selector is about pods with their node's network, too, which it does not select (S1).
const CodeNodesNetwork diag.Code = "WEIR2029"

// What becomes of pods with their node's network, and the way out.
const (
	isItsNode   = "by hostNetwork its node, which no selector of pods matches (S1)"
	nameTheNode = "name the node, by an entity or by its addresses"
)

// onNodesNetwork names the workloads, at most three, that a selector would select if they had a network of their own; empty
// for none, and where it is about every pod there is: who writes that has none of them in mind.
func (l *linter) onNodesNetwork(s *ir.Selector) string {
	if s.Namespace == "" && s.Namespaces == nil && s.Pods == nil && s.ServiceAccounts == nil {
		return ""
	}
	var of []int32
	for _, i := range l.hosted {
		if resolve.Selects(s, l.plan.Endpoints[i].InNetwork) {
			of = append(of, i)
		}
	}
	return andList(l.names.labels(of))
}

// protects reports whether a policy keeps anything from its subject.
func (l *linter) protects(i plan.PolicyIndex) bool {
	p := l.plan.Policies[i].Source
	return p.Isolate != [ir.NumDirections]bool{} || p.AuditIsolate != [ir.NumDirections]bool{} ||
		slices.ContainsFunc(l.rules[i], func(r plan.RuleIndex) bool { return l.plan.Rules[r].Action == ir.Deny })
}

// peerOnNodesNetwork reports a peer that matches pods, and not others that it is about as much.
func (l *linter) peerOnNodesNetwork(r *plan.Rule, peer *ir.Peer) {
	if hosted := l.onNodesNetwork(peer.Pods); hosted != "" {
		l.add(CodeNodesNetwork, diag.Note, orPos(peer.Pos, r.Pos), "this peer does not match "+hosted+failsOpen(r.Action),
			"it is "+selectorText(peer.Pods)+"; that is "+hosted+", too, "+isItsNode+": "+nameTheNode)
	}
}
