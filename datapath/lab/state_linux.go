package lab

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/weir-mesh/weir/datapath"
)

// stateDir holds a file for each lab; a variable for tests.
var stateDir = "/run/weir-lab"

// bpfDir holds each lab's pins.
const bpfDir = "/sys/fs/bpf/weir-lab"

// namePrefix is what every name of a lab begins with, before the run's id.
const namePrefix = "weir-"

// state is the record of a lab. The process that runs it holds a lock on the file: a file that nobody has locked, and
// that is not kept on purpose, is left over from a process that was killed.
type state struct {
	Run string `json:"run"`
	// PID is the process that made the lab.
	PID int `json:"pid"`
	// Keep says that the lab outlives its process (lab up).
	Keep  bool     `json:"keep,omitempty"`
	Paths []string `json:"paths,omitempty"`
	Nodes int      `json:"nodes"`
	// Digest is that of the plan that is enforced.
	Digest string `json:"digest,omitempty"`

	file *os.File
	name string
}

// prefix is that of the names of the lab's namespaces.
func (s *state) prefix() string { return namePrefix + s.Run + "-" }

// root is where a node's datapath is pinned.
func (s *state) root(node string) string { return filepath.Join(bpfDir, s.Run, node) }

// newState records a lab before anything of it exists.
func newState(s state) (*state, error) {
	if err := os.MkdirAll(stateDir, 0o755); err != nil {
		return nil, fmt.Errorf("making the folder of lab states: %w", err)
	}
	var id [3]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, err
	}
	s.Run, s.PID = hex.EncodeToString(id[:]), os.Getpid()
	// It gets its name once it is locked and whole, so that nobody takes it for an abandoned one.
	name := filepath.Join(stateDir, s.Run+".json")
	f, err := os.OpenFile(name+".new", os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("recording the lab: %w", err)
	}
	s.file, s.name = f, name
	if err := errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB), s.write(), os.Rename(name+".new", name)); err != nil {
		return nil, fmt.Errorf("recording the lab: %w", err)
	}
	return &s, nil
}

func (s *state) write() error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := s.file.Truncate(0); err != nil {
		return err
	}
	_, err = s.file.WriteAt(append(b, '\n'), 0)
	return err
}

// states reads what is recorded. abandoned ones are those whose process is gone.
func states() (kept, abandoned []*state, err error) {
	files, err := filepath.Glob(filepath.Join(stateDir, "*.json"))
	if err != nil {
		return nil, nil, err
	}
	for _, name := range files {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, nil, fmt.Errorf("reading the state of a lab: %w", err)
		}
		s := &state{}
		// A file that was cut short by a kill still says which run it was by its name.
		if json.NewDecoder(f).Decode(s) != nil || s.Run == "" {
			*s = state{Run: strings.TrimSuffix(filepath.Base(name), ".json")}
		}
		s.file, s.name = f, name
		switch {
		case s.Keep:
			kept = append(kept, s)
		case s.lock():
			abandoned = append(abandoned, s)
		default: // running
			_ = f.Close()
		}
	}
	return kept, abandoned, nil
}

// lock reports whether nobody runs the lab, which it then has the lock of. A process that was killed while it started
// another leaves the lock to that one for the moment between fork and exec.
func (s *state) lock() bool {
	for range 100 {
		if unix.Flock(int(s.file.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			return true
		}
		if s.PID <= 0 || !errors.Is(unix.Kill(s.PID, 0), unix.ESRCH) {
			return false
		}
		time.Sleep(20 * time.Millisecond)
	}
	return false
}

// clean removes all that a lab made: pins, namespaces (and with them links, programs and rules), the state last.
func (s *state) clean() error {
	var errs []error
	roots, _ := filepath.Glob(filepath.Join(bpfDir, s.Run, "*"))
	for _, root := range roots {
		if _, err := datapath.Uninstall(datapath.Options{Root: root}); err != nil {
			errs = append(errs, fmt.Errorf("removing the datapath of %s: %w", filepath.Base(root), err))
		}
	}
	if err := os.RemoveAll(filepath.Join(bpfDir, s.Run)); err != nil {
		errs = append(errs, fmt.Errorf("removing pins: %w", err))
	}
	_ = os.Remove(bpfDir) // shared with other labs: only an empty one goes
	names, _ := filepath.Glob(filepath.Join(netnsDir, s.prefix()+"*"))
	for _, path := range names {
		err := netns.DeleteNamed(filepath.Base(path))
		if errors.Is(err, unix.EINVAL) {
			err = os.Remove(path) // killed between making the file and mounting the namespace on it
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("removing namespace %s: %w", filepath.Base(path), err))
		}
	}
	if len(errs) == 0 {
		if err := os.Remove(s.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		errs = append(errs, s.file.Close())
	}
	return errors.Join(errs...)
}

// cleanAbandoned clears up after labs that were killed.
func cleanAbandoned() error {
	_, abandoned, err := states()
	for _, s := range abandoned {
		err = errors.Join(err, s.clean())
	}
	return err
}
