package cuesrc

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// writePolicies writes n policies of two rules each, perFile in a file. Style "data" spells everything out,
// "reference" takes a port from a hidden field, "computed" makes all by one
// comprehension.
func writePolicies(t testing.TB, dir, style string, n, perFile int) {
	t.Helper()
	if style == "computed" {
		computePolicies(t, dir, n)
		return
	}
	var b strings.Builder
	for i := range n {
		if i%perFile == 0 {
			b.Reset()
			b.WriteString("package policies\n\nimport \"weir.dev/schemas/v1alpha1\"\n\nv1alpha1.#Bundle\n\n")
			if i == 0 {
				b.WriteString("_https: {port: 443, protocol: \"TCP\"}\n")
			}
		}
		https := `{port: 443, protocol: "TCP"}`
		if style != "data" {
			https = "_https"
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
		ports: [%[6]s, {port: 8000, endPort: 8100, protocol: "UDP"}]
		authentication: "none"
		exception:      "outside"
	}]
}
`, i%50, i, (i*7)%n, (i*3)%50, 1024+i%60000, https)
		if (i+1)%perFile == 0 || i == n-1 {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("p%05d.cue", i/perFile)), []byte(b.String()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func computePolicies(t testing.TB, dir string, n int) {
	t.Helper()
	text := fmt.Sprintf(`package policies

import (
	"list"
	"weir.dev/schemas/v1alpha1"
)

v1alpha1.#Bundle

for i in list.Range(0, %d, 1) {
	meshPolicies: "team-\(mod(i, 50))/app-\(i)": spec: {
		owner: "team"
		subject: matchLabels: app: "app-\(i)"
		ingress: [{
			action: "allow"
			from: [{pods: matchLabels: app: "app-\(i+1)"}, {pods: matchLabels: tier: "web", namespaces: matchLabels: team: "a"}]
			ports: [{port: 1024 + i, protocol: "TCP"}]
			http: [{methods: ["GET", "POST"], path: prefix: "/v1"}]
		}]
	}
}
`, n)
	if err := os.WriteFile(filepath.Join(dir, "p.cue"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkLoad is `weir check`'s share of CUE: the child process included. Beside the time stand the most memory that
// a child has had, and the processor time of all of them, since the program began.
func BenchmarkLoad(b *testing.B) {
	for _, style := range []string{"data", "reference", "computed"} {
		for _, n := range []int{1000, 10000} {
			for _, perFile := range []int{n, 10} {
				if style == "computed" && perFile != n {
					continue
				}
				b.Run(fmt.Sprintf("%s/%d/%dperFile", style, n, perFile), func(b *testing.B) {
					dir := b.TempDir()
					writePolicies(b, dir, style, n, perFile)
					for b.Loop() {
						bundle, err := Load(context.Background(), Options{Paths: []string{dir}, Timeout: time.Hour})
						if err != nil {
							b.Fatal(err)
						}
						if len(bundle.Objects) != n || len(bundle.Diagnostics) > 0 {
							b.Fatalf("%d objects, %v", len(bundle.Objects), bundle.Diagnostics)
						}
					}
					var u syscall.Rusage
					if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &u); err != nil {
						b.Fatal(err)
					}
					b.ReportMetric(float64(u.Maxrss)/1024, "MiB-peak-so-far")
					b.ReportMetric(float64(u.Utime.Sec+u.Stime.Sec), "s-cpu-so-far")
				})
			}
		}
	}
}
