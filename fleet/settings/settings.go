// Package settings reads the TOML files that an operator writes for the fleet.
package settings

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Decode reads TOML into a struct. What the struct has no place for is an error, as is a value of another kind; an
// error names line and key.
func Decode(b []byte, into any) error {
	err := toml.NewDecoder(bytes.NewReader(b)).DisallowUnknownFields().Decode(into)
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) && len(unknown.Errors) > 0 {
		e := unknown.Errors[0]
		line, _ := e.Position()
		return fmt.Errorf("line %d: there is no key %q", line, strings.Join(e.Key(), "."))
	}
	var wrong *toml.DecodeError
	if !errors.As(err, &wrong) {
		return err
	}
	line, _ := wrong.Position()
	if strings.Contains(err.Error(), "cannot decode") {
		return fmt.Errorf("line %d: %q wants a value of another kind: text in quotes, a number, true or false, or a list in brackets",
			line, strings.Join(wrong.Key(), "."))
	}
	return fmt.Errorf("line %d: not TOML; want key = value, one a line, text in quotes (%q)", line, err)
}
