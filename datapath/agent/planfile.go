package agent

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/weir-mesh/weir/compiler/plan"
)

// maxPlanBytes bounds a projection's file; one of 10,000 identities and 100 policies has about a tenth.
const maxPlanBytes = 256 << 20

// planFile is the file that holds the projection.
type planFile struct {
	path string
	node string
	// seen is what the file looked like when it was read last; sum is the hash of what was read, applied or not.
	seen fs.FileInfo
	sum  [sha256.Size]byte
	// failed says that the last content was not applied.
	failed bool
}

// errUnchanged says that the file holds what it held.
var errUnchanged = errors.New("unchanged")

// changed looks at the file without reading it: by its inode, size and time. A file that could not be applied is read
// again each time, because a writer may finish within the clock's grain.
func (f *planFile) changed() bool {
	if f.failed || f.seen == nil {
		return true
	}
	fi, err := os.Stat(f.path)
	return err != nil || !os.SameFile(fi, f.seen) || fi.Size() != f.seen.Size() || !fi.ModTime().Equal(f.seen.ModTime())
}

// read returns the projection, or errUnchanged when the content is that of the last read. What cannot be understood
// whole is an error, so that half of a file is never enforced.
func (f *planFile) read() (*plan.Projection, error) {
	file, err := os.Open(f.path)
	if err != nil {
		return nil, fmt.Errorf("reading the plan: %w", err)
	}
	defer func() { _ = file.Close() }()
	fi, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading the plan: %w", err)
	}
	if fi.Size() > maxPlanBytes {
		return nil, fmt.Errorf("reading the plan: %s has %d bytes, and a plan at most %d", f.path, fi.Size(), maxPlanBytes)
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return nil, fmt.Errorf("reading the plan: %w", err)
	}
	sum := [sha256.Size]byte(hash.Sum(nil))
	first := f.seen == nil
	f.seen = fi
	if !first && sum == f.sum {
		return nil, errUnchanged
	}
	f.sum = sum
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("reading the plan: %w", err)
	}
	p, err := decode(file)
	if err != nil {
		return nil, fmt.Errorf("reading the plan %s: %w", f.path, err)
	}
	if f.node != "" && p.Node != f.node {
		return nil, fmt.Errorf("reading the plan %s: it is for node %s, and this is %s", f.path, p.Node, f.node)
	}
	return p, nil
}

// errNotPart says that a file is JSON and something else than a projection, such as the whole plan.
var errNotPart = errors.New("it is not a node's part of a plan (nodes/NAME.json of weir compile --out)")

// decode reads one projection and nothing after it. A field that this agent does not know could be one that closes
// something, so it is an error.
func decode(r io.Reader) (*plan.Projection, error) {
	d := json.NewDecoder(bufio.NewReader(r))
	d.DisallowUnknownFields()
	p := &plan.Projection{}
	if err := d.Decode(p); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return nil, errors.New("it is cut short")
		}
		// Of JSON that does not fit, the decoder fills in what does: without a node it is nobody's part.
		var syntax *json.SyntaxError
		if p.Node == "" && !errors.As(err, &syntax) {
			return nil, errNotPart
		}
		return nil, err
	}
	if p.Node == "" {
		return nil, errNotPart
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the plan")
	}
	if p.Version != plan.ProjectionVersion {
		return nil, fmt.Errorf("it has version %d, and this agent reads version %d", p.Version, plan.ProjectionVersion)
	}
	return p, nil
}
