package agent_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestDependencies holds that the agent stays a small program: no policy language, no evaluator, no cluster client, and of
// this project nothing but the plan's types, the datapath the wording of command lines and safe output.
func TestDependencies(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "github.com/weir-mesh/weir/cmd/weir-agent")
	cmd.Env = append(cmd.Environ(), "GOOS=linux", "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	const project = "github.com/weir-mesh/weir/"
	for _, pkg := range strings.Fields(string(out)) {
		for _, no := range []string{"cuelang.org/", "github.com/open-policy-agent/", "k8s.io/", "sigs.k8s.io/", "github.com/envoyproxy/", "google.golang.org/grpc"} {
			if strings.HasPrefix(pkg, no) {
				t.Errorf("the agent imports %s", pkg)
			}
		}
		if own, ok := strings.CutPrefix(pkg, project); ok {
			switch {
			case own == "cmd/weir-agent", own == "compiler/plan", own == "compiler/ir", own == "compiler/diag", own == "docs/codes", own == "internal/usage", own == "internal/plain", strings.HasPrefix(own+"/", "datapath/") && own != "datapath/lab":
			default:
				t.Errorf("the agent imports %s", pkg)
			}
		}
	}
}
