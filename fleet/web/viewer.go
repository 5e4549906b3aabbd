package web

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strconv"

	"posdx/agent/report"
	"posdx/fleet/access"
	"posdx/fleet/store"
)

// A Role is what a viewer may do; each may do what the ones before it may.
type Role int

// Roles.
const (
	RoleViewer     Role = iota + 1 // looks
	RoleTechnician                 // says what was found, asks a terminal how it is
	RoleOperator                   // looks after incidents, sends knowledge to terminals
	RoleAdmin
)

// A Viewer is who asks for a page.
type Viewer struct {
	Name    string
	Role    Role
	Estates store.Estates // that this one may see; nil: all

	user access.User
}

// May reports whether the viewer has a role, for what a page offers.
func (v Viewer) May(least Role) bool { return v.Role >= least }

// Roles by their names in templates.
func (v Viewer) MayFind() bool    { return v.May(RoleTechnician) }
func (v Viewer) MayOperate() bool { return v.May(RoleOperator) }

type viewerKey struct{}

// WithViewer adds the viewer to a request, for the pages.
func WithViewer(ctx context.Context, v Viewer) context.Context {
	return context.WithValue(ctx, viewerKey{}, v)
}

// viewer is who asks: nobody, who sees nothing, where nothing says it.
func viewer(r *http.Request) Viewer {
	if v, ok := r.Context().Value(viewerKey{}).(Viewer); ok {
		return v
	}
	return Viewer{Estates: store.Estates{}}
}

// A Deed is what a form did, as the audit log records it.
type Deed struct {
	Name    string         // incident.acknowledge, terminal.ask, …
	At      report.Address // the estate, and the terminal where it is about one
	Subject string         // what it was done to, if not a terminal: the number of an incident, the id of a diagnosis
	Detail  string         // what was chosen or said
}

// maxForm bounds a form: a knowledge pack in base64 is the largest.
const maxForm = report.MaxMessage

var (
	errRole    = errors.New("this needs another role")
	errForeign = errors.New("the form comes from another site")
)

// A form changes something: it answers what it did, and where the browser goes then.
type form func(r *http.Request, v Viewer) (Deed, string, error)

// post handles every request that changes something: it checks the viewer and where the form comes from, and writes the
// audit log, also for what it refuses.
func (s *Site) post(name string, least Role, do form) http.HandlerFunc {
	foreign := http.NewCrossOriginProtection()
	return func(w http.ResponseWriter, r *http.Request) {
		v := viewer(r)
		var d Deed
		var to string
		err := foreign.Check(r)
		switch {
		case err != nil:
			err = errForeign
		case !v.May(least):
			err = errRole
		default:
			r.Body = http.MaxBytesReader(w, r.Body, maxForm)
			d, to, err = do(r, v)
		}
		d.Name = name
		if err != nil {
			s.about(r, &d)
		}
		if d.At == (report.Address{}) {
			d.At = address(r)
		}
		if s.Audit != nil {
			if told := s.Audit(r.Context(), v, d, err); told != nil && err == nil {
				err = told
			}
		}
		if err != nil {
			s.fail(w, r, err)
			return
		}
		http.Redirect(w, r, to, http.StatusSeeOther)
	}
}

// about says of a deed that was refused what it would have been done to, as far as the form itself did not.
func (s *Site) about(r *http.Request, d *Deed) {
	no := r.PathValue("no")
	if d.Subject == "" {
		d.Subject = cmp.Or(no, r.PathValue("id"))
	}
	if n, err := strconv.ParseInt(no, 10, 64); err == nil && d.At.Estate == "" {
		// The log is its estate's, whoever tried: it is looked up with everybody's eyes.
		if i, err := s.Source.Incident(r.Context(), nil, n); err == nil {
			d.At.Estate = i.Estate
		}
	}
}

// User is the account or token behind a viewer.
func (v Viewer) User() access.User { return v.user }
