package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"posdx/agent/report"
)

// Bounds of what terminals can make the store grow to.
const (
	// MaxTerminals keeps a flood of invented terminal names from filling the disk, unless Admit says otherwise. A broker
	// with one access rule per client certificate never lets it come so far.
	MaxTerminals = 200_000

	maxStreams = 32 // kept per terminal; each is an outbox that was made anew
)

// reasonMany and reasonGaps are the rejections that only the store can tell.
const (
	reasonMany = "too many terminals"
	reasonGaps = "too many gaps"
)

// ReasonFlood is the rejection of documents beyond what a terminal may send. They are counted by terminal, and one row
// for each batch records them, so that they do not push other rejections out.
const ReasonFlood = "more than one terminal may send"

// An Ack is the acknowledgement for one terminal.
type Ack struct {
	To  report.Address
	Ack report.Ack
}

// A Result is what became of a batch.
type Result struct {
	Acks                         []Ack // of every stream that had a document in the batch, duplicates included
	Stored, Duplicates, Rejected int
	Reasons                      map[string]int // of the rejected
}

type streamKey struct {
	at    report.Address
	epoch string
}

type diagnosisKey struct {
	at         report.Address
	bootID, id string
}

// tallyKey and tally are a row of the base rate.
type (
	tallyKey struct {
		estate, scheme, code string
		hour                 int64
	}
	tally struct{ terminals, count int64 }
)

// hour numbers the hours since 1970.
func hour(t time.Time) int64 { return t.Unix() / 3600 }

// seen is what a batch says of one terminal.
type seen struct {
	at       time.Time // zero if only the broker's memory spoke
	good     time.Time // an hour with an approved sale was told
	failed   time.Time // a failed sale was told
	scheme   string
	rejected int
	limited  int
}

// batch is one transaction under way. Only the goroutine of Commit touches it.
type batch struct {
	s    *Store
	conn *sql.Conn
	tx   *sql.Tx

	terminals map[report.Address]*seen
	streams   map[streamKey]*Stream
	diagnoses map[diagnosisKey][]any
	revisions map[diagnosisKey]int
	order     []diagnosisKey
	tallies   map[tallyKey]*tally
	rejected  [][]any
	replies   [][]any
	result    Result
	news      map[string]*sql.Stmt // SQLite: statements that were planned for this transaction, by their text
}

// Commit stores a batch in one synced transaction: all of it or, with an error, nothing.
func (s *Store) Commit(ctx context.Context, docs []Document) (Result, error) {
	b, err := s.commit(ctx, docs)
	if err != nil {
		return Result{}, fmt.Errorf("commit %d documents: %w", len(docs), err)
	}
	if s.pg {
		s.study(ctx, docs)
	}
	s.plan(ctx, b.news)
	s.shorten(ctx)
	return b.result, nil
}

// shorten has a log of SQLite that grew too long begin anew. It waits for readers as long as any statement does; if
// that is not enough it tries again when as much has been added.
func (s *Store) shorten(ctx context.Context) {
	if s.pg {
		return
	}
	info, err := os.Stat(s.log)
	if err != nil || info.Size() <= s.logAt.Load() {
		return
	}
	var busy, pages, copied int // sqlite.org/pragma.html#pragma_wal_checkpoint
	err = s.write.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &copied)
	at := int64(logMost)
	if err != nil || busy != 0 {
		at += info.Size()
	}
	s.logAt.Store(at)
}

func (s *Store) commit(ctx context.Context, docs []Document) (*batch, error) {
	for i := range docs {
		if docs[i].Diagnosis == nil {
			continue
		}
		if err := s.ensureMonth(ctx, docs[i].Received); err != nil {
			return nil, err
		}
	}
	if s.pg {
		if err := s.enterTerminals(ctx, docs); err != nil {
			return nil, err
		}
	}
	conn, err := s.write.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	b := &batch{
		s: s, conn: conn, tx: tx,
		terminals: map[report.Address]*seen{}, streams: map[streamKey]*Stream{},
		diagnoses: map[diagnosisKey][]any{}, revisions: map[diagnosisKey]int{}, tallies: map[tallyKey]*tally{},
		result: Result{Reasons: map[string]int{}},
	}
	if err := b.run(ctx, docs); err != nil {
		return nil, err
	}
	return b, tx.Commit()
}

func (b *batch) run(ctx context.Context, docs []Document) error {
	if err := b.load(ctx, docs); err != nil {
		return err
	}
	for i := range docs {
		if err := b.take(ctx, &docs[i]); err != nil {
			return err
		}
	}
	return b.flush(ctx)
}

// load reads the terminals and streams that the batch speaks of, and makes those that are new.
func (b *batch) load(ctx context.Context, docs []Document) error {
	var terminals, streams [][]any
	known := map[report.Address]bool{}
	wanted := map[streamKey]bool{}
	for i := range docs {
		d := &docs[i]
		if d.At == (report.Address{}) {
			continue
		}
		if _, ok := known[d.At]; !ok {
			known[d.At] = false
			terminals = append(terminals, []any{d.At.Estate, d.At.Terminal})
		}
		if k := (streamKey{d.At, d.epoch()}); (k.epoch != "" || d.Seq > 0) && !wanted[k] {
			wanted[k] = true
			streams = append(streams, []any{k.at.Estate, k.at.Terminal, k.epoch})
		}
	}
	inOrder := slices.Clone(streams)
	slices.SortFunc(streams, byFirst)
	readStreams := func() error {
		return b.lookup(ctx, "SELECT no, estate, terminal, epoch, boot, highest, gaps, received, duplicates FROM streams WHERE (estate, terminal, epoch) IN ", "", streams, func(r *sql.Rows) error {
			var at report.Address
			st, err := scanStream(r, &at)
			b.streams[streamKey{at, st.Epoch}] = st
			known[at] = true
			return err
		})
	}
	lock := ""
	if b.s.pg {
		// Other workers on the same database: one terminal's documents are with one of them at a time.
		lock = " ORDER BY estate, terminal FOR UPDATE"
	} else {
		if err := readStreams(); err != nil {
			return err
		}
		// Who has a stream is there.
		terminals = slices.DeleteFunc(terminals, func(t []any) bool {
			return known[report.Address{Estate: t[0].(string), Terminal: t[1].(string)}]
		})
	}
	slices.SortFunc(terminals, byFirst)
	err := b.lookup(ctx, "SELECT estate, terminal FROM terminals WHERE (estate, terminal) IN ", lock, terminals, func(r *sql.Rows) error {
		var at report.Address
		err := r.Scan(&at.Estate, &at.Terminal)
		known[at] = true
		return err
	})
	if err != nil {
		return err
	}
	if err := b.admit(ctx, known); err != nil {
		return err
	}
	if b.s.pg {
		if err := readStreams(); err != nil {
			return err
		}
	}
	return b.beginStreams(ctx, inOrder, known)
}

// beginStreams makes the streams that are not there yet, in the order in which their documents came. known tells which
// terminals were there before.
func (b *batch) beginStreams(ctx context.Context, wanted [][]any, known map[report.Address]bool) error {
	var fresh, older [][]any
	of := map[report.Address]int{}
	for _, w := range wanted {
		k := streamKey{report.Address{Estate: w[0].(string), Terminal: w[1].(string)}, w[2].(string)}
		if b.terminals[k.at] == nil || b.streams[k] != nil {
			continue
		}
		fresh = append(fresh, append(w, 0, 0, "[]", 0, 0))
		if of[k.at]++; of[k.at] == 1 && known[k.at] || of[k.at] == maxStreams+1 && !known[k.at] {
			older = append(older, w[:2])
		}
	}
	err := b.lookup(ctx, "INSERT INTO streams (estate, terminal, epoch, boot, highest, gaps, received, duplicates) SELECT * FROM ",
		" AS k RETURNING no, estate, terminal, epoch", fresh, func(r *sql.Rows) error {
			var k streamKey
			st := &Stream{Gaps: []Gap{}}
			err := r.Scan(&st.No, &k.at.Estate, &k.at.Terminal, &st.Epoch)
			k.epoch = st.Epoch
			b.streams[k] = st
			return err
		})
	if err != nil {
		return fmt.Errorf("begin streams: %w", err)
	}
	err = b.lookup(ctx, "DELETE FROM streams WHERE no IN (SELECT no FROM (SELECT no, row_number() OVER (PARTITION BY estate, terminal ORDER BY no DESC) AS nth FROM streams WHERE (estate, terminal) IN ",
		fmt.Sprintf(") AS s WHERE nth > %d)", maxStreams), older, func(*sql.Rows) error { return nil })
	return wrap(err, "forget old streams")
}

// enterTerminals gives new terminals their rows in PostgreSQL, each statement a transaction of its own: a batch then
// locks the rows of all its terminals at once, in one order, and two workers cannot wait for each other.
func (s *Store) enterTerminals(ctx context.Context, docs []Document) error {
	of := map[report.Address]bool{}
	var keys [][]any
	for i := range docs {
		if at := docs[i].At; at != (report.Address{}) && !of[at] {
			of[at] = true
			keys = append(keys, []any{at.Estate, at.Terminal})
		}
	}
	if len(keys) == 0 {
		return nil
	}
	from, args := unnest(keys)
	rows, err := s.write.QueryContext(ctx, "SELECT k.estate, k.terminal, (SELECT count(*) FROM terminals) FROM "+from+` AS k (estate, terminal)
		WHERE NOT EXISTS (SELECT FROM terminals AS t WHERE t.estate = k.estate AND t.terminal = k.terminal) ORDER BY 1, 2`, args...)
	if err != nil {
		return fmt.Errorf("look for terminals: %w", err)
	}
	defer rows.Close()
	var fresh [][]any
	room := 0
	for rows.Next() {
		var estate, terminal string
		var n int
		if err := rows.Scan(&estate, &terminal, &n); err != nil {
			return fmt.Errorf("look for terminals: %w", err)
		}
		room = s.most - n
		fresh = append(fresh, []any{estate, terminal, 0, 0})
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("look for terminals: %w", err)
	}
	if fresh = fresh[:min(len(fresh), max(0, room))]; len(fresh) == 0 {
		return nil
	}
	from, args = unnest(fresh)
	_, err = s.write.ExecContext(ctx, "INSERT INTO terminals (estate, terminal, first_seen, last_seen) SELECT * FROM "+from+" ON CONFLICT DO NOTHING", args...)
	return wrap(err, "enter terminals")
}

// admit enters the terminals that may be stored into b.terminals.
func (b *batch) admit(ctx context.Context, known map[report.Address]bool) error {
	room := -1
	if b.s.pg {
		room = 0 // enterTerminals gave what there was
	}
	for at, ok := range known {
		if !ok {
			if room < 0 {
				var n int
				if err := b.tx.QueryRowContext(ctx, "SELECT count(*) FROM terminals").Scan(&n); err != nil {
					return err
				}
				room = max(0, b.s.most-n)
			}
			if room == 0 {
				continue
			}
			room--
		}
		b.terminals[at] = new(seen)
	}
	return nil
}

// epoch names the stream that a document belongs to or speaks of.
func (d *Document) epoch() string {
	if d.Birth != nil {
		return d.Birth.Epoch
	}
	if d.Seq == 0 {
		return ""
	}
	return d.Epoch
}

// take enters one document into the batch.
func (b *batch) take(ctx context.Context, d *Document) error {
	t := b.terminals[d.At]
	if t == nil {
		if d.Reason == "" {
			d.Reason = reasonMany
		}
		b.reject(d)
		return nil
	}
	if !d.Retained && !(d.Presence != nil && d.Presence.State == "offline") {
		t.at = d.Received
	}
	if d.Birth != nil && d.Birth.Epoch != "" {
		st := b.streams[streamKey{d.At, d.epoch()}]
		if !d.Retained {
			st.Renew(d.Received)
		}
		st.Boot = max(st.Boot, d.Birth.Boot)
		st.Held(d.Birth.Oldest, d.Received)
	}
	if d.Seq > 0 {
		st := b.streams[streamKey{d.At, d.epoch()}]
		st.Boot = max(st.Boot, d.Boot)
		st.Expire(d.Received)
		switch st.Take(d.Seq, d.Received) {
		case Duplicate:
			b.result.Duplicates++
			return nil
		case Refused:
			d.Reason = reasonGaps
		}
	}
	if d.Reason != "" {
		t.rejected++
		if d.Reason == ReasonFlood {
			if t.limited++; t.limited > 1 {
				b.result.Rejected++
				b.result.Reasons[d.Reason]++
				return nil
			}
		}
		b.reject(d)
		return nil
	}
	b.result.Stored++
	return b.keep(ctx, d, t)
}

func (b *batch) reject(d *Document) {
	b.result.Rejected++
	b.result.Reasons[d.Reason]++
	b.rejected = append(b.rejected, []any{millis(d.Received), d.At.Estate, d.At.Terminal, clean(d.Kind), int64(d.Seq),
		d.Size, d.Reason})
}

func (b *batch) keep(ctx context.Context, d *Document, t *seen) error {
	switch {
	case d.Presence != nil:
		when := millis(d.Received)
		if d.Retained && d.Presence.State == "offline" {
			when = 0 // it went offline while this fleet did not run; when is not known
		}
		return b.update(ctx, d.At, "state = ?, reason = ?, state_at = ?", "AND (state <> ? OR reason <> ?)",
			clean(d.Presence.State), clean(d.Presence.Reason), when, clean(d.Presence.State), clean(d.Presence.Reason))
	case d.Birth != nil:
		return b.update(ctx, d.At, "birth = ?, birth_at = ?", "AND birth <> ?", string(d.Body), millis(d.Received), string(d.Body))
	case d.Health != nil:
		return b.update(ctx, d.At, "health = ?, health_at = ?", "AND health <> ?", string(d.Body), millis(d.Received), string(d.Body))
	case d.Diagnosis != nil && d.Kind == report.KindAsked:
		_, err := b.tx.ExecContext(ctx,
			b.s.sql(`INSERT INTO asked (estate, terminal, id, received, packed) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (estate, terminal, id) DO UPDATE SET received = excluded.received, packed = excluded.packed`),
			d.At.Estate, d.At.Terminal, d.Diagnosis.ID, millis(d.Received), d.Packed)
		if err != nil {
			return fmt.Errorf("keep what was asked: %w", err)
		}
	case d.Diagnosis != nil:
		if s := schemeOf(d.Diagnosis); s != "" {
			t.scheme = s
		}
		if !d.Historical {
			t.failed = d.Received
		}
		b.diagnosis(d)
	case d.Tally != nil:
		b.tally(d, t)
	case d.Dropped != nil && len(d.Dropped.Ranges) > 0:
		// Exact: a report may come before the records that were kept between, and must not wait for them.
		st := b.streams[streamKey{d.At, d.Epoch}]
		for _, r := range d.Dropped.Ranges {
			st.Dropped(r[0], r[1], r[1]-r[0]+1, d.Dropped.Reason, d.Received)
		}
	case d.Dropped != nil:
		var n uint64
		for _, c := range d.Dropped.Counts {
			n += uint64(max(0, c))
		}
		b.streams[streamKey{d.At, d.Epoch}].Dropped(d.Dropped.First, d.Dropped.Last, n, d.Dropped.Reason, d.Received)
	case d.Outcome != nil:
		o := d.Outcome
		p, code, err := b.said(ctx, d.At, clean(o.Diagnosis))
		if err != nil {
			return fmt.Errorf("keep outcome: %w", err)
		}
		_, err = b.tx.ExecContext(ctx,
			b.s.sql(`INSERT INTO outcomes (estate, terminal, diagnosis, outcome, cause, at, received, p, code) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (estate, terminal, diagnosis) DO UPDATE SET outcome = excluded.outcome, at = excluded.at, received = excluded.received, p = excluded.p, code = excluded.code
			WHERE outcomes.at <= excluded.at`), d.At.Estate, d.At.Terminal, clean(o.Diagnosis), clean(o.Outcome), clean(o.Cause),
			millis(o.Time), millis(d.Received), p, code)
		if err != nil {
			return fmt.Errorf("keep outcome: %w", err)
		}
	case d.Reply != nil:
		_, name, _ := strings.Cut(d.Kind, "/")
		b.replies = append(b.replies, []any{millis(d.Received), d.At.Estate, d.At.Terminal, name, string(d.Body)})
	}
	return nil
}

// said is how probable a diagnosis called its first cause, and of which code; zero if it is not here.
func (b *batch) said(ctx context.Context, at report.Address, id string) (p float64, code string, err error) {
	for k, row := range b.diagnoses { // in this very batch
		if k.at == at && k.id == id {
			return row[rowP].(float64), row[rowCode].(string), nil
		}
	}
	err = b.tx.QueryRowContext(ctx, b.s.sql("SELECT p, code FROM diagnoses WHERE estate = ? AND terminal = ? AND id = ? ORDER BY place DESC LIMIT 1"), at.Estate, at.Terminal, id).Scan(&p, &code)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return p, code, err
}

// Columns of a diagnosis in a batch.
const (
	rowRevision   = 4
	rowHistorical = 10
	rowReceived   = 11
	rowCode       = 12
	rowCause      = 14
	rowP          = 21
)

func schemeOf(d *report.Diagnosis) string {
	if d.Code.Scheme != "" {
		return clean(d.Code.Scheme)
	}
	return clean(d.Event.Scheme)
}

// txnOf is how the card was read and of which card scheme it was, as far as the terminal said.
func txnOf(d *report.Diagnosis) (entry, cardScheme string) {
	if d.Event.Txn == nil {
		return "", ""
	}
	return clean(d.Event.Txn.Entry), clean(d.Event.Txn.CardScheme)
}

// diagnosis keeps the highest revision of each diagnosis in the batch: one INSERT may not touch a row twice.
func (b *batch) diagnosis(d *Document) {
	dx := d.Diagnosis
	k := diagnosisKey{d.At, clean(dx.Event.BootID), dx.ID}
	old, again := b.revisions[k]
	if again && dx.Revision <= old {
		return
	}
	b.revisions[k] = dx.Revision
	c := First(dx)
	entry, card := txnOf(dx)
	row := []any{
		d.At.Estate, d.At.Terminal, k.bootID, dx.ID, dx.Revision, flag(dx.Final),
		b.streams[streamKey{d.At, d.Epoch}].No, d.Epoch, int64(d.Boot), int64(d.Seq), flag(d.Historical), millis(d.Received),
		clean(dx.Event.Code), schemeOf(dx), clean(c.ID), clean(c.Segment), words(d.At, dx), string(d.Body), d.Packed,
		entry, card, c.Probability, dx.Repeats,
	}
	if again {
		copy(row[6:12], b.diagnoses[k][6:12]) // its place in the stream and time of arrival are the first revision's
	} else {
		b.order = append(b.order, k)
	}
	b.diagnoses[k] = row
}

// tally adds to the base rate. The hour is the fleet's: a terminal's clock may be wrong, and only the ratio is used.
func (b *batch) tally(d *Document, t *seen) {
	add := func(scheme, code string, n int) {
		k := tallyKey{d.At.Estate, scheme, code, hour(d.Received)}
		if b.tallies[k] == nil {
			b.tallies[k] = new(tally)
		}
		b.tallies[k].terminals++
		b.tallies[k].count += int64(n)
	}
	schemes, codes := map[string]int{}, map[[2]string]int{}
	for _, c := range d.Tally.Counts {
		if c.Count > 0 && c.Code != "" {
			schemes[clean(c.Scheme)] += c.Count
			codes[[2]string{clean(c.Scheme), clean(c.Code)}] += c.Count // a code comes once for each origin
		}
	}
	for scheme, n := range schemes {
		add(scheme, "", n)
	}
	if d.Approved && !d.Historical {
		t.good = d.Received
	}
	for k, n := range codes {
		add(k[0], k[1], n)
	}
	if len(schemes) == 1 && t.scheme == "" {
		for t.scheme = range schemes {
		}
	}
}

func (b *batch) update(ctx context.Context, at report.Address, set, unless string, args ...any) error {
	// The row must be there before it can be updated; flush enters the rest.
	if _, err := b.tx.ExecContext(ctx, b.s.sql("INSERT INTO terminals (estate, terminal, first_seen, last_seen) VALUES (?, ?, 0, 0) ON CONFLICT DO NOTHING"), at.Estate, at.Terminal); err != nil {
		return fmt.Errorf("enter terminal: %w", err)
	}
	n := strings.Count(set, "?")
	all := append(slices.Clone(args[:n]), at.Estate, at.Terminal)
	all = append(all, args[n:]...)
	_, err := b.tx.ExecContext(ctx, b.s.sql("UPDATE terminals SET "+set+" WHERE estate = ? AND terminal = ? "+unless), all...)
	if err != nil {
		return fmt.Errorf("update terminal: %w", err)
	}
	return nil
}

// flush writes what the batch gathered, in an order that two workers on one database share.
func (b *batch) flush(ctx context.Context) error {
	now := millis(time.Now())
	var rows [][]any
	for at, t := range b.terminals {
		rows = append(rows, []any{at.Estate, at.Terminal, now, millis(t.at), t.scheme, t.rejected, millis(t.good), t.limited,
			millis(t.failed)})
	}
	slices.SortFunc(rows, byFirst)
	err := b.insert(ctx, "INSERT INTO terminals (estate, terminal, first_seen, last_seen, scheme, rejected, good_at, limited, failed_at) ", rows,
		` ON CONFLICT (estate, terminal) DO UPDATE SET
			first_seen = CASE WHEN terminals.first_seen = 0 THEN excluded.first_seen ELSE terminals.first_seen END,
			last_seen = CASE WHEN excluded.last_seen > terminals.last_seen THEN excluded.last_seen ELSE terminals.last_seen END,
			scheme = CASE WHEN excluded.scheme <> '' THEN excluded.scheme ELSE terminals.scheme END,
			rejected = terminals.rejected + excluded.rejected, limited = terminals.limited + excluded.limited,
			good_at = CASE WHEN excluded.good_at > terminals.good_at THEN excluded.good_at ELSE terminals.good_at END,
			failed_at = CASE WHEN excluded.failed_at > terminals.failed_at THEN excluded.failed_at ELSE terminals.failed_at END`)
	if err != nil {
		return err
	}

	rows = nil
	for k, st := range b.streams {
		gaps, err := json.Marshal(st.Gaps)
		if err != nil {
			return err
		}
		rows = append(rows, []any{k.at.Estate, k.at.Terminal, k.epoch, int64(st.Boot), int64(st.Highest), string(gaps),
			int64(st.Received), int64(st.Duplicates)})
		b.result.Acks = append(b.result.Acks, Ack{k.at, st.Ack()})
	}
	slices.SortFunc(rows, byFirst)
	err = b.insert(ctx, "INSERT INTO streams (estate, terminal, epoch, boot, highest, gaps, received, duplicates) ", rows,
		` ON CONFLICT (estate, terminal, epoch) DO UPDATE SET boot = excluded.boot, highest = excluded.highest,
			gaps = excluded.gaps, received = excluded.received, duplicates = excluded.duplicates`)
	if err != nil {
		return err
	}

	rows = nil
	for _, k := range b.order {
		rows = append(rows, b.diagnoses[k])
	}
	switch {
	case len(rows) == 0:
	case b.s.pg:
		err = b.copyDiagnoses(ctx, rows)
	default:
		var last int64
		if last, err = b.lastPlace(ctx); err != nil {
			return err
		}
		err = b.insert(ctx, "INSERT INTO diagnoses ("+diagnosesList+") ", rows,
			` ON CONFLICT (estate, terminal, boot_id, id) DO UPDATE SET revision = excluded.revision, final = excluded.final,
			code = excluded.code, scheme = excluded.scheme, cause = excluded.cause, segment = excluded.segment,
			words = excluded.words, body = excluded.body, packed = excluded.packed, entry = excluded.entry,
			card_scheme = excluded.card_scheme, p = excluded.p, repeats = excluded.repeats WHERE excluded.revision > diagnoses.revision`)
		if err == nil {
			err = b.countNew(ctx, last)
		}
	}
	if err != nil {
		return err
	}
	rows = nil
	for k, v := range b.tallies {
		rows = append(rows, []any{k.estate, k.scheme, k.code, k.hour, v.terminals, v.count})
	}
	slices.SortFunc(rows, byFirst)
	err = b.insert(ctx, "INSERT INTO tallies (estate, scheme, code, hour, terminals, count) ", rows,
		" ON CONFLICT (estate, scheme, code, hour) DO UPDATE SET terminals = tallies.terminals + excluded.terminals, count = tallies.count + excluded.count")
	if err != nil {
		return err
	}
	if err := b.insert(ctx, "INSERT INTO rejected (received, estate, terminal, kind, seq, size, reason) ", b.rejected, ""); err != nil {
		return err
	}
	return b.insert(ctx, "INSERT INTO replies (received, estate, terminal, name, body) ", b.replies, "")
}

func scanStream(r *sql.Rows, at *report.Address) (*Stream, error) {
	st := new(Stream)
	var gaps string
	var boot, highest, received, duplicates int64
	if err := r.Scan(&st.No, &at.Estate, &at.Terminal, &st.Epoch, &boot, &highest, &gaps, &received,
		&duplicates); err != nil {
		return st, err
	}
	st.Boot, st.Highest, st.Received, st.Duplicates = uint64(boot), uint64(highest), uint64(received), uint64(duplicates)
	if err := json.Unmarshal([]byte(gaps), &st.Gaps); err != nil {
		return st, fmt.Errorf("gaps of stream %d: %w", st.No, err)
	}
	return st, nil
}
