package report

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Dimensions are the names of what a terminal may share with others: of the labels in its birth, and of the members of
// an advisory's place. firmware is the terminal maker's version, application the payment application's, agent that of
// posdx, knowledge the hash of its tables; scheme is the code table.
var Dimensions = []string{
	"acquirer", "carrier", "bearer", "site", "region", "model", "firmware", "application", "agent", "knowledge", "scheme",
}

// Limits of the labels of one terminal.
const (
	MaxLabels = 16
	MaxLabel  = 128 // bytes of a value
)

// An Advisory is what the fleet sees on other terminals. A terminal that it concerns takes it as evidence.
type Advisory struct {
	Scope     string    `json:"scope"`           // acquirer carrier site model
	Key       string    `json:"key"`             // as in the topic: TopicKey of the value, or of the place where it has several
	Code      string    `json:"code"`            // that most of them meet
	Terminals int       `json:"terminals"`       // that meet it
	SharePct  float64   `json:"share_pct"`       // they are of all terminals of the place
	Time      time.Time `json:"time"`            // when the fleet wrote this
	Cause     string    `json:"cause,omitempty"` // id, where one is named

	// Place holds every dimension of the place; a terminal is concerned if it has all of these values. Absent: scope and
	// key are the whole place.
	Place map[string]string `json:"place,omitempty"`
	Since time.Time         `json:"since,omitzero"` // when the incident began; its age

	// Entry and CardScheme, where given, are of the only sales that fail, as in a transaction.
	Entry      string `json:"entry,omitempty"`
	CardScheme string `json:"card_scheme,omitempty"`
}

// Concerns tells whether an event may be one of those that an advisory speaks of: of its code, and of such a sale.
func (a *Advisory) Concerns(e *Event) bool {
	var t Txn
	if e.Txn != nil {
		t = *e.Txn
	}
	return (a.Code == "" || a.Code == e.Code) && (a.Entry == "" || a.Entry == t.Entry) &&
		(a.CardScheme == "" || a.CardScheme == t.CardScheme)
}

// TopicKey writes any text as one level of a topic: letters, digits and . _ - stay, every other byte becomes %XX.
// Different texts have different keys; a very long one ends in a hash of the whole.
func TopicKey(text string) string {
	const most = 200
	var b strings.Builder
	for i := range len(text) {
		switch c := text[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	if key := b.String(); len(key) <= most && key != "" {
		return key
	}
	sum := sha256.Sum256([]byte(text))
	return b.String()[:min(b.Len(), most)] + "~" + hex.EncodeToString(sum[:16])
}

// PlaceKey is the key of a place of several dimensions: their names and values, in the order of the names.
func PlaceKey(place map[string]string) string {
	var parts []string
	for _, d := range slices.Sorted(maps.Keys(place)) {
		parts = append(parts, d+"="+TopicKey(place[d]))
	}
	return TopicKey(strings.Join(parts, "&"))
}

// An advisory is signed as its last member, so that a reader checks the bytes as they came and members that it does not
// know stay covered: the signature is over the topic, a line feed and the JSON without that member.
const (
	sigHead = `,"sig":"`
	sigTail = `"}`
)

var sigLength = base64.StdEncoding.EncodedLen(ed25519.SignatureSize)

// MarshalAdvisory writes an advisory for its topic, signed if there is a key.
func MarshalAdvisory(topic string, a Advisory, key ed25519.PrivateKey) ([]byte, error) {
	b, err := json.Marshal(a)
	if err != nil || key == nil {
		return b, err
	}
	sig := ed25519.Sign(key, slices.Concat([]byte(topic), []byte("\n"), b))
	return slices.Concat(b[:len(b)-1], []byte(sigHead), []byte(base64.StdEncoding.EncodeToString(sig)), []byte(sigTail)),
		nil
}

// ErrUnsigned is the error of an advisory that none of the terminal's trusted keys has signed.
var ErrUnsigned = errors.New("advisory: not signed by a key of this terminal")

// ReadAdvisory reads the payload of an advisory's topic. Where there are keys, one of them must have signed it for this
// topic. It must be about the place that its topic names: what a broker lets a client write under a name of its own is
// no place's.
func ReadAdvisory(topic string, payload []byte, keys []ed25519.PublicKey) (Advisory, error) {
	var a Advisory
	if len(keys) > 0 && !signed(topic, payload, keys) {
		return a, ErrUnsigned
	}
	if err := Decode(payload, &a); err != nil {
		return Advisory{}, fmt.Errorf("advisory: %w", err)
	}
	if !a.belongs(topic) {
		return Advisory{}, fmt.Errorf("advisory: %s of %q is not what the topic %q says", a.Scope, a.Key, topic)
	}
	return a, nil
}

// belongs reports whether an advisory is about the place that its topic names.
func (a Advisory) belongs(topic string) bool {
	p := strings.Split(topic, "/")
	if len(p) < 2 {
		return false
	}
	scope, key := p[len(p)-2], p[len(p)-1]
	if a.Scope != scope || a.Key != key || !slices.Contains(Dimensions, scope) {
		return false
	}
	own, alone := a.Place[scope]
	return len(a.Place) == 0 || alone && len(a.Place) == 1 && key == TopicKey(own) || key == PlaceKey(a.Place)
}

func signed(topic string, payload []byte, keys []ed25519.PublicKey) bool {
	head := len(payload) - len(sigTail) - sigLength - len(sigHead)
	if head < 1 || !bytes.HasPrefix(payload[head:], []byte(sigHead)) || !bytes.HasSuffix(payload, []byte(sigTail)) {
		return false
	}
	sig, err := base64.StdEncoding.DecodeString(string(payload[head+len(sigHead) : len(payload)-len(sigTail)]))
	if err != nil {
		return false
	}
	text := slices.Concat([]byte(topic), []byte("\n"), payload[:head], []byte("}"))
	return slices.ContainsFunc(keys, func(k ed25519.PublicKey) bool {
		return len(k) == ed25519.PublicKeySize && ed25519.Verify(k, text, sig)
	})
}
