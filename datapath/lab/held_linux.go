package lab

// count adds a payload of a connection that is held open; false when the payload is no such.
func (s *servers) count(b []byte) bool {
	id, ok := parsePayload(b, s.run)
	counts := s.held.Load()
	if !ok || id < heldBase || counts == nil || id-heldBase >= uint64(len(*counts)) {
		return false
	}
	(*counts)[id-heldBase].Add(1)
	return true
}

// heldBase is the first number of a connection that is held open; probes have smaller ones.
const heldBase = 1 << 32
