package route

import (
	"regexp"
	"strconv"
	"testing"
)

func TestRangePattern(t *testing.T) {
	for _, r := range [][2]uint16{{0, 65535}, {1, 65535}, {0, 0}, {80, 81}, {8, 12}, {99, 101}, {1024, 65534}, {8443, 8999},
		{1999, 20001}, {100, 199}, {65530, 65535}, {1, 9}, {10, 10}, {7, 30000}} {
		re := regexp.MustCompile(`^(?:` + rangePattern(r[0], r[1]) + `)$`)
		for n := range 70000 {
			want := n >= int(r[0]) && n <= int(r[1])
			if got := re.MatchString(strconv.Itoa(n)); got != want {
				t.Fatalf("range %v, pattern %s: port %d matches %v", r, re, n, got)
			}
		}
	}
}
