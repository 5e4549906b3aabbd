package web

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"posdx/agent/report"
	"posdx/fleet/access"
	"posdx/fleet/sample"
	"posdx/fleet/store"
)

// An incident is given to somebody who can sign in, sees it and may do something about it, and to nobody else; who
// gives it learns of no account beyond its own rights.
func TestOwnersAreAccountsThatCanAct(t *testing.T) {
	h := closed(t)
	_, incident := fill(t, h, "shop", "t1", false)
	h.account(t, "ann", access.Operator, "shop")
	h.account(t, "tom", access.Technician, "shop")
	h.account(t, "vera", access.Viewer, "shop")
	h.account(t, "mel", access.Operator, "mall")
	h.account(t, "chief", access.Admin)
	h.account(t, "gone", access.Operator, "shop")
	if err := h.keeper.ChangeAccount(t.Context(), root, "gone", func(a *store.Account) { a.Disabled = true }, ""); err != nil {
		t.Fatal(err)
	}
	page := fmt.Sprint("/incident/", incident)
	for who, may := range map[string]map[string]bool{
		"ann":   {"ann": true, "tom": true, "vera": false, "mel": false, "gone": false, "chief": false, "Q4 team": false},
		"chief": {"ann": true, "tom": true, "chief": true, "mel": false, "anybody": false, "<b>": false},
	} {
		c := h.browser(t, who)
		_, body, _ := h.send(t, c, "GET", page+"?lang=en", nil)
		for name, ok := range may {
			if got := strings.Contains(body, "<option>"+name+"</option>"); got != ok {
				t.Errorf("%s is offered %s: %v", who, name, got)
			}
			status, says, _ := h.send(t, c, "POST", page+"/assign?lang=en", url.Values{"owner": {name}})
			if ok != (status == http.StatusSeeOther) {
				t.Errorf("%s gives it to %q: %d", who, name, status)
			}
			if !ok && !strings.Contains(says, "is no account that can see to this incident; there are: ann") {
				t.Errorf("%s gives it to %q and is told %s", who, name, says)
			}
			if !ok && who == "ann" && name != "chief" && name != "mel" && (strings.Contains(says, "chief") || strings.Contains(says, "mel")) {
				t.Errorf("ann learns of others: %s", says)
			}
		}
		if status, _, _ := h.send(t, c, "POST", page+"/assign", url.Values{"owner": {""}}); status != http.StatusSeeOther {
			t.Errorf("%s gives it to nobody: %d", who, status)
		}
		care, err := h.db.Cares(t.Context(), []store.Incident{{No: incident}})
		if err != nil || care[incident].Owner != "" {
			t.Errorf("it is with %+v %v", care, err)
		}
	}
}

// The choices of what was found are each there once.
func TestNothingIsFoundTwiceInTheForm(t *testing.T) {
	h := closed(t)
	diagnosis, _ := fill(t, h, "shop", "t1", false)
	h.account(t, "tom", access.Technician)
	_, body, _ := h.send(t, h.browser(t, "tom"), "GET", "/diagnosis/shop/t1/"+diagnosis, nil)
	seen := map[string]bool{}
	_, form, _ := strings.Cut(body, `<select name="found">`)
	form, _, _ = strings.Cut(form, "</select>")
	for _, o := range strings.Split(form, "<option ")[1:] {
		value, _, _ := strings.Cut(o, ">")
		if value = strings.TrimSuffix(value, " selected"); seen[value] {
			t.Errorf("%s is there twice", value)
		}
		seen[value] = true
	}
	if len(seen) < 50 || !seen[`value="none"`] {
		t.Errorf("%d choices: the test looks for what is not there", len(seen))
	}
}

// What only some sales meet says so on its page and in the list, in both languages, and the way from it to its
// diagnoses keeps every dimension: that of another card at the same place is not among them.
func TestAnIncidentOfSomeCardsSaysWhich(t *testing.T) {
	h := closed(t)
	h.account(t, "vera", access.Viewer)
	for i, card := range []string{"visa", "unionpay", "visa"} {
		a := sample.New("shop", fmt.Sprint("t", i))
		put := func(topic string, payload []byte) { put(t, h.db, topic, payload) }
		put(a.Uncounted(report.KindBirth, a.Birth(1)))
		place := []store.Placed{{At: a.At, When: t0, Place: map[string]string{"firmware": "2.1"}}}
		if err := h.db.SavePlaces(t.Context(), place); err != nil {
			t.Fatal(err)
		}
		d := a.Diagnosis(1, 2, "57", "issuer.declined", "issuer")
		d.Event.Txn = &report.Txn{Entry: "contactless", CardScheme: card}
		put(a.Wrap(report.KindDiagnosis, d))
	}
	i := store.Incident{Estate: "shop", Scope: "firmware", Key: "2.1", Cause: "issuer.declined", Segment: "issuer", Code: "57",
		Opened: t0, Seen: t0, Terminals: 2, Of: 3, Peak: 2, Detail: store.Detail{Kind: "surge",
			Place: map[string]string{"firmware": "2.1"}, Entry: "contactless", Card: "visa",
			Only: map[string]string{"entry": "contactless", "card_scheme": "visa"}}}
	if err := h.db.SaveIncident(t.Context(), &i); err != nil {
		t.Fatal(err)
	}
	c := h.browser(t, "vera")
	page := fmt.Sprint("/incident/", i.No)
	var all string
	for lang, wants := range map[string][]string{
		"en": {"<i>firmware</i> 2.1", "<i>card scheme</i> visa", "<i>entry</i> contactless"},
		"zh": {"<i>固件</i> 2.1", "<i>卡组织</i> visa", "<i>读卡方式</i> 非接"},
	} {
		for _, path := range []string{page, "/incidents"} {
			_, body, _ := h.send(t, c, "GET", path+"?lang="+lang, nil)
			for _, w := range wants {
				if !strings.Contains(body, w) {
					t.Errorf("%s in %s does not say %q", path, lang, w)
				}
			}
			if path == page {
				_, rest, _ := strings.Cut(body, `<p class="more"><a href="/diagnoses`)
				rest, _, _ = strings.Cut(rest, `"`)
				all = "/diagnoses" + html.UnescapeString(rest)
				if !strings.Contains(body, "(2 / 3)") {
					t.Errorf("the unionpay card's terminal is counted among those that report: %s", lang)
				}
			}
		}
	}
	_, body, _ := h.send(t, c, "GET", all, nil)
	for n, want := range []bool{true, false, true} {
		if got := strings.Contains(body, fmt.Sprintf("/shop/t%d", n)); got != want {
			t.Errorf("%s shows t%d: %v", all, n, got)
		}
	}
	if !strings.Contains(body, "visa <a href") {
		t.Errorf("%s does not say what the list is restricted to", all)
	}
	if _, body, _ = h.send(t, c, "GET", "/incidents?format=csv", nil); !strings.Contains(body, "card_scheme=visa entry=contactless") {
		t.Errorf("the export does not say it: %s", body)
	}
	if _, body, _ = h.send(t, c, "GET", "/incidents?q=visa", nil); !strings.Contains(body, page) {
		t.Error("a search for visa does not find it")
	}
}
