package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"posdx/firmware-build/housetest"
)

// relayName is part of the path that the relay under test certainly remembers.
const relayName = "the-payment-application's-port"

// startOthers starts what a card may also pass through, each in a process of its own: a relay, and a console that a
// technician has started by hand.
func (h *cardHouse) startOthers() {
	t := h.t
	copies, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(h.dir, "own.relay"), Net: "unixgram"})
	h.must(err)
	t.Cleanup(func() { copies.Close() })
	h.must(os.Chmod(filepath.Join(h.dir, "own.relay"), 0o777))
	go func() { // hears as the daemon does, and keeps nothing
		b := make([]byte, 4096)
		for {
			if _, _, err := copies.ReadFrom(b); err != nil {
				return
			}
		}
	}()
	device, near := h.line()
	link := filepath.Join(h.dir, relayName)
	h.relay = h.process("relay", "--device", near, "--baud", "115200", "--link", link, "--copies", filepath.Join(h.dir, "own.relay"))
	h.eventually("the relay's port is there", func() bool { _, err := os.Stat(link); return err == nil })
	app, err := os.OpenFile(link, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	h.must(err)
	t.Cleanup(func() { app.Close() })
	h.relayed = [2]*os.File{app, device}

	h.person2, near = h.line()
	h.console2 = h.process("console", "--tty", near, "--baud", "115200", "--config", h.dir+"/posdx.toml", "--socket", h.dir+"/hook.sock", "--lang", "en")
}

// process starts a command of the program as the daemon is started.
func (h *cardHouse) process(args ...string) *exec.Cmd {
	c := exec.Command(h.program, args...)
	c.Dir, c.Stdout, c.Stderr = h.dir, &h.talk, &h.talk
	c.Env = slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "GODEBUG=") })
	if h.root {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: cardUser, Gid: cardUser}}
	}
	h.must(c.Start())
	h.t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	return c
}

// plantRelayed sends cards through the relay, both ways, cut anywhere, and sees that they arrive.
func (h *cardHouse) plantRelayed() {
	for way, from := range h.relayed {
		var got housetest.Buffer
		go housetest.Hear(h.relayed[1-way], func(b []byte) { got.Write(b) })
		for _, p := range h.plants {
			frames := append(p.links(h.t)[0].frames, []byte(p.track1+p.track2), []byte(grouped(p.pan, " ")))
			for _, frame := range append(frames, pack(p.pan), p.pin) {
				for _, at := range h.cuts(frame, 6) {
					put(from, frame[:at])
					time.Sleep(2 * time.Millisecond) // a line's pace, so that a read ends at the cut
					put(from, frame[at:])
				}
			}
		}
		last := fmt.Sprintf("last of way %d", way)
		put(from, []byte(last))
		h.eventually("what is relayed arrives", func() bool { return bytes.Contains(got.Bytes(), []byte(last)) })
	}
}
