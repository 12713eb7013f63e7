package apiserver

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/rest"
)

// Admin is a user who may do everything.
const Admin = "admin"

// Server is a control plane without controllers, scheduler and nodes: etcd and a kube-apiserver with RBAC, on ports of
// 127.0.0.1.
type Server struct {
	binaries, dir string
	ports         []*port
	etcd, api     *child
}

// Start runs a control plane from the binaries in one folder, with its data in another, and returns once it is ready. It
// runs until Stop, or until the context ends. Each user has a token and no rights beside RBAC's; Admin is always there.
func Start(ctx context.Context, binaries, dir string, users ...string) (*Server, error) {
	s := &Server{binaries: binaries, dir: dir}
	if err := s.start(ctx, users); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

func (s *Server) start(ctx context.Context, users []string) error {
	for range 2 {
		p, err := reserve()
		if err != nil {
			return err
		}
		s.ports = append(s.ports, p)
	}
	tokens := Admin + "," + Admin + "," + Admin + ",system:masters\n"
	for _, u := range users {
		tokens += u + "," + u + "," + u + "\n"
	}
	if err := os.WriteFile(s.path("tokens"), []byte(tokens), 0o600); err != nil {
		return fmt.Errorf("writing the users' tokens: %w", err)
	}
	if err := writeKey(s.path("key")); err != nil {
		return err
	}
	if err := s.startEtcd(ctx); err != nil {
		return err
	}
	if err := s.startAPIServer(ctx); err != nil {
		return err
	}
	return s.ready(ctx)
}

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }

func (s *Server) startEtcd(ctx context.Context) (err error) {
	url := "http://127.0.0.1:" + s.ports[0].String()
	s.etcd, err = run(ctx, s.path("etcd.log"), filepath.Join(s.binaries, "etcd"),
		"--data-dir", s.path("etcd"), "--unsafe-no-fsync", "--socket-reuse-port",
		"--listen-client-urls", url, "--advertise-client-urls", url, "--listen-peer-urls", "http://127.0.0.1:0")
	return err
}

func (s *Server) startAPIServer(ctx context.Context) (err error) {
	s.api, err = run(ctx, s.path("kube-apiserver.log"), filepath.Join(s.binaries, "kube-apiserver"),
		"--etcd-servers", "http://127.0.0.1:"+s.ports[0].String(),
		"--bind-address", "127.0.0.1", "--secure-port", s.ports[1].String(), "--permit-port-sharing",
		"--advertise-address", "127.0.0.1", "--endpoint-reconciler-type", "none", "--service-cluster-ip-range", "10.96.0.0/16",
		"--cert-dir", s.path("certificates"), "--token-auth-file", s.path("tokens"), "--authorization-mode", "RBAC",
		"--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", s.path("key"),
		"--service-account-signing-key-file", s.path("key"),
		// Without controllers no namespace gets its default service account.
		"--disable-admission-plugins", "ServiceAccount")
	return err
}

// ready waits until the API server says that it is.
func (s *Server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Minute, fmt.Errorf("it took too long"))
	defer cancel()
	for {
		for _, c := range []*child{s.etcd, s.api} {
			if err := c.ended(); err != nil {
				return fmt.Errorf("waiting for the API server: a process ended: %w", err)
			}
		}
		if s.answers(ctx) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the API server, whose output is in %s: %w", s.api.log, context.Cause(ctx))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (s *Server) answers(ctx context.Context) bool {
	config := s.Config(Admin)
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return false // its certificate is not written yet
	}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, config.Host+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// Config returns how a user reaches the API server.
func (s *Server) Config(user string) *rest.Config {
	return &rest.Config{
		Host:            "https://127.0.0.1:" + s.ports[1].String(),
		BearerToken:     user,
		TLSClientConfig: rest.TLSClientConfig{CAFile: s.path("certificates/apiserver.crt")},
		QPS:             -1, // no limit of the client's own
	}
}

// Stop ends both processes at once; what is in the data folder is not for use again.
func (s *Server) Stop() {
	for _, c := range []*child{s.api, s.etcd} {
		if c != nil {
			c.kill()
		}
	}
	for _, p := range s.ports {
		p.release()
	}
}

// Memory returns the most memory that the processes have had resident, in bytes, by name (VmHWM in proc(5)).
func (s *Server) Memory() (map[string]int, error) {
	out := map[string]int{}
	for name, c := range map[string]*child{"etcd": s.etcd, "kube-apiserver": s.api} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.process.Pid))
		if err != nil {
			return nil, fmt.Errorf("reading the memory of %s: %w", name, err)
		}
		_, after, _ := strings.Cut(string(text), "VmHWM:")
		var kib int
		if _, err := fmt.Sscanf(after, "%d kB", &kib); err != nil {
			return nil, fmt.Errorf("reading the memory of %s: %w", name, err)
		}
		out[name] = kib << 10
	}
	return out, nil
}

// writeKey writes a new key with which the API server signs tokens of service accounts.
func writeKey(path string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making a key: %w", err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("encoding a key: %w", err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return fmt.Errorf("writing a key: %w", err)
	}
	return nil
}
