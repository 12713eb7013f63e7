// Package arrows holds the directions in which the project's packages may depend on each other: docs/ARCHITECTURE.md.
package arrows

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/weir-mesh/weir/"

// may lists, for each package or folder (with a trailing slash), the packages and folders that its non-test code may
// import. The longest match counts.
var may = map[string][]string{
	"docs/codes":                    {},
	"schemas/":                      {"schemas/"},
	"compiler/diag":                 {"docs/codes", "internal/plain"},
	"compiler/ir":                   {"compiler/diag"},
	"compiler/plan":                 {"compiler/diag", "compiler/ir"},
	"compiler/source/manifest":      {"compiler/diag"},
	"compiler/inventory":            {"compiler/diag", "compiler/ir", "compiler/source/manifest"},
	"compiler/source/cuesrc":        {"compiler/diag", "compiler/source/manifest", "schemas/"},
	"compiler/source/networkpolicy": {"compiler/diag", "compiler/ir", "compiler/source/manifest"},
	"compiler/source/weir":          {"compiler/diag", "compiler/ir", "compiler/inventory", "compiler/source/manifest", "schemas/"},
	"compiler/source/weirroute":     {"compiler/diag", "compiler/ir", "compiler/source/weir", "schemas/"},
	"compiler/resolve":              {"compiler/diag", "compiler/ir", "compiler/inventory", "compiler/plan"},
	"compiler/project":              {"compiler/diag", "compiler/ir", "compiler/plan"},
	"compiler/route":                {"compiler/diag", "compiler/ir", "compiler/inventory", "compiler/plan", "compiler/resolve"},
	"compiler/analyze":              {"internal/plain", "compiler/diag", "compiler/ir", "compiler/inventory", "compiler/plan", "compiler/resolve"},
	"compiler/compile":              {"compiler/", "schemas/"},
	"datapath/internal/":            {"compiler/diag", "compiler/ir", "compiler/plan", "datapath/", "internal/strict"},
	"datapath/":                     {"internal/plain", "compiler/diag", "compiler/ir", "compiler/plan", "datapath/"},
	"datapath/lab":                  {"compiler/", "datapath/"},
	"cmd/weir":                      {"internal/plain", "internal/usage", "compiler/", "datapath/", "docs/", "policies/", "schemas/"},
	"cmd/weir-agent":                {"internal/plain", "internal/usage", "compiler/diag", "compiler/ir", "compiler/plan", "datapath/"},
	"policies/":                     {},
	"test/":                         {"internal/strict", "compiler/", "datapath/", "schemas/", "test/", "docs/"},
	"test/documents":                {"hack/gen/language", "schemas/"},
	"hack/":                         {"compiler/", "schemas/", "hack/"},
	"internal/":                     {},
}

func TestPackagesDependDownwardsOnly(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "../../...").Output()
	if err != nil {
		t.Fatalf("listing the packages: %v", err)
	}
	packages := 0
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(fields[0], module)
		packages++
		rule, ok := find(pkg)
		if !ok {
			t.Errorf("%s has no rule here: say what it may import", pkg)
			continue
		}
		for _, imp := range fields[1:] {
			if short, ours := strings.CutPrefix(imp, module); ours && !slices.ContainsFunc(may[rule], func(m string) bool { return covers(m, short) }) {
				t.Errorf("%s imports %s, which is not below it", pkg, short)
			}
		}
	}
	if packages < 20 {
		t.Errorf("only %d packages were looked at", packages)
	}
}

func find(pkg string) (string, bool) {
	best := ""
	for rule := range may {
		if covers(rule, pkg) && len(rule) > len(best) {
			best = rule
		}
	}
	return best, best != ""
}

// covers reports whether a rule's name stands for a package: itself, or with a trailing slash all below it.
func covers(rule, pkg string) bool {
	return rule == pkg || strings.HasSuffix(rule, "/") && strings.HasPrefix(pkg+"/", rule)
}
