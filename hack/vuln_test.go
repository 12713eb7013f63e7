// Package hack holds the tests of this folder's scripts.
package hack

import (
	"compress/gzip"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-mesh/weir/internal/strict"
)

// database is Go's vulnerability database (https://go.dev/doc/security/vuln/database) with one entry: strings.Repeat.
var database = map[string]string{
	"index/db.json":      `{"modified":"2026-01-01T00:00:00Z"}`,
	"index/vulns.json":   `[{"id":"GO-2026-0001","modified":"2026-01-01T00:00:00Z"}]`,
	"index/modules.json": `[{"path":"stdlib","vulns":[{"id":"GO-2026-0001","modified":"2026-01-01T00:00:00Z"}]}]`,
	"ID/GO-2026-0001.json": `{"schema_version":"1.3.1","id":"GO-2026-0001","modified":"2026-01-01T00:00:00Z","published":"2026-01-01T00:00:00Z","summary":"it repeats","database_specific":{"url":"https://pkg.go.dev/vuln/GO-2026-0001"},
		"affected":[{"package":{"name":"stdlib","ecosystem":"Go"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}],
		"ecosystem_specific":{"imports":[{"path":"strings","symbols":["Repeat"]}]}}]}`,
}

// TestVuln runs the real scanner: findings and broken code fail, a database that cannot be reached does not.
func TestVuln(t *testing.T) {
	scanner, err := filepath.Abs("../.cache/bin/govulncheck")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(scanner); errors.Is(err, fs.ErrNotExist) {
		strict.Skip(t, "govulncheck is not installed: make vuln does it")
	}
	script, err := filepath.Abs("vuln")
	if err != nil {
		t.Fatal(err)
	}
	serve := func(without string, change ...string) string {
		changed := strings.NewReplacer(change...)
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			text, ok := database[strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/"), ".gz")]
			if !ok || without != "" && strings.Contains(r.URL.Path, without) {
				http.Error(w, "no", http.StatusServiceUnavailable)
				return
			}
			z := gzip.NewWriter(w)
			_, _ = z.Write([]byte(changed.Replace(text)))
			_ = z.Close()
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	const anyFailure = -1
	const unreachable = "known vulnerabilities were not looked for: the database"
	for name, c := range map[string]struct {
		db, code string
		status   int
		want     string
	}{
		"a finding":          {serve(""), `println(strings.Repeat("x", 2))`, 3, "GO-2026-0001"},
		"none":               {serve(""), `println(strings.ToUpper("x"))`, 0, "No vulnerabilities found."},
		"broken code":        {serve(""), `println(strings.Nothing("x"))`, 1, "undefined: strings.Nothing"},
		"nobody there":       {"http://127.0.0.1:1", `println(strings.Repeat("x", 2))`, 0, unreachable},
		"an outage":          {serve("db"), `println(strings.Repeat("x", 2))`, 0, unreachable},
		"an outage half-way": {serve("modules"), `println(strings.Repeat("x", 2))`, 0, unreachable},
		// v1.9.0 crashes over this entry's missing field, and ends with status 2 or, as its goroutines race, with 0.
		"a scan that breaks off": {serve("", "database_specific", "other"), `println(strings.Repeat("x", 2))`, anyFailure, "More info:"},
	} {
		if testing.Short() && c.want != unreachable {
			continue // a scan takes seconds
		}
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range map[string]string{"go.mod": "module example.org/app\n\ngo 1.26\n",
				"main.go": "package main\n\nimport \"strings\"\n\nfunc main() { " + c.code + " }\n"} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.CommandContext(t.Context(), script, scanner)
			cmd.Dir = dir
			cmd.Env = append(cmd.Environ(), "GOVULNDB="+c.db, "WEIR_STRICT=1", "NO_PROXY=*")
			out, _ := cmd.CombinedOutput()
			if got := cmd.ProcessState.ExitCode(); got != c.status && (c.status != anyFailure || got == 0) || !strings.Contains(string(out), c.want) {
				t.Errorf("exit status %d, want %d and %q:\n%s", got, c.status, c.want, out)
			}
		})
	}
}
