package hook

import (
	"posdx/agent/internal/source"
	"posdx/agent/internal/source/sourcetest"
	"strings"
	"testing"
	"time"
)

// FuzzRequest sends any line to the hook's parser, alone and with a card number put into every place of it.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		`{"v":1,"ref":"a","type":"code","code":"96","scheme":"unionpay","origin":"host","txn":{"mti":"0210","stan":"000123","terminal_id":"10043871","entry":"chip","connect_ms":41,"response_ms":812,"sent":true,"host_answer_seen":true},"wait":"final","lang":"en","full":true}`,
		`{"type":"txn","phase":"end","stan":"1","result":"approved","pin":true,"code":"00"}`,
		`{"type":"fact","check":"app.config","facts":{"terminal_id_ok":false,"changed_since_approval":["apn"]}}`,
		`{"type":"fact","check":"app.version","facts":{"installed":"5.2.1","expected":"5.3.0"}}`,
		`{"type":"fact","check":"reader.reads","facts":{"good":3,"cards":9,"cards_failed":4}}`,
		`{"type":"check","names":["net.tcp"]}`, `{"type":"status"}`, `{"type":"verdict","id":"00007c-000000012f","wait":"final"}`, `{"type":"diagnose","code":"97","channel":"console"}`,
		`{"type":"code","code":"96","pan":"x","PAN 1":{}}`, `[`, `{"type":`, "\xff\xfe{}",
	} {
		f.Add([]byte(s), "96")
		f.Add([]byte(strings.ReplaceAll(s, "000123", sourcetest.PlantedCard)), "000123")
	}
	f.Fuzz(func(t *testing.T, line []byte, place string) {
		check := func(line []byte) {
			if len(line) > maxLine {
				return
			}
			q, a := parse(line, time.Unix(1e9, 0))
			if a.Result == Refused && (a.Why == "" || q.seen != nil || q.mark != nil || q.fact != nil || q.id != "") {
				t.Fatalf("%q: refused with %+v but keeps %+v", line, a, q)
			}
			if q.seen != nil && source.CodeProblem(q.seen.Code) != "" {
				t.Fatalf("%q: code %q got in", line, q.seen.Code)
			}
			if strings.Contains(string(line), sourcetest.PlantedCard) {
				sourcetest.MustBeClean(t, a, q.seen, q.mark, q.fact, q.ref, q.names, q.id)
			}
		}
		check(line)
		if place != "" && strings.Count(string(line), place) < 8 {
			check([]byte(strings.ReplaceAll(string(line), place, sourcetest.PlantedCard)))
			check([]byte(strings.ReplaceAll(string(line), place, sourcetest.PlantedTrack)))
		}
	})
}
