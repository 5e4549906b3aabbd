package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"posdx/codes"
)

// Whatever changes something goes by one door: it refuses foreign pages and lesser roles, and tells the audit of both.
func TestFormsGoByOneDoor(t *testing.T) {
	type told struct {
		who, deed string
		refused   error
	}
	var audit []told
	s := &Site{Knowledge: codes.Builtin(), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Metrics: http.NotFoundHandler(), Stop: t.Context(),
		Audit: func(_ context.Context, v Viewer, d Deed, refused error) error {
			audit = append(audit, told{v.Name, d.Name + " " + d.Detail, refused})
			return nil
		}}
	if _, err := s.Handler(); err != nil {
		t.Fatal(err)
	}
	done := 0
	h := s.post("thing.do", RoleOperator, func(r *http.Request, v Viewer) (Deed, string, error) {
		done++
		return Deed{Detail: r.FormValue("what")}, "/after", nil
	})
	for _, c := range []struct {
		role    Role
		site    string
		status  int
		refused error
	}{
		{RoleOperator, "same-origin", 303, nil}, {RoleAdmin, "", 303, nil}, {RoleTechnician, "same-origin", 403, errRole},
		{0, "same-origin", 403, errRole}, {RoleAdmin, "cross-site", 403, errForeign},
	} {
		audit, done = nil, 0
		r := httptest.NewRequest(http.MethodPost, "/thing", strings.NewReader("what=this"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", c.site)
		w := httptest.NewRecorder()
		h(w, r.WithContext(WithViewer(r.Context(), Viewer{Name: "ann", Role: c.role})))
		if w.Code != c.status || (done == 1) != (c.refused == nil) || len(audit) != 1 || audit[0].who != "ann" ||
			!errors.Is(audit[0].refused, c.refused) {
			t.Errorf("%+v: status %d, done %d, audit %+v", c, w.Code, done, audit)
		}
		if c.refused == nil && (w.Header().Get("Location") != "/after" || audit[0].deed != "thing.do this") {
			t.Errorf("%+v: %v %v", c, w.Header(), audit)
		}
	}
}

// Every list of the menu has the form that keeps it as a view, so each can be kept.
func TestEveryListCanBeKept(t *testing.T) {
	for _, group := range menu() {
		for _, e := range group {
			if !slices.Contains(viewable, e.Path) {
				t.Errorf("%s shows the form to save a view, which is refused", e.Path)
			}
		}
	}
}
