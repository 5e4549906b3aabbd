package codes

import "strings"

// Normalise returns a code in the form of the tables: without blanks around it, and with the letters, digits and signs
// that Chinese input methods write in full width (U+FF01 to U+FF5E, U+3000) in their ASCII form.
func Normalise(code string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == 0x3000:
			return ' '
		case r >= 0xff01 && r <= 0xff5e:
			return r - 0xfee0
		case r == 0xfeff || r == 0x200b: // marks that some programs put before a text
			return -1
		}
		return r
	}, code))
}

// threePlaces returns the two characters of field 39 that a program printed in three places: "096" is 96. It is empty
// where a code has not that form.
func threePlaces(code string) string {
	if len(code) == 3 && code[0] == '0' {
		return code[1:]
	}
	return ""
}

// Canonical returns a code as the tables write it: normalised (see Normalise), and, where no table has it in three
// characters with a leading zero, in two.
func (k *Knowledge) Canonical(scheme, code string) string {
	code = Normalise(code)
	known := func(c string) bool {
		for _, m := range k.All(c) {
			if scheme == "" || m.Scheme == scheme {
				return true
			}
		}
		return false
	}
	if two := threePlaces(code); two != "" && !known(code) && known(two) {
		return two
	}
	return code
}
