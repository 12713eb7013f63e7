package networkpolicy

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A block that is written by an address inside it is the whole block, and is said to be.
func TestLowerHostBits(t *testing.T) {
	p, diags := lower(t, head+"  podSelector: {}\n  ingress: [{from: [{ipBlock: {cidr: 10.1.2.3/8, except: [10.1.2.3/16, 10.2.0.1/32]}}, {ipBlock: {cidr: \"2001:db8::1/32\"}}]}]")
	if d := cmp.Diff([]string{"np.yaml:6:38: warning WEIR2038: 10.1.2.3/8 is the whole block 10.0.0.0/8", "np.yaml:6:59: warning WEIR2038: 10.1.2.3/16 is the whole block 10.1.0.0/16",
		"np.yaml:6:105: warning WEIR2038: 2001:db8::1/32 is the whole block 2001:db8::/32"}, diags); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	const want = "6:13 allow ingress[0] 10.0.0.0/8-[10.1.0.0/16 10.2.0.1/32] matchPods=true 2001:db8::/32-[] matchPods=true every-protocol"
	if got := show(&p); !slices.Contains(got, want) {
		t.Errorf("%q is not among %q", want, got)
	}
}
