package weir

import (
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/schemas/v1alpha1"
)

// ports lowers a rule's ports (S13). Requests imply TCP: for the rule without ports, and the port without protocol.
func ports(c *v1alpha1.RuleCommon) []ir.Port {
	if c.Ports == nil && c.HTTP != nil {
		return []ir.Port{{Space: ir.TCP, Last: 65535}}
	}
	var out []ir.Port
	for i := range c.Ports {
		out = append(out, port(&c.Ports[i]))
	}
	return out
}

var spaces = map[v1alpha1.Protocol]ir.Space{
	"": ir.TCP, v1alpha1.ProtocolTCP: ir.TCP, v1alpha1.ProtocolUDP: ir.UDP, v1alpha1.ProtocolSCTP: ir.SCTP,
	v1alpha1.ProtocolICMP: ir.ICMPv4, v1alpha1.ProtocolICMPv6: ir.ICMPv6,
}

func port(p *v1alpha1.Port) ir.Port {
	out := ir.Port{Space: spaces[value(p.Protocol)], Last: 65535}
	switch {
	case p.ProtocolNumber != nil:
		out.Space = ir.OtherProtocol
		out.First, out.Last = uint16(*p.ProtocolNumber), uint16(*p.ProtocolNumber)
	case p.Name != nil:
		out.Name, out.Last = *p.Name, 0
	case p.Port != nil:
		out.First, out.Last = uint16(*p.Port), uint16(*p.Port)
		if p.EndPort != nil {
			out.Last = uint16(*p.EndPort)
		}
	case p.ICMP != nil:
		// Messages of a type, or of a type and code: type<<8|code.
		out.First = uint16(p.ICMP.Type)<<8 | uint16(value(p.ICMP.Code))
		if out.Last = out.First; p.ICMP.Code == nil {
			out.Last |= 0xff
		}
	}
	return out
}
