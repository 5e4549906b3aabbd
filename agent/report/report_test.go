package report_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"posdx/agent/report"
	"posdx/agent/report/schema/schematest"
)

// full returns a value of the type with every member set, so that a member that one side lacks is seen.
func full(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		full(v.Elem())
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 11, 21, 12, 0, 0, 123e6, time.UTC)))
			return
		}
		for i := range v.NumField() {
			full(v.Field(i))
		}
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			v.SetBytes([]byte(`{}`))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		full(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		e := reflect.New(v.Type().Elem()).Elem()
		full(e)
		v.SetMapIndex(reflect.ValueOf("k"), e)
	case reflect.Interface:
		v.Set(reflect.ValueOf(1))
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint64:
		v.SetUint(1)
	case reflect.Float64:
		v.SetFloat(1)
	}
}

func TestTypesMatchSchemas(t *testing.T) {
	event := func(e *report.Event) {
		e.Origin, e.Channel, e.Txn.MTI, e.Txn.Entry = report.OriginHost, report.ChannelHook, "0210", "chip"
		e.Txn.CardScheme = report.CardSchemes[0]
	}
	evidence := func(e *report.Evidence) {
		e.Check, e.Status, e.Depth = "net.tcp", report.OK, report.Internal
		e.Facts = report.Facts{"outcome": "ok", "ms": 3, "dhcp": true, "changed_since_approval": []string{"apn"}, "approvals_by": map[string]float64{"chip": 2}}
	}
	agent := report.Agent{Version: "1", Knowledge: "sha256:" + strings.Repeat("0a", 32)}
	for kind, doc := range map[string]any{
		"event": &report.Event{}, "evidence": &report.Evidence{}, "diagnosis": &report.Diagnosis{}, "health": &report.Health{},
		"tally": &report.Tally{}, "status": &report.Presence{}, "birth": &report.Birth{}, "dropped": &report.Dropped{}, "outcome": &report.Outcome{},
		"ack": &report.Ack{}, "command": &report.Command{}, "reply": &report.Reply{}, "advisory": &report.Advisory{}, "envelope": &report.Envelope{},
	} {
		full(reflect.ValueOf(doc).Elem())
		switch d := doc.(type) {
		case *report.Event:
			event(d)
		case *report.Outcome:
			d.Outcome = report.OutcomeMended
		case *report.Evidence:
			evidence(d)
		case *report.Diagnosis:
			event(&d.Event)
			evidence(&d.Evidence[0])
			d.Agent, d.Money.State, d.Money.Retry = agent, report.MoneyDeclined, report.RetryLater
			d.Causes[0].Segment, d.Causes[0].Verdict, d.Causes[0].Act.By = "acquirer", "likely", "acquirer"
			d.Also[0].Segment, d.Also[0].Act.By = "reader", "technician"
			d.NextTest.Depth = report.Internal
		case *report.Health:
			evidence(&d.Evidence[0])
			d.Agent = agent
		case *report.Birth:
			d.Agent = agent
		case *report.Presence:
			d.State = "online"
		case *report.Reply:
			d.Result = "done"
		case *report.Advisory:
			d.Scope = "acquirer"
		case *report.Envelope:
			d.SpecVersion, d.Type, d.ContentType = "1.0", report.Type(report.KindTally), "application/json"
		}
		if err := schematest.Check(kind, doc); err != nil {
			t.Errorf("%s with every member set: %v", kind, err)
		}
	}
}

func TestSchemaRefuses(t *testing.T) {
	for name, doc := range map[string]string{
		"a card number beside the event": `{"id":"1","time":"2026-11-21T12:00:00Z","uptime_ms":1,"boot_id":"b","clock_trusted":true,"code":"96","scheme":"","origin":"host","channel":"hook","pan":"4"}`,
		"an origin of its own":           `{"id":"1","time":"2026-11-21T12:00:00Z","uptime_ms":1,"boot_id":"b","clock_trusted":true,"code":"96","scheme":"","origin":"bank","channel":"hook"}`,
		"no code":                        `{"id":"1","time":"2026-11-21T12:00:00Z","uptime_ms":1,"boot_id":"b","clock_trusted":true,"code":"","scheme":"","origin":"host","channel":"hook"}`,
	} {
		if err := schematest.Check("event", json.RawMessage(doc)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestEnvelopeAndTopics(t *testing.T) {
	at := report.Address{Estate: "shop", Terminal: "t-1"}
	when := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	b, err := report.Wrap(at, report.KindTally, "ab12", 3, 258, when, true, []byte(`{"x":1}`))
	if err != nil {
		t.Fatal(err)
	}
	var e report.Envelope
	if err := json.Unmarshal(b, &e); err != nil {
		t.Fatal(err)
	}
	if e.Kind() != "tally" || e.ID != "ab12-0000000102" || e.Source != "/shop/t-1" || !e.Historical || string(e.Data) != `{"x":1}` {
		t.Errorf("got %s", b)
	}
	if err := schematest.Check("envelope", e); err != nil {
		t.Error(err)
	}
	for topic, want := range map[string]string{
		at.Topic("diagnosis"): "diagnosis", at.Topic("reply/ping"): "reply/ping",
		"pos/v1/shop/t-1": "", "pos/v1/shop/t-1/": "", "pos/v2/shop/t-1/x": "", "pos/v1/s+op/t/x": "", "pos/v1//t/x": "", "pos/v1/shop/../x": "", "": "",
	} {
		a, kind, err := report.ParseTopic(topic)
		if want == "" && err == nil {
			t.Errorf("topic %q: accepted", topic)
		}
		if want != "" && (err != nil || kind != want || a != at) {
			t.Errorf("topic %q: got %v %q %v", topic, a, kind, err)
		}
	}
	for _, typ := range []string{"posdx.tally.v2", "tally", "posdx.tally"} {
		if k := (&report.Envelope{Type: typ}).Kind(); k != "" {
			t.Errorf("type %q: kind %q, want none", typ, k)
		}
	}
}

func TestFactsOfWrongTypeAreAbsent(t *testing.T) {
	var f report.Facts
	if err := json.Unmarshal([]byte(`{"n":"3","s":3,"b":"true","l":[1],"m":{"a":"b"},"ok":[],"c":{"chip":2}}`), &f); err != nil {
		t.Fatal(err)
	}
	if _, ok := f.Num("n"); ok {
		t.Error("text taken for a number")
	}
	if _, ok := f.Str("s"); ok {
		t.Error("number taken for text")
	}
	if _, ok := f.Bool("b"); ok {
		t.Error("text taken for yes or no")
	}
	if f.Strings("l") != nil || f.Counts("m") != nil {
		t.Error("wrong members taken for a list or table")
	}
	if l := f.Strings("ok"); l == nil || len(l) != 0 {
		t.Errorf("empty list: got %v, want an empty one", l)
	}
	if c := f.Counts("c"); c["chip"] != 2 {
		t.Errorf("counts: got %v", c)
	}
}
