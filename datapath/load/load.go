//go:build linux

// Package load puts the programs and their maps into the kernel and publishes generations to them. It knows nothing of
// interfaces: datapath attaches what it loads, progrun runs it.
package load

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/weir-mesh/weir/datapath/bpf"
	"github.com/weir-mesh/weir/datapath/encode"
)

// MaxEndpoints is how many endpoints a node may have: the slots of conntrack.
const MaxEndpoints = 4096

// graceSlot is a slot of conntrack that no endpoint has; see Objects.grace.
const graceSlot = MaxEndpoints

const first = encode.BlobFirst

// Config is what is fixed when the programs are loaded.
type Config struct {
	Blob             uint32 // bytes; a multiple of the page size
	Rules            uint32 // counters
	ConntrackEntries uint32 // of one endpoint
	EventBytes       uint32
	EventRate        uint32
	AllFlows         bool
	// Testing takes the endpoint from skb->cb[0] and writes each packet's result to the map "last".
	Testing bool
}

// Objects are the loaded programs and maps.
type Objects struct {
	bpf.WeirObjects
	config Config
	spec   *ebpf.MapSpec // of an endpoint's share of conntrack
	// settled tells when no packet reads the generation before the current one any more; nil when nobody waits for it.
	settled chan error
}

// New loads the programs. Maps in reuse, by name, take the place of new ones and set their own sizes.
func New(c Config, reuse map[string]*ebpf.Map) (*Objects, error) {
	spec, err := bpf.LoadWeir()
	if err != nil {
		return nil, fmt.Errorf("reading the BPF object: %w", err)
	}
	if m := reuse["blob"]; m != nil {
		c.Blob = m.ValueSize()
	}
	if m := reuse["rule_counts"]; m != nil {
		c.Rules = m.MaxEntries()
	}
	if m := reuse["events"]; m != nil {
		c.EventBytes = m.MaxEntries()
	}
	hz, err := timerFrequency()
	if err != nil {
		return nil, err
	}
	spec.Maps["blob"].ValueSize = c.Blob
	spec.Maps["rule_counts"].MaxEntries = c.Rules
	spec.Maps["events"].MaxEntries = c.EventBytes
	spec.Maps["conntrack"].MaxEntries = MaxEndpoints + 1
	spec.Maps["conntrack"].InnerMap.MaxEntries = c.ConntrackEntries
	for name, value := range map[string]any{
		"blob_size": c.Blob, "hz": hz, "tick_shift": uint32(bits.Len32(hz) - 1), "event_rate": c.EventRate, "all_flows": flag(c.AllFlows), "testing": flag(c.Testing),
	} {
		if err := spec.Variables[name].Set(value); err != nil {
			return nil, fmt.Errorf("setting %s of the BPF object: %w", name, err)
		}
	}
	o := &Objects{config: c, spec: spec.Maps["conntrack"].InnerMap.Copy()}
	opts := &ebpf.CollectionOptions{MapReplacements: reuse}
	if err := spec.LoadAndAssign(&o.WeirObjects, opts); err != nil {
		var ve *ebpf.VerifierError
		if errors.As(err, &ve) && len(ve.Log) > 0 {
			return nil, fmt.Errorf("loading the BPF programs: %w: %s", err, ve.Log[len(ve.Log)-1])
		}
		return nil, fmt.Errorf("loading the BPF programs: %w", err)
	}
	return o, nil
}

// timerFrequency is how often a second the kernel counts its jiffies (CONFIG_HZ): the resolution of its coarse clocks is
// one of them (posix_get_coarse_res in kernel/time/posix-timers.c).
func timerFrequency() (uint32, error) {
	var res unix.Timespec
	if err := unix.ClockGetres(unix.CLOCK_MONOTONIC_COARSE, &res); err != nil {
		return 0, fmt.Errorf("asking for the resolution of the coarse clock: %w", err)
	}
	const second = 1_000_000_000
	ns := res.Nano()
	if ns < second/10_000 || ns > second/10 {
		return 0, fmt.Errorf("the kernel says that its coarse clock has a resolution of %d ns, which no timer has", ns)
	}
	return uint32((second + ns/2) / ns), nil
}

func flag(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

// Maps are the maps that a datapath pins, by name.
func (o *Objects) Maps() map[string]*ebpf.Map {
	return map[string]*ebpf.Map{"blob": o.Blob, "conntrack": o.Conntrack, "rule_counts": o.RuleCounts,
		"drop_counts": o.DropCounts, "events": o.Events, "event_budget": o.EventBudget}
}

// Config is what the objects were loaded with.
func (o *Objects) Config() Config { return o.config }

// BlobFor is the size of a blob for generations of the given size.
func BlobFor(size int) uint32 {
	return uint32(encode.BlobSize(size))
}

// ErrFull says that the blob has no room for a generation beside the current one.
var ErrFull = errors.New("the blob is full")

// Publish makes a generation the current one, in one store.
func (o *Objects) Publish(g *encode.Generation) error {
	m, err := o.mapBlob()
	if err != nil {
		return err
	}
	defer m.close()
	at, err := m.room(uint64(len(g.Bytes)))
	if err != nil {
		return err
	}
	// The room may have been the generation before the current one's: no packet may still be reading it.
	if err := o.settle(m.current() != 0); err != nil {
		return err
	}
	copy(m.bytes[at:], g.Bytes)
	atomic.StoreUint64(m.root(), at)
	o.settled = make(chan error, 1)
	go func(done chan error) { done <- o.grace() }(o.settled)
	return nil
}

// settle waits until a grace period has passed since the last swap: the one that Publish began, or, when another process
// swapped last, a new one.
func (o *Objects) settle(swapped bool) error {
	switch done := o.settled; {
	case done != nil:
		o.settled = nil
		return <-done
	case swapped:
		return o.grace()
	}
	return nil
}

// Close frees the programs and maps, as far as nothing else holds them.
func (o *Objects) Close() error {
	return errors.Join(o.settle(false), o.WeirObjects.Close())
}

// Fits reports whether Publish has room for a generation of the given size.
func (o *Objects) Fits(size int) (bool, error) {
	m, err := o.mapBlob()
	if err != nil {
		return false, err
	}
	defer m.close()
	_, err = m.room(uint64(size))
	return err == nil, nil
}

// Current copies the current generation's bytes, nil when there is none.
func (o *Objects) Current() ([]byte, error) { return Current(o.Blob) }

// Current copies the current generation's bytes out of a blob, nil when there is none.
func Current(blob *ebpf.Map) ([]byte, error) {
	m, err := mapBlob(blob, unix.PROT_READ)
	if err != nil {
		return nil, err
	}
	defer m.close()
	from, to := m.live()
	if from == 0 {
		return nil, nil
	}
	return append([]byte(nil), m.bytes[from:to]...), nil
}

// grace waits until no program that runs now runs any more. The kernel does so itself when a map in a map changes (since
// 4.20), for the sake of just such callers.
func (o *Objects) grace() error {
	m, err := o.newShare(1)
	if err != nil {
		return err
	}
	defer func() { _ = m.Close() }()
	if err := o.Conntrack.Put(uint32(graceSlot), m); err != nil {
		return fmt.Errorf("waiting for running programs: %w", err)
	}
	return nil
}

// AddShare gives a slot a conntrack of its own, empty.
func (o *Objects) AddShare(slot uint32) error {
	m, err := o.newShare(o.config.ConntrackEntries)
	if err != nil {
		return err
	}
	defer func() { _ = m.Close() }()
	return o.SetShare(slot, m)
}

// SetShare makes a map the slot's conntrack.
func (o *Objects) SetShare(slot uint32, m *ebpf.Map) error {
	if slot >= MaxEndpoints {
		return fmt.Errorf("endpoint slot %d: a node holds at most %d endpoints", slot, MaxEndpoints)
	}
	if err := o.Conntrack.Put(slot, m); err != nil {
		return fmt.Errorf("giving endpoint slot %d its conntrack: %w", slot, err)
	}
	return nil
}

// NewShare makes a conntrack for SetShare.
func (o *Objects) NewShare() (*ebpf.Map, error) { return o.newShare(o.config.ConntrackEntries) }

func (o *Objects) newShare(entries uint32) (*ebpf.Map, error) {
	spec := o.spec.Copy()
	spec.MaxEntries = entries
	m, err := ebpf.NewMap(spec)
	if err != nil {
		return nil, fmt.Errorf("making an endpoint's conntrack: %w", err)
	}
	return m, nil
}

// Share opens a slot's conntrack; nil when it has none.
func (o *Objects) Share(slot uint32) (*ebpf.Map, error) { return share(o.Conntrack, slot) }

func share(outer *ebpf.Map, slot uint32) (*ebpf.Map, error) {
	var m *ebpf.Map
	err := outer.Lookup(slot, &m)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening the conntrack of endpoint slot %d: %w", slot, err)
	}
	return m, nil
}

// RemoveShare takes a slot's conntrack away; packets of the slot are then dropped.
func (o *Objects) RemoveShare(slot uint32) error {
	if err := o.Conntrack.Delete(slot); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("removing the conntrack of endpoint slot %d: %w", slot, err)
	}
	return nil
}

// blobMemory is a blob mapped into this process.
type blobMemory struct{ bytes []byte }

func (o *Objects) mapBlob() (*blobMemory, error) {
	return mapBlob(o.Blob, unix.PROT_READ|unix.PROT_WRITE)
}

func mapBlob(blob *ebpf.Map, prot int) (*blobMemory, error) {
	page := os.Getpagesize()
	size := (int(blob.ValueSize()) + page - 1) / page * page
	b, err := unix.Mmap(blob.FD(), 0, size, prot, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("mapping the blob: %w", err)
	}
	return &blobMemory{b[:blob.ValueSize():size]}, nil
}

// close unmaps. It cannot fail: the mapping is whole and ours.
func (m *blobMemory) close() { _ = unix.Munmap(m.bytes[:cap(m.bytes)]) }

func (m *blobMemory) root() *uint64 { return (*uint64)(unsafe.Pointer(unsafe.SliceData(m.bytes))) }

func (m *blobMemory) current() uint64 { return atomic.LoadUint64(m.root()) }

// live is where the current generation lies.
func (m *blobMemory) live() (from, to uint64) {
	from = m.current()
	size := uint64(unsafe.Offsetof(encode.Root{}.Size))
	if from == 0 || from+size+4 > uint64(len(m.bytes)) {
		return 0, 0
	}
	to = from + uint64(*(*uint32)(unsafe.Pointer(&m.bytes[from+size])))
	if to > uint64(len(m.bytes)) {
		return 0, 0
	}
	return from, to
}

// room is the half in which the current generation is not.
func (m *blobMemory) room(size uint64) (uint64, error) {
	half := (uint64(len(m.bytes)) - first) / 2 / first * first
	if size > half {
		return 0, ErrFull
	}
	if at := m.current(); at == 0 || at >= first+half {
		return first, nil
	}
	return first + half, nil
}
