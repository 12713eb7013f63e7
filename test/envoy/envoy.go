// Package envoy runs the real Envoy for tests: to validate tables and to send requests through them.
package envoy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	bootstrap "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"

	"github.com/weir-mesh/weir/internal/strict"
)

// Binary returns the path of the pinned Envoy: WEIR_ENVOY, or what hack/envoy/fetch prints. Where there is none the
// test is skipped with the reason, or fails under WEIR_STRICT=1.
func Binary(t testing.TB) string {
	t.Helper()
	if p := os.Getenv("WEIR_ENVOY"); p != "" {
		return p
	}
	_, here, _, _ := runtime.Caller(0)
	fetch := filepath.Join(filepath.Dir(here), "..", "..", "hack", "envoy", "fetch")
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), fetch)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err == nil {
		return strings.TrimSpace(string(out))
	}
	reason := fmt.Sprintf("no Envoy here: %s: %v: %s", fetch, err, strings.TrimSpace(stderr.String()))
	strict.Skip(t, reason)
	return ""
}

// Validate has Envoy look at a configuration, and fails the test with what it says.
func Validate(t testing.TB, b *bootstrap.Bootstrap) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), Binary(t), "--mode", "validate", "--log-level", "error", "-c", write(t, b)).CombinedOutput()
	if err != nil {
		t.Fatalf("Envoy refuses the configuration: %v\n%s", err, out)
	}
}

// Admin asks Envoy's administration interface.
type Admin struct{ client *http.Client }

// Get returns the body at a path such as /stats.
func (a *Admin) Get(t testing.TB, path string) string {
	t.Helper()
	_, body, err := a.get(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func (a *Admin) get(ctx context.Context, path string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://envoy"+path, nil)
	if err != nil {
		return 0, "", err
	}
	r, err := a.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	return r.StatusCode, string(b), err
}

// Start runs Envoy until the test ends and returns once it serves.
func Start(t testing.TB, b *bootstrap.Bootstrap) *Admin {
	t.Helper()
	admin := filepath.Join(t.TempDir(), "admin.sock")
	b = proto.Clone(b).(*bootstrap.Bootstrap)
	b.Admin = &bootstrap.Admin{Address: &core.Address{Address: &core.Address_Pipe{Pipe: &core.Pipe{Path: admin}}}}
	var log bytes.Buffer
	cmd := exec.CommandContext(t.Context(), Binary(t), "-c", write(t, b), "--disable-hot-restart", "--concurrency", "1", "--log-level", "error")
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting Envoy: %v", err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		<-ended // the test's context has ended, which kills it
		if t.Failed() {
			t.Logf("Envoy said:\n%s", log.String())
		}
	})
	a := &Admin{&http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", admin)
		}}}}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		select {
		case <-ended:
			t.Fatalf("Envoy ended:\n%s", log.String())
		default:
		}
		if status, _, err := a.get(t.Context(), "/ready"); err == nil && status == http.StatusOK {
			return a
		}
		if time.Now().After(deadline) {
			t.Fatalf("Envoy does not get ready")
		}
	}
}

func write(t testing.TB, b *bootstrap.Bootstrap) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "envoy.yaml")
	if err := os.WriteFile(path, YAML(t, b), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// YAML renders a message in the one way that is the same everywhere: keys sorted, as golden files want it.
func YAML(t testing.TB, m proto.Message) []byte {
	t.Helper()
	j, err := protojson.Marshal(m)
	if err != nil {
		t.Fatalf("rendering %s: %v", m.ProtoReflect().Descriptor().FullName(), err)
	}
	y, err := yaml.JSONToYAML(j)
	if err != nil {
		t.Fatalf("rendering %s: %v", m.ProtoReflect().Descriptor().FullName(), err)
	}
	return y
}
