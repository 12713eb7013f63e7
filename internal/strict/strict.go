// Package strict decides what becomes of a test that this machine cannot run: a skip with its reason, or, where
// WEIR_STRICT is 1 (make test STRICT=1), a failure.
package strict

import (
	"os"
	"testing"
)

// Skip ends the test with the reason why it cannot run.
func Skip(t testing.TB, reason any) {
	t.Helper()
	if os.Getenv("WEIR_STRICT") == "1" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}
