package uplink

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"posdx/agent/report"
)

// Bounds of commands.
const (
	maxCommand     = 8 << 10
	maxKnowledge   = report.MaxMessage // a pack of 103 kB is 137 kB in base64
	maxAdvisory    = 4 << 10
	maxOrders      = 4 // waiting to be carried out
	commandTimeout = 2 * time.Minute
	maxSeen        = 512      // ids remembered against replays
	maxAudit       = 64 << 10 // bytes of the audit file before it is turned over; one older file is kept
)

// ackName stands in the reply topic where an ack is refused.
const ackName = "ack"

// names are the commands there are.
var names = [...]string{"diagnose", "health", "bundle", "knowledge", "ping"}

// written are the last levels of the topics that a terminal writes under its name. A broker whose rules take a
// certificate's name as it stands lets one called "t1/cmd" write them among t1's commands: mosquitto's rules cannot
// say otherwise. What is no command is not even answered there, for every byte may be paid for; and the one that is,
// health, which changes nothing, is answered so often and no more.
var written = [...]string{report.KindStatus, report.KindBirth, report.KindDiagnosis, report.KindHealth,
	report.KindTally, report.KindDropped, report.KindOutcome, report.KindAsked}

const (
	doubtfulMost  = 12 // in a row; then one every doubtfulEvery
	doubtfulEvery = time.Minute
)

// An allowance is how much is left of what may come so many times in a row, and then one every so often. The zero value
// is full.
type allowance struct {
	used int
	at   time.Time // when used was last right
}

func (a *allowance) take(now time.Time, most int, every time.Duration) bool {
	back := int(now.Sub(a.at) / every)
	if a.used -= min(back, a.used); a.used == 0 || back > 0 {
		a.at = now
	}
	if a.used == most {
		return false
	}
	a.used++
	return true
}

type order struct {
	name string
	cmd  report.Command
}

type outReply struct {
	name string
	doc  report.Reply
}

// command takes one from the broker. It does not wait: what cannot be queued is refused.
func (u *Uplink) command(name string, payload []byte, retained bool) {
	if slices.Contains(written[:], name) {
		u.mu.Lock()
		ok := slices.Contains(names[:], name) && u.doubtful.take(time.Now(), doubtfulMost, doubtfulEvery)
		if !ok {
			u.count.BadMessages++
		}
		u.mu.Unlock()
		if !ok {
			return
		}
	}
	cmd, why := parseCommand(name, payload, retained)
	if why == "" {
		select {
		case u.commands <- order{name, cmd}:
		default:
			why = "busy: too many commands wait, send it again with a new id"
		}
	}
	u.mu.Lock()
	u.count.Commands++
	u.mu.Unlock()
	if why != "" {
		u.refuse(name, cmd.ID, why)
	}
}

func (u *Uplink) refuse(name, id, why string) {
	u.mu.Lock()
	u.count.Refused++
	u.mu.Unlock()
	u.reply(name, report.Reply{ID: id, Result: "refused", Why: why})
}

// parseCommand checks what can be checked without carrying it out; why is empty when it may be.
func parseCommand(name string, payload []byte, retained bool) (cmd report.Command, why string) {
	limit := maxCommand
	if name == "knowledge" {
		limit = maxKnowledge
	}
	if len(payload) > limit {
		return cmd, fmt.Sprintf("the command is over %d bytes", limit)
	}
	if err := report.Decode(payload, &cmd); err != nil {
		return report.Command{}, "the command is not the JSON it should be: " + err.Error()
	}
	if !validID(cmd.ID) {
		return report.Command{}, "the id must be 1 to 64 of A-Z a-z 0-9 . _ -"
	}
	switch {
	case !slices.Contains(names[:], name):
		return cmd, "no such command; there are " + strings.Join(names[:], " ")
	case retained:
		return cmd, "a retained command would be carried out at every connect; send it without retain"
	}
	return cmd, ""
}

func validID(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for _, r := range id {
		if !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", r) {
			return false
		}
	}
	return true
}

// obey carries out commands, one at a time.
func (u *Uplink) obey(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case o := <-u.commands:
			if why := u.seen.take(o.cmd.ID, o.name); why != "" {
				u.refuse(o.name, o.cmd.ID, why)
				continue
			}
			r := report.Reply{Result: "failed", Why: "this agent carries out no commands"}
			switch {
			case o.name == "ping":
				r = report.Reply{Result: "done"}
			case u.h.Command != nil:
				within, cancel := context.WithTimeout(ctx, commandTimeout)
				r = u.h.Command(within, o.name, o.cmd)
				cancel()
			}
			r.ID = o.cmd.ID
			u.seen.note(r.ID, o.name, r.Result, r.Why)
			u.reply(o.name, r)
		}
	}
}

// reply queues an answer for the session that is or the next one.
func (u *Uplink) reply(name string, r report.Reply) {
	if !slices.Contains(names[:], name) && name != ackName {
		name = "unknown" // what stands in a topic is never an echo
	}
	u.mu.Lock()
	u.replies = append(u.replies, outReply{name, r})
	if n := len(u.replies) - maxReplies; n > 0 {
		u.replies = slices.Delete(u.replies, 0, n)
		u.count.Lost += int64(n)
	}
	u.mu.Unlock()
	signal(u.wake)
}

// An audit remembers commands: on the terminal, for who wants to know later, and against carrying one out twice.
type audit struct {
	mu   sync.Mutex
	file string
	ids  []string // newest last
}

// An auditLine is one entry of the audit file.
type auditLine struct {
	Time   time.Time `json:"time"`
	Name   string    `json:"name"`
	ID     string    `json:"id"`
	Result string    `json:"result"` // taken when it begins, then that of the reply
	Why    string    `json:"why,omitempty"`
}

func openAudit(file string) *audit {
	a := &audit{file: file}
	if file == "" {
		return a
	}
	for _, name := range []string{file + ".1", file} {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		s := bufio.NewScanner(bytes.NewReader(b))
		for s.Scan() {
			var l auditLine
			if json.Unmarshal(s.Bytes(), &l) == nil && l.Result == "taken" {
				a.remember(l.ID)
			}
		}
	}
	return a
}

func (a *audit) remember(id string) {
	a.ids = append(a.ids, id)
	if n := len(a.ids) - maxSeen; n > 0 {
		a.ids = slices.Delete(a.ids, 0, n)
	}
}

// take notes an id before its command begins, so that not even a crash lets it be carried out twice. It says why not.
func (a *audit) take(id, name string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if slices.Contains(a.ids, id) {
		return "a command with this id was taken before; a new one needs a new id"
	}
	a.remember(id)
	a.write(auditLine{time.Now().UTC(), name, id, "taken", ""})
	return ""
}

func (a *audit) note(id, name, result, why string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.write(auditLine{time.Now().UTC(), name, id, result, why})
}

// write adds a line. A full or read-only disk does not stop commands: the ids of this run are remembered anyway.
func (a *audit) write(l auditLine) {
	if a.file == "" {
		return
	}
	if fi, err := os.Stat(a.file); err == nil && fi.Size() > maxAudit {
		os.Rename(a.file, a.file+".1")
	}
	b, err := json.Marshal(l)
	if err != nil {
		return
	}
	f, err := os.OpenFile(a.file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	if _, err := f.Write(append(b, '\n')); err == nil {
		f.Sync()
	}
}
