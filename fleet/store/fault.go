package store

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
)

// OfStore tells whether an error is of the database or its machine (disk full, starting up, busy, not allowed) and so
// says nothing of what was to be written. Of an error that no database made, such as a lost connection, it cannot tell:
// false.
func OfStore(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && len(pg.Code) == 5 {
		switch pg.Code[:2] { // PostgreSQL, appendix A
		case "22", "23", "54": // data exception, integrity constraint violation, program limit exceeded
			return false
		}
		return true
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		switch lite.Code() & 0xff { // of an extended result code the primary one, sqlite.org/rescode.html
		case 1, 18, 19, 20: // SQLITE_ERROR, TOOBIG, CONSTRAINT, MISMATCH
			return false
		}
		return true
	}
	return false
}

// locked tells whether another process had the file.
func locked(err error) bool {
	var lite *sqlite.Error
	return errors.As(err, &lite) && lite.Code()&0xff == 5 // SQLITE_BUSY
}
