package uplink

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"strings"
	"time"

	"posdx/agent/enroll"
	"posdx/agent/internal/atomicfile"
)

const (
	askSoonest = 2 * time.Minute // after the start: the session comes first
	askAgain   = time.Hour       // after a question that failed, doubled up to a day
)

// errRenewed ends a session so that the next one proves a renewed certificate, while the old one is good for months.
var errRenewed = errors.New("a renewed certificate is tried")

// disk is where the pairs lie.
type disk struct{}

func (disk) Read(name string) ([]byte, error)          { return atomicfile.Read(name, maxFile) }
func (disk) Replace(name string, content []byte) error { return atomicfile.Replace(name, content) }
func (disk) Remove(name string) error                  { return os.Remove(name) }

// proof is with which pair a session tries to be let in.
type proof struct {
	pair    []byte
	renewed bool
}

// choose sets the certificate of a connection, for a terminal that renews its own.
func (u *Uplink) choose() (proof, tls.Certificate, error) {
	pair, renewed, err := u.wallet.Choose()
	if err != nil {
		return proof{}, tls.Certificate{}, err
	}
	c, err := tls.X509KeyPair(pair, pair)
	if err != nil && renewed { // a damaged file must not keep the terminal out
		u.wallet.Refused(true)
		if pair, renewed, err = u.wallet.Choose(); err == nil {
			c, err = tls.X509KeyPair(pair, pair)
		}
	}
	return proof{pair, renewed}, c, err
}

// judged tells the wallet how a broker took its pair: err nil, or why the session did not begin.
func (u *Uplink) judged(p proof, err error) {
	if u.wallet == nil || p.pair == nil {
		return
	}
	switch {
	case err == nil:
		if err := u.wallet.Worked(p.pair, p.renewed); err != nil {
			u.log.Warn("uplink", "renewed certificate not kept", err)
		} else if p.renewed {
			u.log.Info("uplink", "certificate", "the renewed one works and is in use")
		}
	case p.renewed || strings.Contains(err.Error(), "certificate"):
		u.wallet.Refused(p.renewed)
	}
}

// renewals asks the fleet every day whether a certificate is due, until ctx ends. The fleet's clock decides.
func (u *Uplink) renewals(ctx context.Context) {
	wait, failed := askSoonest+u.spread(askAgain), time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		got, err := u.renew(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			failed = min(max(2*failed, askAgain), enroll.AskEvery)
			wait = failed/2 + u.spread(failed/2)
			u.log.Warn("uplink", "certificate not renewed", err, "again in", wait.Round(time.Minute).String())
		default:
			failed, wait = 0, enroll.AskEvery/2+u.spread(enroll.AskEvery/2)
			if got {
				u.log.Info("uplink", "certificate", "renewed; it is tried now")
				select {
				case u.renewed <- struct{}{}:
				default:
				}
			}
		}
	}
}

// renew asks once, and tells whether a pair came.
func (u *Uplink) renew(ctx context.Context) (bool, error) {
	u.mu.Lock()
	connected := u.state.Connected
	u.mu.Unlock()
	if u.wallet.Waiting() && connected {
		return false, nil // one is being tried
	}
	present, err := u.wallet.Shown()
	if err != nil {
		return false, err
	}
	key, r, err := enroll.Renewal(present)
	if err != nil {
		return false, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Time: u.now}
	if err := u.trust(config); err != nil {
		return false, err
	}
	a, err := enroll.Asker{URL: u.cfg.RenewURL, TLS: config, Dial: u.dial}.Ask(ctx, r)
	if err != nil || a.NotDue {
		return false, err
	}
	pair, err := enroll.Pair(key, a.Chain)
	if err != nil {
		return false, err
	}
	return true, u.wallet.Keep(pair)
}
