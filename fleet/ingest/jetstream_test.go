package ingest

import (
	"testing"

	"pgregory.net/rapid"

	"posdx/agent/report"
)

// Workers share alike, and of the partitions only those of a worker that came or went change hands.
func TestPartitionsAreShared(t *testing.T) {
	workers := []string{"vm-a1", "vm-a2", "vm-b1", "vm-b2", "other"}
	const partitions = 256
	had := map[string]int{}
	for p := range partitions {
		had[owner(p, workers)]++
		if a, b := owner(p, workers), owner(p, workers[:4]); a != b && a != "other" {
			t.Errorf("partition %d goes from %s to %s when another worker ends", p, a, b)
		}
		if a, b := owner(p, workers), owner(p, []string{"vm-b2", "other", "vm-a1", "vm-b1", "vm-a2"}); a != b {
			t.Errorf("partition %d is of %s or %s by the order of the list", p, a, b)
		}
	}
	for _, w := range workers {
		if had[w] < partitions/len(workers)/2 || had[w] > partitions/len(workers)*2 {
			t.Errorf("%s has %d of %d partitions", w, had[w], partitions)
		}
	}
	if owner(1, nil) != "" {
		t.Error("nobody is there, and somebody owns")
	}
}

// What a terminal may be called comes back from a subject as it was.
func TestSubjectsAndTopics(t *testing.T) {
	for topic, subject := range map[string]string{
		"pos/v1/shop/t1/ack": "pos.v1.shop.t1.ack", "pos/v1/a.b/.t./reply/ping": "pos.v1.a//b.//t//.reply.ping",
	} {
		if got := subjectOf(topic); got != subject {
			t.Errorf("%s is %s, want %s", topic, got, subject)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[A-Za-z0-9._-]{1,20}`)
		a := report.Address{Estate: name.Draw(t, "estate"), Terminal: name.Draw(t, "terminal")}
		if a.Check() != nil {
			t.Skip("no address")
		}
		topic := a.Topic("reply/ping")
		if got := topicOf(subjectOf(topic)); got != topic {
			t.Fatalf("%s came back as %s", topic, got)
		}
	})
}

func TestNodesAreNamedWithoutSecrets(t *testing.T) {
	for url, want := range map[string]string{
		"nats://a:1,nats://u:secret@b:2": "nats://a:1,nats://xxxxx@b:2",
		"u:secret@a:1, b:2":              "nats://xxxxx@a:1,nats://b:2",
		"nats://secret@a:1":              "nats://xxxxx@a:1", // a token
		"nats://u:secret@%zz":            "(not a URL)",
	} {
		if got := (NATSConfig{URL: url}).redacted(); got != want {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
	}
}
