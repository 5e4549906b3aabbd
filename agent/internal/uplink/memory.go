package uplink

import (
	"encoding/json"
	"errors"
	"io/fs"
	"time"

	"posdx/agent/internal/atomicfile"
)

// A memory is what the uplink knows from earlier runs. It changes once per start of the machine and once per
// certificate of the broker.
type memory struct {
	BootID    string    `json:"boot_id"`    // of the last run
	NotBefore time.Time `json:"not_before"` // start of the newest verified broker certificate
}

const maxMemory = 4 << 10

// readMemory returns the zero value where nothing is remembered; what cannot be read is an error too, but no obstacle.
func readMemory(file string) (m memory, err error) {
	if file == "" {
		return m, nil
	}
	b, err := atomicfile.Read(file, maxMemory)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		return memory{}, err
	}
	return m, nil
}

// write replaces the file, so that a power cut leaves the old one or the new one.
func (m memory) write(file string) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return atomicfile.Replace(file, append(b, '\n'))
}

// remember keeps what is known now, if it is new. A disk that takes nothing costs only the memory.
func (u *Uplink) remember() {
	if u.cfg.StateFile == "" {
		return
	}
	m := memory{BootID: u.cfg.BootID, NotBefore: u.State().NotBefore}
	if m == u.kept {
		return
	}
	if err := m.write(u.cfg.StateFile); err != nil {
		u.log.Warn("uplink", "remember", err)
		return
	}
	u.kept = m
}

// morning is how long to wait before the first connection. When the power comes back to a city, every terminal in it
// starts in the same minute. A run that is not the first since the machine started, or for which no earlier run is
// remembered, does not wait: an agent that was restarted or has just been installed is the only one.
func (u *Uplink) morning() time.Duration {
	if u.kept.BootID == "" || u.kept.BootID == u.cfg.BootID || u.cfg.Uptime > youngBoot {
		return 0
	}
	return u.spread(bootSpread)
}
