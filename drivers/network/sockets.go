package network

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Socket is a TCP connection of this machine to a host, of whichever program.
type Socket struct {
	Local       uint16
	Established bool          // else it is being opened
	Received    uint64        // bytes, without TCP's own
	LastReceive time.Duration // since the last of them
	Repeats     int           // of the segment that is under way: above zero it hangs
	RTT         time.Duration
}

// A wayOut is this end of a connection and where it leads. The port alone does not name it: the kernel gives the same
// one for other places at the same time, and again later.
type wayOut struct {
	local uint16
	to    netip.AddrPort
}

// ours remembers this package's own connections, which prove nothing of other programs.
var ours struct {
	sync.Mutex
	last [256]wayOut
	next int
}

func noteOurs(local uint16, to netip.AddrPort) {
	ours.Lock()
	defer ours.Unlock()
	ours.last[ours.next] = wayOut{local, to}
	ours.next = (ours.next + 1) % len(ours.last)
}

// IsOurs tells whether a connection from a port of this machine to a place is one that this package made in the last
// minutes.
func IsOurs(local uint16, to netip.AddrPort) bool {
	ours.Lock()
	defer ours.Unlock()
	return slices.Contains(ours.last[:], wayOut{local, to})
}

// Sizes of struct inet_diag_req_v2 and struct inet_diag_msg (include/uapi/linux/inet_diag.h).
const (
	diagRequestSize = 56
	diagMessageSize = 72
	diagInfo        = 2 // INET_DIAG_INFO
	diagByFamily    = 20
	maxDump         = 256 << 10
)

// Sockets returns the connections of other programs to a host that are open or being opened, as the kernel shows them
// to every user (sock_diag(7)). Nothing is sent. On a kernel without it the list is empty.
func Sockets(dst netip.AddrPort) []Socket {
	family := uint8(unix.AF_INET)
	if dst.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_INET_DIAG)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	wait := unix.NsecToTimeval((200 * time.Millisecond).Nanoseconds()) // its fields have another width on 32 bits
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait)
	req := make([]byte, unix.SizeofNlMsghdr+diagRequestSize)
	binary.NativeEndian.PutUint32(req, uint32(len(req)))
	binary.NativeEndian.PutUint16(req[4:], diagByFamily)
	binary.NativeEndian.PutUint16(req[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	body := req[unix.SizeofNlMsghdr:]
	body[0], body[1], body[2] = family, unix.IPPROTO_TCP, 1<<(diagInfo-1)
	binary.NativeEndian.PutUint32(body[4:], 1<<unix.BPF_TCP_ESTABLISHED|1<<unix.BPF_TCP_SYN_SENT)
	if unix.Sendto(fd, req, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}) != nil {
		return nil
	}
	var list []Socket
	buf := make([]byte, 16<<10)
	for total := 0; total < maxDump; {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil || n < unix.SizeofNlMsghdr {
			return list
		}
		total += n
		for b := buf[:n]; len(b) >= unix.SizeofNlMsghdr; {
			size := int(binary.NativeEndian.Uint32(b))
			kind := binary.NativeEndian.Uint16(b[4:])
			if size < unix.SizeofNlMsghdr || size > len(b) || kind == unix.NLMSG_DONE || kind == unix.NLMSG_ERROR {
				return list
			}
			if s, to, ok := parseSocket(b[unix.SizeofNlMsghdr:size]); ok && to == dst && !IsOurs(s.Local, dst) &&
				len(list) < maxAddresses {
				list = append(list, s)
			}
			b = b[min((size+3)&^3, len(b)):]
		}
	}
	return list
}

// parseSocket reads a struct inet_diag_msg and the struct tcp_info behind it.
func parseSocket(b []byte) (s Socket, to netip.AddrPort, ok bool) {
	if len(b) < diagMessageSize {
		return s, to, false
	}
	s.Established = b[1] == unix.BPF_TCP_ESTABLISHED
	s.Local = binary.BigEndian.Uint16(b[4:])
	ip := netip.AddrFrom16([16]byte(b[24:40]))
	if b[0] == unix.AF_INET {
		ip = netip.AddrFrom4([4]byte(b[24:28]))
	}
	to = netip.AddrPortFrom(ip.Unmap(), binary.BigEndian.Uint16(b[6:]))
	s.Repeats = int(b[3])
	for a := b[diagMessageSize:]; len(a) >= 4; {
		size, kind := int(binary.NativeEndian.Uint16(a)), binary.NativeEndian.Uint16(a[2:])
		if size < 4 || size > len(a) {
			break
		}
		if kind == diagInfo {
			var info unix.TCPInfo
			raw := unsafe.Slice((*byte)(unsafe.Pointer(&info)), unsafe.Sizeof(info))
			copy(raw, a[4:size]) // an old kernel's is shorter: what it does not tell is zero
			s.Received, s.RTT = info.Bytes_received, time.Duration(info.Rtt)*time.Microsecond
			s.LastReceive = time.Duration(info.Last_data_recv) * time.Millisecond
			s.Repeats = max(s.Repeats, int(info.Retransmits))
		}
		a = a[min((size+3)&^3, len(a)):]
	}
	return s, to, true
}
