package serial

import (
	"testing"

	"github.com/creack/pty"
)

// BenchmarkLook is the price of asking who holds a port: it grows with the descriptors of all processes.
func BenchmarkLook(b *testing.B) {
	master, slave, err := pty.Open()
	if err != nil {
		b.Skip(err)
	}
	defer master.Close()
	path := slave.Name()
	slave.Close()
	for b.Loop() {
		if use, err := Look(path); err != nil || use.Held {
			b.Fatal(use, err)
		}
	}
}

// BenchmarkOpen is a visit to a port that says nothing.
func BenchmarkOpen(b *testing.B) {
	master, slave, err := pty.Open()
	if err != nil {
		b.Skip(err)
	}
	defer master.Close()
	path := slave.Name()
	slave.Close()
	for b.Loop() {
		p, err := Open(Config{Path: path, Baud: 115200, Shared: true})
		if err != nil {
			b.Fatal(err)
		}
		p.Close()
	}
}
