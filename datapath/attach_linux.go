package datapath

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// hook is one side of the host's end of a veth.
type hook uint8

const (
	ingress hook = iota // what the pod sends
	egress              // what the pod gets
)

func (h hook) String() string { return [...]string{"ingress", "egress"}[h] }

// attacher puts the programs at an interface. Everything runs in the interfaces' network namespace.
type attacher interface {
	// attach puts both programs there, in the place of ours that are there already, with no moment in between.
	attach(ifindex int, progs [2]*ebpf.Program) error
	// attached says at which hooks a program of ours is.
	attached(ifindex int) ([2]bool, error)
	// detach takes ours away; nothing there is no error.
	detach(ifindex int) error
}

// tcx attaches by pinned links: they hold without any process.
type tcx struct{ pins pins }

var tcxTypes = [2]ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress}

// haveTCX asks the kernel: before 6.6 it does not know the question.
func haveTCX() bool {
	const loopback = 1
	_, err := link.QueryPrograms(link.QueryOptions{Target: loopback, Attach: ebpf.AttachTCXIngress})
	return err == nil
}

func (t tcx) attach(ifindex int, progs [2]*ebpf.Program) error {
	for h, prog := range progs {
		if err := t.attachOne(ifindex, hook(h), prog); err != nil {
			return fmt.Errorf("attaching to interface %d, %s: %w", ifindex, hook(h), err)
		}
	}
	return nil
}

func (t tcx) attachOne(ifindex int, h hook, prog *ebpf.Program) (err error) {
	live, err := t.update(ifindex, h, prog)
	if err != nil || live {
		return err
	}
	// First on its hook, so that another's "pass" does not go past us.
	l, err := link.AttachTCX(link.TCXOptions{Interface: ifindex, Program: prog, Attach: tcxTypes[h], Anchor: link.Head()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if err := l.Pin(t.pins.linkPath(ifindex, h)); err != nil {
		return err
	}
	return t.verify(ifindex, h, prog)
}

// verify asks the kernel whether the program is at the interface of this namespace: a thread in another one would have
// attached it elsewhere.
func (t tcx) verify(ifindex int, h hook, prog *ebpf.Program) error {
	info, err := prog.Info()
	if err != nil {
		return err
	}
	want, _ := info.ID()
	res, err := link.QueryPrograms(link.QueryOptions{Target: ifindex, Attach: tcxTypes[h]})
	if err != nil {
		return err
	}
	for _, p := range res.Programs {
		if p.ID == want {
			return nil
		}
	}
	return errors.New("the kernel does not show the program there")
}

// update puts the program into a pinned link, and removes a link whose interface is gone. It says whether a link lives.
func (t tcx) update(ifindex int, h hook, prog *ebpf.Program) (live bool, err error) {
	l, live, err := t.open(ifindex, h)
	if err != nil || l == nil {
		return false, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if !live {
		return false, l.Unpin()
	}
	return true, l.Update(prog)
}

// open opens a pinned link; nil when there is none. live is false when its interface is gone or it was detached.
func (t tcx) open(ifindex int, h hook) (l link.Link, live bool, err error) {
	l, err = link.LoadPinnedLink(t.pins.linkPath(ifindex, h), nil)
	if errors.Is(err, errNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("opening a pinned link: %w", err)
	}
	info, err := l.Info()
	if err != nil {
		return nil, false, errors.Join(fmt.Errorf("reading a pinned link: %w", err), l.Close())
	}
	at := info.TCX()
	return l, at != nil && int(at.Ifindex) == ifindex, nil
}

func (t tcx) attached(ifindex int) (on [2]bool, err error) {
	for h := range on {
		l, live, err := t.open(ifindex, hook(h))
		if err != nil {
			return on, fmt.Errorf("interface %d, %s: %w", ifindex, hook(h), err)
		}
		if l != nil {
			on[h] = live
			if err := l.Close(); err != nil {
				return on, err
			}
		}
	}
	return on, nil
}

func (t tcx) detach(ifindex int) error {
	for h := range tcxTypes {
		l, _, err := t.open(ifindex, hook(h))
		if err == nil && l != nil {
			// The pin was the last hold on it: closing detaches.
			err = errors.Join(l.Unpin(), l.Close())
		}
		if err != nil {
			return fmt.Errorf("detaching from interface %d, %s: %w", ifindex, hook(h), err)
		}
	}
	return nil
}
