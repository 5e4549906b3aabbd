package keeper

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"time"
)

// A Supervisor is the service manager that started the daemon, reached as sd_notify(3) says: one datagram to the socket
// named in the environment. Where there is none nothing is sent.
type Supervisor struct {
	Socket   string
	watchdog time.Duration // how long it waits for a sign of life; 0 if it does not
}

// FindSupervisor reads what the service manager put into the environment (sd_notify(3), sd_watchdog_enabled(3)).
func FindSupervisor(env func(string) string) Supervisor {
	s := Supervisor{Socket: env("NOTIFY_SOCKET")}
	us, err := strconv.ParseInt(env("WATCHDOG_USEC"), 10, 64)
	if pid := env("WATCHDOG_PID"); err == nil && us > 0 && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		s.watchdog = time.Duration(us) * time.Microsecond
	}
	return s
}

// Tell sends variables such as READY=1, one a line. A name that begins with @ is an abstract socket.
func (s Supervisor) Tell(text string) error {
	if s.Socket == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.Socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify supervisor: %w", err)
	}
	defer c.Close()
	c.SetWriteDeadline(time.Now().Add(time.Second)) // a service manager that hangs must not hold the daemon up
	_, err = c.Write([]byte(text))
	if err != nil {
		return fmt.Errorf("notify supervisor: %w", err)
	}
	return nil
}
