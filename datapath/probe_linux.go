package datapath

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
)

// Probe says in one sentence why this process cannot run the datapath here (not root, no BPF, a kernel before 6.1), or
// returns nil.
func Probe() error {
	v, err := features.LinuxVersionCode()
	if err == nil && v < 6<<16|1<<8 {
		return fmt.Errorf("the datapath needs Linux 6.1 or later; this is %d.%d", v>>16, v>>8&0xff)
	}
	err = features.HaveProgramType(ebpf.SchedCLS)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ebpf.ErrNotSupported):
		return errors.New("the datapath needs a kernel with BPF classifiers (CONFIG_BPF_SYSCALL, CONFIG_NET_CLS_BPF); this one has none")
	case errors.Is(err, os.ErrPermission):
		return errors.New("the datapath needs root (or CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN); this process has not the right to load BPF programs")
	}
	return fmt.Errorf("the datapath needs to load BPF programs; this kernel answers: %w", err)
}
