package lab

import "context"

// Change is what happened to open connections when the plan changed.
type Change struct {
	What       string
	Open       int
	Cut, Kept  int
	Mixed      int
	Mismatches []Mismatch
}

func (l *lab) changes(ctx context.Context, o Options, r *Result) error { return nil }
