package store

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// A Care is who is working on an incident. Incidents themselves are written by the process that looks for them.
type Care struct {
	Owner        string    `json:"owner,omitempty"`
	Acknowledged time.Time `json:"acknowledged,omitzero"`
	Muted        time.Time `json:"muted_until,omitzero"`
}

// Deeds that an incident's log holds.
const (
	DeedAcknowledge = "acknowledge"
	DeedAssign      = "assign"
	DeedMute        = "mute"
	DeedUnmute      = "unmute"
	DeedMerge       = "merge"
	DeedClose       = "close"
	DeedNote        = "note"
	DeedReopen      = "reopen" // of no person: new reports opened it again
)

// ProofPerson is the proof of an incident that a person ended.
const ProofPerson = "person"

// A LogEntry is what a person did about an incident.
type LogEntry struct {
	No       int64     `json:"no"`
	Incident int64     `json:"incident"`
	At       time.Time `json:"at"`
	Who      string    `json:"who"`
	Deed     string    `json:"deed"`
	Said     string    `json:"said,omitempty"`
}

// Cares reads who is working on some incidents, by number.
func (s *Store) Cares(ctx context.Context, list []Incident) (map[int64]Care, error) {
	cares := map[int64]Care{}
	for part := range slices.Chunk(list, MaxRows) {
		var numbers []any
		for _, i := range part {
			numbers = append(numbers, i.No)
		}
		r, err := s.read.QueryContext(ctx, s.sql("SELECT incident, owner, acknowledged, muted_until FROM incident_care WHERE incident IN "+marks([][]any{numbers})), numbers...)
		if err != nil {
			return nil, fmt.Errorf("read care of incidents: %w", err)
		}
		for r.Next() {
			var no, acknowledged, muted int64
			var c Care
			if err := r.Scan(&no, &c.Owner, &acknowledged, &muted); err != nil {
				r.Close()
				return nil, fmt.Errorf("read care of incidents: %w", err)
			}
			c.Acknowledged, c.Muted = fromMillis(acknowledged), fromMillis(muted)
			cares[no] = c
		}
		if err := r.Close(); err != nil {
			return nil, fmt.Errorf("read care of incidents: %w", err)
		}
	}
	return cares, nil
}

// Incident reads one incident that a reader may see.
func (s *Store) Incident(ctx context.Context, in Estates, no int64) (Incident, error) {
	if no <= 0 {
		return Incident{}, ErrNone
	}
	list, err := s.FindIncidents(ctx, IncidentFilter{In: in, No: no})
	if err != nil {
		return Incident{}, err
	}
	if len(list) == 0 {
		return Incident{}, ErrNone
	}
	return list[0], nil
}

// Tend changes the state of an incident that a reader may see, and writes that into its log. For a merge, into is the
// incident that explains it.
func (s *Store) Tend(ctx context.Context, in Estates, e LogEntry, set Care, into int64) error {
	i, err := s.Incident(ctx, in, e.Incident)
	if err != nil {
		return err
	}
	var other Incident
	if e.Deed == DeedMerge {
		if other, err = s.Incident(ctx, in, into); err != nil {
			return err
		}
		if other.Estate != i.Estate || other.No == i.No || other.MergedIn != 0 {
			return ErrNone
		}
	}
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("tend incident %d: %w", e.Incident, err)
	}
	defer tx.Rollback()
	run := func(stmt string, args ...any) {
		if err == nil {
			_, err = tx.ExecContext(ctx, s.sql(stmt), args...)
		}
	}
	run("INSERT INTO incident_care (incident, owner, acknowledged, muted_until) VALUES (?, '', 0, 0) ON CONFLICT DO NOTHING", i.No)
	switch e.Deed {
	case DeedAcknowledge:
		run("UPDATE incident_care SET acknowledged = ?, owner = CASE WHEN owner = '' THEN ? ELSE owner END WHERE incident = ?", millis(set.Acknowledged), clean(set.Owner), i.No)
	case DeedAssign:
		run("UPDATE incident_care SET owner = ? WHERE incident = ?", clean(set.Owner), i.No)
	case DeedMute, DeedUnmute:
		run("UPDATE incident_care SET muted_until = ? WHERE incident = ?", millis(set.Muted), i.No)
	case DeedMerge:
		i.Closed, i.MergedIn = e.At, other.No
		other.Also = slices.Compact(slices.Sorted(slices.Values(append(slices.DeleteFunc(append(slices.Clone(i.Also),
			i.Cause), func(c string) bool { return c == other.Cause }), other.Also...))))
		if i.Opened.Before(other.Opened) {
			other.Opened = i.Opened
		}
	case DeedClose:
		i.Closed, i.Proof = e.At, ProofPerson
	}
	run("INSERT INTO incident_log (incident, at, who, deed, said) VALUES (?, ?, ?, ?, ?)", i.No, millis(e.At), clean(e.Who), e.Deed, clean(e.Said))
	if e.Deed == DeedMerge {
		run("INSERT INTO incident_log (incident, at, who, deed, said) VALUES (?, ?, ?, ?, ?)", other.No, millis(e.At), clean(e.Who), "merged", fmt.Sprint(i.No))
	}
	if err == nil && (e.Deed == DeedMerge || e.Deed == DeedClose) {
		err = s.saveIncident(ctx, tx, &i)
	}
	if err == nil && e.Deed == DeedMerge {
		err = s.saveIncident(ctx, tx, &other)
	}
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		return fmt.Errorf("tend incident %d: %w", e.Incident, err)
	}
	return nil
}

// maxLog bounds what is shown of one incident's log.
const maxLog = 500

// Log lists what was done about an incident, the newest first.
func (s *Store) Log(ctx context.Context, in Estates, no int64) ([]LogEntry, error) {
	if _, err := s.Incident(ctx, in, no); err != nil {
		return nil, err
	}
	rows, err := s.read.QueryContext(ctx, s.sql(fmt.Sprintf("SELECT no, incident, at, who, deed, said FROM incident_log WHERE incident = ? ORDER BY no DESC LIMIT %d", maxLog)), no)
	if err != nil {
		return nil, fmt.Errorf("read log of incident %d: %w", no, err)
	}
	defer rows.Close()
	list := []LogEntry{}
	for rows.Next() {
		var e LogEntry
		var at int64
		if err := rows.Scan(&e.No, &e.Incident, &at, &e.Who, &e.Deed, &e.Said); err != nil {
			return nil, fmt.Errorf("read log of incident %d: %w", no, err)
		}
		e.At = fromMillis(at)
		list = append(list, e)
	}
	return list, rows.Err()
}
