package datapath

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/weir-mesh/weir/datapath/encode"
	"github.com/weir-mesh/weir/datapath/load"
)

// Uninstall detaches and unpins everything under the root and says what is then open. Nothing pinned is no error.
func Uninstall(o Options) (*Removed, error) {
	if err := Probe(); err != nil {
		return nil, err
	}
	p := pinsAt(o.Root)
	r := &Removed{}
	links, err := p.pinnedLinks()
	if err != nil {
		return nil, err
	}
	interfaces, err := heldInterfaces(p)
	if err != nil {
		return nil, err
	}
	for ifindex, hooks := range links {
		interfaces = append(interfaces, ifindex)
		r.Pins += len(hooks)
	}
	slices.Sort(interfaces)
	err = inNetNS(o.NetNS, func() error { return r.detach(p, slices.Compact(interfaces)) })
	if err != nil {
		return r, fmt.Errorf("uninstalling: %w", err)
	}
	for _, name := range mapNames {
		for _, path := range []string{p.mapPath(name), p.nextPath(name)} {
			if err := os.Remove(path); err == nil {
				r.Pins++
			} else if !errors.Is(err, os.ErrNotExist) {
				return r, fmt.Errorf("uninstalling: %w", err)
			}
		}
	}
	for _, dir := range []string{p.links(), p.dir, p.root} {
		if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) && dir != p.root {
			return r, fmt.Errorf("uninstalling: %w", err)
		}
	}
	return r, nil
}

// heldInterfaces are those of the generation in the pinned blob, if there is one.
func heldInterfaces(p pins) ([]int, error) {
	maps, err := p.openMaps([]string{"blob"})
	if err != nil || maps["blob"] == nil {
		return nil, err
	}
	b, err := load.Current(maps["blob"])
	if err := errors.Join(err, closeMaps(maps)); err != nil || b == nil {
		return nil, err
	}
	held, err := encode.Read(b)
	if err != nil {
		return nil, err
	}
	var all []int
	for _, e := range held.Endpoints {
		if e.Ifindex != 0 {
			all = append(all, int(e.Ifindex))
		}
	}
	return all, nil
}

func (r *Removed) detach(p pins, interfaces []int) error {
	for _, ifindex := range interfaces {
		name := interfaceName(ifindex)
		open := false
		for _, w := range []attacher{tcx{p}, clsact{}} {
			on, err := w.attached(ifindex)
			if err != nil {
				return err
			}
			open = open || on[ingress] || on[egress]
			if err := w.detach(ifindex); err != nil {
				return err
			}
		}
		if open && name != "" {
			r.Interfaces = append(r.Interfaces, name)
		}
	}
	return nil
}
