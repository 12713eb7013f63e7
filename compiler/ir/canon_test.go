package ir

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/weir-mesh/weir/compiler/diag"
)

// full is a policy in which every field is set.
func full() *Policy {
	log := true
	sel := func() Selector {
		return Selector{Namespace: "a", Namespaces: LabelSelector{{Key: "k", Op: NotIn, Values: []string{"v"}}}, Pods: LabelSelector{{Key: "p", Op: In, Values: []string{"q"}}},
			ServiceAccounts: []NamespacedName{{"n", "s"}}, SPIFFE: []string{"spiffe://x/*"}, EnrolledOnly: true}
	}
	pods := sel()
	return &Policy{Kind: "K", Namespace: "ns", Name: "n", Layer: Mesh, Tier: Baseline, Priority: 3, Subject: sel(), Isolate: [2]bool{true, true}, Audit: true,
		Rules: []Rule{{Direction: Ingress, Index: 1, Name: "x", Action: Allow, Audit: true,
			Peers: []Peer{{Pods: &pods, CIDR: &CIDR{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Except: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, MatchPods: true},
				DNS: "d", Entity: Host}},
			Ports: []Port{{Space: UDP, First: 1, Last: 2, Name: "p"}}, HTTP: []HTTPMatch{{Methods: []string{"GET"}, Path: &StringMatch{Kind: Prefix, Value: "/"},
				Hosts: []string{"h"}, Headers: []KeyMatch{{Key: "k", StringMatch: StringMatch{Kind: Regex, Value: "v"}, Provider: "p"}},
				Query: []KeyMatch{{Key: "q"}}, GRPC: &GRPCMatch{"S", "M"}, Claims: []KeyMatch{{Key: "c"}}}},
			Plaintext: true, Exception: "e", NotAfter: time.Unix(5, 0), ExceptionEnds: time.Unix(6, 0), Log: &log}}}
}

func form(p *Policy) string {
	b := p.AppendCanonical(nil)
	for i := range p.Rules {
		b = p.Rules[i].AppendCanonical(b)
	}
	return string(b)
}

// leaves calls f with every settable leaf below v, positions left out.
func leaves(v reflect.Value, path string, f func(reflect.Value, string)) {
	switch v.Type() {
	case reflect.TypeFor[diag.Position]():
		return
	case reflect.TypeFor[time.Time](), reflect.TypeFor[netip.Prefix]():
		f(v, path)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			leaves(v.Field(i), path+"."+v.Type().Field(i).Name, f)
		}
	case reflect.Pointer:
		leaves(v.Elem(), path, f)
	case reflect.Slice:
		n := v.Len() // f may append
		f(v, path)
		for i := range n {
			leaves(v.Index(i), path+"[]", f)
		}
	case reflect.Array:
		for i := range v.Len() {
			leaves(v.Index(i), path+"[]", f)
		}
	default:
		f(v, path)
	}
}

func TestCanonicalFormHoldsEveryField(t *testing.T) {
	var paths []string
	leaves(reflect.ValueOf(full()), "", func(_ reflect.Value, path string) { paths = append(paths, path) })
	if len(paths) < 50 {
		t.Fatalf("walked only %d fields: %v", len(paths), paths)
	}
	for i, path := range paths {
		p, n := full(), 0
		leaves(reflect.ValueOf(p), "", func(v reflect.Value, _ string) {
			if n == i {
				change(t, v)
			}
			n++
		})
		if form(p) == form(full()) {
			t.Errorf("changing %s does not change the canonical form", path)
		}
	}
}

func change(t *testing.T, v reflect.Value) {
	switch x := v.Addr().Interface().(type) {
	case *time.Time:
		*x = x.Add(time.Hour)
		return
	case *netip.Prefix:
		*x = netip.MustParsePrefix("::/0")
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Uint8, reflect.Uint16:
		v.SetUint(v.Uint() ^ 1)
	case reflect.Int, reflect.Int32:
		v.SetInt(v.Int() ^ 1)
	case reflect.Slice:
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
	default:
		t.Fatalf("no way to change a %s", v.Type())
	}
}
