package plan

import (
	"net/netip"
	"testing"
)

// TestAddressTable enters blocks in an order that is not theirs: exact addresses come first, then the longest block; the
// families are apart, a zone and a mapped form say nothing (S3).
func TestAddressTable(t *testing.T) {
	var table AddressTable
	if got := table.Lookup(netip.MustParseAddr("10.0.0.1")); got != 0 {
		t.Errorf("an empty table has %d", got)
	}
	for i, s := range []string{"10.0.0.0/8", "10.1.2.3/32", "0.0.0.0/0", "10.1.0.0/16", "10.1.2.7/24", "fd00::/8", "fd00::1/128", "fd00:1::/32", "10.2.0.0/16"} {
		table.Add(netip.MustParsePrefix(s), PeerIndex(i+1))
	}
	for s, want := range map[string]PeerIndex{
		"10.1.2.3": 2, "10.1.2.4": 5, "10.1.3.1": 4, "10.2.0.1": 9, "10.3.0.1": 1, "192.0.2.1": 3,
		"fd00::1": 7, "fd00::2": 6, "fd00:1::2": 8, "2001:db8::1": 0, "::ffff:10.1.2.3": 2, "::ffff:10.2.0.1": 9, "fd00::1%eth0": 7, "fd00:1::2%eth0": 8,
	} {
		if got := table.Lookup(netip.MustParseAddr(s)); got != want {
			t.Errorf("%s: %d, want %d", s, got, want)
		}
	}
	if table.Add(netip.MustParsePrefix("10.3.0.0/16"), 10); len(table.Lengths4) != 4 || len(table.Lengths6) != 2 {
		t.Errorf("lengths %v and %v: each is there once", table.Lengths4, table.Lengths6)
	}
}

// TestMulticastBlock is S6's ruling: 224.0.0.0/4, ff00::/8 and 255.255.255.255, and nothing that is only partly so.
func TestMulticastBlock(t *testing.T) {
	for s, want := range map[string]bool{
		"224.0.0.0/4": true, "239.255.0.0/16": true, "239.1.1.1/32": true, "255.255.255.255/32": true, "ff00::/8": true, "ff02::fb/128": true, "239.1.2.3/16": true,
		"224.0.0.0/3": false, "240.0.0.0/4": false, "255.255.255.254/31": false, "192.0.0.0/2": false, "fe00::/7": false, "::/0": false, "0.0.0.0/0": false, "223.255.255.255/32": false,
	} {
		if got := IsMulticastBlock(netip.MustParsePrefix(s)); got != want {
			t.Errorf("%s: %t", s, got)
		}
	}
}
