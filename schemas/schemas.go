// Package schemas carries Weir's policy language inside the binary: the CUE module that users import, and the CRDs
// that are generated from it. The Go types are in schemas/v1alpha1.
package schemas

import "embed"

//go:generate go run ../hack/gen

// The CUE module that a policy package imports, and the language's version in it.
const (
	// ModulePath is the module with its major version.
	ModulePath = "weir.dev/schemas@v0"
	// ModuleVersion is the one version that this binary serves.
	ModuleVersion = "v0.1.0"
	// ImportPath is what a policy package imports.
	ImportPath = "weir.dev/schemas/v1alpha1"
	// Group and Version name the API of the kinds.
	Group   = "policy.weir.dev"
	Version = "v1alpha1"
	// APIVersion is what an object's apiVersion says.
	APIVersion = Group + "/" + Version
)

// FS holds cue.mod/module.cue and v1alpha1/*.cue: the CUE module, rooted at ".".
//
//go:embed cue.mod/module.cue v1alpha1/*.cue
var FS embed.FS

// CRDs holds crds/*.yaml, one CustomResourceDefinition a kind.
//
//go:embed crds/*.yaml
var CRDs embed.FS
