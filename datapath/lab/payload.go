package lab

import (
	"encoding/binary"
	"hash/crc32"
)

// payload is what a probe carries: a word, the run and the probe's number, so that what arrives can be told from
// everything else, late packets of another run included.
const payloadLen = 16

func payload(run uint32, id uint64) []byte {
	b := make([]byte, 0, payloadLen)
	b = append(b, "weir"...)
	b = binary.BigEndian.AppendUint32(b, run)
	return binary.BigEndian.AppendUint64(b, id)
}

func parsePayload(b []byte, run uint32) (id uint64, ok bool) {
	if len(b) < payloadLen || string(b[:4]) != "weir" || binary.BigEndian.Uint32(b[4:]) != run {
		return 0, false
	}
	return binary.BigEndian.Uint64(b[8:]), true
}

// SCTP chunk types (RFC 9260).
const (
	sctpInit    = 1
	sctpInitAck = 2
)

// sctpPacket is an INIT or INIT ACK that carries a payload in a parameter that receivers skip (type 0x8000 + n:
// unknown, go on).
func sctpPacket(kind byte, src, dst uint16, data []byte) []byte {
	param := len(data) + 4
	b := make([]byte, 12, 12+20+param)
	binary.BigEndian.PutUint16(b[0:], src)
	binary.BigEndian.PutUint16(b[2:], dst)
	b = append(b, kind, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(20+param))
	b = binary.BigEndian.AppendUint32(b, 1)     // initiate tag: not 0
	b = binary.BigEndian.AppendUint32(b, 65536) // receiver window
	b = binary.BigEndian.AppendUint16(b, 1)     // outbound streams
	b = binary.BigEndian.AppendUint16(b, 1)     // inbound streams
	b = binary.BigEndian.AppendUint32(b, 1)     // initial TSN
	b = binary.BigEndian.AppendUint16(b, 0x8077)
	b = binary.BigEndian.AppendUint16(b, uint16(param))
	b = append(b, data...)
	// The CRC-32C stands in the packet lowest byte first (RFC 9260, appendix A).
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// parseSCTP takes such a packet apart.
func parseSCTP(b []byte) (kind byte, src, dst uint16, data []byte, ok bool) {
	if len(b) < 36+payloadLen || binary.BigEndian.Uint16(b[32:]) != 0x8077 {
		return 0, 0, 0, nil, false
	}
	return b[12], binary.BigEndian.Uint16(b[0:]), binary.BigEndian.Uint16(b[2:]), b[36:], true
}

// ICMP types of echo.
const (
	echoRequest4, echoReply4 = 8, 0
	echoRequest6, echoReply6 = 128, 129
)

// echoPacket is an echo request; in IPv6 the kernel fills in the checksum.
func echoPacket(v6 bool, id, seq uint16, data []byte) []byte {
	b := []byte{echoRequest4, 0, 0, 0}
	if v6 {
		b[0] = echoRequest6
	}
	b = binary.BigEndian.AppendUint16(b, id)
	b = binary.BigEndian.AppendUint16(b, seq)
	b = append(b, data...)
	if !v6 {
		binary.BigEndian.PutUint16(b[2:], checksum(b))
	}
	return b
}

// checksum is that of RFC 1071.
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
