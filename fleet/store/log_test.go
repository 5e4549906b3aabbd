package store

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"posdx/agent/report"
)

// SQLite's log begins anew once it is long, though it was not copied by itself: readers that are never all gone keep it
// from that.
func TestTheLogHasAnEnd(t *testing.T) {
	file := filepath.Join(t.TempDir(), "fleet.db")
	s, err := Open(t.Context(), "sqlite:"+file)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const most = 1 << 20
	s.logAt.Store(most)
	at := report.Address{Estate: "shop", Terminal: "t1"}
	last, grew := int64(0), int64(0)
	for seq := uint64(1); seq < 200; seq++ {
		d := Document{At: at, Kind: report.KindDiagnosis, Epoch: "e1", Boot: 1, Seq: seq, Received: time.Now(),
			Packed: make([]byte, 30_000), Diagnosis: &report.Diagnosis{ID: fmt.Sprint(seq), Revision: 1}}
		if r, err := s.Commit(t.Context(), []Document{d}); err != nil || r.Stored != 1 {
			t.Fatal(r, err)
		}
		info, err := os.Stat(file + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() < last {
			if s.logAt.Load() != logMost {
				t.Errorf("the next time is at %d bytes, want %d", s.logAt.Load(), logMost)
			}
			return
		}
		if last, grew = info.Size(), max(grew, info.Size()); grew > 2*most {
			break
		}
	}
	t.Errorf("the log grew to %d bytes, want an end at %d", grew, most)
}
