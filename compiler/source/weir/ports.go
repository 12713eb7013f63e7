package weir

import (
	"fmt"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/schemas/v1alpha1"
)

// ports lowers a rule's ports (S13). A rule with requests and no ports is about TCP.
func (l *lowering) ports(o *NamedObject, path string, c *v1alpha1.RuleCommon) []ir.Port {
	l.notEmpty(o, path+".ports", c.Ports == nil, len(c.Ports))
	if c.Ports == nil && c.HTTP != nil {
		return []ir.Port{{Space: ir.TCP, Last: 65535}}
	}
	var out []ir.Port
	for i := range c.Ports {
		at := fmt.Sprintf("%s.ports[%d]", path, i)
		p := l.port(o, at, &c.Ports[i], c.HTTP != nil)
		if c.HTTP != nil && p.Space != ir.TCP {
			l.errorAt(CodeRule, o.at(at), "http implies TCP: another protocol can't match", "")
		}
		out = append(out, p)
	}
	return out
}

func (l *lowering) port(o *NamedObject, path string, p *v1alpha1.Port, http bool) ir.Port {
	out := ir.Port{Last: 65535}
	bad := func(message, hint string) ir.Port {
		l.errorAt(CodeRule, o.at(path), message, hint)
		return out
	}
	numbered := p.Port != nil || p.Name != nil || p.EndPort != nil
	switch {
	case p.Protocol != nil && p.ProtocolNumber != nil:
		return bad("a port has protocol or protocolNumber, not both", "")
	case p.ProtocolNumber != nil:
		if n := *p.ProtocolNumber; numbered || p.ICMP != nil {
			return bad("protocolNumber has no ports", "")
		} else if l.bounds(o, path+".protocolNumber", n, 0, 255, "an IP protocol's number is 0 to 255") {
			return l.otherProtocol(o, path, n)
		}
		return out
	case p.Protocol == nil && !http:
		return bad("a port needs a protocol: TCP, UDP, SCTP, ICMP or ICMPv6", "")
	}
	space, ok := protocols[v1alpha1.ProtocolTCP], true
	if p.Protocol != nil {
		space, ok = protocols[*p.Protocol]
	}
	icmp := space == ir.ICMPv4 || space == ir.ICMPv6
	switch out.Space = space; {
	case !ok:
		return bad("protocol is TCP, UDP, SCTP, ICMP or ICMPv6", "for any other use protocolNumber")
	case icmp && numbered:
		return bad("ICMP has no ports: use icmp", "")
	case !icmp && p.ICMP != nil:
		return bad("icmp needs protocol ICMP or ICMPv6", "")
	case icmp:
		return l.icmp(o, path+".icmp", p.ICMP, out)
	}
	return l.numbers(o, path, p, out)
}

var protocols = map[v1alpha1.Protocol]ir.Space{
	v1alpha1.ProtocolTCP: ir.TCP, v1alpha1.ProtocolUDP: ir.UDP, v1alpha1.ProtocolSCTP: ir.SCTP,
	v1alpha1.ProtocolICMP: ir.ICMPv4, v1alpha1.ProtocolICMPv6: ir.ICMPv6,
}

// named are the protocols that have spaces of their own.
var named = map[int32]bool{1: true, 6: true, 17: true, 58: true, 132: true}

func (l *lowering) otherProtocol(o *NamedObject, path string, n int32) ir.Port {
	if named[n] {
		l.errorAt(CodeRule, o.at(path+".protocolNumber"), "this protocol has a name: ICMP, TCP, UDP, ICMPv6 or SCTP", "write protocol")
	}
	return ir.Port{Space: ir.OtherProtocol, First: uint16(n), Last: uint16(n)}
}

// icmp is every message, those of a type, or those of a type and code: type<<8|code.
func (l *lowering) icmp(o *NamedObject, path string, m *v1alpha1.ICMP, out ir.Port) ir.Port {
	if m == nil || !l.bounds(o, path+".type", m.Type, 0, 255, "an ICMP type is 0 to 255") {
		return out
	}
	out.First, out.Last = uint16(m.Type)<<8, uint16(m.Type)<<8|0xff
	if m.Code != nil && l.bounds(o, path+".code", *m.Code, 0, 255, "an ICMP code is 0 to 255") {
		out.First |= uint16(*m.Code)
		out.Last = out.First
	}
	return out
}

func (l *lowering) numbers(o *NamedObject, path string, p *v1alpha1.Port, out ir.Port) ir.Port {
	const portBounds = "a port is 1 to 65535"
	switch {
	case p.Name != nil && (p.Port != nil || p.EndPort != nil):
		l.errorAt(CodeRule, o.at(path), "a port has port or name, not both", "")
	case p.Name != nil && *p.Name == "":
		l.errorAt(CodeRule, o.at(path+".name"), "a port's name is empty", "")
	case p.Name != nil:
		out.Name, out.Last = *p.Name, 0
	case p.Port == nil && p.EndPort != nil:
		l.errorAt(CodeRule, o.at(path), "endPort needs port", "")
	case p.Port == nil:
	case !l.bounds(o, path+".port", *p.Port, 1, 65535, portBounds):
	case p.EndPort == nil:
		out.First, out.Last = uint16(*p.Port), uint16(*p.Port)
	case !l.bounds(o, path+".endPort", *p.EndPort, 1, 65535, portBounds):
	case *p.EndPort < *p.Port:
		l.errorAt(CodeRule, o.at(path), "endPort is below port", "")
	default:
		out.First, out.Last = uint16(*p.Port), uint16(*p.EndPort)
	}
	return out
}

func (l *lowering) bounds(o *NamedObject, path string, n, low, high int32, message string) bool {
	if n >= low && n <= high {
		return true
	}
	l.errorAt(CodeValue, o.at(path), message, "")
	return false
}
