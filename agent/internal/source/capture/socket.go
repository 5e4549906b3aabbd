package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// errPermission says that the process may not open packet sockets.
var errPermission = errors.New("needs CAP_NET_RAW; with systemd AmbientCapabilities=CAP_NET_RAW, else setcap cap_net_raw+ep on the program")

// receiveBuffer is what the kernel may keep of packets that were not read yet: seconds of a payment link, and the
// burst of a parameter download. The kernel counts twice what it holds.
const receiveBuffer = 256 << 10

// A socket hears the packets that its filter lets pass. It cannot send: nothing in this package does.
type socket struct {
	file *os.File
	raw  syscall.RawConn
	buf  []byte // of one packet; zero between two reads
}

// open makes a packet socket on one interface, or on all of them where the name is empty. It receives nothing before it
// is attached.
func open(iface string) (*socket, error) {
	subject := iface
	if iface == "" {
		subject = "all interfaces"
	}
	fail := func(err error) (*socket, error) { return nil, fmt.Errorf("capture on %s: %w", subject, err) }
	index := 0
	if iface != "" {
		i, err := net.InterfaceByName(iface)
		if err != nil {
			return fail(err)
		}
		index = i.Index
	}
	// Protocol 0 hears nothing: between now and the filter no foreign packet gets in.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return fail(errPermission)
	}
	if err != nil {
		return fail(err)
	}
	s := &socket{file: os.NewFile(uintptr(fd), "capture"), buf: make([]byte, snaplen)}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	err = attach(fd, nil)
	if err == nil {
		// Only a socket for all protocols hears what this terminal sends.
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: binary.NativeEndian.Uint16([]byte{unix.ETH_P_ALL >> 8,
			unix.ETH_P_ALL & 0xff}), Ifindex: index})
	}
	if err == nil {
		s.raw, err = s.file.SyscallConn()
	}
	if err != nil {
		s.file.Close()
		return fail(err)
	}
	return s, nil
}

func attach(fd int, endpoints []netip.AddrPort) error {
	program, err := filter(endpoints)
	if err != nil {
		return err
	}
	err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	if err != nil {
		return fmt.Errorf("attach filter: %w", err)
	}
	return nil
}

// attach replaces the filter; there is no moment without one.
func (s *socket) attach(endpoints []netip.AddrPort) error {
	var err error
	if e := s.raw.Control(func(fd uintptr) { err = attach(int(fd), endpoints) }); e != nil {
		return e
	}
	return err
}

// until ends a read that waits at a time (os.ErrDeadlineExceeded), never if that is zero. Any goroutine may call it.
func (s *socket) until(t time.Time) error { return s.file.SetReadDeadline(t) }

// read hands on the packets that are there, and waits for one if there is none. No packet is kept.
func (s *socket) read(packet func(iface int, b []byte)) error {
	var failed error
	some := false
	err := s.raw.Read(func(fd uintptr) bool {
		for range batch {
			var from unix.RawSockaddrLinklayer
			size := uint32(unsafe.Sizeof(from))
			n, _, errno := unix.Syscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&s.buf[0])), uintptr(len(s.buf)), 0,
				uintptr(unsafe.Pointer(&from)), uintptr(unsafe.Pointer(&size)))
			switch {
			case errno == unix.EAGAIN:
				return some
			case errno == unix.EINTR:
				continue
			case errno != 0:
				failed = errno
				return true
			}
			some = true
			// Loopback shows each packet on its way out and on its way in.
			if from.Hatype != unix.ARPHRD_LOOPBACK || from.Pkttype != unix.PACKET_OUTGOING {
				packet(int(from.Ifindex), s.buf[:n])
			}
			clear(s.buf[:n])
		}
		return true
	})
	return errors.Join(err, failed)
}

// batch is how many packets are read before anything else is looked at.
const batch = 256

// dropped returns how many packets the kernel has thrown away since the last call, for want of room.
func (s *socket) dropped() int {
	n := 0
	_ = s.raw.Control(func(fd uintptr) {
		if stats, err := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			n = int(stats.Drops)
		}
	})
	return n
}

func (s *socket) close() { s.file.Close() }
