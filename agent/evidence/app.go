package evidence

import (
	"strings"
	"time"
)

// Ages of a sign-in, in seconds: terminals sign in once a day.
const (
	signInFresh, signInNotFresh = 900, 1800
	signInAging, signInOld      = 18 * hour, day
)

// signInGood tells a sign-in whose result was success, or is not known.
func signInGood(result string) bool { return strings.Trim(result, "0") == "" }

func (it *Item) sessionLevel() Level {
	switch {
	case it.isNot(SignedIn), !signInGood(it.str(LastSigninResult)):
		return LevelBad
	case it.atLeast(SigninAgeS, signInOld):
		return LevelPoor
	}
	return LevelGood
}

// session judges whether the terminal is signed in to its host. What the host just answered counts for more than what
// the payment application says of its own session.
func (r *Reading) session() {
	it := r.First(AppSession)
	if it == nil {
		return
	}
	s := &r.sale
	age, dated := it.num(SigninAgeS)
	result := it.str(LastSigninResult)
	good := signInGood(result)
	saleCode := !s.MTI.Network() && s.Answered
	switch {
	case result == "none":
		r.add("session.no-reply", it, 1)
	case !good && result == s.Event.Code && s.Answered:
		r.add("session.same-code", it, 1)
	case !good:
		r.add("session.refused", it, Choose(it.isNot(SignedIn), 0.0, 1))
	}
	if saleCode && good && it.is(SignedIn) && dated && !r.since(it, age) {
		r.add("session.sale-only", it, Ramp(age, hour, hour/6))
	}
	old, fresh := 0.0, 0.0
	if dated && it.is(SignedIn) && good && r.since(it, age) {
		r.add("session.since", it, 1) // well now, which says nothing of then
		return
	}
	if dated {
		old, fresh = Ramp(age, signInAging, signInOld), Ramp(age, signInNotFresh, signInFresh)
	}
	switch {
	case it.isNot(SignedIn):
		r.add("session.out", it, Choose(good || result == "none", 1, 0.4))
	case it.is(SignedIn) && good:
		r.add("session.old", it, old)
		r.add("session.fresh", it, fresh)
		clear := Choose(dated, 1-old, 0.6) * (1 - fresh)
		if s.Topic == "session" && s.Answered {
			clear *= 0.1 // the host says otherwise, and it is the host that decides
		}
		r.add("session.in", it, clear*Choose(it.claimedBad(), 0.0, 1))
	default:
		r.add("session.old", it, old)
	}
}

// since tells whether what a check reports as so many seconds old came about after the event.
func (r *Reading) since(it *Item, age float64) bool {
	at, event := it.At, r.sale.Event.Time
	return !at.IsZero() && !event.IsZero() && at.Add(-time.Duration(age*float64(time.Second))).After(event.Add(ClockStep))
}

// ClockStep is by how much the times of one transaction may seem out of order though they are not: clocks are set
// meanwhile.
const ClockStep = time.Second

// alone adds the finding that the host refuses the sign-in of this terminal and of no other.
func (r *Reading) alone() {
	never := r.most("hist.never-approved", "hist.none-lately")
	r.put("session.alone", r.First(AppSession), nil, min(r.strength("adv.alone-acquirer"), r.strength("session.same-code"), never))
}

func (it *Item) versionDiffers() (known, differs bool) {
	installed, expected := it.str(Installed), it.str(Expected)
	return installed != "" && expected != "", installed != "" && expected != "" && installed != expected
}

func (r *Reading) version() {
	it := r.First(AppVersion)
	if it == nil {
		return
	}
	known, _ := it.versionDiffers()
	switch {
	case it.Bad():
		r.add("version.old", it, 1)
	case known:
		r.add("version.ok", it, 1)
	}
}

// changed names the finding of each member of changed_since_approval.
var changed = map[string]string{
	"app_version": "changed.app", "kernel_version": "changed.kernel", "terminal_id": "changed.id", "merchant_id": "changed.id",
	"parameters": "changed.id", "area": placeChange, "gateway": placeChange, "public_address": placeChange, "host_address": "changed.host", "tpdu": "changed.host", "apn": "changed.host", "phone_number": "changed.phone",
	"certificate": "changed.cert", "ip_config": "changed.ip", "reader_firmware": "changed.reader",
}

// placeChange names the changes that are not of a setting but of the terminal's surroundings. One of them has many
// reasons; two or three at once mean that the terminal was carried to another place.
const placeChange = "place.moved"

// manyChanges is the number of changes at once from which one more does not weaken the others any further.
const manyChanges = 8

// changes adds a finding for each thing that was changed since the last approval. The more changed at once, the weaker
// each finding: any of them may be to blame.
func (r *Reading) changes() {
	it := r.First(AppConfig)
	if it == nil {
		return
	}
	if list, known := it.Facts[string(ChangedSinceApproval)]; !known || list == nil {
		return
	}
	members := it.Facts.Strings(string(ChangedSinceApproval))
	if len(members) == 0 {
		r.add("changed.none", it, Choose(it.Bad(), 0.0, 1))
	}
	places := 0
	for _, m := range members {
		if changed[m] == placeChange {
			places++
		}
	}
	r.add(placeChange, it, Ramp(float64(places), 1, 3))
	for _, m := range members {
		if name := changed[m]; name != "" && name != placeChange {
			r.add(name, it, 1/(0.5+0.5*float64(min(len(members), manyChanges))))
		}
	}
}
