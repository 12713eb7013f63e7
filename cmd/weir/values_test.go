package main

import "testing"

func TestByteSize(t *testing.T) {
	for in, want := range map[string]string{"4GiB": "4GiB", "512MiB": "512MiB", "1024": "1KiB", "1000": "1000", "2048MiB": "2GiB"} {
		var b byteSize
		if err := b.Set(in); err != nil || b.String() != want {
			t.Errorf("%s: %s, %v; want %s", in, b.String(), err, want)
		}
	}
	for _, in := range []string{"", "0", "-1GiB", "4GB", "9999999999GiB", "1.5GiB"} {
		var b byteSize
		if err := b.Set(in); err == nil {
			t.Errorf("%q was read as %s", in, b.String())
		}
	}
}

func TestPositiveTime(t *testing.T) {
	for in, want := range map[string]string{"60s": "1m0s", "5m": "5m0s", "1ns": "1ns"} {
		var d positiveTime
		if err := d.Set(in); err != nil || d.String() != want {
			t.Errorf("%s: %s, %v; want %s", in, d.String(), err, want)
		}
	}
	for _, in := range []string{"", "0", "0s", "-1s", "60", "99999999999h"} {
		var d positiveTime
		if err := d.Set(in); err == nil {
			t.Errorf("%q was read as %s", in, d.String())
		}
	}
}

func TestGeneration(t *testing.T) {
	for in, want := range map[string]uint64{"1": 1, "9007199254740992": 1 << 53} {
		var g generation
		if err := g.Set(in); err != nil || uint64(g) != want {
			t.Errorf("%s: %d, %v; want %d", in, g, err, want)
		}
	}
	for _, in := range []string{"", "0", "-1", "x", "1.5", "9007199254740993", "18446744073709551616"} {
		var g generation
		if err := g.Set(in); err == nil {
			t.Errorf("%q was read as %d", in, g)
		}
	}
}
