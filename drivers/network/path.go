package network

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of the path's measurement.
const (
	pathEchoes   = 20
	pathGap      = 50 * time.Millisecond
	pathWait     = time.Second             // a longer round trip makes TCP repeat itself
	pathLate     = 2500 * time.Millisecond // until nothing is expected any more
	pathConnects = 5                       // where echoes are not answered
	pathConfirm  = 3                       // where echoes say that the path is bad
	echoLimited  = 35                      // loss in per cent above which echoes may have been limited on purpose
	echoBurst    = 4                       // so many at once every limit lets pass but the strictest,
	echoStrict   = 60                      // which lets hardly any pass
	pathConnect  = 1800 * time.Millisecond // allows for one lost SYN
	connectGap   = 50 * time.Millisecond
)

// A PathView is the quality of the way to a host.
type PathView struct {
	Quality
	By string // echo, or connect where the host does not answer echoes
}

// MeasurePath measures loss, delay and jitter to a host: with echoes of 28 bytes, or, where those are not permitted or
// not answered, with a few connections, whose repeated SYNs show the loss. Late echoes are awaited while these are
// made, since for two seconds a loss and a long delay look the same. No service depends on echoes: where most of them
// are lost, or slow, and a few connections work at once, only echoes are limited there. Every connection is made
// between enter, which tells whether it may be made, and leave. The error is that of ctx.
func MeasurePath(ctx context.Context, w Way, enter func(context.Context) bool, leave func()) (PathView, error) {
	v, err := measurePath(ctx, w, enter, leave)
	if err != nil || v.By != "echo" || v.Received == 0 || v.LossPct() < echoLimited && v.RTT < slowEcho {
		return v, err
	}
	c := byConnects(ctx, w, pathConfirm, enter, leave)
	v.Bytes += c.Bytes
	lossless := c.Received > 0 && c.Sent == c.Received
	// a line loses without looking at the order
	limited := v.LossPct() >= echoStrict || v.LossPct() >= echoLimited && v.Head >= echoBurst
	switch {
	case lossless && limited && c.Received == pathConfirm,
		lossless && v.LossPct() < echoLimited && c.RTT < v.RTT/2:
		c.Bytes = v.Bytes
		return c, ctx.Err()
	}
	return v, ctx.Err()
}

// slowEcho is the delay from which it is asked whether echoes alone are slow.
const slowEcho = 400 * time.Millisecond

func measurePath(ctx context.Context, w Way, enter func(context.Context) bool, leave func()) (PathView, error) {
	both, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	echoed, connected, silent := make(chan PathView, 1), make(chan PathView, 1), make(chan struct{})
	wg.Go(func() {
		q, _ := echo(both, w.Addr.Addr(), w.Via, pathEchoes, pathGap, pathWait, pathLate, func() { close(silent) })
		echoed <- PathView{Quality: q, By: "echo"}
	})
	var e PathView
	select {
	case e = <-echoed:
		if e.Received > 0 || ctx.Err() != nil {
			return e, ctx.Err()
		}
		echoed = nil
	case <-silent:
	}
	wg.Go(func() { connected <- byConnects(both, w, pathConnects, enter, leave) })
	select {
	case e = <-echoed:
		if e.Received > 0 {
			return e, ctx.Err()
		}
		v := <-connected
		v.Bytes += e.Bytes
		return v, ctx.Err()
	case v := <-connected:
		if echoed != nil {
			stop()
			if e = <-echoed; e.Received > 0 && v.Received == 0 {
				return e, ctx.Err()
			}
		}
		v.Bytes += e.Bytes
		return v, ctx.Err()
	}
}

// byConnects measures a path by a few connects.
func byConnects(ctx context.Context, w Way, most int, enter func(context.Context) bool, leave func()) PathView {
	v := PathView{By: "connect"}
	rtts := make([]time.Duration, 0, most)
	for i := range most {
		if i > 0 && !sleep(ctx, connectGap) {
			break
		}
		if !enter(ctx) {
			break
		}
		conn, c := connect(ctx, w, pathConnect)
		if conn != nil {
			conn.Close()
		}
		leave()
		if c.Outcome == Stopped {
			break
		}
		v.Bytes += c.Bytes
		v.Sent += 1 + c.Retrans
		switch c.Outcome {
		case OK:
			v.Received++
			rtt := c.RTT
			if rtt <= 0 {
				rtt = c.Took
			}
			rtts = append(rtts, rtt)
		case Refused: // an answer too, and its time is the way's
			v.Received++
			rtts = append(rtts, c.Took)
		case Timeout:
			v.Sent++ // the first SYN was repeated after a second
		case Unreachable:
			v.Unreachable = true
		}
		if c.Outcome == Timeout || c.Outcome == Unreachable {
			break // the next would take as long and say the same
		}
	}
	v.RTT, v.Jitter = spread(rtts)
	return v
}

// An MTUView is the largest packet that gets to a host and back.
type MTUView struct {
	Outcome   Outcome // OK Blackhole Timeout (no echo is answered at all) Unreachable Stopped
	LargestOK int     // bytes of the IP packet; 0: not known
	Bytes     int
}

const (
	mtuTry    = 500 * time.Millisecond // for one size; a third of it per attempt
	mtuRepeat = 3                      // attempts, so that 10 % loss each way is taken for a hole once in 150 times
	minMTU4   = 576
	minMTU6   = 1280
)

// mtuSteps are the sizes of common paths: Ethernet, PPPoE, L2TP over it, IPsec and LTE cores, the IPv6 minimum, the
// least of IPv4.
var mtuSteps = [...]int{1500, 1492, 1452, 1400, 1280, 576}

// FindMTU looks for a size of packet that is lost without notice: small packets pass, large ones vanish and no router
// tells why (an MTU black hole). Packets are sent whole (don't fragment). It costs 3 kB if the path is clean, up to 20
// kB if not. The error is ErrNotPermitted, or that of opening a socket.
func FindMTU(ctx context.Context, dst netip.Addr, via string, linkMTU int) (MTUView, error) {
	var v MTUView
	e, err := openEcho(dst, via, true)
	if err != nil {
		return v, err
	}
	defer e.close()
	floor := minMTU4
	if e.six {
		floor = minMTU6
	}
	var seq uint16
	// passes tells whether a packet of this size comes back, and whether a router has reported that it is too large.
	passes := func(size int) (ok, told bool, err error) {
		first := seq + 1
		for range mtuRepeat {
			seq++
			if err := e.send(seq, size-e.overhead()); errors.Is(err, unix.EMSGSIZE) {
				return false, true, nil
			} else if unreachable(err) {
				return false, false, err
			}
			end := time.Now().Add(mtuTry / mtuRepeat)
			for time.Now().Before(end) && ctx.Err() == nil {
				until := time.Now().Add(cancelCheck)
				if until.After(end) {
					until = end
				}
				got, ok, err := e.receive(until, make([]byte, 2048))
				if errors.Is(err, unix.EMSGSIZE) {
					return false, true, nil
				}
				if ok && got-first < mtuRepeat { // a late answer to a smaller one says nothing of this size
					return true, false, nil
				}
			}
			if ctx.Err() != nil {
				return false, false, ctx.Err()
			}
		}
		return false, false, nil
	}
	finish := func(o Outcome) (MTUView, error) {
		v.Outcome, v.Bytes = o, e.bytes
		return v, nil
	}
	stopped := func() (MTUView, error) {
		if ctx.Err() != nil {
			return finish(Stopped)
		}
		return finish(Unreachable)
	}
	small, _, err := passes(e.overhead() + len(e.nonce))
	if err != nil {
		return stopped()
	}
	if !small {
		return finish(Timeout)
	}
	sizes := []int{linkMTU}
	for _, s := range mtuSteps {
		if s < linkMTU && s >= floor {
			sizes = append(sizes, s)
		}
	}
	silent := 0
	for i, size := range sizes {
		ok, told, err := passes(size)
		if err != nil {
			return stopped()
		}
		if ok && silent == 1 && i > 0 { // a line that loses three in a row is none that swallows all of a size
			if again, _, err := passes(sizes[i-1]); err != nil {
				return stopped()
			} else if again {
				size, silent = sizes[i-1], 0
			}
		}
		if ok {
			v.LargestOK = size
			break
		}
		if !told {
			// Small ones must still come back, two at once: where echoes are limited in number, none does.
			for range 2 {
				small, _, err := passes(e.overhead() + len(e.nonce))
				if err != nil {
					return stopped()
				}
				if !small {
					return finish(Timeout)
				}
			}
			silent++
		}
	}
	if silent > 0 {
		return finish(Blackhole)
	}
	return finish(OK)
}
