package outbox

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"

	"posdx/agent/report"

	"golang.org/x/sys/unix"
)

// Layout of the journal's file: slots of a fixed size, each a length, a CRC-32C of the document and the document. The
// space is taken once, so that a full disk does not keep a diagnosis from beginning.
const (
	journalSlots = 8
	journalSlot  = 32 << 10
	journalHead  = 8
)

var errJournalFull = errors.New("every slot is taken")

// A Journal keeps the first revision of every diagnosis under way on flash, until its final revision is in the outbox.
// What it still holds at a start was interrupted. The fleet gets the final revision only: it comes within seconds, and
// on a metered SIM every document is paid for.
type Journal struct {
	mu   sync.Mutex
	f    *os.File
	used [journalSlots]string // ids of the diagnoses in the slots
	Left []report.Diagnosis   // what the last run had begun and not ended
}

// OpenJournal opens or makes the file and reads what the last run left in it. A slot that was torn by a power cut was
// never accepted and counts as empty.
func OpenJournal(path string) (*Journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, journalSlots*journalSlot)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		err = f.Truncate(journalSlots * journalSlot)
	}
	// A new file is only certain to be there after a cut once its folder is synced: until then no promise may be made.
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open journal %s: %w", path, err)
	}
	j := &Journal{f: f}
	slot := make([]byte, journalSlot)
	for i := range j.used {
		if _, err := f.ReadAt(slot, int64(i)*journalSlot); err != nil {
			continue
		}
		var d report.Diagnosis
		if doc := slotDoc(slot); doc != nil && json.Unmarshal(doc, &d) == nil && d.ID != "" {
			j.used[i] = d.ID
			j.Left = append(j.Left, d)
		}
	}
	return j, nil
}

// syncDir makes the names in a folder certain; a test listens in.
var syncDir = func(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// slotDoc is the document in a slot, nil if there is none or it is not whole.
func slotDoc(slot []byte) []byte {
	n := binary.LittleEndian.Uint32(slot)
	if n == 0 || int64(n) > int64(len(slot)-journalHead) {
		return nil
	}
	doc := slot[journalHead : journalHead+int(n)]
	if crc32.Checksum(doc, castagnoli) != binary.LittleEndian.Uint32(slot[4:]) {
		return nil
	}
	return doc
}

// Begin keeps the first revision of a diagnosis; it returns when that is durable. An error means that it is not kept.
func (j *Journal) Begin(id string, doc []byte) error {
	if j == nil {
		return errors.New("journal: there is none")
	}
	if len(doc) > journalSlot-journalHead {
		return fmt.Errorf("journal: %d bytes, more than a slot", len(doc))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, taken := range j.used {
		if taken != "" {
			continue
		}
		b := make([]byte, journalHead, journalHead+len(doc))
		binary.LittleEndian.PutUint32(b, uint32(len(doc)))
		binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(doc, castagnoli))
		if err := j.write(i, append(b, doc...)); err != nil {
			return err
		}
		j.used[i] = id
		return nil
	}
	return fmt.Errorf("journal: %w", errJournalFull)
}

// End removes a diagnosis whose final revision is kept elsewhere; one that is not in the journal is no error.
func (j *Journal) End(id string) error {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, taken := range j.used {
		if taken == id {
			j.used[i] = ""
			return j.write(i, make([]byte, journalHead))
		}
	}
	return nil
}

func (j *Journal) write(slot int, b []byte) error {
	if _, err := j.f.WriteAt(b, int64(slot)*journalSlot); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if err := unix.Fdatasync(int(j.f.Fd())); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// Close closes the file. On a nil journal it does nothing.
func (j *Journal) Close() {
	if j != nil {
		j.f.Close()
	}
}
