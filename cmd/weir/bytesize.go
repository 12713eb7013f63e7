package main

import (
	"fmt"
	"strconv"
	"strings"
)

// byteSize is a flag for an amount of memory: 4GiB, 512MiB, or bytes.
type byteSize int64

var byteUnits = []struct {
	name  string
	shift uint
}{{"GiB", 30}, {"MiB", 20}, {"KiB", 10}}

// String writes the amount in the largest unit that divides it.
func (b *byteSize) String() string {
	for _, u := range byteUnits {
		if n := int64(*b); n > 0 && n%(1<<u.shift) == 0 {
			return fmt.Sprintf("%d%s", n>>u.shift, u.name)
		}
	}
	return strconv.FormatInt(int64(*b), 10)
}

// Set reads an amount.
func (b *byteSize) Set(s string) error {
	shift := uint(0)
	for _, u := range byteUnits {
		if rest, ok := strings.CutSuffix(s, u.name); ok {
			s, shift = rest, u.shift
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 || n > (1<<62)>>shift {
		return fmt.Errorf("an amount of memory is such as 4GiB or 512MiB")
	}
	*b = byteSize(n << shift)
	return nil
}

// Type names the flag's value in usage lines.
func (*byteSize) Type() string { return "size" }
