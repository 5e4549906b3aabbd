package diagnose

import (
	"math"
	"slices"
	"strings"
	"testing"

	"posdx/agent/report"
	"posdx/codes"
)

// The bar for the cases of testdata/independent, which were written from the contract and the code tables by somebody
// who had not read this engine (the last 92 by the same hand after reading it). What they found has been mended since,
// so they guard what was reached; they no longer measure it.
const (
	barFirst       = 0.97
	barThree       = 0.99
	barAbstains    = 0.03 // of the cases that have an answer
	barInseparable = 0.90 // of those that have none
	barCalibration = 0.08
)

func TestIndependentCases(t *testing.T) {
	k := knowledge(t)
	var answered, first, three, clear, abstained, unclear, unclearAbstained int
	var said, right [10]float64
	for _, c := range readCases(t, "testdata/independent") {
		d := Explain(c.Event, c.Evidence, k, Options{Lang: "en"})
		wrong := c.judge(&d)
		if len(wrong) > 0 {
			t.Logf("%s: %s", c.Name, strings.Join(wrong, ", "))
		}
		for _, w := range wrong {
			if w == "forbidden first" || strings.HasPrefix(w, "retry ") {
				t.Errorf("%s: %s", c.Name, w) // these cost somebody money or a journey: no bar allows one
			}
		}
		if a := c.Expect.Abstain; a != nil && *a {
			unclear++
			unclearAbstained += pickInt(d.Abstained, 1, 0)
		} else if a != nil {
			clear++
			abstained += pickInt(d.Abstained, 1, 0)
		}
		if c.Expect.Top == nil {
			continue
		}
		answered++
		hit := !slices.Contains(wrong, "first is "+d.Causes[0].ID)
		first += pickInt(hit, 1, 0)
		three += pickInt(slices.Contains(wrong, "not among the first three"), 0, 1)
		bin := min(9, int(d.Causes[0].Probability*10))
		said[bin] += d.Causes[0].Probability
		right[bin] += float64(pickInt(hit, 1, 0))
	}
	if answered < 200 || unclear < 20 {
		t.Fatalf("only %d cases with an answer and %d without", answered, unclear)
	}
	share := func(a, b int) float64 { return float64(a) / float64(b) }
	off := 0.0
	for b := range said {
		off += math.Abs(said[b] - right[b])
	}
	off /= float64(answered)
	t.Logf("first %.3f, among three %.3f, abstains %.3f, on inseparable %.3f, calibration error %.3f",
		share(first, answered), share(three, answered), share(abstained, clear), share(unclearAbstained, unclear), off)
	for _, bar := range []struct {
		what      string
		is, least float64
	}{
		{"first right", share(first, answered), barFirst},
		{"among the first three", share(three, answered), barThree},
		{"answers where there is one", 1 - share(abstained, clear), 1 - barAbstains},
		{"abstains where nothing can tell", share(unclearAbstained, unclear), barInseparable},
		{"calibrated", 1 - off, 1 - barCalibration},
	} {
		if bar.is < bar.least {
			t.Errorf("%s: %.3f, the bar is %.3f", bar.what, bar.is, bar.least)
		}
	}
}

// sold is a sale that a host answered.
func sold(code, scheme string) report.Event {
	yes := true
	return report.Event{Code: code, Scheme: scheme, Origin: report.OriginHost,
		Txn: &report.Txn{MTI: "0210", Entry: "chip", Sent: &yes, HostAnswerSeen: &yes}}
}

func found(check string, status report.Status, facts report.Facts) report.Evidence {
	return report.Evidence{Check: check, Subject: "x", Status: status, Facts: facts, Depth: report.Internal}
}

// TestApprovalsBeforeAndSince: approvals from before a code appeared say that it worked before, those since then that
// it works for others.
func TestApprovalsBeforeAndSince(t *testing.T) {
	k := knowledge(t)
	weigh := func(last float64) float64 {
		d := Explain(sold("97", "unionpay"), []report.Evidence{found("txn.history", report.OK, report.Facts{
			"same_code_1h": 4.0, "cards_same_code_1h": 3.0, "approvals_1h": 6.0, "first_seen_age_s": 500.0, "last_approval_age_s": last})}, k, Options{})
		i := slices.IndexFunc(d.Causes, func(c report.Cause) bool { return c.ID == "terminal.not-registered" })
		if i < 0 {
			return 0
		}
		return d.Causes[i].Probability
	}
	before, since := weigh(800), weigh(100)
	if before < 0.5 || since > 0.6*before {
		t.Errorf("not registered %.2f with approvals before the code, %.2f with approvals since", before, since)
	}
}

// TestHostDecidesOnTheSession: a program that believes it is signed in does not outweigh the host.
func TestHostDecidesOnTheSession(t *testing.T) {
	k := knowledge(t)
	signedIn := found("app.session", report.OK, report.Facts{"signed_in": true, "signin_age_s": 20000.0, "last_signin_result": "00"})
	if d := Explain(sold("77", "unionpay"), []report.Evidence{signedIn}, k, Options{}); d.Causes[0].ID != "terminal.session" || d.Abstained {
		t.Errorf("77 while the program believes to be signed in: %s, abstained %v", d.Causes[0].ID, d.Abstained)
	}
	signedIn.Facts["signin_age_s"] = 60.0
	if d := Explain(sold("77", "unionpay"), []report.Evidence{signedIn}, k, Options{}); d.Money.Retry == report.RetryAfterSignin {
		t.Error("77 a minute after a good sign-in: signing in once more is advised")
	}
}

// TestPooledCodes: of the codes pooled from many acquirers, those whose sources agree count, those they dispute do not.
func TestPooledCodes(t *testing.T) {
	k := knowledge(t)
	for code, want := range map[string]string{"A277": "terminal.session", "2051": "account.funds", "1202": "merchant.not-registered", "0000": "none", "9997": report.Unexplained} {
		if d := Explain(sold(code, codes.SchemeAcquirer), nil, k, Options{}); d.Causes[0].ID != want {
			t.Errorf("%s: %s, not %s", code, d.Causes[0].ID, want)
		}
	}
}

// TestUnseenLayer: what a layer would have explained counts for it while nobody has looked at it, and no longer once
// somebody has.
func TestUnseenLayer(t *testing.T) {
	k := knowledge(t)
	no := false
	ev := report.Event{Code: "CommunicationError", Origin: report.OriginTerminal, Txn: &report.Txn{Sent: &no}}
	evidence := []report.Evidence{
		found("net.bearer", report.OK, report.Facts{"active": "wifi", "changes_1h": 0.0}),
		found("net.path", report.Bad, report.Facts{"target": "host-primary", "loss_pct": 40.0, "rtt_ms": 60.0}),
	}
	p := func(list []report.Evidence) float64 {
		for _, c := range Explain(ev, list, k, Options{}).Causes {
			if c.ID == "lan.wifi" {
				return c.Probability
			}
		}
		return 0
	}
	unseen := p(evidence)
	seen := p(append(evidence, found("net.wifi", report.OK, report.Facts{"associated": true, "ssid_ok": true, "rssi_dbm": -50.0})))
	if unseen < 0.05 || seen > unseen/4 {
		t.Errorf("the radio is to blame with %.2f while nobody looked at it, %.2f once it was seen to be good", unseen, seen)
	}
}

func pickInt(b bool, x, y int) int {
	if b {
		return x
	}
	return y
}
