package datapath

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// clsact attaches by direct-action filters, for kernels before 6.6. The filter holds its program.
type clsact struct{}

// Our filter is the first of its hook, and known by its handle and name.
const (
	filterPriority = 1
	filterHandle   = 0x5745
	filterName     = "weir"
)

var filterParents = [2]uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS}

func qdisc(ifindex int) *netlink.Clsact {
	return &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: ifindex, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}}
}

func filter(ifindex int, h hook, fd int) *netlink.BpfFilter {
	return &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: ifindex, Parent: filterParents[h], Handle: filterHandle,
			Protocol: unix.ETH_P_ALL, Priority: filterPriority},
		Fd: fd, Name: filterName, DirectAction: true,
	}
}

func (clsact) attach(ifindex int, progs [2]*ebpf.Program) error {
	if err := netlink.QdiscAdd(qdisc(ifindex)); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("adding the clsact qdisc to interface %d: %w", ifindex, err)
	}
	for h, prog := range progs {
		if err := netlink.FilterReplace(filter(ifindex, hook(h), prog.FD())); err != nil {
			return fmt.Errorf("attaching a filter to interface %d, %s: %w", ifindex, hook(h), err)
		}
	}
	on, err := clsact{}.attached(ifindex)
	if err == nil && on != [2]bool{true, true} {
		err = fmt.Errorf("attaching filters to interface %d: the kernel does not show them there", ifindex)
	}
	return err
}

// filters lists the filters of one hook, and whether ours is among them.
func filters(ifindex int, h hook) (n int, ours bool, err error) {
	l := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: ifindex}}
	fs, err := netlink.FilterList(l, filterParents[h])
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT) {
		return 0, false, nil // no such qdisc or interface
	}
	if err != nil {
		return 0, false, fmt.Errorf("listing the filters of interface %d: %w", ifindex, err)
	}
	for _, f := range fs {
		b, ok := f.(*netlink.BpfFilter)
		ours = ours || ok && b.Name == filterName && b.Handle == filterHandle
	}
	return len(fs), ours, nil
}

func (clsact) attached(ifindex int) (on [2]bool, err error) {
	for h := range on {
		if _, on[h], err = filters(ifindex, hook(h)); err != nil {
			return on, err
		}
	}
	return on, nil
}

func (clsact) detach(ifindex int) error {
	ours, others := false, 0
	for h := range filterParents {
		n, mine, err := filters(ifindex, hook(h))
		if err != nil {
			return err
		}
		if !mine {
			others += n
			continue
		}
		ours, others = true, others+n-1
		if err := netlink.FilterDel(filter(ifindex, hook(h), -1)); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("removing the filter of interface %d, %s: %w", ifindex, hook(h), err)
		}
	}
	if !ours || others > 0 {
		return nil
	}
	if err := netlink.QdiscDel(qdisc(ifindex)); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("removing the clsact qdisc of interface %d: %w", ifindex, err)
	}
	return nil
}
