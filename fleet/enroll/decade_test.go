package enroll

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"math/rand/v2"
	"testing"
	"time"

	terminal "posdx/agent/enroll"
)

// A memory is a terminal's flash. A power cut comes at any replacement, before or after it.
type memory struct {
	files map[string][]byte
	cut   func() bool
}

var errCut = errors.New("power cut")

func (m *memory) Read(name string) ([]byte, error) {
	if b, ok := m.files[name]; ok {
		return b, nil
	}
	return nil, fs.ErrNotExist
}

func (m *memory) Replace(name string, b []byte) error {
	if m.cut() {
		return errCut
	}
	m.files[name] = b
	if m.cut() {
		return errCut
	}
	return nil
}

func (m *memory) Remove(name string) error {
	if m.cut() {
		return errCut
	}
	delete(m.files, name)
	return nil
}

// A made is a certificate without its cryptography: who issued it, and its life.
type made struct {
	by int
	Life
}

// A decade is a fleet's authority, its brokers and its terminals over ten years. What is decided is decided by the real
// Policy and the real Wallet; only signatures are left out.
type decade struct {
	policy Policy
	rand   *rand.Rand
	cas    []Life
	certs  []made

	issuer  int // of the newest
	changes int // of who issues
}

func (d *decade) upkeep(now time.Time) {
	if _, more := d.policy.Authorities(d.cas, now); more {
		d.cas = append(d.cas, Life{From: now.Add(-d.policy.Early), To: now.Add(d.policy.Authority)})
	}
}

func (d *decade) issue(now time.Time) []byte {
	i, _ := d.policy.Authorities(d.cas, now)
	if i < 0 {
		return nil
	}
	if i != d.issuer {
		d.issuer = i
		d.changes++
	}
	d.certs = append(d.certs, made{i, d.policy.Issued(d.cas[i], now)})
	return binary.BigEndian.AppendUint64(nil, uint64(len(d.certs)-1))
}

func (d *decade) of(pair []byte) made { return d.certs[binary.BigEndian.Uint64(pair)] }

// A broker knows the authorities that were there when it last read them, and has a clock of its own.
type brokerModel struct {
	knows int
	off   time.Duration
	every int // days between two readings
}

func (b *brokerModel) lets(d *decade, c made, now time.Time) bool {
	now = now.Add(b.off)
	ca := d.cas[c.by]
	return c.by < b.knows && !now.Before(c.From) && !now.After(c.To) && !now.Before(ca.From) && !now.After(ca.To)
}

type lived struct {
	terminals, renewals, authorities, changes int
	cuts, lost, refused                       int
	outages                                   int // days on which a terminal wanted in and was not let in
	locked                                    int // terminals that were not let in on any day of a month
}

// live lives through ten years of so many terminals. Hasty ones throw the old pair away when the renewed one comes.
func live(policy Policy, terminals int, seed uint64, hasty bool) lived {
	day := 24 * time.Hour
	begin := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)
	var out lived
	out.terminals = terminals
	d := &decade{policy: policy, rand: rand.New(rand.NewPCG(seed, 1))}
	const days = 3653
	// The fleet's own clock is wrong twice: a month ahead for a week, and a week behind for a day.
	fleetNow := func(k int) time.Time {
		now := begin.Add(time.Duration(k) * day)
		switch {
		case k >= 1000 && k < 1007:
			return now.Add(30 * day)
		case k == 2000:
			return now.Add(-7 * day)
		}
		return now
	}
	brokers := make([]*brokerModel, 8)
	for i := range brokers {
		// Clocks within a day; the laziest reads what it trusts every twelve days.
		brokers[i] = &brokerModel{off: time.Duration(d.rand.IntN(44)-22) * time.Hour, every: 1 + i*11/7}
	}
	type term struct {
		wallet *terminal.Wallet
		files  *memory
		broker *brokerModel
		next   int // day on which it does something
		failed int // days in a row without being let in
	}
	list := make([]*term, terminals)
	d.upkeep(fleetNow(0))
	for i := range list {
		files := &memory{files: map[string][]byte{}}
		files.cut = func() bool {
			if d.rand.IntN(50) == 0 {
				out.cuts++
				return true
			}
			return false
		}
		t := &term{files: files, broker: brokers[i%len(brokers)], next: d.rand.IntN(400)}
		t.wallet = &terminal.Wallet{Files: files, Name: "pair"}
		list[i] = t
	}
	for k := range days {
		now := fleetNow(k)
		d.upkeep(now)
		for _, b := range brokers {
			if k%b.every == 0 {
				b.knows = len(d.cas)
			}
		}
		really := begin.Add(time.Duration(k) * day)
		for _, t := range list {
			if t.next > k {
				continue
			}
			t.next = k + 1 + d.rand.IntN(7)
			if d.rand.IntN(20000) < 7 { // in a drawer, up to two years
				t.next = k + d.rand.IntN(730)
			}
			if _, ok := t.files.files["pair"]; !ok { // enrolled by a technician, who stays until it works
				t.files.files["pair"] = d.issue(now)
			}
			reboot := func() { t.wallet = &terminal.Wallet{Files: t.files, Name: "pair"} }
			in := false
			// A day has a few tries to connect.
			for range 4 {
				pair, renewed, err := t.wallet.Choose()
				if err != nil {
					break
				}
				if t.broker.lets(d, d.of(pair), really) {
					in = true
					if t.wallet.Worked(pair, renewed) != nil {
						reboot()
					}
					break
				}
				out.refused++
				t.wallet.Refused(renewed)
			}
			// Whether it is connected or not, once a day it asks.
			if shown, err := t.wallet.Shown(); err == nil && (!t.wallet.Waiting() || !in) {
				c := d.of(shown)
				if policy.Renewal(c.Life, now) == nil {
					if next := d.issue(now); next != nil {
						if d.rand.IntN(10) == 0 {
							out.lost++ // the answer did not arrive
						} else if hasty {
							t.files.files["pair"] = next
						} else if t.wallet.Keep(next) != nil {
							reboot()
						} else {
							out.renewals++
						}
					}
				}
			}
			if in {
				t.failed = 0
				continue
			}
			out.outages++
			t.failed++
			t.next = k + 1 // it tries again tomorrow
			if t.failed == 30 {
				out.locked++
			}
		}
	}
	out.authorities, out.changes = len(d.cas), d.changes
	return out
}

// Ten years of renewals: terminals that lie in drawers and lose their power in the middle of a replacement, answers
// that do not arrive, brokers whose clocks are off and that learn late of a new authority, a fleet whose own clock
// jumps, and the change from one authority to the next. Nobody is locked out.
func TestNobodyIsLockedOutInTenYears(t *testing.T) {
	n := 10_000
	if testing.Short() {
		n = 1000
	}
	got := live(Default, n, 1, false)
	t.Logf("%+v", got)
	if got.locked != 0 {
		t.Errorf("%d terminals were locked out", got.locked)
	}
	if got.authorities < 2 || got.changes < 1 || got.renewals < 10*n || got.cuts == 0 || got.lost == 0 ||
		got.refused == 0 {
		t.Errorf("the decade was too easy: %+v", got)
	}
	// Two terminals in a thousand that come out of a drawer with an ended certificate wait for their renewal.
	if got.outages > n {
		t.Errorf("%d days without being let in", got.outages)
	}
}

// The same decade locks terminals out as soon as one of the rules is taken away: the test can fail.
func TestEachRuleIsNeeded(t *testing.T) {
	base := live(Default, 1000, 1, false)
	for name, c := range map[string]struct {
		change func(*Policy)
		hasty  bool
	}{
		"no grace":                       {func(p *Policy) { p.Grace = 0 }, false},
		"the old pair kept, short lives": {func(p *Policy) { p.Leaf, p.Grace = 20*24*time.Hour, 0 }, false},
		"the old pair thrown away":       {func(p *Policy) { p.Spread = 0 }, true},
	} {
		p := Default
		c.change(&p)
		got := live(p, 1000, 1, c.hasty)
		t.Logf("%s: %+v", name, got)
		if got.locked == 0 && got.outages < 2*base.outages {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestRenewalIsJudgedByTheFleetsClock(t *testing.T) {
	day := 24 * time.Hour
	now := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)
	l := Default.Issued(Life{To: now.Add(Default.Authority)}, now)
	for after, want := range map[time.Duration]error{
		0: ErrNotDue, 242 * day: ErrNotDue, 244 * day: nil, 365 * day: nil, 400 * day: nil,
		365*day + Default.Grace + day: ErrTooOld, -3 * day: nil,
	} {
		if err := Default.Renewal(l, now.Add(after)); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("after %s: %v, want %v", after, err, want)
		}
	}
	l.Revoked = true
	if err := Default.Renewal(l, now.Add(300*day)); !errors.Is(err, ErrRevoked) {
		t.Error(err)
	}
	old := Life{From: now.Add(-Default.Authority), To: now.Add(100 * day)}
	if l := Default.Issued(old, now); l.To.After(old.To) {
		t.Error("a certificate outlives its authority")
	}
}
