// Package agenttest is what tests of the agent's rooms share.
package agenttest

import (
	"net"
	"testing"
	"time"
)

// ListenAsSupervisor stands in for the service manager: it collects what the daemon tells it.
func ListenAsSupervisor(t *testing.T, name string) <-chan string {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	heard := make(chan string, 64)
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			heard <- string(b[:n])
		}
	}()
	return heard
}

// Next waits for the next thing that the daemon tells; it fails the test if none comes in time.
func Next(t *testing.T, heard <-chan string) string {
	t.Helper()
	select {
	case s := <-heard:
		return s
	case <-time.After(30 * time.Second):
		t.Fatal("nothing was told")
		return ""
	}
}
