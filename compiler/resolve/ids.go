package resolve

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"

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
	sum := sha256.Sum256(slices.Concat([]byte(kind), []byte{0}, b))
	copy(id[:], sum[:])
	return id
}

// policyID hashes what a policy says and what it is called, not where it was read.
func policyID(p *ir.Policy, rules []plan.Rule) plan.ID {
	b := p.AppendCanonical(make([]byte, 0, 256))
	for i := range rules {
		b = append(b, rules[i].ID[:]...)
	}
	return hashBytes("policy", b)
}

// ruleID hashes a rule's content together with its object's name and its place in it.
func ruleID(p *ir.Policy, r *ir.Rule) plan.ID {
	b := make([]byte, 0, 512)
	for _, s := range []string{p.Kind, p.Namespace, p.Name} {
		b = append(append(b, s...), 0)
	}
	return hashBytes("rule", r.AppendCanonical(b))
}
