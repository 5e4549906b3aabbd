// Package frametest is what the tests of framed dialogues share: bytes as manuals print them, and devices on a pipe.
package frametest

import (
	"encoding/hex"
	"net"
	"strings"
	"testing"
)

// Unhex reads bytes in hexadecimal digits, spaces between them or not.
func Unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Answering is a device on a pipe that answers each read with what the test returns for it.
func Answering(answer func([]byte) []byte) (net.Conn, func()) {
	host, device := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		in := make([]byte, 512)
		for {
			n, err := device.Read(in)
			if err != nil {
				return
			}
			if out := answer(in[:n]); len(out) > 0 {
				device.Write(out)
			}
		}
	}()
	return host, func() { host.Close(); device.Close(); <-done }
}
