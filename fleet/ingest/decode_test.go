package ingest

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"posdx/agent/report"
	"posdx/codes"
	"posdx/fleet/sample"
	"posdx/fleet/store"
)

var t0 = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// edit changes one member of a good document.
func edit(t testing.TB, payload []byte, change func(envelope, data map[string]any)) []byte {
	t.Helper()
	var e map[string]any
	if err := json.Unmarshal(payload, &e); err != nil {
		t.Fatal(err)
	}
	data, _ := e["data"].(map[string]any)
	change(e, data)
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDecode(t *testing.T) {
	a := sample.New("shop", "t1")
	topic, good := a.Wrap(report.KindDiagnosis, a.Diagnosis(1, 2, "96", "host.malfunction", "acquirer"))
	with := func(change func(e, d map[string]any)) []byte { return edit(t, good, change) }
	_, dropped := a.Wrap(report.KindDropped, report.Dropped{First: 1, Last: 1, Reason: "space"})
	_, tally := a.Wrap(report.KindTally, sample.Tally(map[string]int{"00": 7}))
	_, health := a.Uncounted(report.KindHealth, a.Health())
	_, birth := a.Uncounted(report.KindBirth, a.Birth(1))

	for _, c := range []struct {
		name, topic string
		payload     []byte
		reason      string
		covered     bool // the sequence is known, so the number is dealt with
	}{
		{"diagnosis", topic, good, "", true},
		{"dropped", a.At.Topic("dropped"), dropped, "", true},
		{"tally", a.At.Topic("tally"), tally, "", true},
		{"health", a.At.Topic("health"), health, "", false},
		{"birth", a.At.Topic("birth"), birth, "", false},
		{"bare will", a.At.Topic("status"), []byte(`{"state":"offline","reason":"will","boot_id":"b"}`), "", false},
		{"bare reply", a.At.Topic("reply/ping"), []byte(`{"id":"1","result":"done"}`), "", false},
		{"bare reply with data", a.At.Topic("reply/diagnose"), []byte(`{"id":"1","result":"done","data":{"diagnosis":"d"}}`), "", false},
		{"a member we do not know", topic, with(func(e, d map[string]any) { e["new"], d["new"] = 1, "x" }), "", true},

		{"packed", topic, new(report.Packer).Pack(good), "", true},
		{"packed and cut", topic, new(report.Packer).Pack(good)[:40], reasonPacked, false},
		{"packed bomb", topic, new(report.Packer).Pack(bytes.Repeat([]byte("a"), MaxBytes+1)), reasonPacked, false},
		{"packed card number", topic, new(report.Packer).Pack(with(func(e, d map[string]any) { d["money"].(map[string]any)["say"] = "card 4111111111111111 charged" })), reasonDigits, true},
		{"foreign topic", "other/topic", good, reasonTopic, false},
		{"evil terminal name", "pos/v1/shop/../diagnosis", good, reasonTopic, false},
		{"no terminal", "pos/v1/shop//diagnosis", good, reasonTopic, false},
		{"kind unknown", a.At.Topic("surprise"), good, reasonKind, false},
		{"kind too deep", a.At.Topic("diagnosis/x"), good, reasonKind, false},
		{"reply to what", a.At.Topic("reply/a b"), []byte(`{"id":"1"}`), reasonKind, false},
		{"reply too deep", a.At.Topic("reply/a/b"), []byte(`{"id":"1"}`), reasonKind, false},
		{"another terminal's", "pos/v1/shop/t2/diagnosis", good, reasonSource, false},
		{"another estate's", "pos/v1/mall/t1/diagnosis", good, reasonSource, false},
		{"another kind's", a.At.Topic("tally"), good, reasonType, false},
		{"empty object", topic, []byte(`{}`), reasonEnvelope, false},
		{"not JSON", topic, []byte(`hello`), reasonEnvelope, false},
		{"binary", topic, []byte{0xff, 0xfe, 0}, reasonUTF8, false},
		{"cut short", topic, good[:len(good)-1], reasonEnvelope, false},
		{"two documents", topic, append(bytes.Clone(good), good...), reasonEnvelope, false},
		{"huge", topic, bytes.Repeat([]byte("a"), MaxBytes+1), reasonSize, false},
		{"deep", topic, []byte(strings.Repeat("[", 30000)), reasonEnvelope, false},
		{"version", topic, with(func(e, d map[string]any) { e["specversion"] = "0.3" }), reasonEnvelope, false},
		{"no data", topic, with(func(e, d map[string]any) { delete(e, "data") }), reasonEnvelope, false},
		{"no sequence", topic, with(func(e, d map[string]any) { delete(e, "seq") }), reasonSeq, false},
		{"negative sequence", topic, with(func(e, d map[string]any) { e["seq"] = -1 }), reasonEnvelope, false},
		{"absurd sequence", topic, with(func(e, d map[string]any) { e["seq"] = uint64(1_111_111_111_111_111_111) * 9 }), reasonSeq, false},
		{"no epoch", topic, with(func(e, d map[string]any) { delete(e, "epoch") }), reasonSeq, false},
		{"epoch no word", topic, with(func(e, d map[string]any) { e["epoch"] = "a/b" }), reasonSeq, false},
		{"data of another shape", topic, with(func(e, d map[string]any) { e["data"] = []int{1} }), reasonData, true},
		{"data null", topic, with(func(e, d map[string]any) { e["data"] = nil }), reasonBounds, true},
		{"time no time", topic, with(func(e, d map[string]any) { d["event"].(map[string]any)["time"] = "soon" }), reasonData, true},
		{"no id", topic, with(func(e, d map[string]any) { d["id"] = "" }), reasonBounds, true},
		{"id with slash", topic, with(func(e, d map[string]any) { d["id"] = "../x"; d["event"].(map[string]any)["id"] = "../x" }), reasonBounds, true},
		{"id not the event's", topic, with(func(e, d map[string]any) { d["id"] = "other" }), reasonBounds, true},
		{"revision 0", topic, with(func(e, d map[string]any) { d["revision"] = 0 }), reasonBounds, true},
		// Ten of them were more than a sum over all may be, and pages of the whole fleet broke.
		{"repeats beyond a sum", topic, with(func(e, d map[string]any) { d["repeats"] = 1_000_000_000_000_000_000 }), reasonBounds, true},
		{"repeats negative", topic, with(func(e, d map[string]any) { d["repeats"] = -1 }), reasonBounds, true},
		{"no code", topic, with(func(e, d map[string]any) { d["event"].(map[string]any)["code"] = "" }), reasonBounds, true},
		{"probability 7", topic, with(func(e, d map[string]any) { d["causes"].([]any)[0].(map[string]any)["probability"] = 7 }), reasonBounds, true},
		{"1000 causes", topic, with(func(e, d map[string]any) {
			list := make([]any, 1000)
			for i := range list {
				list[i] = map[string]any{"id": "x"}
			}
			d["causes"] = list
		}), reasonBounds, true},
		{"long title", topic, with(func(e, d map[string]any) {
			d["causes"].([]any)[0].(map[string]any)["title"] = strings.Repeat("长", 10_000)
		}), reasonBounds, true},
		{"card number", topic, with(func(e, d map[string]any) { d["money"].(map[string]any)["say"] = "card 4111111111111111 charged" }), reasonDigits, true},
		{"dropped of the future", a.At.Topic("dropped"), edit(t, dropped, func(e, d map[string]any) { d["last"] = 99 }), reasonBounds, true},
		{"state unheard of", a.At.Topic("status"), []byte(`{"state":"dancing"}`), reasonBounds, false},
		{"negative count", a.At.Topic("tally"),
			edit(t, tally, func(e, d map[string]any) { d["counts"].([]any)[0].(map[string]any)["count"] = -4 }), reasonBounds, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := Decode(c.topic, c.payload, t0)
			if d.Reason != c.reason {
				t.Errorf("reason %q, want %q", d.Reason, c.reason)
			}
			if (d.Seq > 0) != c.covered {
				t.Errorf("seq %d, want known: %v", d.Seq, c.covered)
			}
			if d.Reason != "" && (d.Body != nil || d.Diagnosis != nil) {
				t.Error("a rejected document still holds its content")
			}
		})
	}
}

// What the agent would stop before it leaves, the fleet does not take from whoever claims to be one.
func TestCardNumbersAreRefused(t *testing.T) {
	for doc, want := range map[string]bool{
		`{"a":"4111111111111111"}`:                 true,
		`{"a":"x 6222021234567894 y"}`:             true,
		`{"a":"4111111111111112"}`:                 false, // not Luhn
		`{"a":4111111111111111}`:                   true,  // a number as well as a text
		`{"a":0.4111111111111111}`:                 false,
		`{"a":"sha256:ab4111111111111111cd"}`:      true, // no hash is so short
		`{"a":"1.4111111111111111"}`:               true,
		`{"a":"411111111111"}`:                     false, // 12 digits
		`{"a":"00000000000000000000"}`:             false, // 20 digits
		`{"say \"4111111111111111\" he":"":"quo"}`: true,
		`{"4111111111111111":1}`:                   true,
	} {
		if got := report.Suspect([]byte(doc)); got != want {
			t.Errorf("%s: %v, want %v", doc, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	a := sample.New("shop", "t1")
	for _, kind := range []string{report.KindStatus, report.KindBirth, report.KindHealth, report.KindDiagnosis,
		report.KindTally, report.KindDropped, "reply/ping"} {
		var doc any
		switch kind {
		case report.KindStatus:
			doc = report.Presence{State: "online"}
		case report.KindBirth:
			doc = a.Birth(1)
		case report.KindHealth:
			doc = a.Health()
		case report.KindDiagnosis:
			doc = a.Diagnosis(1, 2, "96", "host.malfunction", "acquirer")
		case report.KindTally:
			doc = sample.Tally(map[string]int{"00": 7})
		case report.KindDropped:
			doc = report.Dropped{First: 1, Last: 1, Reason: "space"}
		default:
			doc = report.Reply{ID: "1", Result: "done"}
		}
		topic, payload := a.Wrap(kind, doc)
		f.Add(topic, payload)
	}
	f.Add("pos/v1/shop/t1/diagnosis", []byte(`{"specversion":"1.0","source":"/shop/t1","type":"posdx.diagnosis.v1","seq":18446744073709551615,"epoch":"e","data":{}}`))
	f.Fuzz(func(t *testing.T, topic string, payload []byte) {
		d := Decode(topic, payload, t0)
		set := 0
		for _, is := range []bool{d.Presence != nil, d.Birth != nil, d.Health != nil, d.Diagnosis != nil, d.Tally != nil,
			d.Dropped != nil, d.Reply != nil} {
			if is {
				set++
			}
		}
		if d.Reason == "" && set != 1 || d.Reason != "" && set != 0 {
			t.Fatalf("%d documents, reason %q", set, d.Reason)
		}
		if d.Reason == "" && d.At.Check() != nil {
			t.Fatalf("address %v", d.At)
		}
		if d.Seq > 0 && store.CheckSeq(d.Seq) != nil {
			t.Fatalf("sequence %d", d.Seq)
		}
		if d.Reason == "" && report.Suspect(d.Body) {
			t.Fatal("card-like digits passed")
		}
		if d.Reason == "" {
			likeTheStandardLibrary(t, d, payload)
		}
	})
}

// likeTheStandardLibrary holds what was read of a document to what encoding/json reads.
func likeTheStandardLibrary(t *testing.T, d store.Document, payload []byte) {
	t.Helper()
	payload, err := report.Unpack(payload, MaxBytes)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case d.Presence != nil:
		likeStandard(t, payload, d.Presence)
	case d.Birth != nil:
		likeStandard(t, payload, d.Birth)
	case d.Health != nil:
		likeStandard(t, payload, d.Health)
	case d.Diagnosis != nil:
		likeStandard(t, payload, d.Diagnosis)
	case d.Tally != nil:
		likeStandard(t, payload, d.Tally)
	case d.Dropped != nil:
		likeStandard(t, payload, d.Dropped)
	case d.Reply != nil:
		likeStandard(t, payload, d.Reply)
	case d.Outcome != nil:
		likeStandard(t, payload, d.Outcome)
	}
}

func likeStandard[T any](t *testing.T, payload []byte, got *T) {
	t.Helper()
	var in envelope[T]
	err := json.Unmarshal(payload, &in)
	if in.SpecVersion == "" { // bare
		in.Data = new(T)
		err = json.Unmarshal(payload, in.Data)
	}
	if err != nil {
		t.Fatalf("the standard library refuses what was taken: %v", err)
	}
	if x, ok := any(in.Data).(*report.Diagnosis); ok {
		x.Evidence = nil
	}
	if diff := cmp.Diff(in.Data, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("read otherwise than by the standard library (-) (+):\n%s", diff)
	}
}

// What has bytes of every kind is read as the standard library reads it, and what that one refuses is refused.
func TestReadsLikeTheStandardLibrary(t *testing.T) {
	a := sample.New("shop", "t1")
	topic, whole := a.Wrap(report.KindDiagnosis, a.Diagnosis(1, 2, "96", "host.malfunction", "acquirer"))
	taken := 0
	for i := range whole {
		for _, b := range []byte("0\"\\{,n\x00") {
			p := bytes.Clone(whole)
			p[i] = b
			if d := Decode(topic, p, t0); d.Reason == "" {
				taken++
				likeTheStandardLibrary(t, d, p)
			}
		}
	}
	if taken < len(whole) {
		t.Errorf("only %d of the changed documents were taken: nothing was compared", taken)
	}
}

// Whatever code of whichever table is the word of a sale that was made, a terminal that tells of it sells.
func TestEveryApprovalIsASale(t *testing.T) {
	approvals := 0
	for _, m := range codes.Builtin().Meanings {
		tally := report.Tally{Counts: []report.CodeCount{{Scheme: m.Scheme, Code: m.Code, Count: 1}}}
		if m.Approves() != approved(&tally) && strings.Trim(m.Code, "0") != "" {
			t.Errorf("%s %s: approves %t, is a sale %t", m.Scheme, m.Code, m.Approves(), approved(&tally))
		}
		if m.Approves() {
			approvals++
		}
	}
	if approvals == 0 {
		t.Error("no table has an approval")
	}
}
