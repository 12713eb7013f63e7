package cuesrc

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writePolicies writes n policies of two rules each, perFile in a file.
func writePolicies(t testing.TB, dir string, n, perFile int) {
	t.Helper()
	var b strings.Builder
	for i := range n {
		if i%perFile == 0 {
			b.Reset()
			b.WriteString("package policies\n\nimport \"weir.dev/schemas/v1alpha1\"\n\nv1alpha1.#Bundle\n\n")
		}
		fmt.Fprintf(&b, `meshPolicies: "team-%d/app-%d": spec: {
	owner:   "team-%[1]d"
	purpose: "what app %[2]d needs"
	subject: matchLabels: app: "app-%[2]d"
	ingress: [{
		action: "allow"
		from: [{pods: matchLabels: app: "app-%[3]d"}, {pods: matchLabels: tier: "web", namespaces: matchLabels: team: "team-%[4]d"}]
		ports: [{port: %[5]d, protocol: "TCP"}]
		http: [{methods: ["GET", "POST"], path: prefix: "/v1"}]
	}]
	egress: [{
		action: "allow"
		to: [{cidr: {cidr: "192.0.2.0/24", except: ["192.0.2.128/25"]}}]
		ports: [{port: 443, protocol: "TCP"}, {port: 8000, endPort: 8100, protocol: "UDP"}]
		authentication: "none"
		exception:      "outside"
	}]
}
`, i%50, i, (i*7)%n, (i*3)%50, 1024+i%60000)
		if (i+1)%perFile == 0 || i == n-1 {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("p%05d.cue", i/perFile)), []byte(b.String()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestBench0(t *testing.T) {
	for _, c := range []struct{ n, per int }{{1000, 1000}, {1000, 1}, {10000, 10000}, {10000, 10}} {
		dir := t.TempDir()
		writePolicies(t, dir, c.n, c.per)
		t0 := time.Now()
		b, err := Load(context.Background(), Options{Paths: []string{dir}})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println(c, time.Since(t0), len(b.Objects), len(b.Diagnostics), peak)
		for _, d := range b.Diagnostics[:min(3, len(b.Diagnostics))] {
			fmt.Println(d.Error())
		}
	}
}
