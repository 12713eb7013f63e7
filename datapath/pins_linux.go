package datapath

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// pins is the folder in which one datapath's maps and links are pinned.
type pins struct{ root, dir string }

func pinsAt(root string) pins {
	if root == "" {
		root = DefaultRoot
	}
	return pins{root, filepath.Join(root, Layout)}
}

func (p pins) mapPath(name string) string { return filepath.Join(p.dir, name) }

// nextPath is where a map is pinned before it takes its place. The BPF file system allows no dots in names.
func (p pins) nextPath(name string) string { return p.mapPath("next_" + name) }

func (p pins) links() string { return filepath.Join(p.dir, "links") }

const bpffs = "/sys/fs/bpf"

// prepare makes the folders, on a BPF file system that it mounts when nobody did, and refuses another layout.
func (p pins) prepare() error {
	if err := mountFor(p.root); err != nil {
		return err
	}
	if err := p.refuseOthers(); err != nil {
		return err
	}
	if err := os.MkdirAll(p.links(), 0o700); err != nil {
		return fmt.Errorf("making the folder for pinned links: %w", err)
	}
	return nil
}

// mountFor mounts the BPF file system when the root's place is below /sys/fs/bpf and nothing is mounted there.
func mountFor(root string) error {
	at := root
	var st unix.Statfs_t
	for {
		err := unix.Statfs(at, &st)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.ENOENT) || at == filepath.Dir(at) {
			return fmt.Errorf("looking at %s: %w", at, err)
		}
		at = filepath.Dir(at)
	}
	if st.Type == unix.BPF_FS_MAGIC {
		return nil
	}
	if root != bpffs && !strings.HasPrefix(root, bpffs+"/") {
		return fmt.Errorf("%s is not on a BPF file system: pin below %s, or mount one there", root, bpffs)
	}
	if err := unix.Mount("bpf", bpffs, "bpf", 0, "mode=0700"); err != nil {
		return fmt.Errorf("mounting the BPF file system at %s: %w", bpffs, err)
	}
	return nil
}

var layoutName = regexp.MustCompile(`^v\d+$`)

// refuseOthers reports a layout that this program does not know. It still enforces; replacing it would open a gap.
func (p pins) refuseOthers() error {
	es, err := os.ReadDir(p.root)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", p.root, err)
	}
	for _, e := range es {
		if e.Name() != Layout && layoutName.MatchString(e.Name()) {
			return fmt.Errorf("%s holds the pinned layout %s, and this program knows %s: uninstall it with the program that made it",
				p.root, e.Name(), Layout)
		}
	}
	return nil
}

// openMaps opens the pinned maps of those names; missing ones are left out.
func (p pins) openMaps(names []string) (map[string]*ebpf.Map, error) {
	maps := map[string]*ebpf.Map{}
	for _, name := range names {
		m, err := ebpf.LoadPinnedMap(p.mapPath(name), nil)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("opening the pinned map %s: %w", name, err), closeMaps(maps))
		}
		maps[name] = m
	}
	return maps, nil
}

func closeMaps(maps map[string]*ebpf.Map) error {
	var errs []error
	for _, m := range maps {
		errs = append(errs, m.Close())
	}
	return errors.Join(errs...)
}

// pinMap pins a map in the place of another, if there is one, in one step.
func (p pins) pinMap(name string, m *ebpf.Map) error {
	next := p.nextPath(name)
	if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("pinning %s: %w", name, err)
	}
	// A clone: a map remembers its pin, and is refused a second one.
	c, err := m.Clone()
	if err != nil {
		return fmt.Errorf("pinning %s: %w", name, err)
	}
	defer func() { _ = c.Close() }()
	if err := c.Pin(next); err != nil {
		return fmt.Errorf("pinning %s: %w", name, err)
	}
	if err := os.Rename(next, p.mapPath(name)); err != nil {
		return fmt.Errorf("pinning %s: %w", name, err)
	}
	return nil
}

func (p pins) linkPath(ifindex int, h hook) string {
	return filepath.Join(p.links(), fmt.Sprintf("%d_%s", ifindex, h))
}

// pinnedLinks are the interfaces for which links are pinned, and at which hooks.
func (p pins) pinnedLinks() (map[int][]hook, error) {
	es, err := os.ReadDir(p.links())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the pinned links: %w", err)
	}
	links := map[int][]hook{}
	for _, e := range es {
		number, name, _ := strings.Cut(e.Name(), "_")
		ifindex, err := strconv.Atoi(number)
		if err != nil || name != ingress.String() && name != egress.String() {
			return nil, fmt.Errorf("%s is no pinned link of this layout", filepath.Join(p.links(), e.Name()))
		}
		h := ingress
		if name == egress.String() {
			h = egress
		}
		links[ifindex] = append(links[ifindex], h)
	}
	return links, nil
}
