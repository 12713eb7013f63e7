package apiserver

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
)

// Binaries returns the folder in which `make kube` leaves etcd and kube-apiserver for the present go.mod and
// go.sum of hack/kube, or the error that they are not there. root is the repository.
func Binaries(root string) (string, error) {
	h := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(root, "hack", "kube", name))
		if err != nil {
			return "", fmt.Errorf("finding which API server is wanted: %w", err)
		}
		h.Write(text)
	}
	dir := filepath.Join(root, ".cache", "kube", hex.EncodeToString(h.Sum(nil))[:16])
	for _, name := range []string{"etcd", "kube-apiserver"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return "", fmt.Errorf("no API server here: run `make kube`: %w", err)
		}
	}
	return dir, nil
}
