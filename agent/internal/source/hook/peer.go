package hook

import (
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// peer is who opened a connection, as the kernel tells it.
type peer struct {
	uid    uint32
	groups []uint32
	all    bool // the kernel named the supplementary groups too
}

// in reports whether the peer may be a member of a group. Kernels before 4.13 do not tell supplementary groups; there
// the mode of the socket file alone decides.
func (p peer) in(gid int) bool { return slices.Contains(p.groups, uint32(gid)) || !p.all }

func peerOf(c *net.UnixConn) (p peer, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return p, err
	}
	ctlErr := raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err != nil {
			return
		}
		p.uid, p.groups = cred.Uid, []uint32{cred.Gid}
		var more []uint32
		if more, p.all = peerGroups(int(fd)); p.all {
			p.groups = append(p.groups, more...)
		}
	})
	return p, errors.Join(ctlErr, err)
}

// maxGroups bounds the answer of SO_PEERGROUPS; NGROUPS_MAX is 65536, real users have a dozen.
const maxGroups = 256

// peerGroups asks SO_PEERGROUPS, which x/sys does not wrap: its answer is an array of gid_t, 32 bits on every Linux.
func peerGroups(fd int) (groups []uint32, ok bool) {
	b := make([]byte, 4*maxGroups)
	n := uint32(len(b))
	_, _, e := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
		uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(&n)), 0)
	if e != 0 || int(n) > len(b) {
		return nil, false
	}
	for b = b[:n]; len(b) >= 4; b = b[4:] {
		groups = append(groups, binary.NativeEndian.Uint32(b))
	}
	return groups, true
}
