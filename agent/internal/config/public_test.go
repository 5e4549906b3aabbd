package config

import (
	"encoding/json"
	"reflect"
	"testing"
)

// In a bundle's configuration a key that is not there has its default, as in the file: no zero stands for 200 kB.
func TestPublicSaysNothingOfWhatIsLeftToItsDefault(t *testing.T) {
	c := Defaults()
	c.Estate, c.Terminal = "shops", "t1"
	c.Target = []Target{{Name: "host-primary", Host: "pos.acquirer.example", Port: 8583}}
	c.Broker.Key, c.Contacts.Acquirer = "/etc/posdx/t1.key", "95516"
	c.Console.Keys = []string{"ssh-ed25519 AAAA who"}
	c.Outbox.MaxBytes = 0 // was written, and is not the default
	written, err := json.Marshal(c.Public())
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(written, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"language": "zh", "estate": "shops", "terminal": "t1", "state_dir": "/var/lib/posdx",
		"hook":     map[string]any{"socket": Socket},
		"target":   []any{map[string]any{"name": "host-primary", "host": "pos.acquirer.example", "port": 8583.0}},
		"network":  map[string]any{"resolv_conf": "/etc/resolv.conf", "hosts_file": "/etc/hosts"},
		"broker":   map[string]any{"delivery": "fleet", "keepalive": "1m0s", "key": "(set)"},
		"outbox":   map[string]any{"max_bytes": 0.0, "max_age": "720h0m0s"},
		"profile":  map[string]any{"scheme": "unionpay"},
		"console":  map[string]any{"baud": 115200.0, "charset": "utf-8", "locked": "verdict", "idle": "10m0s", "keys": 1.0},
		"contacts": map[string]any{"acquirer": "(set)"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s", written)
	}
}
