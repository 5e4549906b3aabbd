package web

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"posdx/fleet/access"
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
