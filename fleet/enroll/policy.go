// Package enroll issues the terminals' client certificates: the first for a token that can be used once, the others on
// requests that the one before has signed.
//
// The decisions are in Policy, without files, keys or a clock, so that a test can go through decades of them. An
// Authority carries them out.
package enroll

import (
	"errors"
	"time"
)

// A Policy is how long certificates, authorities and tokens are valid. The zero value is not a usable one; see Default.
type Policy struct {
	Leaf      time.Duration // life of a terminal's certificate
	Authority time.Duration // life of an authority's
	Spread    time.Duration // how long a new authority is only trusted before it issues: brokers must have learnt of it
	Grace     time.Duration // how long after its end a certificate still renews: a terminal may have lain in a drawer
	Early     time.Duration // how far before now a certificate begins: brokers' clocks differ
}

// Default are the lives that posdx-fleet uses.
var Default = Policy{
	Leaf: 365 * 24 * time.Hour, Authority: 10 * 365 * 24 * time.Hour, Spread: 14 * 24 * time.Hour,
	Grace: 2 * 365 * 24 * time.Hour, Early: 24 * time.Hour,
}

// A Life is the part of a certificate that is judged.
type Life struct {
	From, To time.Time
	Revoked  bool
}

// Answers of Renewal.
var (
	ErrNotDue  = errors.New("no renewal is due")
	ErrRevoked = errors.New("this certificate is revoked; enroll the terminal with a new token")
	ErrTooOld  = errors.New("this certificate ended too long ago; enroll the terminal with a new token")
)

// Renewal says whether a certificate may be renewed now, by the fleet's clock: from two thirds of its life until its
// grace is over.
func (p Policy) Renewal(l Life, now time.Time) error {
	share := l.To.Sub(l.From) * 2 / 3
	switch {
	case l.Revoked:
		return ErrRevoked
	case now.After(l.To.Add(p.Grace)):
		return ErrTooOld
	case now.Before(l.From.Add(share)) && !now.Before(l.From.Add(-p.Early)):
		return ErrNotDue
	}
	// A fleet whose clock was far ahead when it issued must not keep its terminals waiting for that day: what begins in
	// the future is renewed at once.
	return nil
}

// Issued is the life of a certificate that is issued now by an authority. It never outlives its authority.
func (p Policy) Issued(authority Life, now time.Time) Life {
	l := Life{From: now.Add(-p.Early), To: now.Add(p.Leaf)}
	if l.To.After(authority.To) {
		l.To = authority.To
	}
	return l
}

// Authorities decides what to do about the authorities, oldest first, now: which one issues (its place in the list, -1
// for none), and whether to make a new one. All that have not ended are trusted, and for renewals also those that ended
// within the grace.
func (p Policy) Authorities(list []Life, now time.Time) (issuer int, more bool) {
	issuer = -1
	ready, alive := -1, -1
	for i, a := range list {
		if a.Revoked || !now.Before(a.To) {
			continue
		}
		alive = i
		if !now.Before(a.From.Add(p.Early + p.Spread)) {
			ready = i
		}
	}
	issuer = ready
	if issuer < 0 {
		issuer = alive // the first one, or after a clock that was wrong: better one that not all know than none
	}
	// The newest has a successor in time for the longest life that it still issues to end with it.
	more = alive < 0 || list[alive].To.Sub(now) < 2*p.Leaf+p.Spread+p.Grace
	return issuer, more
}
