package inventory

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/weir-mesh/weir/compiler/source/manifest"
)

// plainKustomize are the fields of a kustomization that leave the objects of its files, as far as reachability goes, as they
// stand: https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/.
var plainKustomize = map[string]bool{"apiVersion": true, "kind": true, "metadata": true, "resources": true, "images": true, "replicas": true,
	"configMapGenerator": true, "secretGenerator": true, "generatorOptions": true, "buildMetadata": true, "sortOptions": true, "openapi": true}

// kustomization counts a file of kustomize that only lists files. One that changes what they say, or brings what is not
// there to be read, makes them another input than what is applied (S33).
func (r *reader) kustomization(o *manifest.Object) {
	const hint = "read what it builds instead: kustomize build DIR | weir check -; or give --lenient to read the files as they stand"
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(o.JSON, &fields); err != nil {
		r.notUnderstood(CodeBuilt, o.Pos(""), o.Ref()+" is no mapping")
		return
	}
	before := len(r.diags)
	for _, f := range slices.Sorted(maps.Keys(fields)) {
		if !plainKustomize[f] {
			r.notUnderstoodBut(CodeBuilt, o.KeyPos(f), fmt.Sprintf("kustomize changes what is applied (%s); the files are read as they stand", f), hint)
		}
	}
	var resources []string
	if err := json.Unmarshal(fields["resources"], &resources); fields["resources"] != nil && err != nil {
		r.notUnderstood(CodeBuilt, o.Pos("resources"), "resources is no list of files")
	}
	for i, f := range resources {
		if strings.HasPrefix(f, "..") || strings.Contains(f, "://") || strings.Contains(f, "?") || strings.HasPrefix(f, "git@") || strings.HasPrefix(f, "github.com/") {
			r.notUnderstoodBut(CodeBuilt, o.Pos(fmt.Sprintf("resources[%d]", i)), fmt.Sprintf("kustomize brings what is not in this folder (%s)", f), hint)
		}
	}
	if len(r.diags) == before {
		r.counted[o.Kind]++
	}
}
