package lab

import (
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/weir-mesh/weir/datapath"
)

// Result is what a run found.
type Result struct {
	// Run is the id in the names of everything that the lab made.
	Run        string              `json:"run"`
	Workloads  int                 `json:"workloads"`
	Namespaces int                 `json:"networkNamespaces"`
	Digest     string              `json:"decisionDigest"`
	Mode       datapath.AttachMode `json:"datapath"`
	Probes     int                 `json:"probes"`
	// Untried counts classes of ports that were left out: at most classesTried of a table are tried.
	Untried int `json:"untriedPortClasses"`
	// LeftOut is what no probe was sent to, by reason.
	LeftOut []LeftOut `json:"leftOut"`
	// Allowed and Denied are the probes' fates as seen.
	Allowed    int        `json:"allowed"`
	Denied     int        `json:"denied"`
	Mismatches []Mismatch `json:"mismatches"`
	Changes    []Change   `json:"changes"`
}

// Failed says that the wire and the plan disagree somewhere.
func (r *Result) Failed() bool {
	if len(r.Mismatches) > 0 {
		return true
	}
	for i := range r.Changes {
		if len(r.Changes[i].Mismatches) > 0 || r.Changes[i].Mixed > 0 {
			return true
		}
	}
	return false
}

// Change is what happened to open connections when the plan changed (S29).
type Change struct {
	// What changed: "policy" or "label", and the sentence that says which.
	What   string `json:"change"`
	Detail string `json:"detail"`
	Open   int    `json:"open"`
	Cut    int    `json:"cut"`
	Kept   int    `json:"kept"`
	// Judged counts the verdicts that were looked at, Mixed those that no one generation explains (S32).
	Judged     int        `json:"judged"`
	Mixed      int        `json:"mixed"`
	Mismatches []Mismatch `json:"mismatches"`
}

func (c *Change) print(w io.Writer) {
	wrong := ""
	if n := len(c.Mismatches); n > 0 {
		wrong = fmt.Sprintf(", %d not as planned", n)
	}
	fmt.Fprintf(w, "%s change under %s: %d cut as planned, %d kept%s · %s under two generations\n", c.What, count(c.Open, "open connection"), c.Cut, c.Kept, wrong,
		count(c.Mixed, "packet"))
	for i := range c.Mismatches {
		fmt.Fprintf(w, "  %s (%s)\n", c.Mismatches[i].String(), c.Detail)
	}
}

// header says what runs before the probes are sent.
func (r *Result) header(w io.Writer, nodes int, generation uint64) {
	on := ""
	if nodes > 1 {
		on = fmt.Sprintf(" on %d nodes", nodes)
	}
	fmt.Fprintf(w, "%s in %s%s · plan %s · datapath %s, generation %d\n", count(r.Workloads, "workload"), count(r.Namespaces, "network namespace"), on,
		shortDigest(r.Digest), modeName(r.Mode), generation)
}

// verdict says what became of the probes.
func (r *Result) verdict(w io.Writer) {
	fmt.Fprintf(w, "%s: %s as planned (%s allowed, %s denied) · %s\n", count(r.Probes, "probe"), thousands(r.Probes-len(r.Mismatches)),
		thousands(r.Allowed), thousands(r.Denied), mismatches(len(r.Mismatches)))
	if r.Untried > 0 {
		fmt.Fprintf(w, "  not tried: %s; of one table, %d are (`weir test --kernel` tries all)\n", countOf(r.Untried, "class of ports", "classes of ports"), classesTried)
	}
	for i := range r.LeftOut {
		fmt.Fprintf(w, "  not probed: %s\n", r.LeftOut[i].String())
	}
	for i := range r.Mismatches {
		fmt.Fprintf(w, "  %s\n", r.Mismatches[i].String())
	}
}

func mismatches(n int) string {
	if n == 1 {
		return "1 mismatch"
	}
	return thousands(n) + " mismatches"
}

func count(n int, what string) string { return countOf(n, what, what+"s") }

func countOf(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return thousands(n) + " " + many
}

// thousands prints 5580 as 5,580.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func modeName(m datapath.AttachMode) string {
	if m == datapath.TCX {
		return "TCX"
	}
	return strings.ToLower(string(m))
}

// shortDigest is the first bytes of a digest.
func shortDigest(d string) string {
	if _, err := hex.DecodeString(d); err != nil || len(d) < 4 {
		return d
	}
	return d[:4] + "…"
}
