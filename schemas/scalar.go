package schemas

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// text is what a string must be.
type text struct {
	min, max     int
	like, unlike []*regexp.Regexp
	format       string
	message      string
}

func (c *checker) text(v any, t text) {
	s, ok := v.(string)
	if !ok {
		c.wrongType("a string", v)
		return
	}
	if n := utf8.RuneCountInString(s); n < t.min || n > t.max || !t.matches(s) {
		if t.message != "" {
			c.refuse(WrongValue, t.message)
		} else {
			c.refuse(WrongValue, "a string of at most "+strconv.Itoa(t.max)+" characters is needed here")
		}
	}
}

func (t text) matches(s string) bool {
	for _, re := range t.like {
		if !re.MatchString(s) {
			return false
		}
	}
	for _, re := range t.unlike {
		if re.MatchString(s) {
			return false
		}
	}
	var err error
	switch t.format {
	case "cidr":
		_, err = netip.ParsePrefix(s)
	case "ip":
		_, err = netip.ParseAddr(s)
	case "date-time":
		_, err = time.Parse(time.RFC3339, s)
	case "end":
		if _, err = time.Parse(time.DateOnly, s); err != nil {
			_, err = time.Parse(time.RFC3339, s)
		}
	}
	return err == nil
}

func (c *checker) word(v any, words []string, message string) {
	s, ok := v.(string)
	if !ok {
		c.wrongType("a string", v)
		return
	}
	if !slices.Contains(words, s) {
		if message == "" {
			message = "one of " + strings.Join(words, ", ") + " is needed here"
		}
		c.refuse(WrongValue, message)
	}
}

func (c *checker) boolean(v any, onlyTrue bool, message string) {
	b, ok := v.(bool)
	switch {
	case !ok:
		c.wrongType("true or false", v)
	case onlyTrue && !b:
		c.refuse(WrongValue, message)
	}
}

func (c *checker) integer(v any, low, high int64, message string) {
	n, ok := whole(v)
	switch {
	case !ok:
		c.wrongType("a whole number", v)
	case (n < low || n > high) && message == "":
		c.refuse(WrongValue, fmt.Sprintf("a number from %d to %d is needed here", low, high))
	case n < low || n > high:
		c.refuse(WrongValue, message)
	}
}

func (c *checker) oneOf(v any, numbers []int64, message string) {
	n, ok := whole(v)
	switch {
	case !ok:
		c.wrongType("a whole number", v)
	case !slices.Contains(numbers, n):
		c.refuse(WrongValue, message)
	}
}

// whole returns a number that has no fraction, whichever type a decoder gave it.
func whole(v any) (int64, bool) {
	switch n := v.(type) {
	case int64:
		return n, true
	case int:
		return int64(n), true
	case int32:
		return int64(n), true
	case float64:
		i := int64(n)
		return i, float64(i) == n
	case json.Number:
		i, err := strconv.ParseInt(n.String(), 10, 64)
		return i, err == nil
	}
	return 0, false
}

// describe says what a value of the wrong type is.
func describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case bool:
		return "true or false"
	case []any:
		return "a list"
	case map[string]any:
		return "a structure"
	case json.Number:
		return "the number " + v.String()
	default:
		return "a number"
	}
}

// quoting is the way out where only the quotes are wrong.
func quoting(want string, v any) string {
	switch v := v.(type) {
	case bool, int, int32, int64, float64, json.Number:
		if want == "a string" {
			return "put it in quotes"
		}
	case string:
		if _, err := strconv.ParseInt(v, 10, 64); err == nil && want == "a whole number" || (v == "true" || v == "false") && want == "true or false" {
			return "leave the quotes out"
		}
	}
	return ""
}
