package manifest

import (
	"fmt"
	"net/netip"

	"github.com/weir-mesh/weir/compiler/diag"
)

// CodeHostBits is a block that is written by an address inside it.
const CodeHostBits diag.Code = "WEIR2038"

// CheckBlock reports an address block that is written by an address inside it. All of the block is meant, as
// those who enforce NetworkPolicies have it; the writer may have meant the one address, and the API server warns of it, too
// (apimachinery, GetWarningsForCIDR).
func CheckBlock(at diag.Position, p netip.Prefix) diag.List {
	if p == p.Masked() {
		return nil
	}
	return diag.List{{Code: CodeHostBits, Severity: diag.Warning, Pos: at, Message: fmt.Sprintf("%s is the whole block %s", p, p.Masked()),
		Hint: fmt.Sprintf("write %s, or %s for the one address", p.Masked(), netip.PrefixFrom(p.Addr(), p.Addr().BitLen()))}}
}
