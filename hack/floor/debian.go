package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// fetch unpacks the release's kernel, `ip` and `nft` and what they need into root. apt works with a state of its own
// below dir, so that this machine's releases and architectures stay as they are.
func (m *machine) fetch(ctx context.Context, dir, root string) error {
	if _, err := os.Stat(root); err == nil {
		return nil // complete: it got its name at the end
	}
	fmt.Printf("fetching Debian %s's kernel %s for %s\n", m.name, m.kernel, m.arch)
	state := filepath.Join(dir, "apt")
	for _, d := range []string{"lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(state, d), 0o755); err != nil {
			return err
		}
	}
	archive, err := debianArchive(ctx)
	if err != nil {
		return err
	}
	sources := fmt.Sprintf("deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n", archive, m.name)
	if err := errors.Join(os.WriteFile(filepath.Join(state, "sources.list"), []byte(sources), 0o600),
		os.WriteFile(filepath.Join(state, "status"), nil, 0o600)); err != nil {
		return err
	}
	apt := []string{"-q", "-y", "-o", "APT::Architecture=" + m.arch, "-o", "APT::Architectures=" + m.arch, "-o", "APT::Sandbox::User=root",
		"-o", "Dir::State=" + state, "-o", "Dir::State::status=" + state + "/status", "-o", "Dir::Cache=" + state,
		"-o", "Dir::Etc::sourcelist=" + state + "/sources.list", "-o", "Dir::Etc::sourceparts=/dev/null"}
	if err := quietly(ctx, "apt-get", append(apt, "update")...); err != nil {
		return err
	}
	// Downloaded only: with an empty state, apt takes everything for missing.
	if err := quietly(ctx, "apt-get", append(apt, "install", "--download-only", "--no-install-recommends", "linux-image-cloud-"+m.arch, "iproute2", "nftables")...); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(state, "archives", "*.deb"))
	if err != nil {
		return err
	}
	unpacked := root + ".new"
	if err := os.RemoveAll(unpacked); err != nil {
		return err
	}
	for _, deb := range debs {
		if err := quietly(ctx, "dpkg", "-x", deb, unpacked); err != nil {
			return err
		}
	}
	return os.Rename(unpacked, root)
}

// debianArchive is the archive that this machine's apt uses for Debian.
func debianArchive(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)", "Created-By: Packages", "Origin: Debian").Output()
	if err != nil {
		return "", fmt.Errorf("asking apt for Debian's archive: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		// bookworm-security and the like are archives of their own.
		if release, uri, _ := strings.Cut(strings.TrimSpace(line), " "); !strings.Contains(release, "-") {
			return uri, nil
		}
	}
	return "", errors.New("apt knows no archive of Debian: `make floor` runs on Debian, after apt-get update")
}

// quietly runs a command and shows what it printed only when it fails.
func quietly(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// wanted are the modules that the datapath and its tests use, where a kernel does not have them built in: interfaces,
// clsact, and what the lab's services are translated with.
var wanted = []string{"veth", "bridge", "sch_ingress", "cls_bpf", "crc32c_generic", "nf_tables", "nft_chain_nat", "nft_nat", "nft_masq", "nft_ct", "nft_numgen", "nft_reject_inet"}

// kernelOf finds the kernel's image and the modules to load, each after those that it depends on.
func (m *machine) kernelOf(ctx context.Context, root string) (image string, modules []string, err error) {
	images, err := filepath.Glob(filepath.Join(root, "boot", "vmlinuz-"+m.kernel+".*"))
	if err != nil || len(images) != 1 {
		return "", nil, fmt.Errorf("kernels in %s: %v, %w", root, images, err)
	}
	version := strings.TrimPrefix(filepath.Base(images[0]), "vmlinuz-")
	set := moduleSet{files: map[string]string{}, done: map[string]bool{}}
	err = filepath.WalkDir(filepath.Join(root, "lib", "modules", version), func(path string, _ fs.DirEntry, err error) error {
		if name, _, ok := strings.Cut(filepath.Base(path), ".ko"); ok {
			set.files[strings.ReplaceAll(name, "-", "_")] = path
		}
		return err
	})
	if err != nil {
		return "", nil, err
	}
	builtin, err := os.ReadFile(filepath.Join(root, "lib", "modules", version, "modules.builtin"))
	if err != nil {
		return "", nil, err
	}
	for _, name := range wanted {
		if strings.Contains(strings.ReplaceAll(string(builtin), "-", "_"), "/"+name+".ko") {
			continue
		}
		if err := set.add(ctx, name); err != nil {
			return "", nil, err
		}
	}
	return images[0], set.order, nil
}
