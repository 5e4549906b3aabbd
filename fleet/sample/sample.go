// Package sample makes documents as terminals publish them, for the tests of the fleet.
package sample

import (
	"encoding/json"
	"fmt"
	"time"

	"posdx/agent/report"
)

// time0 is the moment that samples bear.
var time0 = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// A Terminal makes the documents of one terminal in the order of its outbox.
type Terminal struct {
	At    report.Address
	Epoch string
	Boot  uint64
	Seq   uint64 // of the last document
}

// New returns a terminal with an empty outbox.
func New(estate, terminal string) *Terminal {
	return &Terminal{At: report.Address{Estate: estate, Terminal: terminal}, Epoch: "e1", Boot: 1}
}

// Wrap puts a document into the next envelope and returns its topic and bytes.
func (t *Terminal) Wrap(kind string, doc any) (topic string, payload []byte) {
	t.Seq++
	return t.At.Topic(kind), t.envelope(kind, t.Seq, doc)
}

// Uncounted puts a document into an envelope without sequence.
func (t *Terminal) Uncounted(kind string, doc any) (topic string, payload []byte) {
	return t.At.Topic(kind), t.envelope(kind, 0, doc)
}

func (t *Terminal) envelope(kind string, seq uint64, doc any) []byte {
	body, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	b, err := report.Wrap(t.At, kind, t.Epoch, t.Boot, seq, time0, false, body)
	if err != nil {
		panic(err)
	}
	return b
}

// EventID is the id of the nth event of the boot.
func (t *Terminal) EventID(n int) string { return fmt.Sprintf("%06x-%010x", t.Boot, n) }

// Birth is the birth document of the terminal.
func (t *Terminal) Birth(oldest uint64) report.Birth {
	return report.Birth{Time: time0, BootID: "boot-1", Boot: t.Boot, Epoch: t.Epoch, Oldest: oldest,
		Agent:   report.Agent{Version: "1.2.3", Knowledge: "sha256:00ff"},
		Devices: []report.Device{{Name: "reader0", Kind: "reader", Port: "/dev/ttyS1"}, {Name: "modem0", Kind: "modem", Port: "/dev/ttyUSB2"}, {Name: "eth0", Kind: "network"}},
		Counted: []string{report.KindDiagnosis, report.KindTally, report.KindDropped}}
}

// Health is a snapshot with one device broken.
func (t *Terminal) Health() report.Health {
	return report.Health{Time: time0, UptimeMS: 812_345, BootID: "boot-1", ClockTrusted: true,
		Agent: report.Agent{Version: "1.2.3", Knowledge: "sha256:00ff"},
		Self:  map[string]int64{"goroutines": 14, "rss_kb": 7312, "outbox_records": 3},
		Evidence: []report.Evidence{
			{Check: "net.link", Subject: "eth0", Status: report.OK, Facts: report.Facts{"carrier": true, "kind": "ethernet",
				"speed_mbps": 100.0}, At: time0, AgeMS: 1200, Depth: report.Internal},
			{Check: "modem.signal", Subject: "modem0", Status: report.OK,
				Facts: report.Facts{"rssi_dbm": -97.0, "level": "poor"}, At: time0, AgeMS: 4100, Depth: report.Internal},
			{Check: "reader.port", Subject: "reader0", Status: report.Bad, Facts: report.Facts{"outcome": "gone"}, At: time0, AgeMS: 900, Depth: report.Internal},
			{Check: "printer.status", Subject: "printer0", Status: report.NotRun, Facts: report.Facts{"reason": "absent"}, At: time0, Depth: report.Internal},
			{Check: "reader.selftest", Subject: "reader0", Status: report.CannotTell, Facts: report.Facts{"reason": "masked"}, At: time0, Depth: report.Internal},
		}}
}

// Diagnosis is the nth diagnosis of the boot.
func (t *Terminal) Diagnosis(n, revision int, code, cause, segment string) report.Diagnosis {
	yes, ms := true, int64(812)
	return report.Diagnosis{
		ID: t.EventID(n), Revision: revision, Final: revision > 1, TookMS: 1840,
		Event: report.Event{ID: t.EventID(n), Time: time0, UptimeMS: 812_345, BootID: "boot-1", ClockTrusted: true,
			Code: code, Scheme: "unionpay",
			Origin: report.OriginHost, Channel: report.ChannelHook,
			Txn: &report.Txn{MTI: "0210", STAN: "000123", Entry: "chip", ResponseMS: &ms, Sent: &yes, HostAnswerSeen: &yes}},
		Repeats: 2,
		Code:    report.CodeInfo{Scheme: "unionpay", Code: code, Known: true, Class: "C", Meaning: "系统异常、失效", SentBy: []string{"switch", "acquirer"}, Sources: 9},
		Money:   report.Money{State: report.MoneyDeclined, Retry: report.RetryLater, Say: "未扣款。可稍后重试。"},
		Causes: []report.Cause{
			{ID: cause, Segment: segment, Probability: 0.86, Verdict: "likely", Title: "收单处理中心故障", Act: report.Act{By: "acquirer", Step: "致电收单机构，报出应答码和时间。"},
				For:     []report.Reason{{Check: "txn.answer", Say: "主机 0.8 秒内应答，网络是通的", WeightDB: 12}, {Check: "fleet.advisory", Say: "另有 37 台终端同样报错", WeightDB: 8.5}},
				Against: []report.Reason{{Check: "txn.history", Say: "十分钟前还有一笔成功", WeightDB: -2}}},
			{ID: "switch.malfunction", Segment: "switch", Probability: 0.09, Verdict: "possible", Title: "转接故障", Act: report.Act{By: "none"}},
			{ID: report.Unexplained, Segment: "unknown", Probability: 0.05, Verdict: "indeterminate"},
		},
		CannotSeparate: []string{"host.malfunction", "switch.malfunction"}, Masked: []string{"lan.cable"},
		NextTest: &report.NextTest{Check: "net.tcp", How: "再连一次主机", CostS: 5, GainBits: 0.4, Depth: report.Internal},
		Evidence: []report.Evidence{
			{Check: "txn.answer", Subject: "txn", Status: report.OK, Facts: report.Facts{"host_answer_seen": true,
				"response_ms": 812.0}, At: time0, AgeMS: 300, TookMS: 1, Depth: report.Internal},
			{Check: "net.tcp", Subject: "host-primary", Status: report.OK, Facts: report.Facts{"outcome": "ok", "ms": 41.0},
				At: time0, AgeMS: 120, TookMS: 41, Depth: report.Internal},
			{Check: "modem.registration", Subject: "modem0", Status: report.NotRun, Facts: report.Facts{"reason": "absent"}, At: time0, Depth: report.Internal},
		},
		Handoff: "K7QF-3MXP-9A2C-77DD", Agent: report.Agent{Version: "1.2.3", Knowledge: "sha256:00ff"},
	}
}

// Tally is one hour's counts.
func Tally(counts map[string]int) report.Tally {
	t := report.Tally{From: time0.Add(-time.Hour), To: time0}
	for code, n := range counts {
		t.Counts = append(t.Counts, report.CodeCount{Scheme: "unionpay", Code: code, Origin: report.OriginHost, Count: n})
	}
	return t
}
