package analyze

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// portsWidth is the width from which the ports of a row go on in the next line.
const portsWidth = 44

// listing writes rows in pieces, and ends with its context: many rows make many bytes, and who reads them may be slow.
type listing struct {
	*bufio.Writer
	ctx context.Context
}

// stopped is a writer that ends with a context.
type stopped struct {
	ctx context.Context
	w   io.Writer
}

func (s stopped) Write(b []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.w.Write(b)
}

func newListing(ctx context.Context, w io.Writer) *listing {
	return &listing{bufio.NewWriterSize(stopped{ctx, w}, 1<<16), ctx}
}

// failed returns why no more is written; it is asked once a row.
func (l *listing) failed() error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	_, err := l.Write(nil)
	return wrapWrite(err)
}

// end writes what is left.
func (l *listing) end() error { return wrapWrite(l.Flush()) }

// ReachTable prints what reaches what for people.
func ReachTable(ctx context.Context, w io.Writer, rows []Row, st Style) error {
	b := newListing(ctx, w)
	if len(rows) == 0 {
		_, _ = b.WriteString("nothing may talk to anything\n")
		return b.end()
	}
	head := [...]string{"FROM", "TO", "PORTS", "VIA"}
	var widths [3]int
	for i := range widths {
		widths[i] = width(head[i])
	}
	for i := range rows {
		for _, line := range rows[i].connections() {
			widths[2] = max(widths[2], width(line))
		}
		widths[0], widths[1] = max(widths[0], width(rows[i].from())), max(widths[1], width(rows[i].to()))
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	line := func(from, to, ports, via string) string {
		return strings.TrimRight(pad(from, widths[0]+3)+pad(to, widths[1]+3)+pad(ports, widths[2]+3)+via, " ") + "\n"
	}
	_, _ = b.WriteString(st.Bold(strings.TrimSuffix(line(head[0], head[1], head[2], head[3]), "\n")) + "\n")
	for i := range rows {
		r := &rows[i]
		for j, c := range r.connections() {
			if j == 0 {
				_, _ = b.WriteString(line(clean(r.from()), clean(r.to()), clean(c), clean(r.via())))
			} else {
				_, _ = b.WriteString(line("", "", clean(c), ""))
			}
		}
		if err := b.failed(); err != nil {
			return err
		}
	}
	_, _ = b.WriteString(inNetworks(rows))
	return b.end()
}

// inNetworks says which workloads the lines of nodes are about, too (S1).
func inNetworks(rows []Row) string {
	var out strings.Builder
	for _, name := range []string{"host", apiServer, "own-node"} {
		for i := range rows {
			pods := rows[i].FromPods
			if rows[i].To == name {
				pods = rows[i].ToPods
			} else if rows[i].From != name {
				continue
			}
			if len(pods) > 0 {
				fmt.Fprintf(&out, "%s stands for what shares its nodes' network, too: %s\n", name, clean(andList(pods)))
			}
			break
		}
	}
	return out.String()
}

// from and to are the ends, with the part of them that the row is about.
func (r *Row) from() string { return only(r.From, r.FromOnly, r.fromBut) }

func (r *Row) to() string { return only(r.To, r.ToOnly, r.toBut) }

// only names an end and the part of it that a row is about, by the shorter of two lists.
func only(end string, names, but []string) string {
	if len(names) == 0 {
		return end
	}
	ns, _, _ := strings.Cut(end, "/")
	short := func(names []string) string {
		out := make([]string, len(names))
		for i, n := range names {
			out[i] = strings.TrimPrefix(n, ns+"/")
		}
		return someOf(out)
	}
	if len(but) > 0 && len(but) < len(names) {
		return end + " (all but " + short(but) + ")"
	}
	return end + " (only " + short(names) + ")"
}

// via is Via with what the row leaves out, and what else there is to say of it.
func (r *Row) via() string {
	out := r.Via
	if len(r.Except) > 0 {
		out += "; not " + strings.Join(r.Except, ", ")
	}
	if r.DependsOn != "" {
		out += "; depends on " + r.DependsOn
	}
	if r.Audit != nil {
		out += "; " + r.Audit.Text
	}
	return out
}

// ports are the ports, with the family that they are about.
func (r *Row) ports() []string {
	if r.Family == "" || len(r.Ports) == 0 {
		return r.Ports
	}
	return append([]string{"over " + r.Family + ": " + r.Ports[0]}, r.Ports[1:]...)
}

// connections are the lines of a row's cell: its ports, then a line for each request.
func (r *Row) connections() []string {
	ports := wrap(r.ports())
	if len(r.Requests) == 0 {
		return ports
	}
	if len(ports) == 1 {
		out := []string{ports[0] + "  " + r.Requests[0]}
		for _, q := range r.Requests[1:] {
			out = append(out, strings.Repeat(" ", width(ports[0])+2)+q)
		}
		return out
	}
	return append(ports, r.Requests...)
}

func wrap(parts []string) []string {
	var out []string
	for _, p := range parts {
		if n := len(out); n > 0 && width(out[n-1])+2+width(p) <= portsWidth {
			out[n-1] += ", " + p
		} else {
			if n > 0 {
				out[n-1] += ","
			}
			out = append(out, p)
		}
	}
	return out
}

// ReachJSON writes the rows as a JSON array.
func ReachJSON(ctx context.Context, w io.Writer, rows []Row) error {
	b := newListing(ctx, w)
	_, _ = b.WriteString("[")
	var one bytes.Buffer
	e := json.NewEncoder(&one)
	e.SetIndent("  ", "  ")
	e.SetEscapeHTML(false)
	for i := range rows {
		one.Reset()
		if err := e.Encode(&rows[i]); err != nil {
			return wrapWrite(err)
		}
		if i > 0 {
			_ = b.WriteByte(',')
		}
		_, _ = b.WriteString("\n  ")
		_, _ = b.Write(bytes.TrimSuffix(one.Bytes(), []byte("\n")))
		if err := b.failed(); err != nil {
			return err
		}
	}
	if len(rows) > 0 {
		_ = b.WriteByte('\n')
	}
	_, _ = b.WriteString("]\n")
	return b.end()
}

// ReachCSV writes the rows as comma-separated values (RFC 4180), with a head. The ends are names alone: what limits a row to
// a part of them has columns of its own.
func ReachCSV(ctx context.Context, w io.Writer, rows []Row) error {
	c := csv.NewWriter(stopped{ctx, w})
	if err := c.Write([]string{"from", "to", "ports", "requests", "via", "family", "fromOnly", "toOnly", "except", "dependsOn", "audit"}); err != nil {
		return wrapWrite(err)
	}
	for i := range rows {
		r := &rows[i]
		line := []string{r.From, r.To, strings.Join(r.Ports, ", "), strings.Join(r.Requests, "; "), r.Via, r.Family, strings.Join(r.FromOnly, ", "),
			strings.Join(r.ToOnly, ", "), strings.Join(r.Except, ", "), r.DependsOn, ""}
		if r.Audit != nil {
			line[len(line)-1] = r.Audit.Text
		}
		for j := range line {
			line[j] = formula(clean(line[j]))
		}
		if err := c.Write(line); err != nil {
			return wrapWrite(err)
		}
	}
	c.Flush()
	return wrapWrite(c.Error())
}

// formula keeps a spreadsheet from running a cell: one that begins with =, +, - or @ is a formula there.
func formula(s string) string {
	if s != "" && strings.ContainsRune("=+-@", rune(s[0])) {
		return "'" + s
	}
	return s
}

// ReachMarkdown writes the rows as a Markdown table.
func ReachMarkdown(ctx context.Context, w io.Writer, rows []Row) error {
	b := newListing(ctx, w)
	_, _ = b.WriteString("| From | To | Ports | Requests | Via |\n|---|---|---|---|---|\n")
	for i := range rows {
		r := &rows[i]
		cells := []string{r.from(), r.to(), strings.Join(r.ports(), ", "), strings.Join(r.Requests, "; "), r.via()}
		for j := range cells {
			cells[j] = strings.ReplaceAll(clean(cells[j]), "|", "\\|")
		}
		_, _ = fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
		if err := b.failed(); err != nil {
			return err
		}
	}
	return b.end()
}

func wrapWrite(err error) error {
	if err != nil {
		return fmt.Errorf("writing what reaches what: %w", err)
	}
	return nil
}
