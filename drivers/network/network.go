// Package network looks at a Linux machine's way to its hosts, layer by layer: link, address, gateway, names, TCP, TLS
// and the quality of the path.
//
// It only looks. It changes no route, address or setting, and never sends an application byte to a host: a connection
// is opened, its TLS handshake is made where there is one, and it is closed. Every function that may wait takes a
// context and returns within 100 ms of its end. IPv6 is treated like IPv4.
//
// The kernel's tables are read with the standard library's netlink calls: a netlink library costs 200 to 390 kB on a
// terminal and would decode far more than is asked here.
package network

import (
	"context"
	"errors"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// An Outcome is how one exchange with another machine ended.
type Outcome string

// Outcomes. Each asker names the ones it can have.
const (
	OK           Outcome = "ok"
	Refused      Outcome = "refused"       // the peer said no: TCP reset on SYN, DNS REFUSED
	Timeout      Outcome = "timeout"       // no answer in time
	Reset        Outcome = "reset"         // accepted, and closed at once
	Unreachable  Outcome = "unreachable"   // the machine itself or a router said that there is no way
	NXDomain     Outcome = "nxdomain"      // the name does not exist, or has no address
	ServFail     Outcome = "servfail"      // the resolver could not find out
	Expired      Outcome = "expired"       // a certificate has ended
	NotYetValid  Outcome = "not-yet-valid" // a certificate has not begun
	NameMismatch Outcome = "name-mismatch" // the certificate is another host's
	UnknownCA    Outcome = "unknown-ca"    // no trusted authority has signed the certificate
	Protocol     Outcome = "protocol"      // the peer does not speak TLS, or broke it off
	Unsupported  Outcome = "unsupported"   // the peer answered in a way that cannot be judged here
	Blackhole    Outcome = "blackhole"     // large packets vanish without notice
	Stopped      Outcome = "stopped"       // the caller's context ended first: nothing is known
)

// Bounds of this package. What may wait is bounded by its caller's context as well.
const (
	connectWait     = 3 * time.Second         // a lost SYN is repeated after 1 s (RFC 6298): this allows for two of them
	resolveWait     = 2300 * time.Millisecond // for all resolvers together; a connect to a host nearby still fits into 4 s
	resolveTry      = 700 * time.Millisecond  // until the next resolver is asked
	resolveAttempts = 2                       // at each resolver that keeps silent (resolv.conf: attempts)
	cancelCheck     = 50 * time.Millisecond   // longest sleep in a loop that is not woken by its context
	maxFile         = 64 << 10                // bytes read of any file
	maxResolvers    = 3                       // as in the C library (MAXNS)
	maxAddresses    = 8                       // addresses kept of one name
	maxLinks        = 64                      // interfaces, addresses and routes kept of one dump; more are counted
	maxRoutes       = 512
	maxNeighbours   = 1024
)

// Sizes on the wire of what is sent, without Ethernet: for counting what a metered bearer pays.
const (
	ipHeader       = 20
	tcpHeader      = 32                         // with timestamps
	connectBytes   = 7 * (ipHeader + tcpHeader) // SYN, SYN-ACK with options, ACK, FIN, ACK, FIN, ACK
	handshakeBytes = 6000                       // TLS 1.2 or 1.3 with a chain of two or three certificates
)

// almost is how long before the end of a context a dial or a read may already say that the time is up.
const almost = 20 * time.Millisecond

// cutShort tells whether the caller's time is up: what was waited for then might still have come.
func cutShort(ctx context.Context) bool {
	end, bounded := ctx.Deadline()
	return ctx.Err() != nil || bounded && time.Until(end) < almost
}

// outcomeOf names the error of a dial, a read or a write.
func outcomeOf(parent context.Context, err error) Outcome {
	if err == nil {
		return OK
	}
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return Refused
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE):
		return Reset
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETDOWN),
		errors.Is(err, unix.EHOSTDOWN), errors.Is(err, unix.EADDRNOTAVAIL), errors.Is(err, unix.ENODEV),
		errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES), errors.Is(err, unix.EINVAL),
		errors.Is(err, unix.ENONET), errors.Is(err, unix.ENOPROTOOPT), errors.Is(err, unix.EAFNOSUPPORT):
		// EPERM and EACCES are what a local packet filter or a prohibit route answers; EINVAL is what a network
		// with `accept_local` off or an unusable source address gives.
		return Unreachable
	case errors.Is(err, unix.ETIMEDOUT):
		return Timeout
	case cutShort(parent):
		return Stopped
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return Timeout
	}
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		return Timeout
	}
	return Unreachable
}

// sleep waits for d or the context, whichever is first; false if it was the context.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
