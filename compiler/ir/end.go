package ir

import "time"

// ParseEnd reads an end as policies give it: a date is the end of that day, in UTC (S28).
func ParseEnd(s string) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t.AddDate(0, 0, 1), nil
	}
	t, err := time.Parse("2006-01-02T15:04:05Z", s)
	return t.UTC(), err
}

// EndText writes an end as ParseEnd reads it: the end of a day is its date, which is the last day that it leaves.
func EndText(end time.Time) string {
	end = end.UTC()
	if day := end.Truncate(24 * time.Hour); end.Equal(day) {
		return day.AddDate(0, 0, -1).Format(time.DateOnly)
	}
	return end.Format(time.RFC3339)
}
