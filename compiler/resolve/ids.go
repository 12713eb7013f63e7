package resolve

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// hashOf is the content hash of a value in its JSON form, which is canonical for our structs: fields in order, maps
// sorted by key.
func hashOf(kind string, v any) plan.ID {
	b, err := json.Marshal(v)
	if err != nil {
		// The ir holds strings, numbers and addresses only; this cannot happen with any input.
		panic(fmt.Sprintf("hashing %s: %v", kind, err))
	}
	return hashBytes(kind, b)
}

func hashBytes(kind string, b []byte) (id plan.ID) {
	h := sha256.New()
	h.Write([]byte(kind))
	h.Write([]byte{0})
	h.Write(b)
	copy(id[:], h.Sum(nil))
	return id
}

// policyID hashes what a policy says and what it is called, not where it was read.
func policyID(p *ir.Policy) plan.ID {
	q := *p
	q.Pos, q.Rules = diag.Position{}, nil
	ids := make([]plan.ID, len(p.Rules))
	for i := range p.Rules {
		ids[i] = ruleID(p, &p.Rules[i])
	}
	return hashOf("policy", struct {
		Policy ir.Policy
		Rules  []plan.ID
	}{q, ids})
}

// ruleID hashes a rule's content together with its object's name and its place in it.
func ruleID(p *ir.Policy, r *ir.Rule) plan.ID {
	q := *r
	q.Pos = diag.Position{}
	q.Peers = append([]ir.Peer(nil), r.Peers...)
	for i := range q.Peers {
		q.Peers[i].Pos = diag.Position{}
	}
	return hashOf("rule", struct {
		Object string
		Rule   ir.Rule
	}{p.Object(), q})
}
