package analyze

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

// Port is the port that a question is about: a number in a space, or the name of a container port of the destination
// (S13).
type Port struct {
	Space  ir.Space
	Number uint16
	Name   string
}

func (p Port) String() string {
	if p.Name != "" {
		return p.Space.String() + " " + p.Name
	}
	return KeyText(plan.Key(p.Space, p.Number))
}

// KeyText writes a port key: TCP 8443, ICMP type 8 code 0, IP protocol 47.
func KeyText(k plan.PortKey) string {
	switch s, n := k.Space(), k.Number(); s {
	case ir.ICMPv4, ir.ICMPv6:
		return fmt.Sprintf("%s type %d code %d", s, n>>8, n&0xff)
	case ir.OtherProtocol:
		return fmt.Sprintf("IP protocol %d", n)
	default:
		return fmt.Sprintf("%s %d", s, n)
	}
}

// ParsePort reads a port as people write it: 8443 (TCP, at the command line only), TCP/8443, 53/udp, http (a name),
// icmp/8, icmp/8/0, icmpv6/128, ip/47.
func ParsePort(s string) (Port, error) {
	parts := strings.Split(s, "/")
	if len(parts) == 1 {
		return portOf(ir.TCP, s)
	}
	space, err := ParseProtocol(parts[0])
	if err != nil && len(parts) == 2 {
		if space, err = ParseProtocol(parts[1]); err == nil {
			parts[1] = parts[0]
		}
	}
	if err != nil {
		return Port{}, err
	}
	switch {
	case len(parts) == 2 && space != ir.ICMPv4 && space != ir.ICMPv6:
		return portOf(space, parts[1])
	case len(parts) <= 3 && (space == ir.ICMPv4 || space == ir.ICMPv6):
		return icmpOf(space, parts[1:])
	}
	return Port{}, fmt.Errorf("%q is no port: write 8443, TCP/8443, UDP/53, ICMP/8 or IP/47", s)
}

// ParseProtocol reads a protocol's name, without case.
func ParseProtocol(s string) (ir.Space, error) {
	for sp := range ir.NumSpaces {
		if strings.EqualFold(sp.String(), s) {
			return sp, nil
		}
	}
	return 0, fmt.Errorf("%q is no protocol: TCP, UDP, SCTP, ICMP, ICMPv6 or IP", s)
}

func portOf(space ir.Space, s string) (Port, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	switch {
	case err == nil && space == ir.OtherProtocol:
		return protocolOf(n)
	case err == nil && n == 0:
		return Port{}, fmt.Errorf("%q is no port: 1 to 65535", s)
	case err == nil:
		return Port{Space: space, Number: uint16(n)}, nil
	case isPortName(s):
		return Port{Space: space, Name: s}, nil
	}
	return Port{}, fmt.Errorf("%q is no port: 1 to 65535, or the name of a container port", s)
}

// protocolOf is an IP protocol without ports: one that has a name has them, or types, and is asked about by it.
func protocolOf(n uint64) (Port, error) {
	named := map[uint64]string{1: "ICMP/8", 6: "TCP/8443", 17: "UDP/53", 58: "ICMPv6/128", 132: "SCTP/3868"}
	switch {
	case n > 255:
		return Port{}, fmt.Errorf("%d is no IP protocol: 0 to 255", n)
	case named[n] != "":
		name, _, _ := strings.Cut(named[n], "/")
		return Port{}, fmt.Errorf("IP protocol %d is %s: ask about a port or type of it, such as %s", n, name, named[n])
	}
	return Port{Space: ir.OtherProtocol, Number: uint16(n)}, nil
}

// isPortName follows RFC 6335: letters, digits and single hyphens inside, with a letter, at most 15.
func isPortName(s string) bool {
	if len(s) == 0 || len(s) > 15 || s[0] == '-' || s[len(s)-1] == '-' || strings.Contains(s, "--") {
		return false
	}
	letter := false
	for _, c := range s {
		letter = letter || c >= 'a' && c <= 'z'
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return letter
}

func icmpOf(space ir.Space, parts []string) (Port, error) {
	var n uint16
	for i, s := range parts {
		v, err := strconv.ParseUint(s, 10, 8)
		if err != nil {
			return Port{}, fmt.Errorf("%q is no ICMP type or code: 0 to 255", s)
		}
		n |= uint16(v) << (8 * (1 - i))
	}
	return Port{Space: space, Number: n}, nil
}
