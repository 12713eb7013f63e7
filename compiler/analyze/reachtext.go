package analyze

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// portsWidth is the width from which the ports of a row go on in the next line.
const portsWidth = 44

// ReachTable prints what reaches what for people.
func ReachTable(w io.Writer, rows []Row, st Style) error {
	if len(rows) == 0 {
		_, err := io.WriteString(w, "nothing may talk to anything\n")
		return wrapWrite(err)
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
		widths[0], widths[1] = max(widths[0], width(rows[i].From)), max(widths[1], width(rows[i].To))
	}
	var b strings.Builder
	line := func(from, to, ports, via string) string {
		return strings.TrimRight(pad(from, widths[0]+3)+pad(to, widths[1]+3)+pad(ports, widths[2]+3)+via, " ") + "\n"
	}
	b.WriteString(st.Bold(strings.TrimSuffix(line(head[0], head[1], head[2], head[3]), "\n")) + "\n")
	for i := range rows {
		r := &rows[i]
		for j, c := range r.connections() {
			if j == 0 {
				b.WriteString(line(clean(r.From), clean(r.To), clean(c), clean(r.via())))
			} else {
				b.WriteString(line("", "", clean(c), ""))
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return wrapWrite(err)
}

// via is Via with what the row leaves out.
func (r *Row) via() string {
	if len(r.Except) == 0 {
		return r.Via
	}
	return r.Via + "; not " + strings.Join(r.Except, ", ")
}

// connections are the lines of a row's cell: its ports, then a line for each request.
func (r *Row) connections() []string {
	ports := wrap(r.Ports)
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
func ReachJSON(w io.Writer, rows []Row) error {
	if rows == nil {
		rows = []Row{}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return wrapWrite(e.Encode(rows))
}

// ReachCSV writes the rows as comma-separated values (RFC 4180), with a head.
func ReachCSV(w io.Writer, rows []Row) error {
	c := csv.NewWriter(w)
	out := [][]string{{"from", "to", "ports", "requests", "via"}}
	for i := range rows {
		out = append(out, []string{formula(rows[i].From), formula(rows[i].To), strings.Join(rows[i].Ports, ", "),
			strings.Join(rows[i].Requests, "; "), formula(rows[i].via())})
	}
	return wrapWrite(c.WriteAll(out))
}

// formula keeps a spreadsheet from running a cell: one that begins with =, +, - or @ is a formula there.
func formula(s string) string {
	if s != "" && strings.ContainsRune("=+-@", rune(s[0])) {
		return "'" + s
	}
	return s
}

// ReachMarkdown writes the rows as a Markdown table.
func ReachMarkdown(w io.Writer, rows []Row) error {
	var b strings.Builder
	b.WriteString("| From | To | Ports | Requests | Via |\n|---|---|---|---|---|\n")
	for i := range rows {
		r := &rows[i]
		cells := []string{r.From, r.To, strings.Join(r.Ports, ", "), strings.Join(r.Requests, "; "), r.via()}
		for j := range cells {
			cells[j] = strings.ReplaceAll(clean(cells[j]), "|", "\\|")
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
	}
	_, err := io.WriteString(w, b.String())
	return wrapWrite(err)
}

func wrapWrite(err error) error {
	if err != nil {
		return fmt.Errorf("writing what reaches what: %w", err)
	}
	return nil
}
