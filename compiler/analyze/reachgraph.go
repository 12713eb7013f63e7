package analyze

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"
)

// nodesOf lists the names in the rows, in order.
func nodesOf(rows []Row) []string {
	names := map[string]bool{}
	for i := range rows {
		names[rows[i].From], names[rows[i].To] = true, true
	}
	return slices.Sorted(maps.Keys(names))
}

// label is what an edge says.
func (r *Row) label() string {
	return strings.Join(append(slices.Clone(r.ports()), r.Requests...), ", ")
}

// about is what else there is to say of an edge: the part of its ends that it is about, and how it is let through.
func (r *Row) about() string {
	if r.FromOnly == nil && r.ToOnly == nil {
		return r.via()
	}
	return r.from() + " → " + r.to() + ": " + r.via()
}

// dashed is what makes an edge a dashed one, where nothing passes yet.
func (r *Row) dashed(how string) string {
	if r.Denied {
		return how
	}
	return ""
}

// ReachDot writes the rows as a graph for Graphviz, one cluster a namespace.
func ReachDot(ctx context.Context, w io.Writer, rows []Row) error {
	b := newListing(ctx, w)
	_, _ = b.WriteString("digraph reach {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n  edge [fontname=\"sans-serif\", fontsize=9];\n")
	byNamespace := map[string][]string{}
	var namespaces []string
	for _, n := range nodesOf(rows) {
		ns, _, ok := strings.Cut(n, "/")
		if _, err := netip.ParsePrefix(n); err == nil || !ok {
			_, _ = fmt.Fprintf(b, "  %q [shape=ellipse];\n", n)
			continue
		}
		if byNamespace[ns] == nil {
			namespaces = append(namespaces, ns)
		}
		byNamespace[ns] = append(byNamespace[ns], n)
	}
	for _, ns := range namespaces {
		_, _ = fmt.Fprintf(b, "  subgraph %q {\n    label=%q;\n", "cluster_"+ns, ns)
		for _, n := range byNamespace[ns] {
			_, _ = fmt.Fprintf(b, "    %q [label=%q];\n", n, strings.TrimPrefix(n, ns+"/"))
		}
		_, _ = b.WriteString("  }\n")
	}
	for i := range rows {
		r := &rows[i]
		_, _ = fmt.Fprintf(b, "  %q -> %q [label=%q, tooltip=%q%s];\n", r.From, r.To, r.label(), r.about(), r.dashed(", style=dashed"))
		if err := b.failed(); err != nil {
			return err
		}
	}
	_, _ = b.WriteString("}\n")
	return b.end()
}

// The picture's measures, in pixels.
const (
	svgBoxHeight = 26
	svgChar      = 7.2
	svgMargin    = 24
	svgMinRadius = 160
	svgPerNode   = 46
)

// point is a place in the picture.
type point struct{ x, y float64 }

// ReachSVG writes the rows as a picture: the ends on a circle, an arrow for each row. The same rows give the same
// bytes; it needs no other program.
func ReachSVG(ctx context.Context, w io.Writer, rows []Row) error {
	nodes := nodesOf(rows)
	widest := 0
	for _, n := range nodes {
		widest = max(widest, width(n))
	}
	box := math.Round(float64(widest)*svgChar) + 16
	radius := max(svgMinRadius, float64(len(nodes)*svgPerNode)/(2*math.Pi))
	size := 2*radius + svgBoxHeight + 2*svgMargin
	wide := 2*radius + box + 2*svgMargin
	centre := point{wide / 2, size / 2}
	at := map[string]point{}
	for i, n := range nodes {
		a := 2*math.Pi*float64(i)/float64(len(nodes)) - math.Pi/2
		at[n] = point{centre.x + radius*math.Cos(a), centre.y + radius*math.Sin(a)}
	}
	b := newListing(ctx, w)
	_, _ = fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="12">`+"\n", wide, size, wide, size)
	_, _ = b.WriteString(`<title>What may talk to what</title>` + "\n")
	_, _ = b.WriteString(`<defs><marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L10 5L0 10z" fill="#555"/></marker></defs>` + "\n")
	for i := range rows {
		svgEdge(b, &rows[i], at, centre, box)
		if err := b.failed(); err != nil {
			return err
		}
	}
	for _, n := range nodes {
		p := at[n]
		_, _ = fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%d" rx="4" fill="#fff" stroke="#333"/><text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`+"\n",
			p.x-box/2, p.y-svgBoxHeight/2, box, svgBoxHeight, p.x, p.y+4, escapeXML(n))
	}
	_, _ = b.WriteString("</svg>\n")
	return b.end()
}

// svgEdge draws an arrow that bends towards the centre, and names its connections when pointed at.
func svgEdge(b io.Writer, r *Row, at map[string]point, centre point, box float64) {
	from, to, dashes := at[r.From], at[r.To], r.dashed(` stroke-dasharray="5 4"`)
	if r.From == r.To {
		_, _ = fmt.Fprintf(b, `<path d="M%.1f %.1fa14 14 0 1 1 20 0" fill="none" stroke="#888"%s marker-end="url(#arrow)">`, from.x-10, from.y-svgBoxHeight/2, dashes)
	} else {
		bend := point{(from.x+to.x)/2*0.7 + centre.x*0.3, (from.y+to.y)/2*0.7 + centre.y*0.3}
		start, end := edgeOfBox(from, bend, box), edgeOfBox(to, bend, box)
		_, _ = fmt.Fprintf(b, `<path d="M%.1f %.1fQ%.1f %.1f %.1f %.1f" fill="none" stroke="#888"%s marker-end="url(#arrow)">`, start.x, start.y, bend.x, bend.y, end.x, end.y, dashes)
	}
	_, _ = fmt.Fprintf(b, "<title>%s</title></path>\n", escapeXML(r.from()+" → "+r.to()+": "+r.label()+" ("+r.via()+")"))
}

// edgeOfBox is where the line from a box's middle to another point leaves the box.
func edgeOfBox(middle, other point, box float64) point {
	dx, dy := other.x-middle.x, other.y-middle.y
	if dx == 0 && dy == 0 {
		return middle
	}
	scale := math.Inf(1)
	if dx != 0 {
		scale = box / 2 / math.Abs(dx)
	}
	if dy != 0 {
		scale = min(scale, svgBoxHeight/2/math.Abs(dy))
	}
	scale = min(scale, 1)
	return point{middle.x + dx*scale, middle.y + dy*scale}
}

func escapeXML(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(clean(s))
}
