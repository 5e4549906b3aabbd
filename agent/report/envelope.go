package report

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"posdx/agent/internal/say"
)

// Kinds of documents: the last element of the topic and the middle of the CloudEvents type.
const (
	KindStatus    = "status"    // Presence, retained
	KindBirth     = "birth"     // Birth, retained
	KindDiagnosis = "diagnosis" // the final revision of a Diagnosis; numbered
	KindHealth    = "health"    // Health, retained
	KindTally     = "tally"     // Tally; numbered
	KindDropped   = "dropped"   // Dropped; numbered
	KindOutcome   = "outcome"   // an Outcome; not numbered: the diagnosis it is about stands without it
	KindAsked     = "asked"     // a Diagnosis that a person or the fleet asked for; not numbered, not counted
)

// An Envelope carries one document, as CloudEvents 1.0 in JSON structured mode. Seq numbers the documents of one
// outbox without gaps. Epoch is the random name of that numbering, so that a terminal whose flash was replaced does
// not look like its own past.
type Envelope struct {
	SpecVersion string          `json:"specversion"` // 1.0
	ID          string          `json:"id"`          // the same at every attempt to deliver
	Source      string          `json:"source"`      // /estate/terminal
	Type        string          `json:"type"`        // see Type
	Time        time.Time       `json:"time"`        // of the document, by the terminal's clock
	ContentType string          `json:"datacontenttype"`
	Epoch       string          `json:"epoch,omitempty"`
	Boot        uint64          `json:"boot,omitempty"`       // how often the outbox was opened until then
	Seq         uint64          `json:"seq,omitempty"`        // 0: not numbered
	Historical  bool            `json:"historical,omitempty"` // it had waited: it is about the past
	Data        json.RawMessage `json:"data"`
}

// Type returns the CloudEvents type of a kind of document.
func Type(kind string) string { return "posdx." + kind + ".v1" }

// Kind returns the kind of the document inside, empty if the type is not ours.
func (e *Envelope) Kind() string {
	k := strings.TrimSuffix(strings.TrimPrefix(e.Type, "posdx."), ".v1")
	if Type(k) != e.Type {
		return ""
	}
	return k
}

// Wrap puts a document into an envelope. Its id is made of epoch and sequence.
func Wrap(at Address, kind, epoch string, boot, seq uint64, t time.Time, historical bool, doc []byte) ([]byte, error) {
	e := Envelope{
		SpecVersion: "1.0", ID: fmt.Sprintf("%s-%010x", epoch, seq), Source: "/" + at.Estate + "/" + at.Terminal,
		Type: Type(kind), Time: t.UTC(), ContentType: "application/json",
		Epoch: epoch, Boot: boot, Seq: seq, Historical: historical, Data: doc,
	}
	return json.Marshal(e)
}

// Reserved are names that no terminal may have: that of the fleet's own session, which a broker's rules let speak to
// all, and a level of the topics on which all terminals listen.
var Reserved = []string{"posdx-fleet", "advisory"}

// Address names a terminal within an estate. Both parts are 1 to 64 characters of A-Z a-z 0-9 . _ -; the terminal part
// equals the common name of the client certificate and the MQTT client id, and is none of Reserved.
type Address struct{ Estate, Terminal string }

// Check returns what is wrong with an address, nil if nothing is.
func (a Address) Check() error {
	for _, p := range []struct{ name, value string }{{"estate", a.Estate}, {"terminal", a.Terminal}} {
		if p.value == "" || len(p.value) > 64 {
			return say.New("address-length", p.name, p.value)
		}
		if strings.Trim(p.value, ".") == "" {
			return say.New("address-dots", p.name, p.value)
		}
		for _, r := range p.value {
			if !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", r) {
				return say.New("address-letter", p.name, p.value, r)
			}
		}
	}
	if slices.Contains(Reserved, a.Terminal) {
		return say.New("address-reserved", a.Terminal)
	}
	return nil
}

// Topic returns the topic of a kind of document, e.g. pos/v1/shop/t1/diagnosis; kind may have two levels (cmd/ping).
func (a Address) Topic(kind string) string {
	return "pos/v1/" + a.Estate + "/" + a.Terminal + "/" + kind
}

// AdvisoryFilter is the subscription that matches every advisory of the estate.
func (a Address) AdvisoryFilter() string { return "pos/v1/" + a.Estate + "/advisory/+/+" }

// AdvisoryTopic returns the topic of one advisory.
func AdvisoryTopic(estate, scope, key string) string {
	return "pos/v1/" + estate + "/advisory/" + scope + "/" + key
}

// ParseTopic splits a terminal's topic into address and kind.
func ParseTopic(topic string) (Address, string, error) {
	p := strings.SplitN(topic, "/", 5)
	if len(p) != 5 || p[0] != "pos" || p[1] != "v1" || p[4] == "" {
		return Address{}, "", fmt.Errorf("topic %q: want pos/v1/<estate>/<terminal>/<kind>", topic)
	}
	a := Address{p[2], p[3]}
	return a, p[4], a.Check()
}
