package ir

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
)

// The functions below write content in one canonical form for hashing: every field except positions, each with its
// length, so that no two contents share a form. A test changes every field by reflection and sees the form change.

// AppendCanonical appends the policy without its rules and position.
func (p *Policy) AppendCanonical(b []byte) []byte {
	b = appendStrings(b, p.Kind, p.Namespace, p.Name)
	b = append(b, byte(p.Layer), byte(p.Tier))
	b = binary.BigEndian.AppendUint32(b, uint32(p.Priority))
	b = p.Subject.AppendCanonical(b)
	for d := range p.Isolate {
		b = appendBools(b, p.Isolate[d], p.AuditIsolate[d])
	}
	return appendBools(b, p.Audit)
}

// AppendCanonical appends the rule without positions.
func (r *Rule) AppendCanonical(b []byte) []byte {
	b = append(b, byte(r.Direction), byte(r.Action))
	index := uint32(r.Index)
	if r.Implied {
		index |= 1 << 31
	}
	if !r.ExceptionEnds.IsZero() {
		index |= 1 << 30
	}
	b = binary.BigEndian.AppendUint32(b, index)
	b = appendStrings(b, r.Name, r.Exception)
	b = appendBools(b, r.Audit, r.Plaintext, r.Peers == nil, r.Ports == nil, r.HTTP == nil, r.Log == nil, r.Log != nil && *r.Log)
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.Peers)))
	for i := range r.Peers {
		b = r.Peers[i].AppendCanonical(b)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.Ports)))
	for _, p := range r.Ports {
		b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(append(b, byte(p.Space)), p.First), p.Last)
		b = appendStrings(b, p.Name)
	}
	if r.HTTP != nil {
		b = appendJSON(b, r.HTTP)
	}
	end := int64(0)
	if !r.NotAfter.IsZero() {
		end = r.NotAfter.Unix()
	}
	b = appendBools(binary.BigEndian.AppendUint64(b, uint64(end)), r.NotAfter.IsZero())
	if !r.ExceptionEnds.IsZero() {
		b = binary.BigEndian.AppendUint64(b, uint64(r.ExceptionEnds.Unix()))
	}
	return b
}

// AppendCanonical appends the peer without its position.
func (p *Peer) AppendCanonical(b []byte) []byte {
	b = appendBools(append(b, byte(p.Entity)), p.Pods == nil, p.CIDR == nil)
	if p.Pods != nil {
		b = p.Pods.AppendCanonical(b)
	}
	if p.CIDR != nil {
		b = appendBools(appendPrefixes(b, append([]netip.Prefix{p.CIDR.Prefix}, p.CIDR.Except...)), p.CIDR.MatchPods)
	}
	return appendStrings(b, p.DNS)
}

// AppendCanonical appends the selector.
func (s *Selector) AppendCanonical(b []byte) []byte {
	b = appendStrings(b, s.Namespace)
	b = appendLabels(appendLabels(b, s.Namespaces), s.Pods)
	b = appendBools(b, s.ServiceAccounts == nil, s.SPIFFE == nil, s.EnrolledOnly)
	b = binary.BigEndian.AppendUint32(b, uint32(len(s.ServiceAccounts)))
	for _, a := range s.ServiceAccounts {
		b = appendStrings(b, a.Namespace, a.Name)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(s.SPIFFE)))
	return appendStrings(b, s.SPIFFE...)
}

func appendLabels(b []byte, l LabelSelector) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(l)))
	for _, r := range l {
		b = appendStrings(append(b, byte(r.Op)), r.Key)
		b = binary.BigEndian.AppendUint32(b, uint32(len(r.Values)))
		b = appendStrings(b, r.Values...)
	}
	return b
}

func appendStrings(b []byte, ss ...string) []byte {
	for _, s := range ss {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
	}
	return b
}

func appendBools(b []byte, vs ...bool) []byte {
	for _, v := range vs {
		if v {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
	}
	return b
}

func appendPrefixes(b []byte, ps []netip.Prefix) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(ps)))
	for _, p := range ps {
		a := p.Addr().As16()
		b = append(append(b, byte(p.Bits())), a[:]...)
		b = appendBools(b, p.Addr().Is4())
	}
	return b
}

// appendJSON writes rare, deep parts through their JSON form, which is canonical for structs without maps.
func appendJSON(b []byte, v any) []byte {
	j, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("writing %T: %v", v, err)) // strings and numbers only: no input can cause it
	}
	return append(binary.BigEndian.AppendUint32(b, uint32(len(j))), j...)
}
