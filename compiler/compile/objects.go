package compile

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/source/cuesrc"
	"github.com/weir-mesh/weir/compiler/source/manifest"
	"github.com/weir-mesh/weir/compiler/source/weir"
)

// cueObject is an object that the CUE schema has judged already.
type cueObject struct{ *cuesrc.Object }

// Decode fails only where the schema and the Go types, which are generated from it, disagree.
func (o cueObject) Decode(into any) diag.List {
	if err := json.Unmarshal(o.JSON, into); err != nil {
		return diag.List{{Code: manifest.CodeWrongType, Severity: diag.Error, Pos: o.Pos(""), Message: "cannot read the " + o.Kind + ": " + err.Error()}}
	}
	return nil
}

func (r *Result) tests(bundle *cuesrc.Bundle) {
	for i := range bundle.Tests {
		o := &bundle.Tests[i]
		t := Test{Name: o.Name, Pos: o.Pos(""), At: o.Pos}
		r.Diagnostics = append(r.Diagnostics, cueObject{o}.Decode(&t.Test)...)
		r.Tests = append(r.Tests, t)
	}
}

// referenceGrant is gateway.networking.k8s.io's ReferenceGrant.
type referenceGrant struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        metav1.ObjectMeta `json:"metadata"`
	Spec            struct {
		From []struct {
			Group     string `json:"group"`
			Kind      string `json:"kind"`
			Namespace string `json:"namespace"`
		} `json:"from"`
		To []struct {
			Group string `json:"group"`
			Kind  string `json:"kind"`
			Name  string `json:"name"`
		} `json:"to"`
	} `json:"spec"`
}

func isReferenceGrant(o *manifest.Object) bool {
	return o.Group() == "gateway.networking.k8s.io" && o.Kind == "ReferenceGrant"
}

// grants reads which namespaces' MeshRoutes may name services of the grant's namespace (S26).
func (r *Result) grants(o *manifest.Object, namespace string) {
	var g referenceGrant
	found := append(o.DecodeKnown(&g), o.CheckNames()...)
	if r.Diagnostics = append(r.Diagnostics, found...); found.HasErrors() {
		return
	}
	for i, from := range g.Spec.From {
		if from.Group != weir.Group || from.Kind != "MeshRoute" {
			continue
		}
		for _, to := range g.Spec.To {
			if to.Group == "" && to.Kind == "Service" {
				r.Grants = append(r.Grants, ir.ReferenceGrant{From: from.Namespace, Namespace: o.NamespaceOr(namespace), Service: to.Name, Pos: o.Pos(fmt.Sprintf("spec.from[%d]", i))})
			}
		}
	}
}

// manifestPaths leaves out the CUE files that were named one by one.
func manifestPaths(paths []string) []string {
	var out []string
	for _, p := range paths {
		if filepath.Ext(p) != ".cue" || isFolder(p) {
			out = append(out, p)
		}
	}
	return out
}

// cuePaths are the paths that hold CUE: files, and folders with a .cue file somewhere below. What cannot be walked
// is kept, so that it is reported.
func cuePaths(paths []string) []string {
	var out []string
	for _, p := range paths {
		if filepath.Ext(p) == ".cue" || isFolder(p) && holdsCUE(p) {
			out = append(out, p)
		}
	}
	return out
}

func isFolder(p string) bool {
	fi, err := os.Stat(p)
	return err == nil && fi.IsDir()
}

func holdsCUE(folder string) bool {
	found := false
	err := filepath.WalkDir(folder+string(filepath.Separator), func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if found = filepath.Ext(name) == ".cue"; found {
			return fs.SkipAll
		}
		return nil
	})
	return found || err != nil
}
