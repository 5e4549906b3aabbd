package network

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// A Lookup is the outcome of looking up the addresses of a host.
type Lookup struct {
	Outcome   Outcome // OK Timeout NXDomain ServFail Refused Unreachable Stopped
	Addresses []netip.Addr
	NoData    bool // NXDomain: the name exists, but has no address
	Blocked   bool // NXDomain: the resolver answers 0.0.0.0, as filters do
	Failed    int  // resolvers that did not answer well before one did
	Took      time.Duration
	Bytes     int // sent and received, IP headers included
}

const (
	dnsBuffer    = 1232                   // bytes of a UDP answer (DNS flag day 2020)
	secondFamily = 150 * time.Millisecond // how long the other family's answer is awaited when one has come
)

// Resolve asks the resolvers for the IPv4 and IPv6 addresses of name, as the terminal's own programs would: one after
// the other, and those that do not answer once more. A late answer counts as much as one in time, since on a satellite
// or in a crowded cell it takes two seconds. Only the name itself is asked for, never with a search domain.
func Resolve(ctx context.Context, name string, resolvers []netip.AddrPort) Lookup {
	start := time.Now()
	whole, cancel := context.WithTimeout(ctx, resolveWait)
	defer cancel()
	resolvers = resolvers[:min(len(resolvers), maxResolvers)]
	type said struct {
		by int
		Lookup
	}
	attempts := resolveAttempts * len(resolvers)
	answers := make(chan said, attempts)
	var silent, failed [maxResolvers]bool
	best := Lookup{Outcome: Unreachable}
	total, asked, back, open := 0, 0, 0, true
	next := time.NewTimer(0)
	defer next.Stop()
	ended := whole.Done()
	for back < asked || open && asked < attempts {
		select {
		case <-ended:
			open, ended = false, nil
		case <-next.C:
			i := asked % max(len(resolvers), 1)
			if asked++; !open || failed[i] { // what a resolver has refused once it will refuse again
				back++
				next.Reset(0)
				break
			}
			silent[i] = true
			go func() { answers <- said{i, ask(ctx, whole, name, resolvers[i])} }()
			next.Reset(resolveTry)
		case s := <-answers:
			back++
			total += s.Bytes
			switch {
			case s.Outcome == OK || s.Outcome == NXDomain: // the C library does not ask the next one either
				silent[s.by], open = false, false
				cancel()
			case open:
				failed[s.by] = true
				next.Reset(0)
			}
			if back == 1 || worse(best.Outcome, s.Outcome) {
				best = s.Lookup
			}
		}
	}
	for i := range resolvers {
		if silent[i] || failed[i] {
			best.Failed++
		}
	}
	if cutShort(ctx) && (best.Outcome == Timeout || back == 0) {
		best.Outcome = Stopped
	}
	best.Took, best.Bytes = time.Since(start), total
	return best
}

// worse tells whether b says more than a: an answer more than an error, an error more than silence.
func worse(a, b Outcome) bool {
	rank := map[Outcome]int{OK: 5, NXDomain: 4, ServFail: 3, Refused: 2, Timeout: 1}
	return rank[b] > rank[a]
}

// ask puts both questions to one resolver, over UDP, and over TCP if the answer does not fit, and waits until try ends.
func ask(ctx, try context.Context, name string, server netip.AddrPort) Lookup {
	qs, err := questions(name)
	if err != nil {
		return Lookup{Outcome: NXDomain}
	}
	var d net.Dialer
	conn, err := d.DialContext(try, "udp", server.String())
	if err != nil {
		return Lookup{Outcome: outcomeOf(ctx, err)}
	}
	defer conn.Close()
	defer context.AfterFunc(try, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()

	l := Lookup{}
	for _, q := range qs {
		n, err := conn.Write(q.packet)
		l.Bytes += n + ipHeader + 8
		if err != nil {
			return Lookup{Outcome: outcomeOf(ctx, err), Bytes: l.Bytes}
		}
	}
	got := make([]*answer, len(qs))
	buf := make([]byte, dnsBuffer)
	for left := len(qs); left > 0; {
		n, err := conn.Read(buf)
		if err != nil {
			if left < len(qs) { // one family has answered and that is all that comes
				break
			}
			return Lookup{Outcome: outcomeOf(ctx, err), Bytes: l.Bytes}
		}
		l.Bytes += n + ipHeader + 8
		for i, q := range qs {
			a, ok := parseAnswer(buf[:n], q)
			if !ok || got[i] != nil {
				continue
			}
			if a.truncated {
				a = askTCP(try, server, q, &l.Bytes)
			}
			got[i] = &a
			left--
			if len(a.addresses) > 0 {
				_ = conn.SetReadDeadline(time.Now().Add(secondFamily))
			}
		}
		if try.Err() != nil {
			break
		}
	}
	return l.judge(got)
}

// judge makes one outcome of the answers for both families: one good answer is enough.
func (l Lookup) judge(got []*answer) Lookup {
	l.Outcome = Timeout
	lost := false
	for _, a := range got {
		if a == nil {
			lost = true
			continue
		}
		for _, ip := range a.addresses {
			if ip.IsUnspecified() {
				l.Blocked = true
			} else if len(l.Addresses) < maxAddresses {
				l.Addresses = append(l.Addresses, ip)
			}
		}
		var o Outcome
		switch a.code {
		case dnsmessage.RCodeSuccess:
			o = NXDomain
			l.NoData = true
		case dnsmessage.RCodeNameError:
			o = NXDomain
		case dnsmessage.RCodeRefused:
			o = Refused
		default: // SERVFAIL, FORMERR, NOTIMP: this resolver cannot
			o = ServFail
		}
		if l.Outcome == Timeout || o == ServFail {
			l.Outcome = o
		}
	}
	if lost && l.NoData { // one family has no address; what the other has is not known
		l.Outcome = Timeout
	}
	if len(l.Addresses) > 0 {
		l.Outcome, l.Blocked = OK, false
	}
	if l.Outcome != NXDomain || l.Blocked {
		l.NoData = false
	}
	return l
}

type question struct {
	id     uint16
	q      dnsmessage.Question
	packet []byte
}

func questions(name string) ([]question, error) {
	n, err := dnsmessage.NewName(strings.TrimSuffix(name, ".") + ".")
	if err != nil {
		return nil, fmt.Errorf("ask for %q: %w", name, err)
	}
	var list []question
	for _, t := range []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA} {
		var id [2]byte
		_, _ = rand.Read(id[:]) // never fails, says crypto/rand
		q := question{id: binary.BigEndian.Uint16(id[:]),
			q: dnsmessage.Question{Name: n, Type: t, Class: dnsmessage.ClassINET}}
		b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: q.id, RecursionDesired: true})
		if err := errors.Join(b.StartQuestions(), b.Question(q.q)); err != nil {
			return nil, fmt.Errorf("ask for %q: %w", name, err)
		}
		if q.packet, err = b.Finish(); err != nil {
			return nil, fmt.Errorf("ask for %q: %w", name, err)
		}
		list = append(list, q)
	}
	return list, nil
}

type answer struct {
	code      dnsmessage.RCode
	truncated bool
	addresses []netip.Addr
}

// parseAnswer reads a DNS message; false if it is no answer to q.
func parseAnswer(b []byte, q question) (answer, bool) {
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil || !h.Response || h.ID != q.id {
		return answer{}, false
	}
	got, err := p.Question()
	if err != nil || got.Type != q.q.Type || got.Class != q.q.Class ||
		!strings.EqualFold(got.Name.String(), q.q.Name.String()) {
		return answer{}, false
	}
	a := answer{code: h.RCode, truncated: h.Truncated}
	if p.SkipAllQuestions() != nil {
		return a, true
	}
	for len(a.addresses) < maxAddresses {
		rh, err := p.AnswerHeader()
		if err != nil {
			break // the end, or a message that stops making sense: what was read stands
		}
		switch {
		case rh.Type == dnsmessage.TypeA && q.q.Type == dnsmessage.TypeA:
			r, err := p.AResource()
			if err != nil {
				return a, true
			}
			a.addresses = append(a.addresses, netip.AddrFrom4(r.A))
		case rh.Type == dnsmessage.TypeAAAA && q.q.Type == dnsmessage.TypeAAAA:
			r, err := p.AAAAResource()
			if err != nil {
				return a, true
			}
			a.addresses = append(a.addresses, netip.AddrFrom16(r.AAAA).Unmap())
		default:
			if p.SkipAnswer() != nil {
				return a, true
			}
		}
	}
	return a, true
}

// askTCP repeats a question whose answer was cut off (RFC 1035, 4.2.2). What fails here counts as a server's failure.
func askTCP(ctx context.Context, server netip.AddrPort, q question, bytes *int) answer {
	failed := answer{code: dnsmessage.RCodeServerFailure}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", server.String())
	*bytes += connectBytes
	if err != nil {
		return failed
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	msg := binary.BigEndian.AppendUint16(nil, uint16(len(q.packet)))
	if _, err := conn.Write(append(msg, q.packet...)); err != nil {
		return failed
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return failed
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:])) // at most 64 KiB by its type
	if _, err := io.ReadFull(conn, b); err != nil {
		return failed
	}
	*bytes += len(msg) + len(q.packet) + len(b) + 2*(ipHeader+tcpHeader)
	if a, ok := parseAnswer(b, q); ok {
		return a
	}
	return failed
}
