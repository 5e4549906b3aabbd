package serial

const (
	labelMax  = 48 // longer than any model or firmware name seen
	digitsMax = 12 // a card number has at least 13; no version needs as many
)

// Label makes the name that a device gives itself fit to be shown and sent: printable ASCII of a small alphabet, at
// most 48 characters. A text with as many digits in a row as a card number or an IMEI has is no name, and the result is
// empty.
func Label(b []byte) string {
	out := make([]byte, 0, min(len(b), labelMax))
	digits, gap := 0, false
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			if digits++; digits > digitsMax {
				return ""
			}
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z':
			digits = 0
		case c == ' ', c == '-': // as a card number is grouped: digits go on
		case c == '.', c == '_', c == '/', c == '+', c == '(', c == ')', c == ':':
			digits = 0
		default:
			gap = true
			continue
		}
		if gap && len(out) > 0 && out[len(out)-1] != ' ' {
			out = append(out, ' ')
		}
		gap = false
		if len(out) < labelMax && !(c == ' ' && len(out) == 0) {
			out = append(out, c)
		}
	}
	for len(out) > 0 && out[len(out)-1] == ' ' {
		out = out[:len(out)-1]
	}
	return string(out)
}
