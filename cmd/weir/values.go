package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
)

// positiveTime is a flag for a duration that must be more than 0.
type positiveTime time.Duration

// String writes the duration.
func (d *positiveTime) String() string { return time.Duration(*d).String() }

// Set reads a duration.
func (d *positiveTime) Set(s string) error {
	v, err := time.ParseDuration(s)
	if err != nil || v <= 0 {
		return errors.New("write a time of more than 0, such as 60s or 5m")
	}
	*d = positiveTime(v)
	return nil
}

// Type names the flag's value in usage lines.
func (*positiveTime) Type() string { return "time" }

// namespaceName is a flag for a namespace.
type namespaceName string

// String writes the name.
func (n *namespaceName) String() string { return string(*n) }

// Set reads a name.
func (n *namespaceName) Set(s string) error {
	if len(validation.IsDNS1123Label(s)) > 0 {
		return errors.New(`write the name of a namespace: lower-case letters, digits and "-", at most 63`)
	}
	*n = namespaceName(s)
	return nil
}

// Type names the flag's value in usage lines.
func (*namespaceName) Type() string { return "string" }

// maxGeneration is the last generation: up to it a number of JSON, and a sample of Prometheus, is exact wherever it is
// read (RFC 8259 section 6).
const maxGeneration = 1 << 53

// generation is a flag for a plan's generation; 0 is that it was not given.
type generation uint64

// String writes the generation.
func (g *generation) String() string { return strconv.FormatUint(uint64(*g), 10) }

// Set reads a generation.
func (g *generation) Set(s string) error {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n < 1 || n > maxGeneration {
		return fmt.Errorf("write a whole number from 1 to %d; agents refuse one that is not more than what they hold", uint64(maxGeneration))
	}
	*g = generation(n)
	return nil
}

// Type names the flag's value in usage lines.
func (*generation) Type() string { return "number" }

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
		return errors.New("write an amount of memory of more than 0, such as 4GiB or 512MiB")
	}
	*b = byteSize(n << shift)
	return nil
}

// Type names the flag's value in usage lines.
func (*byteSize) Type() string { return "size" }
