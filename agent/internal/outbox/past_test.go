package outbox_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"posdx/agent/internal/outbox"
	"posdx/agent/internal/outbox/crashfs"
)

func pastDoc(n int) []byte {
	return fmt.Appendf(nil, `{"id":"000001-%010x","revision":2,"final":true,"event":{"code":"96"},"causes":[{"id":"host.malfunction","probability":0.86}],"n":%d}`, n, n)
}

func pastIn(t *testing.T, fs outbox.FS) (list [][]byte) {
	t.Helper()
	if err := outbox.ReadPastIn(fs, func(d outbox.PastDoc) { list = append(list, bytes.Clone(d.Doc)) }); err != nil {
		t.Fatal(err)
	}
	return list
}

// The newest 200 are there, the oldest go first, and neither bytes nor files grow without bound.
func TestPastKeepsTheNewest(t *testing.T) {
	fs := crashfs.New()
	for n := 0; n < 1000; {
		p, err := outbox.OpenPastIn(fs)
		if err != nil {
			t.Fatal(err)
		}
		for range 1 + n%97 { // restarts at every distance
			if err := p.Append("diagnosis", time.Unix(int64(n), 0), pastDoc(n)); err != nil {
				t.Fatal(err)
			}
			n++
		}
		p.Close()
		list := pastIn(t, fs)
		if want := min(n, outbox.PastKept); len(list) < want || len(list) > outbox.PastKept+100 {
			t.Fatalf("after %d: %d are kept, want %d and little more", n, len(list), want)
		}
		for i, doc := range list {
			if want := pastDoc(n - len(list) + i); !bytes.Equal(doc, want) {
				t.Fatalf("after %d: number %d is %s, want %s", n, i, doc, want)
			}
		}
		if files := len(fs.Names()); files > outbox.PastKept+1 {
			t.Fatalf("%d files", files)
		}
	}
}

// One document a start, for ever: the files stay bounded.
func TestPastOfShortLives(t *testing.T) {
	fs := crashfs.New()
	for n := range 450 {
		p, err := outbox.OpenPastIn(fs)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Append("diagnosis", time.Unix(int64(n), 0), pastDoc(n)); err != nil {
			t.Fatal(err)
		}
		p.Close()
	}
	if list := pastIn(t, fs); len(list) < outbox.PastKept || len(fs.Names()) > outbox.PastKept+1 {
		t.Errorf("%d kept in %d files", len(list), len(fs.Names()))
	}
}

// What was kept is there after a power cut at any moment, whole and in order, and nothing that was not given is.
func TestPastOutlivesPowerCuts(t *testing.T) {
	runs := 40
	if testing.Short() {
		runs = 10
	}
	for seed := range runs {
		r := rand.New(rand.NewPCG(uint64(seed), 7))
		fs := crashfs.New()
		fs.Rand = r
		if seed%2 == 1 {
			fs.Model = crashfs.Strict
		}
		var kept []int // those whose append returned
		n := 0
		for range 12 {
			fs.Set(func(f *crashfs.FS) { f.CutAt = 1 + r.IntN(120) })
			p, err := outbox.OpenPastIn(fs)
			for err == nil && n < 5000 {
				if err = p.Append("diagnosis", time.Unix(int64(n), 0), pastDoc(n)); err == nil {
					kept = append(kept, n)
				}
				n++
			}
			fs = fs.Crash()
			var there []string
			for _, doc := range pastIn(t, fs) {
				there = append(there, string(doc))
			}
			if len(there) < min(len(kept), outbox.PastKept) {
				t.Fatalf("seed %d: %d are there of %d that were kept", seed, len(there), len(kept))
			}
			newer, at := 0, len(there)
			for _, k := range slices.Backward(kept) {
				for at > 0 && number(t, there[at-1]) > k {
					at--
					newer++
				}
				if newer >= outbox.PastKept {
					break // the oldest may go
				}
				if at == 0 || there[at-1] != string(pastDoc(k)) {
					t.Fatalf("seed %d: %d was kept and is not there; %d newer are", seed, k, newer)
				}
			}
			last := -1
			for _, doc := range there {
				i := number(t, doc)
				if i >= n || doc != string(pastDoc(i)) || i <= last {
					t.Fatalf("seed %d: %s after number %d", seed, doc, last)
				}
				last = i
			}
		}
	}
}

func number(t *testing.T, doc string) (n int) {
	t.Helper()
	if _, err := fmt.Sscanf(doc[strings.LastIndex(doc, `"n":`)+len(`"n":`):], "%d", &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// A disk that is full or read-only costs history and nothing else; what was there can still be read.
func TestPastOnFlashThatTakesNothing(t *testing.T) {
	fs := crashfs.New()
	p, err := outbox.OpenPastIn(fs)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Append("diagnosis", time.Now(), pastDoc(1)); err != nil {
		t.Fatal(err)
	}
	fs.Set(func(f *crashfs.FS) { f.ReadOnly = true })
	for n := range 50 {
		if err := p.Append("diagnosis", time.Now(), pastDoc(2+n)); err == nil {
			t.Fatal("kept on a disk that is read-only")
		}
	}
	fs.Set(func(f *crashfs.FS) { f.ReadOnly = false })
	if err := p.Append("diagnosis", time.Now(), pastDoc(99)); err != nil {
		t.Fatal(err)
	}
	list := pastIn(t, fs)
	if len(list) != 2 || !bytes.Equal(list[1], pastDoc(99)) {
		t.Errorf("%d: %s", len(list), list)
	}
}

// With the outbox's own copy, no more than twice a document is written: the past is packed.
func TestPastFlashBudget(t *testing.T) {
	fs := crashfs.New()
	p, err := outbox.OpenPastIn(fs)
	if err != nil {
		t.Fatal(err)
	}
	doc := []byte(`{"id":"000001-0000000001","revision":2,"final":true,"event":{"code":"96","scheme":"unionpay","origin":"host","channel":"hook","boot_id":"0c2a1d3e-3a1b-4c7e-9a53-6f6c6f0a7d11"},` +
		strings.Repeat(`"evidence":[{"check":"net.tcp","subject":"host-primary","status":"ok","facts":{"outcome":"ok","ms":41},"depth":"internal"}],`, 4) + `"abstained":false}`)
	for range 20 {
		if err := p.Append("diagnosis", time.Now(), doc); err != nil {
			t.Fatal(err)
		}
	}
	written := 0
	for _, name := range fs.Names() {
		written += fs.Size(name)
	}
	if each := written / 20; each > len(doc)*9/10 {
		t.Errorf("%d bytes for a document of %d: with the outbox's copy more than twice", each, len(doc))
	}
}

// The journal promises nothing before its own name is certain.
func TestJournalSyncsItsFolder(t *testing.T) {
	dir := t.TempDir()
	var synced []string
	defer outbox.OnSyncDir(func(d string) { synced = append(synced, d) })()
	j, err := outbox.OpenJournal(filepath.Join(dir, "open.journal"))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if !slices.Contains(synced, dir) {
		t.Errorf("synced %q before the first promise, want %s", synced, dir)
	}
}
