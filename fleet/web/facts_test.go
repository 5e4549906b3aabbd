package web

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"posdx/agent/report"
	"posdx/codes"
	"posdx/fleet/access"
	"posdx/fleet/sample"
)

// Whatever a check can measure has a name in both languages, and a unit that people read; so has what is known of a
// sale.
func TestFactsAreCalledByWords(t *testing.T) {
	ids := map[string]string{} // the fact of which check
	for _, f := range codes.Builtin().Facts {
		ids[f.Check+" "+f.Name] = f.Unit
	}
	txn := reflect.TypeFor[report.Txn]()
	for i := range txn.NumField() {
		id, _, _ := strings.Cut(txn.Field(i).Tag.Get("json"), ",")
		ids["txn.answer "+id] = ""
	}
	for _, lang := range []string{"zh", "en"} {
		p := &page{Lang: lang, knowledge: codes.Builtin()}
		for k, unit := range ids {
			check, id, _ := strings.Cut(k, " ")
			if got := p.Measure(check, id); got == id && lang == "zh" || got == "" || strings.Contains(got, "_") {
				t.Errorf("%s: %s is called %q", lang, k, got)
			}
			if _, ok := units[unit]; unit != "" && !ok {
				t.Errorf("%s: no word for the unit %q", k, unit)
			}
		}
		for id, m := range measures {
			if zh := strings.ContainsFunc(m.ZH, func(r rune) bool { return unicode.Is(unicode.Han, r) }); m.ZH == "" || m.EN == "" ||
				!zh && m.ZH != m.EN {
				t.Errorf("%s: %+v", id, m)
			}
		}
	}
}

// A person reads names, words and units in the page's language; what cannot be is shown and marked.
func TestFactsOnAPage(t *testing.T) {
	h := closed(t)
	h.account(t, "ann", access.Viewer)
	a := sample.New("shop", "t1")
	d := a.Diagnosis(1, 2, "96", "host.malfunction", "acquirer")
	d.Evidence = append(d.Evidence, report.Evidence{Check: "net.path", Subject: "host-primary", Status: report.OK,
		Facts: report.Facts{"loss_pct": 12.5, "rtt_ms": 80.0, "by": "echo"}},
		report.Evidence{Check: "board.flash", Subject: "mmcblk0", Status: report.OK, Facts: report.Facts{"life_used_pct": -7.0}},
		report.Evidence{Check: "board.newer", Status: report.OK, AgeMS: 9e15, Facts: report.Facts{"worth_xyz": 3.0}})
	topic, doc := a.Wrap(report.KindDiagnosis, d)
	put(t, h.db, topic, doc)
	ann := h.browser(t, "ann")
	for lang, says := range map[string][]string{
		"zh": {`<i title="loss_pct">丢包</i> 12.5 %`, `<i title="rtt_ms">往返时延</i> 80 毫秒`, `<i title="by">测量方式</i> 用ping测`,
			`<i title="life_used_pct">已用寿命</i> -7 % <span class="tag warn">数值不可信</span>`, `<i title="worth_xyz">worth_xyz</i> 3`,
			`title="host-primary">主用主机</td>`, `title="mmcblk0">mmcblk0</td>`},
		"en": {`<i title="loss_pct">loss</i> 12.5 %`, `<i title="rtt_ms">round trip</i> 80 ms`, `<i title="by">measured by</i> by echoes`,
			`<i title="life_used_pct">life used</i> -7 % <span class="tag warn">cannot be</span>`,
			`title="host-primary">primary host</td>`},
	} {
		_, body, _ := h.send(t, ann, "GET", "/diagnosis/shop/t1/"+d.ID+"?lang="+lang, nil)
		for _, s := range says {
			if !strings.Contains(body, s) {
				t.Errorf("%s: the page does not say %s", lang, s)
			}
		}
	}
	// A file keeps the ids and the values.
	_, body, _ := h.send(t, ann, "GET", "/diagnosis/shop/t1/"+d.ID+"?format=json", nil)
	var rows []struct{ Facts map[string]any }
	if err := json.Unmarshal([]byte(body), &rows); err != nil || !strings.Contains(body, `"loss_pct":12.5`) {
		t.Errorf("%v: %s", err, body)
	}
}

// What is broken besides is said to be no cause only where the diagnosis is sure of one, in the words of the terminal.
func TestWhatElseIsBrokenIsWordedAsAtTheTerminal(t *testing.T) {
	h := closed(t)
	h.account(t, "ann", access.Viewer)
	ann := h.browser(t, "ann")
	a := sample.New("shop", "t1")
	for n, abstained := range []bool{false, true} {
		d := a.Diagnosis(n, 2, "96", "host.malfunction", "acquirer")
		d.Abstained = abstained
		d.Also = []report.Also{{ID: "printer.fault", Segment: "printer", Act: report.Act{By: "technician"},
			Finding: report.Reason{Check: "printer.status"}}}
		topic, doc := a.Wrap(report.KindDiagnosis, d)
		put(t, h.db, topic, doc)
		word := codes.Builtin().Word("also", map[bool]string{false: "beside", true: "open"}[abstained])
		for _, lang := range []string{"zh", "en"} {
			_, body, _ := h.send(t, ann, "GET", "/diagnosis/shop/t1/"+d.ID+"?lang="+lang, nil)
			if !strings.Contains(body, word.In(lang)) {
				t.Errorf("abstained %t, %s: the page does not say %q", abstained, lang, word.In(lang))
			}
		}
	}
}
