package board

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Statfs is what a filesystem says of itself.
type Statfs struct {
	BlockSize, Blocks, Free, Available uint64 // Available: to others than root
	Inodes, InodesFree                 uint64 // both 0: the filesystem has no such limit
	ReadOnly                           bool
}

// KernelStatfs asks the kernel about the filesystem that holds a path.
func KernelStatfs(path string) (Statfs, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return Statfs{}, err
	}
	return Statfs{BlockSize: uint64(st.Bsize), Blocks: st.Blocks, Free: st.Bfree, Available: st.Bavail,
		Inodes: st.Files, InodesFree: st.Ffree, ReadOnly: st.Flags&unix.ST_RDONLY != 0}, nil
}

// Storage is the room on a filesystem.
type Storage struct {
	FreePct, InodesFreePct float64
	InodesKnown            bool
	FreeBytes              uint64
	ReadOnly               bool
	Type, Device           string // of the mount, if it could be found
}

// ReadStorage judges the filesystem that holds a path.
func ReadStorage(root fs.FS, statfs func(path string) (Statfs, error), name string) (Storage, error) {
	st, err := statfs(name)
	if err != nil {
		return Storage{}, fmt.Errorf("read storage %s: %w", name, err)
	}
	if st.Blocks == 0 || st.Free > st.Blocks || st.Available > st.Blocks {
		return Storage{}, fmt.Errorf("read storage %s: %w", name, ErrSilent)
	}
	s := Storage{ReadOnly: st.ReadOnly, FreeBytes: st.Available * st.BlockSize}
	// What df shows: the blocks kept back for root count as neither used nor free.
	s.FreePct = 100 * float64(st.Available) / float64(st.Blocks-st.Free+st.Available)
	if st.Blocks-st.Free+st.Available == 0 {
		s.FreePct = 0
	}
	if st.Inodes > 0 && st.InodesFree <= st.Inodes {
		s.InodesFreePct, s.InodesKnown = 100*float64(st.InodesFree)/float64(st.Inodes), true
	}
	if mounts, err := read(root, "proc/mounts"); err == nil {
		if m, ok := mountOf(parseMounts(mounts), name); ok {
			s.Type, s.Device = m.kind, m.device
		}
	}
	return s, nil
}

type mount struct{ device, dir, kind string }

func parseMounts(text string) []mount {
	var all []mount
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) >= 4 {
			all = append(all, mount{unescape(f[0]), unescape(f[1]), f[2]})
		}
	}
	return all
}

// unescape resolves the octal escapes of proc(5): \040 is a blank.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// mountOf finds the mount that holds a path: the longest, and of several on one folder the last.
func mountOf(all []mount, name string) (best mount, ok bool) {
	name = path.Clean(name)
	for _, m := range all {
		inside := m.dir == "/" || name == m.dir || strings.HasPrefix(name, m.dir+"/")
		if inside && len(m.dir) >= len(best.dir) {
			best, ok = m, true
		}
	}
	return best, ok
}
