package manifest

import (
	"path/filepath"
	"strings"
)

// KustomizeGroup is the API group of kustomize's files, which no API server serves.
const KustomizeGroup = "kustomize.config.k8s.io"

// kustomization fills in what kustomize itself does: its file is known by its name, and may leave out what it is and how it
// is called (kustomize, api/types/kustomization.go, FixKustomizationPostUnmarshalling).
func (f *fileParse) kustomization(apiVersion, kind string) (version, of, name string) {
	base := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(f.src.name), ".yaml"), ".yml")
	own := strings.EqualFold(base, "kustomization") && (kind == "" || apiVersion == "")
	if !own && !strings.HasPrefix(apiVersion, KustomizeGroup+"/") {
		return apiVersion, kind, ""
	}
	if kind == "" {
		kind = "Kustomization"
	}
	if apiVersion == "" {
		apiVersion = KustomizeGroup + "/v1beta1"
	}
	return apiVersion, kind, filepath.Base(f.src.name)
}
