package enroll

import (
	"bytes"
	"errors"
	"io/fs"
	"sync"
)

// Files is where a terminal keeps its pairs. Replace is durable when it returns, and leaves the old content or the new.
type Files interface {
	Read(name string) ([]byte, error) // fs.ErrNotExist if there is none
	Replace(name string, content []byte) error
	Remove(name string) error
}

// refusals is how often a renewed pair may be refused, while the old one works, before it is given up: a broker may
// learn of a new authority later than the terminal.
const refusals = 6

// A Wallet is the state of a terminal's certificates. Whatever happens between two calls, a power cut included, a pair
// that a broker has accepted is there. Its methods may be called from several goroutines.
type Wallet struct {
	Files Files
	Name  string // of the file with the pair in use

	mu      sync.Mutex
	refused int  // how often the renewed pair was, in a row; guarded by mu
	other   bool // the next try is with the pair in use, since the renewed one was refused; guarded by mu
}

func (w *Wallet) next() string { return w.Name + ".next" }

// Choose returns the pair to connect with: the renewed one until a broker has accepted it, or, if that was refused,
// every other time the one in use.
func (w *Wallet) Choose() (pair []byte, renewed bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	pair, err = w.Files.Read(w.next())
	if err == nil && !w.other {
		return pair, true, nil
	}
	pair, err2 := w.Files.Read(w.Name)
	if err2 != nil && err == nil { // only the renewed one is there
		pair, err = w.Files.Read(w.next())
		return pair, true, err
	}
	return pair, false, err2
}

// Worked tells the wallet that a broker has accepted the pair that Choose returned.
func (w *Wallet) Worked(pair []byte, renewed bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !renewed {
		if w.other && w.refused >= refusals { // the old one works and the renewed one again and again did not
			w.refused, w.other = 0, false
			return w.Files.Remove(w.next())
		}
		w.other = false
		return nil
	}
	w.refused, w.other = 0, false
	waiting, err := w.Files.Read(w.next())
	if errors.Is(err, fs.ErrNotExist) || err == nil && !bytes.Equal(waiting, pair) {
		return nil // meanwhile another was renewed
	}
	if err != nil {
		return err
	}
	if err := w.Files.Replace(w.Name, pair); err != nil {
		return err
	}
	return w.Files.Remove(w.next())
}

// Refused tells the wallet that a broker has refused the pair that Choose returned, because of the pair.
func (w *Wallet) Refused(renewed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !renewed {
		w.other = false
		return
	}
	w.refused++
	w.other = true
}

// Waiting tells whether there is a renewed pair that no broker has accepted yet: then no other is asked for.
func (w *Wallet) Waiting() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.Files.Read(w.next())
	return err == nil
}

// Keep keeps a renewed pair to be tried next.
func (w *Wallet) Keep(pair []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused, w.other = 0, false
	return w.Files.Replace(w.next(), pair)
}

// Shown is the pair to renew with: the one in use, or after that one is refused the renewed one.
func (w *Wallet) Shown() ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	pair, err := w.Files.Read(w.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return w.Files.Read(w.next())
	}
	return pair, err
}
