package console

import (
	"cmp"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"log/slog"
	"strings"
	"time"

	"posdx/agent/internal/sshsig"
)

const (
	mostTries = 5               // that fail in a row, whoever makes them, before none is taken for a while
	tryWait   = 5 * time.Minute // at first; doubled with each further one
	maxWait   = 24 * time.Hour

	maxPIN = 8 // digits; what is longer is none, and no try

	// namespace is what signatures that open the console are made for (ssh-keygen -n).
	namespace = "posdx"
	// longestName is how much of the terminal's name fits into a line together with what is signed.
	longestName = 32
)

// tries counts those that fail, over all who come to the line: hanging up does not begin anew.
type tries struct {
	wrong int       // in a row
	until time.Time // when the next one is taken
}

// take makes a try, unless it is too soon.
func (t *tries) take(now time.Time, right func() bool) (ok bool, wait time.Duration) {
	if wait := t.until.Sub(now); wait > 0 {
		return false, wait
	}
	if right() {
		t.wrong = 0
		return true, 0
	}
	t.wrong++
	if over := t.wrong - mostTries; over >= 0 {
		wait = min(tryWait<<min(over, 10), maxWait)
		t.until = now.Add(wait)
	}
	return false, wait
}

func (c *Console) log() *slog.Logger { return cmp.Or(c.Log, slog.New(slog.DiscardHandler)) }

// unlock tries a PIN.
func (c *Console) unlock(pin string, now time.Time) (ok bool, wait time.Duration) {
	tried := false
	ok, wait = c.pins.take(now, func() bool {
		tried = true
		return c.PIN != "" && subtle.ConstantTimeCompare([]byte(pin), []byte(c.PIN)) == 1
	})
	switch {
	case ok:
		c.log().Info("console unlocked", "by", "PIN")
	case tried:
		c.log().Warn("console: wrong PIN", "in_a_row", c.pins.wrong, "locked_for", wait)
	}
	return ok, wait
}

// challenge is what a technician signs: it names the terminal and the minute for him, and was never shown before.
func (c *Console) challenge(now time.Time) string {
	name := c.Terminal
	if len(name) > longestName {
		name = strings.TrimLeft(name[len(name)-longestName:], "-._")
	}
	return name + "@" + now.UTC().Format("20060102T1504Z") + "-" + rand.Text()[:20]
}

// verify tries a signature of a challenge. One made with a key cannot be guessed: these tries are counted apart, so
// that wrong PINs shut nobody out who has a key.
func (c *Console) verify(signature, challenge string, now time.Time) (ok bool, wait time.Duration) {
	var by sshsig.Key
	err := errors.New("too soon")
	ok, wait = c.signatures.take(now, func() bool {
		if challenge == "" {
			err = errors.New("no challenge was shown, or it was tried already")
			return false
		}
		// echo adds a line's end, and Windows' own a space too.
		by, err = sshsig.Signer([]byte(signature), namespace, c.Keys,
			challenge+"\n", challenge, challenge+"\r\n", challenge+" \r\n")
		return err == nil
	})
	if ok {
		c.log().Info("console unlocked", "by", "key", "of", by.Name)
	} else {
		c.log().Warn("console: wrong signature", "in_a_row", c.signatures.wrong, "locked_for", wait, "err", err)
	}
	return ok, wait
}
