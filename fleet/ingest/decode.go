// Package ingest receives what terminals publish, checks it, commits it in batches and tells each terminal up to which
// document everything is committed.
package ingest

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	fastjson "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"

	"posdx/agent/report"
	"posdx/codes"
	"posdx/fleet/store"
)

// Bounds of one document. What breaks them is rejected; the terminal's other documents are not touched.
const (
	MaxBytes = 64 << 10

	maxWord     = 128 // an id, a name, a code
	maxText     = 8 << 10
	maxCauses   = 16
	maxReasons  = 64
	maxEvidence = 256
	maxDevices  = 64
	maxCounts   = 1024
	maxRevision = 1000
	maxCount    = 1 << 30 // how often something came: sums over a full store stay within 64 bits
)

// Why a document is rejected. The reasons are our own words: what a terminal wrote may be anything.
const (
	reasonTopic    = "topic is not a terminal's"
	reasonKind     = "kind is not known"
	reasonSize     = "larger than 64 kB"
	reasonPacked   = "cannot be unpacked"
	reasonUTF8     = "not UTF-8"
	reasonEnvelope = "not a CloudEvents 1.0 envelope"
	reasonType     = "type is not the topic's"
	reasonSource   = "source is not the topic's terminal"
	reasonSeq      = "no sequence, or out of range"
	reasonData     = "data is not what its type says"
	reasonBounds   = "data breaks a bound"
	reasonDigits   = "holds digits like a card number"
)

// numbered are the kinds that must carry a sequence, since nothing else tells them apart.
var numbered = map[string]bool{report.KindDiagnosis: true, report.KindTally: true, report.KindDropped: true}

// filters are what the fleet subscribes to.
var filters = []string{
	"pos/v1/+/+/" + report.KindStatus,
	"pos/v1/+/+/" + report.KindBirth,
	"pos/v1/+/+/" + report.KindDiagnosis,
	"pos/v1/+/+/" + report.KindHealth,
	"pos/v1/+/+/" + report.KindTally,
	"pos/v1/+/+/" + report.KindDropped,
	"pos/v1/+/+/" + report.KindOutcome,
	"pos/v1/+/+/" + report.KindAsked,
	"pos/v1/+/+/reply/#",
}

// shared are the filters whose messages the workers share. A retained message is not sent to a shared subscription, so
// each worker subscribes to those itself, and only what is new among them is written.
var shared = map[string]bool{
	"pos/v1/+/+/" + report.KindDiagnosis: true,
	"pos/v1/+/+/" + report.KindTally:     true,
	"pos/v1/+/+/" + report.KindDropped:   true,
	"pos/v1/+/+/" + report.KindOutcome:   true,
	"pos/v1/+/+/" + report.KindAsked:     true,
	"pos/v1/+/+/reply/#":                 true,
}

// Decode decodes a message. It never fails: what is wrong with the message is in the Reason of the Document.
func Decode(topic string, payload []byte, received time.Time) store.Document {
	d := store.Document{Received: received, Size: len(payload)}
	at, kind, err := report.ParseTopic(topic)
	if err != nil {
		d.Reason = reasonTopic
		return d
	}
	d.At, d.Kind = at, kind
	base, name, isReply := strings.Cut(kind, "/")
	switch base {
	case report.KindStatus, report.KindBirth, report.KindDiagnosis, report.KindHealth, report.KindTally,
		report.KindDropped, report.KindOutcome, report.KindAsked:
		isReply = false
	case "reply":
		if !isWord(name) {
			d.Kind, d.Reason = "reply", reasonKind
			return d
		}
	default:
		d.Kind, d.Reason = "", reasonKind
		return d
	}
	if base != kind && !isReply {
		d.Kind, d.Reason = "", reasonKind
		return d
	}
	if len(payload) > MaxBytes {
		d.Reason = reasonSize
		return d
	}
	plain, err := report.Unpack(payload, MaxBytes)
	if err != nil {
		d.Reason = reasonPacked
		return d
	}
	if !utf8.Valid(plain) {
		d.Reason = reasonUTF8
		return d
	}
	if report.Suspect(plain) { // agents cannot hold a card number; this is the gate for what only claims to be an agent
		d.Reason = reasonDigits
		// The envelope is read nevertheless, so that the terminal learns that this number is dealt with.
	}
	reason := open(&d, base, plain)
	if d.Reason == "" {
		d.Reason = reason
	}
	if d.Reason != "" {
		d.Presence, d.Birth, d.Health, d.Diagnosis, d.Tally, d.Dropped, d.Reply, d.Outcome, d.Body = nil, nil, nil, nil, nil,
			nil, nil, nil, nil
	} else if d.Diagnosis != nil {
		d.Packed = store.Pack(payload)
	}
	return d
}

// names are matched as encoding/json does, since pages read what is kept with it.
var names = fastjson.JoinOptions(fastjson.MatchCaseInsensitiveNames(true), jsonv1.MatchCaseSensitiveDelimiter(true))

// unmarshal is encoding/json's in half its time; a name that comes twice in one object is an error to it.
func unmarshal(b []byte, into any) error { return fastjson.Unmarshal(b, into, names) }

// An envelope is read in one pass with what is in it; its type is known from the topic.
type envelope[T any] struct {
	report.Envelope
	Data *T `json:"data"`
}

// A diagnosis without its evidence, which only pages read; most of the bytes are its. It is checked as it goes by.
type diagnosis struct {
	report.Diagnosis
	Evidence passing `json:"evidence"`
}

// passing is evidence that was read and let go.
type passing struct{ bad bool }

func (v *passing) UnmarshalJSONFrom(in *jsontext.Decoder) error {
	if k := in.PeekKind(); k != '[' && k != 'n' {
		return errors.New("not a list")
	}
	if t, err := in.ReadToken(); err != nil || t.Kind() == 'n' {
		return err
	}
	var e struct {
		report.Evidence
		Facts object `json:"facts"`
	}
	for n := 0; in.PeekKind() != ']'; n++ {
		e.Evidence = report.Evidence{}
		if err := fastjson.UnmarshalDecode(in, &e); err != nil {
			return err
		}
		v.bad = v.bad || n == maxEvidence || !goodPiece(&e.Evidence)
	}
	_, err := in.ReadToken()
	return err
}

// An object is any JSON object, or null.
type object struct{}

func (*object) UnmarshalJSONFrom(in *jsontext.Decoder) error {
	if k := in.PeekKind(); k != '{' && k != 'n' {
		return errors.New("not an object")
	}
	_, err := in.ReadValue()
	return err
}

// document decodes an envelope and the document in it. For the kinds that may come without an envelope, bare is such a
// message. The reason is why it is refused.
func document[T any](d *store.Document, kind string, payload []byte) (doc *T, reason string) {
	var in envelope[T]
	err := unmarshal(payload, &in)
	e := &in.Envelope
	if err != nil || in.Data == nil || e.SpecVersion == "" { // a bare reply may have a member data of its own
		// Rare: the account is read apart from what is wrong in the document.
		e = new(report.Envelope)
		if unmarshal(payload, e) != nil {
			return nil, reasonEnvelope
		}
		if e.SpecVersion == "" && (kind == report.KindStatus || kind == "reply") {
			doc = new(T) // a last will and a reply may come bare
			if unmarshal(payload, doc) != nil {
				return nil, reasonData
			}
			return doc, ""
		}
		if len(e.Data) == 0 {
			return nil, reasonEnvelope
		}
	}
	switch {
	case e.SpecVersion != "1.0":
		return nil, reasonEnvelope
	case e.Source != "/"+d.At.Estate+"/"+d.At.Terminal:
		return nil, reasonSource
	case e.Kind() != kind:
		return nil, reasonType
	}
	if e.Seq != 0 || numbered[kind] {
		if store.CheckSeq(e.Seq) != nil || !isWord(e.Epoch) || e.Boot > 1<<62 {
			return nil, reasonSeq
		}
		d.Epoch, d.Boot, d.Seq = e.Epoch, e.Boot, e.Seq
	}
	d.Historical = e.Historical
	switch {
	case err != nil:
		return nil, reasonData
	case in.Data == nil:
		return nil, reasonBounds // null
	}
	return in.Data, ""
}

// kept is a document of which the text is kept beside what is read of it.
type kept[T any] struct {
	text json.RawMessage
	doc  T
}

func (k *kept[T]) UnmarshalJSON(b []byte) error {
	k.text = slices.Clone(b)
	return unmarshal(b, &k.doc)
}

// open reads the envelope and the document in it and says what is wrong.
func open(d *store.Document, kind string, payload []byte) string {
	ok, reason := false, ""
	switch kind {
	case report.KindStatus:
		if d.Presence, reason = document[report.Presence](d, kind, payload); reason == "" {
			ok = (d.Presence.State == "online" || d.Presence.State == "offline") && short(d.Presence.Reason, d.Presence.BootID)
		}
	case report.KindBirth:
		var k *kept[report.Birth]
		if k, reason = document[kept[report.Birth]](d, kind, payload); reason == "" {
			d.Birth, d.Body = &k.doc, k.text
			ok = goodBirth(d.Birth)
		}
	case report.KindHealth:
		var k *kept[report.Health]
		if k, reason = document[kept[report.Health]](d, kind, payload); reason == "" {
			d.Health, d.Body = &k.doc, k.text
			ok = short(d.Health.BootID, d.Health.Agent.Version, d.Health.Agent.Knowledge) && goodEvidence(d.Health.Evidence) &&
				len(d.Health.Self) <= maxCounts
		}
	case report.KindDiagnosis, report.KindAsked:
		var x *diagnosis
		if x, reason = document[diagnosis](d, kind, payload); reason == "" {
			d.Diagnosis = &x.Diagnosis
			ok = goodDiagnosis(d.Diagnosis) && !x.Evidence.bad
		}
	case report.KindTally:
		if d.Tally, reason = document[report.Tally](d, kind, payload); reason == "" {
			ok = goodTally(d.Tally)
			d.Approved = ok && approved(d.Tally)
		}
	case report.KindDropped:
		if d.Dropped, reason = document[report.Dropped](d, kind, payload); reason == "" {
			ok = d.Dropped.First > 0 && d.Dropped.First <= d.Dropped.Last && d.Dropped.Last < d.Seq &&
				len(d.Dropped.Counts) <= maxCounts && short(d.Dropped.Reason)
		}
	case report.KindOutcome:
		if d.Outcome, reason = document[report.Outcome](d, kind, payload); reason == "" {
			ok = short(d.Outcome.Diagnosis, d.Outcome.Cause, d.Outcome.Check, d.Outcome.Subject) &&
				slices.Contains(report.Outcomes, d.Outcome.Outcome)
		}
	case "reply":
		var k *kept[report.Reply]
		if k, reason = document[kept[report.Reply]](d, kind, payload); reason == "" {
			d.Reply, d.Body = &k.doc, k.text
			ok = short(d.Reply.ID, d.Reply.Result) && len(d.Reply.Why) <= maxText
		}
	}
	switch {
	case reason != "":
		return reason
	case !ok:
		return reasonBounds
	}
	return ""
}

// approved tells whether an hour had an approved sale.
func approved(t *report.Tally) bool {
	for _, c := range t.Counts {
		if c.Count <= 0 || c.Code == "" {
			continue
		}
		if m, ok := codes.Builtin().Lookup(c.Scheme, c.Code); ok && m.Approves() || strings.Trim(c.Code, "0") == "" {
			return true
		}
	}
	return false
}

func goodBirth(b *report.Birth) bool {
	if b.Epoch != "" && !isWord(b.Epoch) || b.Boot > 1<<62 || len(b.Devices) > maxDevices || len(b.Counted) > maxDevices {
		return false
	}
	if len(b.Labels) > report.MaxLabels {
		return false
	}
	for name, value := range b.Labels {
		if !short(name) || len(value) > report.MaxLabel {
			return false
		}
	}
	for _, d := range b.Devices {
		if !short(d.Name, d.Kind, d.Port) {
			return false
		}
	}
	return short(b.BootID, b.Agent.Version, b.Agent.Knowledge) && short(b.Counted...)
}

func goodTally(t *report.Tally) bool {
	if len(t.Counts) > maxCounts {
		return false
	}
	for _, c := range t.Counts {
		if !short(c.Scheme, c.Code, string(c.Origin)) || c.Count < 0 || c.Count > maxCount {
			return false
		}
	}
	return true
}

func goodDiagnosis(d *report.Diagnosis) bool {
	e := &d.Event
	if !isWord(d.ID) || e.ID != d.ID || d.Revision < 1 || d.Revision > maxRevision ||
		d.Repeats < 0 || d.Repeats > maxCount || e.Code == "" || len(e.Code) > 64 ||
		len(d.Causes) > maxCauses || len(d.Masked) > maxReasons || len(d.CannotSeparate) > maxReasons ||
		len(d.Code.SentBy) > maxReasons || len(d.Code.Searched) > maxReasons {
		return false
	}
	if !short(e.BootID, e.Scheme, string(e.Origin), string(e.Channel), d.Code.Scheme, d.Code.Code, d.Code.Class,
		d.Money.State, d.Money.Retry, d.Agent.Version, d.Agent.Knowledge, d.Handoff) ||
		!short(d.Masked...) || !short(d.CannotSeparate...) || !short(d.Code.SentBy...) || !short(d.Code.Searched...) ||
		len(d.Code.Meaning) > maxText || len(d.Money.Say) > maxText {
		return false
	}
	for _, c := range d.Causes {
		if c.ID == "" || !short(c.ID, c.Segment, c.Verdict, c.Act.By) || !(c.Probability >= 0 && c.Probability <= 1) ||
			len(c.Title) > maxText || len(c.Act.Step) > maxText || len(c.For) > maxReasons || len(c.Against) > maxReasons {
			return false
		}
	}
	return true
}

func goodEvidence(list []report.Evidence) bool {
	if len(list) > maxEvidence {
		return false
	}
	for i := range list {
		if !goodPiece(&list[i]) {
			return false
		}
	}
	return true
}

func goodPiece(e *report.Evidence) bool {
	return e.Check != "" && short(e.Check, e.Subject, string(e.Status), string(e.Depth))
}

func short(words ...string) bool {
	for _, w := range words {
		if len(w) > maxWord {
			return false
		}
	}
	return true
}

// isWord tells whether a name is safe in an address and in a topic.
func isWord(s string) bool {
	return report.Address{Estate: s, Terminal: "-"}.Check() == nil
}
