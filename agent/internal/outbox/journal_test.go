package outbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	doc := func(id string) []byte {
		return []byte(`{"id":"` + id + `","revision":1,"code":{"meaning":"` + strings.Repeat("m", 9000) + `"}}`)
	}
	j, err := OpenJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range journalSlots {
		if err := j.Begin(fmt.Sprint(i), doc(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Begin("more", doc("more")); !errors.Is(err, errJournalFull) {
		t.Errorf("a full journal: %v", err)
	}
	for _, id := range []string{"2", "5", "not there"} {
		if err := j.End(id); err != nil {
			t.Error(err)
		}
	}
	if err := j.Begin("again", doc("again")); err != nil {
		t.Errorf("a freed slot: %v", err)
	}
	if err := j.Begin("huge", bytes.Repeat([]byte("x"), journalSlot)); err == nil {
		t.Error("a document larger than a slot was kept")
	}
	j.Close()
	// What a power cut leaves: slot 3 torn in its middle, slot 4 with a length that lies.
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt(make([]byte, 512), 3*journalSlot+4096)
	f.WriteAt([]byte{0xff, 0xff, 0xff, 0xff}, 4*journalSlot)
	f.Close()
	if j, err = OpenJournal(path); err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	var ids []string
	for _, d := range j.Left {
		ids = append(ids, d.ID)
	}
	if got := strings.Join(ids, " "); got != "0 1 again 6 7" {
		t.Errorf("after the cut: %s", got)
	}
	if err := j.Begin("x", doc("x")); err != nil {
		t.Errorf("a torn slot is not used again: %v", err)
	}
}

func TestJournalOnAFullDisk(t *testing.T) {
	if _, err := OpenJournal("/dev/full"); err == nil {
		t.Error("a journal without its space was opened")
	}
	var none *Journal
	if none.Begin("a", nil) == nil || none.End("a") != nil {
		t.Error("no journal: want an error at Begin, so that the outbox takes the document, and none at End")
	}
}

// FuzzJournal opens files that no journal wrote.
func FuzzJournal(f *testing.F) {
	f.Add([]byte{20, 0, 0, 0, 1, 2, 3, 4, '{', '}'})
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "j")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := OpenJournal(path)
		if err != nil {
			return
		}
		defer j.Close()
		if err := j.Begin("a", []byte("{}")); err != nil && len(j.Left) < journalSlots {
			t.Error(err)
		}
	})
}
