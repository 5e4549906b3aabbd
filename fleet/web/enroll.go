package web

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	terminal "posdx/agent/enroll"
	"posdx/agent/report"
	"posdx/fleet/access"
	"posdx/fleet/enroll"
)

// issuing bounds the requests that are checked at one time: anyone may send one, and each costs signatures.
var issuing = make(chan struct{}, 8)

func pemFile(w http.ResponseWriter, b []byte) {
	w.Header().Set("Content-Type", "application/x-pem-file")
	w.Write(b)
}

func (s *Site) enroll(w http.ResponseWriter, r *http.Request) {
	s.issue(w, r, "certificate.enroll", s.Enroll.Enroll)
}

func (s *Site) renew(w http.ResponseWriter, r *http.Request) {
	s.issue(w, r, "certificate.renew", s.Enroll.Renew)
}

// issue answers a terminal. What it asks is signed or holds a token, so whoever asks is not asked for more.
func (s *Site) issue(
	w http.ResponseWriter,
	r *http.Request,
	what string,
	do func(context.Context, terminal.Request) (terminal.Answer, report.Address, error),
) {
	say := func(status int, a terminal.Answer) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(a)
	}
	var q terminal.Request
	if err := json.NewDecoder(io.LimitReader(r.Body, terminal.MaxMessage)).Decode(&q); err != nil {
		say(http.StatusBadRequest, terminal.Answer{Error: enroll.ErrRequest.Error()})
		return
	}
	select {
	case issuing <- struct{}{}:
		defer func() { <-issuing }()
	case <-r.Context().Done():
		return
	}
	a, at, err := do(r.Context(), q)
	status := http.StatusForbidden
	switch {
	case err == nil:
		if a.Chain != "" && s.Access != nil {
			who := access.User{Name: "terminal", Source: s.from(r)}
			if err := s.Access.Note(r.Context(), who, what, at.Estate, at.Terminal, ""); err != nil {
				s.Log.Error("cannot write the audit log", "error", err)
			}
		}
		say(http.StatusOK, a)
		return
	case errors.Is(err, enroll.ErrRequest):
		status = http.StatusBadRequest
	case errors.Is(err, enroll.ErrTooMany):
		status = http.StatusTooManyRequests
	case errors.Is(err, enroll.ErrToken),
		errors.Is(err, enroll.ErrForeign),
		errors.Is(err, enroll.ErrRevoked),
		errors.Is(err, enroll.ErrTooOld):
	default:
		s.Log.Error("cannot issue a certificate", "terminal", at.Terminal, "error", err)
		say(http.StatusInternalServerError, terminal.Answer{Error: "the fleet cannot issue now; try again later"})
		return
	}
	s.Log.Warn("a certificate was refused", "terminal", at.Terminal, "from", s.from(r), "reason", err)
	say(status, terminal.Answer{Error: err.Error()})
}
