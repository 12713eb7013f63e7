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
