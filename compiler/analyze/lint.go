package analyze

import (
	"fmt"
	"time"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// The findings about what policies say together.
const (
	// CodeAddress: a verdict hangs on an address that a pod does not have yet (S4).
	CodeAddress diag.Code = "WEIR2004"
	// CodeNeverDecides: a rule decides nothing that exists.
	CodeNeverDecides diag.Code = "WEIR2011"
	// CodeNoSubject: a policy selects no pod.
	CodeNoSubject diag.Code = "WEIR2013"
	// CodeNoPeer: a peer selects nothing.
	CodeNoPeer diag.Code = "WEIR2014"
	// CodeNeverProved: some ports of an allow can never match, because they carry no identity (S18).
	CodeNeverProved diag.Code = "WEIR2015"
	// CodeNotEnrolled: an allow matches nothing now, because an end is not enrolled (S18).
	CodeNotEnrolled diag.Code = "WEIR2016"
	// CodeSplitIdentity: rules tell pods of one SPIFFE id apart (S21).
	CodeSplitIdentity diag.Code = "WEIR2017"
	// CodeNoPort: no destination has the named port.
	CodeNoPort diag.Code = "WEIR2018"
	// CodeStrictest: a permission for plaintext is without effect (S19).
	CodeStrictest diag.Code = "WEIR2019"
	// CodeIdleRequests: a layer-7 allow is idle beside a layer-4 allow (S22).
	CodeIdleRequests diag.Code = "WEIR2022"
	// CodeBackends: the endpoints behind a service get different answers (S27).
	CodeBackends diag.Code = "WEIR2027"
	// CodeEnding: an allow ends soon.
	CodeEnding diag.Code = "WEIR2040"
	// CodeAudit: an object or rule is watched and not enforced (S30).
	CodeAudit diag.Code = "WEIR2042"
)

// EndingSoon is how long before its end an allow is pointed out.
const EndingSoon = 30 * 24 * time.Hour

// linter collects findings about one plan.
type linter struct {
	plan   *plan.Plan
	names  *Names
	places *places
	rules  map[plan.PolicyIndex][]plan.RuleIndex
	// subjects lists, by policy, the subjects that it selects.
	subjects map[plan.PolicyIndex][]int32
	// peersOf lists the identities of each subject.
	peersOf [][]plan.PeerIndex
	// decides holds, by rule, whether some decision names it.
	decides []bool
	// rowPeers holds an identity of each row of the tables that rowsOf was asked about.
	rowPeers map[*plan.Table][]plan.PeerIndex
	// rows holds the rows of all identities in the tables that rowOf was asked about.
	rows map[*plan.Table][]int
	// hosted are the pods with their node's network.
	hosted []int32
	// tried counts what needed has compared. idleToo are the rules that it leaves out: of two that do the same, one is idle.
	tried int
	// half counts what halfOpen has looked at, tied what ties has.
	half    int
	tied    int
	idleToo map[plan.RuleIndex]bool
	diags   diag.List
	// scratch is what keys returns.
	scratch []plan.PortKey
	// inside are the cluster's own addresses, found when first asked for.
	inside []inside
	// known is what is known of the entities, found when first asked for.
	known *known
}

// Lint looks for what a plan's policies say and do not mean. Without any pod in the inventory, the findings that
// need pods are left out.
func Lint(n *Names) diag.List {
	p := n.plan
	l := &linter{plan: p, rowPeers: map[*plan.Table][]plan.PeerIndex{}, names: n, places: newPlaces(p), rules: rulesOf(p),
		subjects: map[plan.PolicyIndex][]int32{},
		peersOf:  make([][]plan.PeerIndex, len(p.Subjects)), decides: make([]bool, len(p.Rules)), rows: map[*plan.Table][]int{}}
	for i := range p.Subjects {
		for _, pol := range p.Subjects[i].Policies {
			l.subjects[pol] = append(l.subjects[pol], int32(i))
		}
	}
	for i := range p.Peers {
		if s := p.Peers[i].Subject; s >= 0 {
			l.peersOf[s] = append(l.peersOf[s], plan.PeerIndex(i))
		}
	}
	for i := range p.Endpoints {
		if p.Endpoints[i].InNetwork != nil {
			l.hosted = append(l.hosted, int32(i))
		}
	}
	l.findDeciding()
	pods := len(p.Endpoints) > 0
	for i := range p.Policies {
		l.policy(plan.PolicyIndex(i), pods)
	}
	l.ties()
	if pods {
		l.idleRequests()
		l.splitIdentities()
		l.backends()
		l.addresses()
	}
	l.diags.Sort()
	return l.diags
}

func (l *linter) add(code diag.Code, s diag.Severity, pos diag.Position, message, hint string, related ...diag.Related) {
	l.diags.Add(diag.Diagnostic{Code: code, Severity: s, Pos: pos, Message: message, Hint: hint, Related: related})
}

// findDeciding marks the rules that some decision names, enforced or in audit, now or after an end.
func (l *linter) findDeciding() {
	mark := func(o *plan.Outcome) {
		if o.Rule != plan.None && o.Reason != plan.ByAuthentication {
			l.decides[o.Rule] = true
		}
	}
	for i := range l.plan.Decisions {
		d := &l.plan.Decisions[i]
		mark(&d.Outcome)
		mark(&d.Audit)
	}
	for i := range l.plan.Lists {
		for j := range l.plan.Lists[i].Entries {
			mark(&l.plan.Lists[i].Entries[j].Outcome)
		}
	}
}

func (l *linter) policy(i plan.PolicyIndex, pods bool) {
	p := &l.plan.Policies[i]
	if p.Audit {
		l.add(CodeAudit, diag.Note, p.Pos, p.Object+" is in audit: it is watched, and not enforced",
			"take mode out to enforce it; until then, what it would change is recorded")
	}
	selected := len(l.subjects[i]) > 0
	hosted := l.onNodesNetwork(&p.Source.Subject)
	switch {
	case pods && !selected && hosted != "":
		l.add(CodeNoSubject, l.emptiness(p), p.Pos, p.Object+" selects no pod"+l.noneDenied(i),
			"its subject is "+selectorText(&p.Source.Subject)+"; that is only "+hosted+", "+isItsNode)
	case pods && !selected:
		l.add(CodeNoSubject, l.emptiness(p), p.Pos, p.Object+" selects no pod"+l.noneDenied(i),
			"its subject is "+selectorText(&p.Source.Subject)+"; nothing that was read is that")
	case hosted != "" && l.protects(i):
		l.add(CodeNodesNetwork, diag.Note, p.Pos, p.Object+" does not protect "+hosted, "its subject is "+selectorText(&p.Source.Subject)+"; that is "+hosted+", too, "+isItsNode)
	}
	for _, r := range l.rules[i] {
		if !l.plan.Rules[r].Source.Implied {
			l.rule(r, p, pods && selected)
		}
	}
}

// emptiness is how bad it is that something of a policy selects nothing: rules for a whole cluster often are about
// pods that not every cluster has.
func (l *linter) emptiness(p *plan.Policy) diag.Severity {
	if p.Source.Namespace == "" {
		return diag.Note
	}
	return diag.Warning
}

// rule reports one thing about a rule: the first that explains why it does nothing.
func (l *linter) rule(i plan.RuleIndex, p *plan.Policy, inventory bool) {
	r := &l.plan.Rules[i]
	if l.ending(r) {
		return
	}
	if r.Audit && !p.Audit {
		l.add(CodeAudit, diag.Note, r.Pos, "this rule is in audit: it is watched, and not enforced",
			"take mode out to enforce it; until then, what it would change is recorded")
	}
	proved := l.provable(r, p)
	if inventory && l.emptyPeers(r, p) {
		return
	}
	if !inventory || !proved || l.decides[i] || l.none(r) {
		if inventory && l.decides[i] {
			l.emptyPorts(r)
			l.unasked(i, r)
			l.halfOpen(r, p)
			if r.Plaintext {
				l.plaintext(i, r)
			}
		}
		return
	}
	l.idle(i, r, p)
}

// none reports whether a rule names peers of which none exists.
func (l *linter) none(r *plan.Rule) bool {
	if r.PeerSet < 0 {
		return false
	}
	for _, w := range l.plan.PeerSets[r.PeerSet].Bits {
		if w != 0 {
			return false
		}
	}
	return true
}

// ending reports an allow that ends soon; true when it has ended, which the front end that read it reports.
func (l *linter) ending(r *plan.Rule) bool {
	end := r.Source.NotAfter
	if r.Action != ir.Allow || end.IsZero() {
		return false
	}
	who := "this allow"
	if r.Exception != "" && end.Equal(r.Source.ExceptionEnds) {
		who = "exception " + r.Exception
	}
	left := end.Sub(l.plan.Now)
	if left > 0 && left < EndingSoon {
		l.add(CodeEnding, diag.Warning, r.Pos, fmt.Sprintf("%s ends on %s (%s)", who, ir.EndText(end), daysLeft(end, l.plan.Now)),
			"the nodes close it then by themselves; set a new end if it is still needed")
	}
	return left <= 0
}
