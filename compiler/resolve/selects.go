package resolve

import (
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// Selects reports whether a selector matches an identity of a plan that was compiled with the selector among its
// policies: an identity holds only the labels that some selector mentions (S2).
func Selects(s *ir.Selector, p *plan.Peer) bool { return selects(s, p) }
