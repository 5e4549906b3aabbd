// Package access decides who may see and do what in the fleet view: accounts, sessions, tokens and the log of what was
// done.
//
// A person signs in by name and password (stored as argon2id) or by an OpenID provider and gets a session, whose secret
// is changed every few hours; a program sends a token. For both the result is a User: a name, a role, and the estates
// that it may read.
package access

import (
	"slices"
	"strings"

	"posdx/fleet/store"
)

// A Role is what an account may do; each role may do what those before it may.
type Role int8

const (
	Nobody     Role = iota
	Viewer          // reads
	Technician      // asks a terminal, tells what was found
	Operator        // works on incidents, sends knowledge to terminals
	Admin           // accounts, tokens, certificates, the audit log
)

var roles = []string{"nobody", "viewer", "technician", "operator", "admin"}

func (r Role) String() string {
	if r < 0 || int(r) >= len(roles) {
		return roles[0]
	}
	return roles[r]
}

// Roles are the names of the roles that an account may have, the lesser first.
func Roles() []string { return slices.Clone(roles[1:]) }

// ParseRole reads a role's name.
func ParseRole(s string) (Role, error) {
	if i := slices.Index(roles, s); i > 0 {
		return Role(i), nil
	}
	return Nobody, problem("role", s, "role %q: want one of %s", s, strings.Join(roles[1:], ", "))
}

// A Scope is what a token may be used for, within its role.
type Scope string

const (
	Metrics Scope = "metrics" // GET /metrics only
	Read    Scope = "read"    // everything that is read
	Write   Scope = "write"   // that and what the role may change
)

// ParseScope reads a scope.
func ParseScope(s string) (Scope, error) {
	switch c := Scope(s); c {
	case Metrics, Read, Write:
		return c, nil
	}
	return "", problem("scope", s, "scope %q: want metrics, read or write", s)
}

// A User is the account or token behind a request.
type User struct {
	Name    string
	Role    Role
	Estates store.Estates // that it reads; nil: all
	Scope   Scope         // of a token; empty for a person
	Source  string        // address that it asks from

	Session string // the family of its session; empty for a token
}

// program tells whether a token asks.
func (u User) program() bool { return u.Scope != "" }

// May reports whether the user has a role.
func (u User) May(r Role) bool { return r > Nobody && u.Role >= r }
