package outbox_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"posdx/agent/internal/outbox"
	"posdx/agent/internal/outbox/crashfs"
	"posdx/agent/report"
)

func newFS(seed uint64) *crashfs.FS {
	fs := crashfs.New()
	fs.Rand = rand.New(rand.NewPCG(seed, 7))
	return fs
}

// accountFor checks that every number of every epoch is there or reported, and each document at its number.
func accountFor(t *testing.T, b *outbox.Box, produced map[string]string) (got int, dropped map[string]int) {
	t.Helper()
	f := newFleet()
	b.Scan(func(r outbox.Record) bool {
		if err := f.take(r); err != nil {
			t.Error(err)
		}
		return true
	})
	dropped = map[string]int{}
	for epoch, m := range f.got {
		top := uint64(0)
		for seq := range m {
			top = max(top, seq)
		}
		if a := f.ackable(epoch); a != top {
			t.Errorf("epoch %.8s: number %d of %d is missing and nobody says why", epoch, a+1, top)
		}
		for _, doc := range m {
			if _, ok := produced[doc]; ok {
				got++
			}
		}
		for _, d := range f.dropped[epoch] {
			for k, n := range d.Counts {
				dropped[k] += n
			}
		}
	}
	return got, dropped
}

// TestDiskFull fills the disk at every byte, by others and by us.
func TestDiskFull(t *testing.T) {
	for capacity := int64(1); capacity < 6000; capacity += 7 {
		synctest.Test(t, func(t *testing.T) {
			fs := newFS(uint64(capacity))
			fs.Capacity = capacity
			b, err := outbox.OpenSmall(outbox.Options{FS: fs, MaxBytes: 1 << 20}, 512)
			if err != nil {
				t.Fatal(err)
			}
			produced := map[string]string{}
			add := func(n int) {
				for range n {
					doc := fmt.Sprintf(`{"n":%d}`, len(produced))
					if _, err := b.Append("diagnosis", true, time.Now(), []byte(doc)); err != nil {
						t.Fatalf("capacity %d: %v", capacity, err)
					}
					produced[doc] = ""
				}
			}
			add(60)
			if capacity < 4000 && b.Stats().Degraded == "" {
				t.Fatalf("capacity %d: nobody says that the disk is full", capacity)
			}
			fs.Set(func(f *crashfs.FS) { f.Capacity = 0 })
			time.Sleep(time.Hour)
			add(20)
			if s := b.Stats(); s.Degraded != "" || s.RAM != 0 {
				t.Errorf("capacity %d: there is space again and %d records wait in memory: %q", capacity, s.RAM, s.Degraded)
			}
			if got, dropped := accountFor(t, b, produced); got != 80 {
				t.Errorf("capacity %d: %d of 80 kept, dropped %v", capacity, got, dropped)
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			b, err = outbox.OpenSmall(outbox.Options{FS: fs, MaxBytes: 1 << 20}, 512)
			if err != nil {
				t.Fatal(err)
			}
			if got, dropped := accountFor(t, b, produced); got != 80 {
				t.Errorf("capacity %d: %d of 80 after a restart, dropped %v", capacity, got, dropped)
			}
		})
	}
}

// TestSyncFails makes any sync fail: the record goes to another file, or to memory, and is never lost while power
// lasts.
func TestSyncFails(t *testing.T) {
	for first := 1; first < 60; first++ {
		for _, many := range []int{1, 2, 3, 10} {
			// What a fleet has seen under one number must never come again under another meaning.
			synctest.Test(t, func(t *testing.T) {
				fs, f := newFS(uint64(first)), newFleet()
				fs.FailSync = func(n int) bool { return n >= first && n < first+many }
				for life := range 2 {
					b, err := outbox.OpenSmall(outbox.Options{FS: fs, MaxBytes: 1 << 20}, 512)
					if err != nil {
						t.Fatal(err)
					}
					var at outbox.Pos
					for i := range 30 {
						b.Append("diagnosis", i%2 == 0, time.Now(), fmt.Appendf(nil, `{"life":%d,"n":%d}`, life, i))
						for {
							r, ok, _ := b.Next(at)
							if !ok {
								break
							}
							at = at.After(r)
							if err := f.take(r); err != nil {
								t.Errorf("syncs %d to %d fail: %v", first, first+many-1, err)
							}
						}
						time.Sleep(time.Minute)
					}
					after := fs.Crash()
					b.Close()
					fs = after
				}
			})
			synctest.Test(t, func(t *testing.T) {
				fs := newFS(uint64(first))
				fs.FailSync = func(n int) bool { return n >= first && n < first+many }
				b, err := outbox.OpenSmall(outbox.Options{FS: fs, MaxBytes: 1 << 20}, 512)
				if err != nil {
					t.Fatal(err)
				}
				produced := map[string]string{}
				for i := range 30 {
					doc := fmt.Sprintf(`{"n":%d}`, i)
					if _, err := b.Append("diagnosis", i%2 == 0, time.Now(), []byte(doc)); err != nil {
						t.Fatal(err)
					}
					produced[doc] = ""
					time.Sleep(time.Minute)
				}
				for range 30 { // enough for the last sync that fails
					time.Sleep(10 * time.Minute)
					b.Append("tally", false, time.Now(), []byte(`{"last":1}`))
				}
				got, _ := accountFor(t, b, produced)
				if got != 30 {
					t.Errorf("syncs %d to %d fail: %d of 30 kept", first, first+many-1, got)
				}
				if s := b.Stats(); s.Degraded != "" {
					t.Errorf("syncs %d to %d fail: still %q long after", first, first+many-1, s.Degraded)
				}
				after := fs.Crash()
				b.Close()
				fs = after
				b, err = outbox.OpenSmall(outbox.Options{FS: fs, MaxBytes: 1 << 20}, 512)
				if err != nil {
					t.Fatal(err)
				}
				if got, dropped := accountFor(t, b, produced); got < 30 {
					t.Errorf("syncs %d to %d fail: %d of 30 after a cut, dropped %v", first, first+many-1, got, dropped)
				}
			})
		}
	}
}

// TestDamage flips every byte of every file: the rest is kept, the loss is counted and said, no wrong record comes out.
func TestDamage(t *testing.T) {
	build := func() (*crashfs.FS, map[string]string) {
		fs := newFS(1)
		b, err := outbox.OpenSmall(outbox.Options{FS: fs, MaxBytes: 1 << 20}, 512)
		if err != nil {
			t.Fatal(err)
		}
		produced := map[string]string{}
		for i := range 24 {
			doc := fmt.Sprintf(`{"n":%d,"pad":"xxxxxxxxxxxxxxxx"}`, i)
			b.Append("diagnosis", i%3 == 0, time.Unix(1, 0), []byte(doc))
			produced[doc] = ""
		}
		b.Close()
		return fs, produced
	}
	fs, _ := build()
	names := fs.Names()
	sizes := map[string]int{}
	for _, n := range names {
		sizes[n] = fs.Size(n)
	}
	most := 0
	for i, name := range names {
		for off := range sizes[name] {
			fs, produced := build()
			fs.Flip(fs.Names()[i], off)
			b, err := outbox.OpenSmall(outbox.Options{FS: fs, MaxBytes: 1 << 20}, 512)
			if err != nil {
				t.Fatal(err)
			}
			got, dropped := accountFor(t, b, produced)
			most = max(most, 24-got)
			if b.Stats().Corrupt == 0 && got < 24 && dropped["unknown"] == 0 {
				t.Errorf("%s byte %d: %d of 24 left and nobody says so", name, off, got)
			}
			if got < 23 || got == 23 && dropped["unknown"] == 0 {
				t.Errorf("%s byte %d: %d of 24 left, dropped %v; one damaged byte may cost one record", name, off, got, dropped)
			}
			// The same while it is open: the damage comes between counting and reading.
			if off%5 == 0 && !strings.HasPrefix(name, "box") {
				fs, produced := build()
				b, err := outbox.OpenSmall(outbox.Options{FS: fs, MaxBytes: 1 << 20}, 512)
				if err != nil {
					t.Fatal(err)
				}
				fs.Flip(name, off)
				accountFor(t, b, map[string]string{})
				if got, _ := accountFor(t, b, produced); got < 23 {
					t.Errorf("%s byte %d, while open: %d of 24 left", name, off, got)
				}
			}
		}
	}
	t.Logf("%d bytes flipped one by one: at most %d record lost each", func() (n int) {
		for _, s := range sizes {
			n += s
		}
		return
	}(), most)
}

// TestLastRecordGoesBad damages what the fleet has already seen, at the very end, where it looks like a torn write: its
// number must not be used again.
func TestLastRecordGoesBad(t *testing.T) {
	fs, f := newFS(1), newFleet()
	for life := range 3 {
		b, err := outbox.OpenSmall(outbox.Options{FS: fs, MaxBytes: 1 << 20}, 512)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			b.Append("diagnosis", true, time.Unix(1, 0), fmt.Appendf(nil, `{"life":%d,"n":%d}`, life, i))
		}
		b.Scan(func(r outbox.Record) bool {
			if err := f.take(r); err != nil {
				t.Error(err)
			}
			return true
		})
		names := fs.Names()
		last := names[len(names)-1]
		fs.Flip(last, fs.Size(last)-1)
	}
}

func TestReadOnly(t *testing.T) {
	fs := newFS(1)
	b, _ := outbox.OpenSmall(outbox.Options{FS: fs, MaxBytes: 1 << 20}, 512)
	for i := range 10 {
		b.Append("diagnosis", true, time.Now(), fmt.Appendf(nil, `{"n":%d}`, i))
	}
	epoch := b.Epoch()
	b.Close()
	fs.ReadOnly = true
	b, err := outbox.OpenSmall(outbox.Options{FS: fs, MaxBytes: 1 << 20, RAMBytes: 2000}, 512)
	if err != nil {
		t.Fatal(err)
	}
	if s := b.Stats(); !strings.Contains(s.Degraded, "read-only") || s.Records != 10 || s.Epoch == epoch {
		t.Errorf("%+v: want read-only said, 10 records still there, and another epoch for what only memory holds", s)
	}
	for i := range 100 { // more than the ring takes
		if _, err := b.Append([]string{"tally", "diagnosis"}[i%2], i%2 == 1, time.Now(), fmt.Appendf(nil, `{"m":%d}`, i)); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]int{}
	told := 0
	for at := (outbox.Pos{}); ; {
		r, ok, _ := b.Next(at)
		if !ok {
			break
		}
		at = at.After(r)
		seen[r.Epoch]++
		if r.Kind == report.KindDropped {
			var d report.Dropped
			json.Unmarshal(r.Doc, &d)
			told += d.Counts["tally"] + d.Counts["diagnosis"]
			seen[r.Epoch]--
		}
	}
	if seen[epoch] != 10 || seen[b.Epoch()]+told != 100 || told == 0 {
		t.Errorf("kept %v, told of %d dropped; want 10 old ones, and 100 new ones kept or told of", seen, told)
	}
	if err := b.Ack(epoch, 1, 10); err != nil {
		t.Error(err)
	}
	if s := b.Stats(); s.Records != s.RAM {
		t.Errorf("%d records after an ack, %d of them in memory", s.Records, s.RAM)
	}
	if err := b.Ack(b.Epoch(), 1, b.Stats().Next-1); err != nil {
		t.Error(err)
	}
	if n := b.Stats().Records; n != 0 {
		t.Errorf("%d records after the ack of what memory held", n)
	}
}

// TestProbeDropsNothing: finding out whether flash is well costs no record, also where there is room for none.
func TestProbeDropsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newFS(1)
		b, err := outbox.OpenSmall(outbox.Options{FS: fs, MaxBytes: 4 << 10}, 512)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		n := 0
		for b.Stats().Bytes+512 <= 4<<10 {
			b.Append("diagnosis", true, time.Now(), fmt.Appendf(nil, `{"n":%d,"pad":%q}`, n, strings.Repeat("x", 300)))
			n++
		}
		fs.Set(func(f *crashfs.FS) { f.ReadOnly = true })
		b.Append("diagnosis", true, time.Now(), []byte(`{}`))
		if s := b.Stats(); !strings.Contains(s.Degraded, "read-only") || s.RAM != 1 {
			t.Fatalf("%+v", s)
		}
		b.Ack(b.Epoch(), 1, 1)
		fs.Set(func(f *crashfs.FS) { f.ReadOnly = false })
		time.Sleep(outbox.RetryMax)
		synctest.Wait()
		if s := b.Stats(); s.Degraded != "" || s.Records < n || len(s.Dropped) > 0 {
			t.Errorf("%d records were kept: %+v", n, s)
		}
	})
}

// TestRingHoldsADay: what waits in memory is packed and comes out as it went in.
func TestRingHoldsADay(t *testing.T) {
	fs := newFS(1)
	fs.ReadOnly = true
	b, err := outbox.Open("", outbox.Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	const docs = 150
	var want []string
	for i := range docs {
		var list []string
		for j := range 60 {
			list = append(list, fmt.Sprintf(`{"check":"net.tcp","subject":"host-primary","status":"bad","facts":{"outcome":"timeout","ms":%d},"at":"2026-11-21T12:%02d:%02d.%03dZ","age_ms":%d,"took_ms":3000,"depth":"internal"}`,
				rand.IntN(4000), i%60, j, rand.IntN(1000), rand.IntN(100_000)))
		}
		doc := fmt.Sprintf(`{"id":"7c-%010x","evidence":[%s]}`, i, strings.Join(list, ","))
		want = append(want, doc)
		if _, err := b.Append("diagnosis", true, time.Now(), []byte(doc)); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	b.Scan(func(r outbox.Record) bool { got = append(got, string(r.Doc)); return true })
	if !slices.Equal(got, want) {
		t.Errorf("%d of %d documents of %d bytes are there: %+v", len(got), docs, len(want[0]), b.Stats())
	}
	fs.Set(func(f *crashfs.FS) { f.ReadOnly = false })
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if b, err = outbox.Open("", outbox.Options{FS: fs}); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	got = nil
	b.Scan(func(r outbox.Record) bool { got = append(got, string(r.Doc)); return true })
	if !slices.Equal(got, want) {
		t.Errorf("%d of %d documents are on flash", len(got), docs)
	}
}

// TestBadDirectories opens on what cannot be a box.
func TestBadDirectories(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	os.WriteFile(file, []byte("x"), 0o600)
	other, err := outbox.Open(filepath.Join(dir, "taken"), outbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	os.MkdirAll(filepath.Join(dir, "rubbish", "box"), 0o700)
	for _, n := range []string{"n0000.seg", "c.seg", ".seg", "box.new"} {
		os.WriteFile(filepath.Join(dir, "rubbish", n), []byte(strings.Repeat("rubbish ", 40_000)), 0o600)
	}
	for _, c := range []struct{ dir, degraded string }{
		{file, "not a directory"}, {filepath.Join(file, "sub"), "not a directory"}, {"/proc/posdx/outbox", "no such"},
		{filepath.Join(dir, "taken"), "another process"}, {filepath.Join(dir, "new", "deep"), ""}, {filepath.Join(dir, "rubbish"), "file exists"},
	} {
		b, err := outbox.Open(c.dir, outbox.Options{})
		if err != nil {
			t.Fatalf("%s: %v", c.dir, err)
		}
		if s := b.Stats(); !strings.Contains(s.Degraded, c.degraded) || (c.degraded == "") != (s.Degraded == "") {
			t.Errorf("%s: degraded %q, want %q", c.dir, s.Degraded, c.degraded)
		}
		if seq, err := b.Append("diagnosis", true, time.Now(), []byte("{}")); err != nil || seq != 1 {
			t.Errorf("%s: append %d, %v", c.dir, seq, err)
		}
		b.Close()
	}
	if _, err := outbox.Open("", outbox.Options{}); err == nil {
		t.Error("no directory at all is a programming mistake")
	}
}

func TestAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newFS(1)
		b, _ := outbox.OpenSmall(outbox.Options{FS: fs, MaxBytes: 1 << 20, MaxAge: 24 * time.Hour}, 512)
		for i := range 10 {
			b.Append("diagnosis", true, time.Unix(0, 0), fmt.Appendf(nil, `{"n":%d}`, i)) // a wall clock in 1970 must not matter
		}
		time.Sleep(12 * time.Hour)
		b.Close()
		b, _ = outbox.OpenSmall(outbox.Options{FS: fs, MaxBytes: 1 << 20, MaxAge: 24 * time.Hour}, 512)
		b.Append("tally", false, time.Now(), []byte("{}"))
		if n := b.Stats().Records; n != 11 {
			t.Errorf("%d records after 12 hours, want 11", n)
		}
		time.Sleep(13 * time.Hour)
		b.Append("tally", false, time.Now(), []byte("{}"))
		s := b.Stats()
		if s.Records != 3 || s.Dropped["diagnosis"] != 10 {
			t.Errorf("%+v: want 2 tallies and a report of 10 diagnoses over age", s)
		}
	})
}

// TestGoneBackInTime is flash that lied: the fleet confirms what we never gave out. New records must not reuse numbers
// that the fleet would take for old ones.
func TestGoneBackInTime(t *testing.T) {
	fs := newFS(1)
	b, _ := outbox.OpenSmall(outbox.Options{FS: fs, MaxBytes: 1 << 20}, 512)
	for i := range 5 {
		b.Append("diagnosis", true, time.Now(), fmt.Appendf(nil, `{"n":%d}`, i))
	}
	if err := b.Ack(b.Epoch(), 1, 40); err == nil {
		t.Error("an ack from the future passes without a word")
	}
	var got []string
	b.Scan(func(r outbox.Record) bool { got = append(got, fmt.Sprint(r.Seq, string(r.Doc))); return true })
	want := []string{`41{"n":0}`, `42{"n":1}`, `43{"n":2}`, `44{"n":3}`, `45{"n":4}`}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestKill kills a process that appends, at random, and finds all it was told were accepted.
func TestKill(t *testing.T) {
	if dir := os.Getenv("POSDX_TEST_OUTBOX"); dir != "" {
		child(dir)
		return
	}
	rounds := 20
	if testing.Short() {
		rounds = 5
	}
	dir := t.TempDir()
	accepted := map[string]bool{}
	for round := range rounds {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), "POSDX_TEST_OUTBOX="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); errors.Is(err, syscall.ENOEXEC) {
			t.Skip("this binary cannot start itself here: an emulator runs it")
		} else if err != nil {
			t.Fatal(err)
		}
		n := 1 + rand.IntN(200)
		s := bufio.NewScanner(out)
		for s.Scan() {
			accepted[s.Text()] = true
			if n--; n == 0 {
				cmd.Process.Signal(syscall.SIGKILL)
			}
		}
		cmd.Wait()
		if n > 0 {
			t.Fatalf("round %d: the child ended by itself", round)
		}
	}
	b, err := outbox.Open(dir, outbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if b.Boot() != uint64(rounds)+1 {
		t.Errorf("boot %d after %d kills", b.Boot(), rounds)
	}
	found, last := 0, uint64(0)
	b.Scan(func(r outbox.Record) bool {
		if r.Kind != report.KindDropped {
			if r.Seq <= last {
				t.Errorf("sequence %d after %d", r.Seq, last)
			}
			last = r.Seq
		}
		if accepted[strconv.FormatUint(r.Seq, 10)+" "+string(r.Doc)] {
			found++
		}
		return true
	})
	if found != len(accepted) {
		t.Errorf("%d of %d accepted records are there", found, len(accepted))
	}
	t.Logf("%d kills, %d records accepted, all there", rounds, len(accepted))
}

func child(dir string) {
	b, err := outbox.Open(dir, outbox.Options{})
	if err != nil {
		os.Exit(3)
	}
	for i := 0; ; i++ {
		doc := fmt.Sprintf(`{"boot":%d,"n":%d,"pad":%q}`, b.Boot(), i, strings.Repeat("x", i%200))
		seq, err := b.Append("diagnosis", i%2 == 0, time.Now(), []byte(doc))
		if err != nil || b.Stats().Degraded != "" {
			os.Exit(4)
		}
		fmt.Printf("%d %s\n", seq, doc)
	}
}
