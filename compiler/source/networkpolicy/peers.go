package networkpolicy

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/source/manifest"
)

// peer lowers a peer: an ipBlock alone, or selectors, which are ANDed. "podSelector … selects the pods matching
// podSelector in the policy's own namespace" unless namespaceSelector is there.
func (l *lowering) peer(path string, p *netv1.NetworkPolicyPeer) ir.Peer {
	out := ir.Peer{Pos: l.object.Pos(path)}
	switch {
	case p.IPBlock != nil && (p.PodSelector != nil || p.NamespaceSelector != nil):
		l.invalid(path, "a peer with ipBlock has nothing else", "write a second peer")
	case p.IPBlock != nil:
		out.CIDR = l.block(path+".ipBlock", p.IPBlock)
	case p.PodSelector == nil && p.NamespaceSelector == nil:
		l.invalid(path, "a peer is empty", "write podSelector, namespaceSelector or ipBlock; podSelector: {} is every pod")
	default:
		s := &ir.Selector{}
		if p.NamespaceSelector != nil {
			s.Namespaces = l.selector(path+".namespaceSelector", p.NamespaceSelector)
		} else {
			s.Namespace = l.policy.Namespace
		}
		if p.PodSelector != nil {
			s.Pods = l.selector(path+".podSelector", p.PodSelector)
		}
		out.Pods = s
	}
	return out
}

// block lowers an ipBlock. That it also matches pods and nodes is cyclonus' reading and the majority's (S3).
func (l *lowering) block(path string, b *netv1.IPBlock) *ir.CIDR {
	c := &ir.CIDR{MatchPods: true}
	p, err := netip.ParsePrefix(b.CIDR)
	if err != nil {
		l.invalid(path+".cidr", fmt.Sprintf("%q is no address block", b.CIDR), "write it as 192.0.2.0/24 or 2001:db8::/32")
		return c
	}
	l.diags = append(l.diags, manifest.CheckBlock(l.object.Pos(path+".cidr"), p)...)
	c.Prefix = p.Masked()
	for i, s := range b.Except {
		at := fmt.Sprintf("%s.except[%d]", path, i)
		e, err := netip.ParsePrefix(s)
		switch {
		case err != nil:
			l.invalid(at, fmt.Sprintf("%q is no address block", s), "write it as 192.0.2.0/24 or 2001:db8::/32")
		case e.Addr().Is4() != p.Addr().Is4() || e.Bits() <= p.Bits() || !c.Prefix.Contains(e.Addr()):
			l.invalid(at, fmt.Sprintf("%s does not lie inside %s", s, b.CIDR), "an exception is a smaller block of the same family")
		default:
			l.diags = append(l.diags, manifest.CheckBlock(l.object.Pos(at), e)...)
			c.Except = append(c.Except, e.Masked())
		}
	}
	return c
}

// port lowers a port. "If this field is not specified, this field defaults to TCP"; without a port every port of
// the protocol.
func (l *lowering) port(path string, p *netv1.NetworkPolicyPort) ir.Port {
	out := ir.Port{Space: ir.TCP, Last: 65535}
	if p.Protocol != nil {
		switch *p.Protocol {
		case corev1.ProtocolTCP:
		case corev1.ProtocolUDP:
			out.Space = ir.UDP
		case corev1.ProtocolSCTP:
			out.Space = ir.SCTP
		default:
			l.invalid(path+".protocol", fmt.Sprintf("%q is no protocol", *p.Protocol), "write TCP, UDP or SCTP")
		}
	}
	switch {
	case p.Port == nil && p.EndPort != nil:
		l.invalid(path+".endPort", "endPort needs port", "write the first port of the range as port")
	case p.Port == nil:
	case p.Port.Type == intstr.String:
		l.namedPort(path, p, &out)
	default:
		l.portRange(path, p, &out)
	}
	return out
}

func (l *lowering) namedPort(path string, p *netv1.NetworkPolicyPort, out *ir.Port) {
	out.Name, out.Last = p.Port.StrVal, 0
	if len(validation.IsValidPortName(out.Name)) > 0 {
		l.invalid(path+".port", fmt.Sprintf("%q is no port name", out.Name), "a name is lower-case letters, digits and '-', at most 15; a number has no quotes")
	}
	if p.EndPort != nil {
		l.invalid(path+".endPort", "a named port has no endPort", "write numbers, or leave endPort out")
	}
}

func (l *lowering) portRange(path string, p *netv1.NetworkPolicyPort, out *ir.Port) {
	first, last := p.Port.IntVal, p.Port.IntVal
	if p.EndPort != nil {
		last = *p.EndPort
	}
	if !l.isPort(path+".port", first) || !l.isPort(path+".endPort", last) {
		return
	}
	if last < first {
		l.invalid(path+".endPort", fmt.Sprintf("endPort %d is below port %d", last, first), "a range ends where it starts or above")
		return
	}
	out.First, out.Last = uint16(first), uint16(last)
}

func (l *lowering) isPort(path string, n int32) bool {
	if n >= 1 && n <= 65535 {
		return true
	}
	l.errorAt(CodePort, path, "a port is 1 to 65535", "")
	return false
}

// selector lowers a label selector; an empty one selects all.
func (l *lowering) selector(path string, s *metav1.LabelSelector) ir.LabelSelector {
	var out ir.LabelSelector
	for _, k := range slices.Sorted(maps.Keys(s.MatchLabels)) {
		at := path + ".matchLabels[" + k + "]"
		l.label(at, k, s.MatchLabels[k])
		out = append(out, ir.Requirement{Key: k, Op: ir.In, Values: []string{s.MatchLabels[k]}})
	}
	for i := range s.MatchExpressions {
		out = append(out, l.requirement(fmt.Sprintf("%s.matchExpressions[%d]", path, i), &s.MatchExpressions[i]))
	}
	return out
}

func (l *lowering) requirement(path string, e *metav1.LabelSelectorRequirement) ir.Requirement {
	req := ir.Requirement{Key: e.Key}
	l.label(path+".key", e.Key, e.Values...)
	bad := func(field, message string) {
		l.errorAt(CodeSelector, path+field, message, "operator is In or NotIn with values, or Exists or DoesNotExist without")
	}
	takesValues := false
	switch e.Operator {
	case metav1.LabelSelectorOpIn:
		req.Op, takesValues = ir.In, true
	case metav1.LabelSelectorOpNotIn:
		req.Op, takesValues = ir.NotIn, true
	case metav1.LabelSelectorOpExists:
		req.Op = ir.Exists
	case metav1.LabelSelectorOpDoesNotExist:
		req.Op = ir.DoesNotExist
	default:
		bad(".operator", fmt.Sprintf("%q is no operator", e.Operator))
		return req
	}
	if takesValues != (len(e.Values) > 0) {
		bad(".values", map[bool]string{true: string(e.Operator) + " needs values", false: string(e.Operator) + " takes no values"}[takesValues])
	}
	req.Values = slices.Compact(slices.Sorted(slices.Values(e.Values)))
	return req
}

// label holds a key and values to the API's forms; the API server refuses others.
func (l *lowering) label(path, key string, values ...string) {
	if len(validation.IsQualifiedName(key)) > 0 {
		l.errorAt(CodeSelector, path, fmt.Sprintf("%q is no label key", key), "a key is an optional DNS prefix and '/', then at most 63 letters, digits, '-', '_' and '.'")
	}
	for _, v := range values {
		if len(validation.IsValidLabelValue(v)) > 0 {
			l.errorAt(CodeSelector, path, fmt.Sprintf("%q is no label value", v), "a value is at most 63 letters, digits, '-', '_' and '.'")
		}
	}
}
