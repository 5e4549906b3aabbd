package hook

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"posdx/agent/internal/source/sourcetest"
	"posdx/firmware-build/housetest"
)

// Clients of the socket that never end a line, and come again as soon as they are hung up on, starve nobody who says
// what he wants.
func TestSlowClientsShutNobodyOut(t *testing.T) {
	d := sourcetest.NewDaemon()
	path := startHook(t, d, nil)
	stop := make(chan struct{})
	var slow sync.WaitGroup
	for range maxConns {
		slow.Go(func() {
			for {
				c, err := net.Dial("unix", path)
				for err == nil {
					select {
					case <-stop:
						c.Close()
						return
					case <-time.After(20 * time.Millisecond):
					}
					_, err = io.WriteString(c, " ")
				}
				if c != nil {
					c.Close()
				}
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
				}
			}
		})
	}
	defer slow.Wait()
	defer close(stop)
	housetest.Until(t, "all places are taken", func() bool {
		c, err := net.Dial("unix", path) // one more that says nothing
		if err != nil {
			return false
		}
		defer c.Close()
		c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		_, err = c.Read(make([]byte, 1))
		return err == nil || err == io.EOF // it was told that it is one too many, or had to give way to those
	})
	served := 0
	const honest = 20
	for range honest {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(20 * time.Second))
		io.WriteString(c, `{"type":"code","code":"96","wait":"first"}`+"\n")
		b := make([]byte, 4096)
		if n, err := c.Read(b); err == nil && n > 12 && !bytes.Contains(b[:n], []byte(`"busy"`)) {
			served++
		} else if err == nil {
			t.Logf("%s", b[:n])
		}
		c.Close()
	}
	if served != honest {
		t.Errorf("%d of %d were served", served, honest)
	}
}
