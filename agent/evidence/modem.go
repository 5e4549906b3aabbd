package evidence

import (
	"strings"

	"posdx/agent/report"
)

// 3GPP 24.008 10.5.6.6 (24.301 9.9.4.4) causes of a refused data connection: 8 is operator determined barring; 27
// missing or unknown APN, 29 authentication failed, 30 rejected by the gateway, 32 and 33 service not supported or not
// subscribed.
var (
	barredCauses  = map[string]bool{"8": true}
	refusedCauses = map[string]bool{"27": true, "29": true, "30": true, "32": true, "33": true}
)

// contextState returns the state of the data connection: ok, refused, barred, none, or "" if it is not known.
func (it *Item) contextState() string {
	cause := causeText(it)
	switch {
	case barredCauses[cause] || strings.Contains(strings.ToLower(cause), "barr"):
		return "barred"
	case it.isNot(APNOk) || refusedCauses[cause]:
		return "refused"
	case it.isNot(ContextActive) || it.isNot(Attached):
		return "none"
	case it.is(ContextActive):
		return "ok"
	}
	return ""
}

func (it *Item) contextLevel() Level {
	switch it.contextState() {
	case "none":
		return LevelBad
	case "barred", "refused":
		if !it.is(ContextActive) || it.isNot(APNOk) { // an old cause beside a connection that stands is history
			return LevelBad
		}
	}
	return LevelGood
}

// mobile adds the findings about the modem's registration and data connection, if the sale goes over it.
func (r *Reading) mobile() {
	if r.wired() {
		return
	}
	r.unheard()
	if it := r.First(ModemRegistration); it != nil && it.str(State) == "searching" {
		r.add(Choose(r.strength("signal.ok") > 0.3, "reg.searching-good", "reg.searching"), it, 1)
	}
	it := r.First(ModemBearer)
	if it == nil {
		return
	}
	switch it.contextState() {
	case "barred":
		r.add("apn.barred", it, 1)
	case "refused":
		r.add("apn.bad", it, 1)
	case "none":
		// What is not attached has no data connection either: that is the network's refusal, or its absence.
		detached := Choose(it.isNot(Attached), 1-r.strength("reg.ok"), 0)
		r.add("apn.detached", it, detached)
		r.add("apn.none", it, (1-detached)*Choose(it.isNot(Attached), 0.6, 1))
	case "ok":
		if it.Bad() {
			r.add("apn.none", it, 0.5) // its sender calls it bad
		} else {
			r.add("apn.ok", it, 1)
		}
	default:
		r.add("apn.none", it, Choose(it.Bad(), 0.5, 0))
	}
}

// unheard adds the finding of a silent modem if it was asked several questions and answered none. One unanswered
// question proves nothing.
func (r *Reading) unheard() {
	asked := 0
	for _, e := range r.Missing {
		reason, _ := e.Facts.Str("reason")
		switch {
		case !strings.HasPrefix(e.Check, "modem."):
		case reason == report.ReasonTimeout || reason == report.ReasonMasked:
			asked++
		default:
			return // another program has the port, or it may not be asked
		}
	}
	for i := range r.Items {
		if strings.HasPrefix(r.Items[i].Check, "modem.") && r.Items[i].Fresh >= 1 {
			return
		}
	}
	r.put("modem.unheard", nil, nil, Ramp(float64(asked), 1, 5))
}
