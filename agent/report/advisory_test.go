package report

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// Any UTF-8 name is a key of its own, and can be read back.
func TestTopicKeysNeverCollide(t *testing.T) {
	seen := map[string]string{}
	for _, text := range []string{
		"中国移动", "中国联通", "中国电信", "----", "carrier 1", "carrier-1", "a/b", "a+b", "#", "%2F", "/", "", "-", ".", "a\x00b", "\xff", "\u00e9", "e\u0301",
		strings.Repeat("中", 100), strings.Repeat("中", 101), strings.Repeat("a", 200), strings.Repeat("a", 201),
		strings.Repeat("a", 202),
	} {
		key := TopicKey(text)
		if other, twice := seen[key]; twice {
			t.Errorf("%q and %q have the same key %s", text, other, key)
		}
		seen[key] = text
		if key == "" || len(key) > 240 || strings.ContainsAny(key, "/+# \x00") {
			t.Errorf("%q: %q cannot be a level of a topic", text, key)
		}
	}
	if TopicKey("bank-1_a.b") != "bank-1_a.b" || TopicKey("中") != "%E4%B8%AD" {
		t.Error(TopicKey("bank-1_a.b"), TopicKey("中"))
	}
	if a, b := PlaceKey(map[string]string{"a": "1&b=2"}), PlaceKey(map[string]string{"a": "1", "b": "2"}); a == b {
		t.Error("places collide:", a)
	}
}

func TestAdvisoriesAreSigned(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	topic := AdvisoryTopic("shop", "carrier", TopicKey("中国移动"))
	a := Advisory{Scope: "carrier", Key: TopicKey("中国移动"), Code: "96", Terminals: 6, SharePct: 12.5,
		Time:  time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC),
		Cause: "wan.outage", Place: map[string]string{"carrier": "中国移动"}}
	good, err := MarshalAdvisory(topic, a, private)
	if err != nil {
		t.Fatal(err)
	}
	bare, err := MarshalAdvisory(topic, a, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		topic   string
		payload []byte
		keys    []ed25519.PublicKey
		ok      bool
	}{
		{"signed", topic, good, []ed25519.PublicKey{public}, true},
		{"signed by one of two", topic, good, []ed25519.PublicKey{other, public}, true},
		{"a terminal without keys", topic, good, nil, true},
		{"unsigned, a terminal without keys", topic, bare, nil, true},
		{"a later member is covered", topic, bytes.Replace(good, []byte(`{"scope"`), []byte(`{"more":1,"scope"`), 1), []ed25519.PublicKey{public}, false},
		{"unsigned", topic, bare, []ed25519.PublicKey{public}, false},
		{"another's", topic, good, []ed25519.PublicKey{other}, false},
		{"moved to another topic", topic + "x", good, []ed25519.PublicKey{public}, false},
		{"changed", topic, bytes.Replace(good, []byte(`"terminals":6`), []byte(`"terminals":7`), 1), []ed25519.PublicKey{public}, false},
		{"cut", topic, good[:len(good)-3], []ed25519.PublicKey{public}, false},
		{"a second signature behind the first", topic, append(bytes.Clone(good[:len(good)-1]), good[len(good)-98:]...), []ed25519.PublicKey{public}, false},
		{"empty", topic, nil, []ed25519.PublicKey{public}, false},
		{"a key of the wrong length", topic, good, []ed25519.PublicKey{public[:31]}, false},
	} {
		got, err := ReadAdvisory(c.topic, c.payload, c.keys)
		if (err == nil) != c.ok || c.ok && (got.Terminals != 6 || got.Place["carrier"] != "中国移动") || !c.ok &&
			!errors.Is(err, ErrUnsigned) {
			t.Errorf("%s: %v %+v", c.name, err, got)
		}
	}
}

// What a client may write under a name of its own is no advisory: the place in it must be that of its topic, and the
// topic's must be one that terminals have in common.
func TestAdvisoriesAreAboutTheirTopic(t *testing.T) {
	place := map[string]string{"carrier": "a", "site": "b"}
	for _, c := range []struct {
		scope, key string
		a          Advisory
		ok         bool
	}{
		{"carrier", "a", Advisory{Scope: "carrier", Key: "a"}, true},
		{"carrier", "a", Advisory{Scope: "carrier", Key: "a", Place: map[string]string{"carrier": "a"}}, true},
		{"site", PlaceKey(place), Advisory{Scope: "site", Key: PlaceKey(place), Place: place}, true},
		{"acquirer", PlaceKey(map[string]string{"scheme": "x"}), Advisory{Scope: "acquirer",
			Key: PlaceKey(map[string]string{"scheme": "x"}), Place: map[string]string{"scheme": "x"}}, true},
		// A terminal called advisory, or advisory/carrier, that writes its own reply, or its own health.
		{"reply", "a", Advisory{Scope: "carrier", Key: "a", Place: map[string]string{"carrier": "a"}}, false},
		{"reply", "a", Advisory{Scope: "reply", Key: "a"}, false},
		{"carrier", "health", Advisory{Scope: "carrier", Key: "a", Place: map[string]string{"carrier": "a"}}, false},
		{"carrier", "health", Advisory{Scope: "carrier", Key: "health", Place: map[string]string{"carrier": "a"}}, false},
	} {
		topic := AdvisoryTopic("shop", c.scope, c.key)
		b, err := MarshalAdvisory(topic, c.a, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ReadAdvisory(topic, b, nil); (err == nil) != c.ok {
			t.Errorf("%s: %s: %v", topic, b, err)
		}
	}
	for _, level := range []string{"reply", KindSiteWord} { // what terminals write in topics of as many levels
		if slices.Contains(Dimensions, level) {
			t.Errorf("a terminal called advisory speaks as the fleet by its %s", level)
		}
	}
	for _, name := range append([]string{"t1/cmd", "+", "#"}, Reserved...) {
		if (Address{"shop", name}).Check() == nil {
			t.Errorf("a terminal may be called %s", name)
		}
	}
}
