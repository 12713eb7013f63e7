package progrun

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/weir-mesh/weir/compiler/ir"
)

// IP protocol numbers.
const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
	protoSCTP   = 132
)

// Frame is an Ethernet frame under construction; the zero value of a field is the ordinary case.
type Frame struct {
	Src, Dst netip.Addr
	// Tags are VLAN tags, outermost first: ethertype<<16 | tag control.
	Tags []uint32
	// Options are IPv4 options (padded to four bytes), Extensions IPv6 extension headers with their types.
	Options    []byte
	Extensions []Extension
	// Fragment is the offset in units of eight bytes; More says that others follow.
	Fragment   uint16
	More       bool
	FragmentID uint32
	Hops       uint8 // 64 when 0
	Proto      uint8
	Payload    []byte // from the transport header on
}

// Extension is an IPv6 extension header: its type and its bytes, the first of which is overwritten by the next type.
type Extension struct {
	Type uint8
	Data []byte
}

// Bytes lays the frame out.
func (f Frame) Bytes() []byte {
	b := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}
	for _, t := range f.Tags {
		b = binary.BigEndian.AppendUint32(b, t)
	}
	hops := f.Hops
	if hops == 0 {
		hops = 64
	}
	if f.Src.Is4() {
		return append(f.ipv4(binary.BigEndian.AppendUint16(b, 0x0800), hops), f.Payload...)
	}
	return append(f.ipv6(binary.BigEndian.AppendUint16(b, 0x86dd), hops), f.Payload...)
}

func (f Frame) ipv4(b []byte, hops uint8) []byte {
	h := make([]byte, 20)
	h[0] = 0x40 | uint8(5+len(f.Options)/4)
	binary.BigEndian.PutUint16(h[2:], uint16(20+len(f.Options)+len(f.Payload)))
	binary.BigEndian.PutUint16(h[4:], uint16(f.FragmentID))
	frag := f.Fragment
	if f.More {
		frag |= 0x2000
	}
	binary.BigEndian.PutUint16(h[6:], frag)
	h[8], h[9] = hops, f.Proto
	s, d := f.Src.As4(), f.Dst.As4()
	copy(h[12:], s[:])
	copy(h[16:], d[:])
	return append(append(b, h...), f.Options...)
}

func (f Frame) ipv6(b []byte, hops uint8) []byte {
	exts := f.Extensions
	if f.Fragment != 0 || f.More {
		e := make([]byte, 8)
		frag := f.Fragment << 3
		if f.More {
			frag |= 1
		}
		binary.BigEndian.PutUint16(e[2:], frag)
		binary.BigEndian.PutUint32(e[4:], f.FragmentID)
		exts = append(append([]Extension(nil), exts...), Extension{44, e})
	}
	n := len(f.Payload)
	for _, e := range exts {
		n += len(e.Data)
	}
	h := make([]byte, 40)
	h[0] = 0x60
	binary.BigEndian.PutUint16(h[4:], uint16(n))
	h[6], h[7] = f.Proto, hops
	s, d := f.Src.As16(), f.Dst.As16()
	copy(h[8:], s[:])
	copy(h[24:], d[:])
	for i, e := range exts {
		data := append([]byte(nil), e.Data...)
		data[0] = f.Proto
		if i+1 < len(exts) {
			data[0] = exts[i+1].Type
		}
		if i == 0 {
			h[6] = e.Type
		}
		h = append(h, data...)
	}
	return append(b, h...)
}

// TCP flags.
const (
	FIN = 1
	SYN = 2
	RST = 4
	ACK = 16
)

// TCPHeader is a TCP header without options.
func TCPHeader(sport, dport uint16, flags uint8) []byte {
	h := make([]byte, 20)
	binary.BigEndian.PutUint16(h, sport)
	binary.BigEndian.PutUint16(h[2:], dport)
	h[12], h[13] = 0x50, flags
	return h
}

// UDPHeader is a UDP header.
func UDPHeader(sport, dport uint16) []byte {
	h := make([]byte, 8)
	binary.BigEndian.PutUint16(h, sport)
	binary.BigEndian.PutUint16(h[2:], dport)
	h[5] = 8
	return h
}

// SCTPHeader is an SCTP common header with the head of one chunk.
func SCTPHeader(sport, dport uint16, chunk uint8) []byte {
	h := make([]byte, 16)
	binary.BigEndian.PutUint16(h, sport)
	binary.BigEndian.PutUint16(h[2:], dport)
	h[12], h[15] = chunk, 4
	return h
}

// ICMPHeader is an ICMP header of either family with an id, followed by data.
func ICMPHeader(typ, code uint8, id uint16, data ...byte) []byte {
	h := make([]byte, 8)
	h[0], h[1] = typ, code
	binary.BigEndian.PutUint16(h[4:], id)
	return append(h, data...)
}

const echoID = 0x77

// frame builds the first packet of a flow.
func (f *Flow) frame(h Hook) (*Frame, error) {
	src, dst, sport, dport := f.Local, f.Remote, f.LocalPort, f.RemotePort
	if h == ToPod {
		src, dst, sport, dport = dst, src, dport, sport
	}
	if src.Is4() != dst.Is4() {
		return nil, fmt.Errorf("building a packet from %s to %s: two families", src, dst)
	}
	fr := &Frame{Src: src, Dst: dst}
	switch f.Space {
	case ir.TCP:
		fr.Proto, fr.Payload = protoTCP, TCPHeader(sport, dport, SYN)
	case ir.UDP:
		fr.Proto, fr.Payload = protoUDP, UDPHeader(sport, dport)
	case ir.SCTP:
		fr.Proto, fr.Payload = protoSCTP, SCTPHeader(sport, dport, 1)
	case ir.ICMPv4, ir.ICMPv6:
		fr.Proto = protoICMP
		if f.Space == ir.ICMPv6 {
			fr.Proto = protoICMPv6
		}
		if (f.Space == ir.ICMPv4) != src.Is4() {
			return nil, fmt.Errorf("building a packet from %s to %s: %s belongs to the other family", src, dst, f.Space)
		}
		fr.Payload = ICMPHeader(uint8(f.Number>>8), uint8(f.Number), echoID)
	case ir.OtherProtocol:
		if f.Number > 255 {
			return nil, fmt.Errorf("building a packet: IP protocol %d", f.Number)
		}
		fr.Proto, fr.Payload = uint8(f.Number), make([]byte, 8)
	default:
		return nil, fmt.Errorf("building a packet: unknown space %d", f.Space)
	}
	return fr, nil
}
