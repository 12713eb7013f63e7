// Package built finds the programs that tests run and that the Makefile builds from their Go modules.
package built

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
)

// Dir returns the folder in which `make NAME` leaves the programs for the present go.mod and go.sum of hack/NAME, or the
// error that one of them is not there. root is the repository.
func Dir(root, name string, programs ...string) (string, error) {
	h := sha256.New()
	for _, file := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(root, "hack", name, file))
		if err != nil {
			return "", fmt.Errorf("finding which %s is wanted: %w", name, err)
		}
		h.Write(text)
	}
	dir := filepath.Join(root, ".cache", name, hex.EncodeToString(h.Sum(nil))[:16])
	for _, p := range programs {
		if _, err := os.Stat(filepath.Join(dir, p)); err != nil {
			return "", fmt.Errorf("%s is not built here: run `make %s`: %w", p, name, err)
		}
	}
	return dir, nil
}
