package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-mesh/weir/compiler/analyze"
	"github.com/weir-mesh/weir/compiler/compile"
	"github.com/weir-mesh/weir/compiler/plan"
	"github.com/weir-mesh/weir/internal/plain"
)

func (a *app) explainCommand() *cobra.Command {
	var request, flows string
	var headers []string
	cmd := &cobra.Command{
		Use:   "explain FROM TO PORT",
		Short: "Say what becomes of a flow, and which rule is behind it",
		Long: `Explain prints the verdict on a flow, what each side says, tier by tier, and which rules miss it narrowly.

FROM and TO are ns/name, ns/kind/name, ns/service/name (with -n, also name, kind/name, service/name of that namespace), a pod, an address, a SPIFFE id, a DNS name, or an entity (world,
cluster, host, kube-apiserver, own-node). PORT is 8443 (TCP), UDP/53, ICMP/8, IP/47, or the name of a container port.

With --flows it answers JSON lines {"from","to","protocol","port","http","id"}, id being yours, and adds verdict, egress, ingress, rule and
authentication to each, audit and auditRule where what is in audit would change the verdict, and notPortable where
NetworkPolicy's API leaves the answer open; a line that cannot be answered gets an error, and the exit status is then 2.`,
		Example: `  weir explain -f policies/ shop/checkout shop/payments 8443 --http 'POST /v1/charges'
  weir explain -f policies/ --flows flows.jsonl`,
		Args: func(_ *cobra.Command, args []string) error {
			if want := 3; flows == "" && len(args) != want {
				return exit(statusUnknown, errors.New("explain needs FROM TO PORT, or --flows FILE"))
			}
			if flows != "" && len(args) != 0 {
				return exit(statusUnknown, errors.New("explain takes FROM TO PORT or --flows, not both"))
			}
			if flows == compile.Stdin && slices.Contains(a.flags.files, compile.Stdin) {
				return exit(statusUnknown, errors.New("-f - and --flows - would both read stdin: give one of them a file"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if flows != "" {
				return a.explainFlows(cmd.Context(), flows)
			}
			return a.explain(cmd.Context(), args, request, headers)
		},
	}
	cmd.Flags().StringVar(&request, "http", "", "a request: 'GET /x', 'POST https://host/x'")
	cmd.Flags().StringArrayVarP(&headers, "header", "H", nil, "a header of the request: 'name: value' (repeatable; a header that comes again is one value, joined by commas)")
	cmd.Flags().StringVar(&flows, "flows", "", "file of flows as JSON lines, - for stdin")
	a.outputFlag(cmd, "text", "json")
	return cmd
}

func (a *app) explain(ctx context.Context, args []string, request string, headers []string) error {
	port, err := analyze.ParsePort(args[2])
	if err != nil {
		return exit(statusUnknown, err)
	}
	req, err := parseRequest(request, headers)
	if err != nil {
		return exit(statusUnknown, err)
	}
	r, err := a.load(ctx, nil)
	if err != nil {
		return err
	}
	n, err := a.names(r)
	if err != nil {
		return err
	}
	q := analyze.Question{Port: port, Request: req}
	if q.From, err = n.Resolve(args[0]); err != nil {
		return exit(statusUnknown, err)
	}
	if q.To, err = n.Resolve(args[1]); err != nil {
		return exit(statusUnknown, err)
	}
	e, err := analyze.NewExplainer(n).Explain(q)
	if err != nil {
		return exit(statusUnknown, err)
	}
	if a.flags.output == "json" {
		return writeJSON(a.out, e)
	}
	st, err := a.style(a.out)
	if err != nil {
		return err
	}
	return e.Text(a.out, st)
}

// headerName is what a header may be called, as in the language (schemas/v1alpha1/http.cue).
var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_|~-]+$")

// parseRequest reads 'METHOD TARGET', where the target is a path or an address with a host.
func parseRequest(s string, headers []string) (*plan.Request, error) {
	if s == "" {
		if len(headers) > 0 {
			return nil, errors.New("--header goes with --http")
		}
		return nil, nil
	}
	method, target, ok := strings.Cut(strings.TrimSpace(s), " ")
	if !ok {
		method, target = "GET", method
	}
	q := analyze.Request{Method: method, Path: strings.TrimSpace(target), Headers: analyze.Headers{}}
	if _, rest, ok := strings.Cut(q.Path, "://"); ok {
		host, path, _ := strings.Cut(rest, "/")
		q.Host, q.Path = host, "/"+path
	}
	if !strings.HasPrefix(q.Path, "/") || strings.ContainsAny(q.Path, " \t") || strings.ToUpper(method) != method {
		return nil, fmt.Errorf("--http %q is no request: write it as 'GET /x'", s)
	}
	for _, h := range headers {
		k, v, ok := strings.Cut(h, ":")
		if k = strings.TrimSpace(k); !ok || !headerName.MatchString(k) {
			return nil, fmt.Errorf("--header %q is no header: write it as 'name: value'", h)
		}
		k, v = strings.ToLower(k), strings.TrimSpace(v)
		if k != "host" {
			q.Headers[k] = append(q.Headers[k], v)
			continue
		}
		if q.Host != "" {
			return nil, fmt.Errorf("--header %q: a request has one host", h)
		}
		q.Host = v
	}
	return q.Plan(), nil
}

func (a *app) explainFlows(ctx context.Context, name string) error {
	in := a.in
	if name != compile.Stdin {
		f, err := os.Open(name)
		if err != nil {
			return exit(statusUnknown, err)
		}
		defer func() { _ = f.Close() }() // read only
		in = f
	}
	r, err := a.load(ctx, nil)
	if err != nil {
		return err
	}
	n, err := a.names(r)
	if err != nil {
		return err
	}
	return a.answerFlows(ctx, n, in)
}

func (a *app) answerFlows(ctx context.Context, n *analyze.Names, in io.Reader) error {
	bad, err := n.Flows(ctx, plain.JSON(a.out), in, runtime.GOMAXPROCS(0))
	switch {
	case err != nil:
		return exit(statusUnknown, err)
	case bad > 0:
		return exit(statusUnknown, fmt.Errorf("%s could not be answered: see the error fields", count(bad, "flow", "flows")))
	}
	return nil
}
