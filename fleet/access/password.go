package access

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// Cost of a password: what OWASP asks for argon2id at the least memory; about 25 ms and 19 MiB each.
const (
	argonTime   = 2
	argonMemory = 19 << 10 // KiB
	argonLanes  = 1
	saltBytes   = 16
	keyBytes    = 32

	minPassword = 12
	maxPassword = 256
)

// hashing bounds the memory that passwords being tried take at one time.
var hashing = make(chan struct{}, 4)

func argon(password string, salt []byte, time, memory uint32, lanes uint8, size uint32) []byte {
	hashing <- struct{}{}
	defer func() { <-hashing }()
	return argon2.IDKey([]byte(password), salt, time, memory, lanes, size)
}

// CheckPassword returns what is wrong with a new password, nil if nothing is.
func CheckPassword(name, password string) error {
	switch n := utf8.RuneCountInString(password); {
	case n < minPassword || len(password) > maxPassword:
		return problem("password.length", "", "password: want %d to %d characters", minPassword, maxPassword)
	case strings.Contains(strings.ToLower(password), strings.ToLower(name)) && name != "":
		return problem("password.name", "", "password: want one without the account's name in it")
	}
	for _, r := range password {
		if !strings.ContainsRune(password[:1], r) {
			return nil
		}
	}
	return problem("password.same", "", "password: want more than one character again and again")
}

// Hash makes the hash of a password that is stored, in PHC form.
func Hash(password string) string {
	salt := make([]byte, saltBytes)
	rand.Read(salt) // never fails
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonLanes,
		b64.EncodeToString(salt), b64.EncodeToString(argon(password, salt, argonTime, argonMemory, argonLanes, keyBytes)))
}

// Matches reports whether a password is the one that was hashed, with the cost that the hash names.
func Matches(kept, password string) bool {
	var version int
	var memory, time uint32
	var lanes uint8
	parts := strings.Split(kept, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || len(password) > maxPassword {
		return false
	}
	if _, err := fmt.Sscanf(parts[2]+" "+parts[3], "v=%d m=%d,t=%d,p=%d", &version, &memory, &time, &lanes); err != nil ||
		version != argon2.Version || memory > 1<<20 || time < 1 || time > 16 || lanes < 1 {
		return false
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return false
	}
	key, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || len(key) == 0 {
		return false
	}
	return subtle.ConstantTimeCompare(key, argon(password, salt, time, memory, lanes, uint32(len(key)))) == 1
}

// nobodys is compared with when there is no such account, so that the answer takes as long.
var nobodys = sync.OnceValue(func() string { return Hash(rand.Text()) })
