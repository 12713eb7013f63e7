package encode

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/weir-mesh/weir/compiler/ir"
	"github.com/weir-mesh/weir/compiler/plan"
)

const (
	keys     = int(ir.NumSpaces) << 16
	pageKeys = 256
	pageSize = pageKeys * 2
)

// ports is the node's partition of the port space: keys that no table tells apart share a class. It is kept as
// pages of 256 keys, most of which are the same page.
type ports struct {
	directory []byte   // page of each 256 keys
	pages     []byte   // node class of each key of a page
	numPages  int      // numbered from 0
	classes   [][]byte // by table: node class -> the table's port class
}

// boundary is a place where a table's class changes.
type boundary struct {
	start uint32
	table int
	class uint16
}

func encodePorts(tables []plan.ProjectedTable) (*ports, error) {
	var bs []boundary
	for i := range tables {
		for j, s := range tables[i].Starts {
			bs = append(bs, boundary{s, i, tables[i].Classes[j]})
		}
	}
	slices.SortFunc(bs, func(a, b boundary) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.table, b.table))
	})
	p := &ports{classes: make([][]byte, len(tables))}
	pager := &pager{known: map[string]uint16{}, uniform: map[uint16]uint16{}}
	// vector holds every table's class at the current key; equal vectors are one node class.
	vector := make([]byte, 2*len(tables))
	numbers := map[string]uint16{}
	for i := 0; i < len(bs) || i == 0; {
		start := uint32(0)
		if len(bs) > 0 {
			start = bs[i].start
		}
		for ; i < len(bs) && bs[i].start == start; i++ {
			binary.LittleEndian.PutUint16(vector[2*bs[i].table:], bs[i].class)
		}
		class, known := numbers[string(vector)]
		if !known {
			if len(numbers) >= plan.MaxClasses {
				return nil, fmt.Errorf("the node's policies tell apart more than %d classes of ports", plan.MaxClasses)
			}
			class = uint16(len(numbers))
			numbers[string(vector)] = class
			for t := range tables {
				p.classes[t] = append(p.classes[t], vector[2*t], vector[2*t+1])
			}
		}
		end := keys
		if i < len(bs) {
			end = int(bs[i].start)
		}
		pager.run(end, class)
		if len(bs) == 0 {
			break
		}
	}
	p.directory, p.pages, p.numPages = pager.directory, pager.pages, len(pager.known)
	return p, nil
}

// pager writes runs of keys into pages and finds the pages that it has already.
type pager struct {
	directory, pages []byte
	page             []byte
	known            map[string]uint16
	at               int
	uniform          map[uint16]uint16
}

// run gives the keys up to end the class.
func (p *pager) run(end int, class uint16) {
	for p.at < end {
		if len(p.page) == 0 && end-p.at >= pageKeys {
			p.whole(class)
			continue
		}
		p.page = binary.LittleEndian.AppendUint16(p.page, class)
		p.at++
		if len(p.page) == pageSize {
			p.flush()
		}
	}
}

// whole adds a page of one class.
func (p *pager) whole(class uint16) {
	p.at += pageKeys
	if n, ok := p.uniform[class]; ok {
		p.directory = binary.LittleEndian.AppendUint16(p.directory, n)
		return
	}
	for range pageKeys {
		p.page = binary.LittleEndian.AppendUint16(p.page, class)
	}
	p.uniform[class] = p.flush()
}

// flush ends a page and returns its number. There are at most keys/256 pages.
func (p *pager) flush() uint16 {
	n, ok := p.known[string(p.page)]
	if !ok {
		n = uint16(len(p.known))
		p.known[string(p.page)] = n
		p.pages = append(p.pages, p.page...)
	}
	p.directory = binary.LittleEndian.AppendUint16(p.directory, n)
	p.page = p.page[:0]
	return n
}
