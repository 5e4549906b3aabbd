package hook

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"posdx/agent/internal/say"
	"posdx/agent/internal/source"
	"posdx/agent/report"
)

// maxAnswer bounds one line from the daemon: a state with its evidence and a diagnosis has about 40 kB.
const maxAnswer = 1 << 20

// ErrNoDaemon is the error when no process listens on the socket.
var ErrNoDaemon = error(say.New("no-daemon-word"))

// A Client sends requests to the daemon over its socket, each on a connection of its own.
type Client struct {
	Path  string       // of the socket
	Heard func(Answer) // gets every answer before the method that asked; may be nil
}

// Do sends one request, a value that marshals to an object of the protocol, and gives each answer to next. It returns
// when the last one has come. An answer that reports no success is returned as an error.
func (c Client) Do(ctx context.Context, request any, next func(Answer)) error {
	b, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if len(b) >= maxLine {
		return say.New("ask-long", c.Path, maxLine)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return say.New("no-daemon", ErrNoDaemon, c.Path)
	case errors.Is(err, fs.ErrPermission):
		return say.New("ask-closed", c.Path, c.Path)
	case err != nil:
		return say.New("ask", c.Path, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	if _, err := conn.Write(append(b, '\n')); err != nil {
		return say.New("ask", c.Path, err)
	}
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, maxAnswer)
	for lines.Scan() {
		var a Answer
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			return say.New("answer", c.Path, err)
		}
		switch a.Result {
		case Refused:
			if a.Field != "" {
				return say.New("field-why", a.Field, say.Heard(a.Why))
			}
			return say.Heard(a.Why)
		case Busy:
			return source.ErrBusy
		}
		if c.Heard != nil {
			c.Heard(a)
		}
		next(a)
		if !a.More {
			return nil
		}
	}
	err = lines.Err()
	if ctx.Err() != nil {
		err = ctx.Err()
	} else if err == nil {
		err = say.New("hung-up")
	}
	return say.New("answer", c.Path, err)
}

// CodeRequest is a request of type "code" or "diagnose", or, with nothing of a code but its ID, of type "verdict".
type CodeRequest struct {
	Type    string         `json:"type"`
	ID      string         `json:"id,omitempty"`
	Code    string         `json:"code,omitempty"`
	Scheme  string         `json:"scheme,omitempty"`
	Origin  report.Origin  `json:"origin,omitempty"`
	Channel report.Channel `json:"channel,omitempty"` // of a diagnose: console or command
	Txn     map[string]any `json:"txn,omitempty"`
	Wait    string         `json:"wait,omitempty"`
	Lang    string         `json:"lang,omitempty"`
	Full    bool           `json:"full,omitempty"`
}

// State asks what the daemon knows now.
func (c Client) State(ctx context.Context) (s report.State, err error) {
	err = c.Do(ctx, map[string]string{"type": "status"}, func(a Answer) {
		if a.State != nil {
			s = *a.State
		}
	})
	return s, err
}

// CheckNames turns names of checks with a star at the end, as people write them, into those of the protocol. A star
// alone is every check, as no name is.
func CheckNames(names []string) []string {
	if slices.Contains(names, "*") {
		return nil
	}
	names = slices.Clone(names)
	for i, n := range names {
		names[i] = strings.TrimSuffix(n, "*")
	}
	return names
}

// CheckRequest is a request of type "check".
func CheckRequest(names []string) any {
	return map[string]any{"type": "check", "names": CheckNames(names)}
}

// Wrong lists what the daemon would refuse, leave out or ignore of a request, by the same code as the daemon's, so
// that a person hears of it before anything is sent.
func Wrong(q any) (list []string) {
	b, err := json.Marshal(q)
	if err != nil {
		return []string{err.Error()}
	}
	_, a := parse(b, time.Now())
	if a.Result == Refused {
		return []string{a.Field + ": " + a.Why}
	}
	list = append(list, a.Warnings...)
	for _, name := range a.Ignored {
		list = append(list, name+": there is no such member")
	}
	return list
}

// Check runs checks, all of them if no name is given. The first part of a name stands for every check that has it: net,
// net. and net.* for all of the network.
func (c Client) Check(ctx context.Context, names []string) (ev []report.Evidence, err error) {
	err = c.Do(ctx, CheckRequest(names), func(a Answer) { ev = a.Evidence })
	return ev, err
}

// Diagnose asks why a code appeared and gives each revision, in the language "zh" or "en", to next.
func (c Client) Diagnose(ctx context.Context, lang, code, scheme string, origin report.Origin,
	next func(report.Diagnosis)) error {
	q := CodeRequest{Type: "diagnose", Code: code, Scheme: scheme, Origin: origin, Channel: report.ChannelConsole,
		Wait: "final", Lang: lang, Full: true}
	return c.Do(ctx, q, func(a Answer) {
		if a.Diagnosis != nil {
			next(*a.Diagnosis)
		}
	})
}

// Local calls a daemon in the same process; it has the methods of a Client.
type Local struct {
	Daemon source.Daemon
}

// State is as Client.State.
func (l Local) State(context.Context) (report.State, error) { return l.Daemon.State(), nil }

// Check is as Client.Check.
func (l Local) Check(ctx context.Context, names []string) ([]report.Evidence, error) {
	return l.Daemon.Check(ctx, names)
}

// Diagnose is as Client.Diagnose.
func (l Local) Diagnose(ctx context.Context, lang, code, scheme string, origin report.Origin,
	next func(report.Diagnosis)) error {
	if problem := source.CodeProblem(code); problem != "" {
		return say.New("code-is", say.Heard(problem))
	}
	t, err := l.Daemon.Event(ctx, source.Seen{Code: code, Scheme: scheme, Origin: origin, Channel: report.ChannelConsole,
		Time: time.Now(), Lang: lang})
	if err != nil {
		return err
	}
	for _, ch := range []<-chan report.Diagnosis{t.First, t.Final} {
		select {
		case d, ok := <-ch:
			if ok {
				next(d)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
