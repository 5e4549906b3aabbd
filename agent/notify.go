package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"time"
)

// A supervisor is the service manager that started the daemon, reached as sd_notify(3) says: one datagram to the socket
// named in the environment. Where there is none nothing is sent.
type supervisor struct {
	socket   string
	watchdog time.Duration // how long it waits for a sign of life; 0 if it does not
}

func findSupervisor(env func(string) string) supervisor {
	s := supervisor{socket: env("NOTIFY_SOCKET")}
	us, err := strconv.ParseInt(env("WATCHDOG_USEC"), 10, 64)
	if pid := env("WATCHDOG_PID"); err == nil && us > 0 && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		s.watchdog = time.Duration(us) * time.Microsecond
	}
	return s
}

// tell sends variables such as READY=1, one a line. A name that begins with @ is an abstract socket.
func (s supervisor) tell(text string) error {
	if s.socket == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify supervisor: %w", err)
	}
	defer c.Close()
	c.SetWriteDeadline(time.Now().Add(time.Second)) // a stuck service manager holds nobody up
	_, err = c.Write([]byte(text))
	if err != nil {
		return fmt.Errorf("notify supervisor: %w", err)
	}
	return nil
}
