package envoy

import (
	"slices"
	"testing"
	"time"

	"github.com/weir-mesh/weir/compiler/compile"
	"github.com/weir-mesh/weir/compiler/diag"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/compiler/route"
	"github.com/weir-mesh/weir/compiler/source/weirroute"
)

// Now is when the meshes of tests are compiled: long before they run, so that what the plan still allows has ended by
// Envoy's clock.
var Now = time.Date(2020, 1, 1, 12, 0, 0, 0, time.UTC)

// Compile makes the plan and the waypoints' tables of the files at path, as the commands do.
func Compile(t testing.TB, path string) (*plan.Plan, []route.Waypoint, diag.List) {
	t.Helper()
	r, err := compile.Compile(t.Context(), compile.Options{Paths: []string{path}, Now: Now})
	if err != nil {
		t.Fatal(err)
	}
	routes, found := weirroute.Lower(r.Routes)
	diags := slices.Concat(r.Diagnostics, found)
	if diags.HasErrors() {
		for i := range diags {
			t.Error(diags[i].Error())
		}
		t.FailNow()
	}
	ws, found, err := route.Build(r.Plan, route.Input{Routes: routes, Grants: r.Grants, Providers: r.Providers, Config: r.Config})
	if err != nil {
		t.Fatal(err)
	}
	return r.Plan, ws, found
}
