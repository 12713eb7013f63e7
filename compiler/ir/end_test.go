package ir

import "testing"

// TestEnds: an end is written as it was read, and a date stands for the end of its day (S28).
func TestEnds(t *testing.T) {
	for _, s := range []string{"2026-01-01", "2026-12-31", "2024-02-29", "2026-01-31T18:00:00Z", "2026-01-31T23:59:59Z", "2026-02-01T00:00:01Z"} {
		end, err := ParseEnd(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := EndText(end); got != s {
			t.Errorf("%s is written %s", s, got)
		}
	}
	day, err := ParseEnd("2026-01-01")
	if err != nil {
		t.Fatal(err)
	}
	same, err := ParseEnd("2026-01-02T00:00:00Z")
	if err != nil {
		t.Fatal(err)
	}
	if !day.Equal(same) || EndText(same) != "2026-01-01" {
		t.Errorf("the day ends at %s, and its end is written %s", day, EndText(same))
	}
	for _, s := range []string{"", "2026-13-01", "2026-01-01T00:00:00+01:00", "tomorrow"} {
		if _, err := ParseEnd(s); err == nil {
			t.Errorf("%q is no end", s)
		}
	}
}
