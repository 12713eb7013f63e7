package analyze

import (
	"encoding/binary"
	"iter"
	"slices"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/resolve"
)

// What is spent on the question which rules are needed: maxCells is how many different cells one rule is tried in, maxTried
// how many rules all of them are compared with together. A rule for which that does not suffice is taken for needed.
const (
	maxCells = 20_000
	maxTried = 60_000_000
)

// needed reports whether taking a rule out would change the answer of some cell of the tables that it is in. A decision
// names one rule; where both layers have to allow, the other layer's is needed as much (S9).
func (l *linter) needed(i plan.RuleIndex, r *plan.Rule) bool {
	v := view{plan: l.plan, direction: r.Direction}
	everywhere := resolve.MayIsolate(l.plan, i)
	cells := 0
	for _, s := range l.subjects[r.Policy] {
		if len(l.peersOf[s]) == 0 {
			continue
		}
		v.subject = l.peersOf[s][0] // the pods of a subject share their tables
		sub := &l.plan.Subjects[s]
		all := l.livingRules(sub, r.Direction)
		seen := map[string]bool{}
		for _, v.peer = range l.rowsOf(sub.Tables[r.Direction]) {
			if l.tried > maxTried {
				return true
			}
			if (everywhere || v.peerMatches(r)) && l.neededIn(&v, sub, all, i, everywhere, seen) {
				return true
			}
		}
		if cells += len(seen); cells > maxCells {
			return true
		}
	}
	return false
}

// livingRules are the rules of a subject and direction, those that have ended or are idle anyway left out.
func (l *linter) livingRules(s *plan.Subject, d ir.Direction) []plan.RuleIndex {
	return slices.DeleteFunc(rulesOfSubject(l.rules, s), func(j plan.RuleIndex) bool {
		r := &l.plan.Rules[j]
		return r.Direction != d || hasEnded(l.plan, r) || l.idleToo[j]
	})
}

// neededIn looks at the cells of one row. seen holds the sets of rules that were looked at: everything about a cell
// follows from the rules that match it.
func (l *linter) neededIn(v *view, s *plan.Subject, all []plan.RuleIndex, i plan.RuleIndex, everywhere bool, seen map[string]bool) bool {
	near := v.aboutPeer(all)
	l.tried += len(all)
	own := &l.plan.Rules[i]
	ended := hasEnded(l.plan, own)
	var rules []plan.RuleIndex
	var key []byte
	for v.key = range classKeys(s.Tables[v.direction]) {
		provable := v.provable()
		if !everywhere && (ended || !v.here(own, provable)) {
			continue
		}
		rules = rules[:0]
		for _, j := range near {
			if v.here(&l.plan.Rules[j], provable) {
				rules = append(rules, j)
			}
		}
		l.tried += len(near)
		key = key[:0]
		for _, j := range rules {
			key = binary.LittleEndian.AppendUint32(key, uint32(j))
		}
		if provable {
			key = append(key, 1)
		}
		if seen[string(key)] {
			continue
		}
		seen[string(key)] = true
		if resolve.Needs(l.plan, resolve.Cell{Subject: s, Direction: v.direction, Rules: rules, Provable: provable}, i) {
			return true
		}
	}
	return false
}

func rulesOfSubject(rules map[plan.PolicyIndex][]plan.RuleIndex, s *plan.Subject) []plan.RuleIndex {
	var out []plan.RuleIndex
	for _, p := range s.Policies {
		out = append(out, rules[p]...)
	}
	return out
}

// aboutPeer are those of rules whose peers the view's is among.
func (v *view) aboutPeer(rules []plan.RuleIndex) []plan.RuleIndex {
	var out []plan.RuleIndex
	for _, j := range rules {
		if v.peerMatches(&v.plan.Rules[j]) {
			out = append(out, j)
		}
	}
	return out
}

// classKeys are the first keys of a table's port classes: what holds for one port of a class holds for all.
func classKeys(t *plan.Table) iter.Seq[plan.PortKey] {
	return func(yield func(plan.PortKey) bool) {
		met := make([]bool, t.NumClasses)
		for at, start := range t.Starts {
			if class := t.Classes[at]; !met[class] {
				met[class] = true
				if !yield(plan.PortKey(start)) {
					return
				}
			}
		}
	}
}

// matching appends those of rules that are about the view's direction and miss in none of some ways.
func (v *view) matching(out, rules []plan.RuleIndex, ways miss) []plan.RuleIndex {
	for _, j := range rules {
		if r := &v.plan.Rules[j]; r.Direction == v.direction && v.peerMatches(r) && v.misses(j)&ways == 0 {
			out = append(out, j)
		}
	}
	return out
}

// rowsOf returns an identity of each row that a table tells apart; rows that answer alike among them, since they may do so
// by other rules.
func (l *linter) rowsOf(t *plan.Table) []plan.PeerIndex {
	if rows, ok := l.rowPeers[t]; ok {
		return rows
	}
	seen := map[string]bool{}
	var rows []plan.PeerIndex
	var key []byte
	for i := 1; i < len(l.plan.Peers) && len(rows) < t.Rows.Len(); i++ {
		key = l.plan.RowKey(key[:0], t, plan.PeerIndex(i))
		if !seen[string(key)] {
			seen[string(key)] = true
			rows = append(rows, plan.PeerIndex(i))
		}
	}
	l.rowPeers[t] = rows
	return rows
}

// needs reports whether the answer of the view's side would be another without the rule.
func (v *view) needs(rules map[plan.PolicyIndex][]plan.RuleIndex, s *plan.Subject, i plan.RuleIndex) bool {
	return resolve.Needs(v.plan, v.cell(rules, s), i)
}

// cell is the cell that the view's connection is in, of whatever request.
func (v *view) cell(rules map[plan.PolicyIndex][]plan.RuleIndex, s *plan.Subject) resolve.Cell {
	w := *v
	w.request = nil
	return resolve.Cell{Subject: s, Direction: v.direction, Provable: v.provable(), Rules: w.matching(nil, rulesOfSubject(rules, s), ^missAudit)}
}
