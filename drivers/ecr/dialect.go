package ecr

// A Dialect is how one family of hosts writes ISO 8583: how digits are packed and what each field is.
type Dialect struct {
	Name      string
	ASCII     bool    // digits as characters; else two to a byte (BCD)
	HexBitmap bool    // the bitmap as sixteen hex digits; else eight bytes
	EBCDIC    bool    // characters in EBCDIC (IBM code page 037); else in ASCII
	Lengths   bool    // the length before a field in one byte, binary
	Hex       hexKind // how fields of bytes (52, 55, 64, 128) are written
	version   byte    // the first digit of the message types it is of; 0 for any
	fields    *[129]field
}

// hexKind says how bytes are written.
type hexKind byte

const (
	asBytes   hexKind = iota
	hexOfSize         // two hex digits a byte; the length before them counts bytes
	hexOfHex          // two hex digits a byte; the length before them counts digits
)

type kind byte

const (
	none   kind = iota // not in the table: the length of the field is not known, so the walk ends there
	digits             // n
	track              // z: digits and a separator, packed as digits are
	signed             // x + n: C or D, then digits
	chars8             // a, an, ans
	raw                // b
)

// field is how a data element stands in a message: its kind, the number of digits of the length before it (0 for a
// fixed length), and its length, or greatest length, in digits, characters or bytes.
type field struct {
	kind   kind
	prefix int
	size   int
}

// dialects are all that are known, in the order in which Parse tries them. Where two of them fit, they differ only in
// fields that a Message does not hold. Few hosts write a message in hexadecimal characters, so those dialects come
// last.
var dialects = []*Dialect{
	{Name: "bcd-1993", version: '1', fields: &iso1993},
	{Name: "text-1993", version: '1', ASCII: true, fields: &iso1993},
	{Name: "text-hex-1993", version: '1', ASCII: true, HexBitmap: true, fields: &iso1993},
	UnionPay(), NAC(), Text(), TextHex(),
	{Name: "ebcdic-bcd", EBCDIC: true, fields: &iso1987},
	{Name: "ebcdic", ASCII: true, EBCDIC: true, fields: &iso1987},
	{Name: "ebcdic-lengths", EBCDIC: true, Lengths: true, fields: &iso1987},
	{Name: "ebcdic-1993", version: '1', ASCII: true, EBCDIC: true, fields: &iso1993},
	{Name: "nac-hex", Hex: hexOfSize, fields: &iso1987},
	{Name: "nac-hex-digits", Hex: hexOfHex, fields: &iso1987},
	{Name: "text-hex-fields", ASCII: true, Hex: hexOfSize, fields: &iso1987},
	{Name: "text-hex-field-digits", ASCII: true, Hex: hexOfHex, fields: &iso1987},
	{Name: "text-hex-all", ASCII: true, HexBitmap: true, Hex: hexOfSize, fields: &iso1987},
	{Name: "text-hex-all-digits", ASCII: true, HexBitmap: true, Hex: hexOfHex, fields: &iso1987},
	{Name: "text-hex-all-1993", version: '1', ASCII: true, HexBitmap: true, Hex: hexOfSize, fields: &iso1993},
	{Name: "text-hex-all-digits-1993", version: '1', ASCII: true, HexBitmap: true, Hex: hexOfHex, fields: &iso1993},
	{Name: "text-hex-fields-1993", version: '1', ASCII: true, Hex: hexOfSize, fields: &iso1993},
	{Name: "base24", ASCII: true, HexBitmap: true, Hex: hexOfSize, fields: &base24},
}

// DialectNames returns the names that a configuration may give.
func DialectNames() (list []string) {
	for _, d := range dialects {
		list = append(list, d.Name)
	}
	return list
}

// UnionPay is the POS dialect of China's acquirers (Q/CUP 009 and the direct-link POS specification): BCD, fields 36,
// 48, 60 and 61 numeric and packed.
func UnionPay() *Dialect { return &Dialect{Name: "unionpay", fields: &unionpay} }

// NAC is the dialect of hosts behind network access controllers elsewhere: BCD, private fields as characters.
func NAC() *Dialect { return &Dialect{Name: "nac", fields: &iso1987} }

// Text is ISO 8583:1987 in characters with a binary bitmap.
func Text() *Dialect { return &Dialect{Name: "text", ASCII: true, fields: &iso1987} }

// TextHex is ISO 8583:1987 in characters throughout.
func TextHex() *Dialect {
	return &Dialect{Name: "text-hex", ASCII: true, HexBitmap: true, fields: &iso1987}
}

// iso1987 is the field table of ISO 8583:1987, section 4; fields 52, 64 and 128 are eight bytes.
var iso1987 = [129]field{
	2: {digits, 2, 19}, 3: {digits, 0, 6}, 4: {digits, 0, 12}, 5: {digits, 0, 12}, 6: {digits, 0, 12},
	7: {digits, 0, 10}, 8: {digits, 0, 8}, 9: {digits, 0, 8}, 10: {digits, 0, 8}, 11: {digits, 0, 6},
	12: {digits, 0, 6}, 13: {digits, 0, 4}, 14: {digits, 0, 4}, 15: {digits, 0, 4}, 16: {digits, 0, 4},
	17: {digits, 0, 4}, 18: {digits, 0, 4}, 19: {digits, 0, 3}, 20: {digits, 0, 3}, 21: {digits, 0, 3},
	22: {digits, 0, 3}, 23: {digits, 0, 3}, 24: {digits, 0, 3}, 25: {digits, 0, 2}, 26: {digits, 0, 2},
	27: {digits, 0, 1}, 28: {signed, 0, 8}, 29: {signed, 0, 8}, 30: {signed, 0, 8}, 31: {signed, 0, 8},
	32: {digits, 2, 11}, 33: {digits, 2, 11}, 34: {chars8, 2, 28}, 35: {track, 2, 37}, 36: {chars8, 3, 104},
	37: {chars8, 0, 12}, 38: {chars8, 0, 6}, 39: {chars8, 0, 2}, 40: {chars8, 0, 3}, 41: {chars8, 0, 8},
	42: {chars8, 0, 15}, 43: {chars8, 0, 40}, 44: {chars8, 2, 25}, 45: {chars8, 2, 76}, 46: {chars8, 3, 999},
	47: {chars8, 3, 999}, 48: {chars8, 3, 999}, 49: {chars8, 0, 3}, 50: {chars8, 0, 3}, 51: {chars8, 0, 3},
	52: {raw, 0, 8}, 53: {digits, 0, 16}, 54: {chars8, 3, 120}, 55: {raw, 3, 999}, 56: {chars8, 3, 999},
	57: {chars8, 3, 999}, 58: {chars8, 3, 999}, 59: {chars8, 3, 999}, 60: {chars8, 3, 999}, 61: {chars8, 3, 999},
	62: {chars8, 3, 999}, 63: {chars8, 3, 999}, 64: {raw, 0, 8},
	66: {digits, 0, 1}, 67: {digits, 0, 2}, 68: {digits, 0, 3}, 69: {digits, 0, 3}, 70: {digits, 0, 3},
	71: {digits, 0, 4}, 72: {digits, 0, 4}, 73: {digits, 0, 6}, 74: {digits, 0, 10}, 75: {digits, 0, 10},
	76: {digits, 0, 10}, 77: {digits, 0, 10}, 78: {digits, 0, 10}, 79: {digits, 0, 10}, 80: {digits, 0, 10},
	81: {digits, 0, 10}, 82: {digits, 0, 12}, 83: {digits, 0, 12}, 84: {digits, 0, 12}, 85: {digits, 0, 12},
	86: {digits, 0, 16}, 87: {digits, 0, 16}, 88: {digits, 0, 16}, 89: {digits, 0, 16}, 90: {digits, 0, 42},
	91: {chars8, 0, 1}, 92: {chars8, 0, 2}, 93: {chars8, 0, 5}, 94: {chars8, 0, 7}, 95: {chars8, 0, 42},
	96: {raw, 0, 8}, 97: {signed, 0, 16}, 98: {chars8, 0, 25}, 99: {digits, 2, 11}, 100: {digits, 2, 11},
	101: {chars8, 2, 17}, 102: {chars8, 2, 28}, 103: {chars8, 2, 28}, 104: {chars8, 3, 100},
	105: {chars8, 3, 999}, 106: {chars8, 3, 999}, 107: {chars8, 3, 999}, 108: {chars8, 3, 999},
	109: {chars8, 3, 999}, 110: {chars8, 3, 999}, 111: {chars8, 3, 999}, 112: {chars8, 3, 999},
	113: {chars8, 3, 999}, 114: {chars8, 3, 999}, 115: {chars8, 3, 999}, 116: {chars8, 3, 999},
	117: {chars8, 3, 999}, 118: {chars8, 3, 999}, 119: {chars8, 3, 999}, 120: {chars8, 3, 999},
	121: {chars8, 3, 999}, 122: {chars8, 3, 999}, 123: {chars8, 3, 999}, 124: {chars8, 3, 999},
	125: {chars8, 3, 999}, 126: {chars8, 3, 999}, 127: {chars8, 3, 999}, 128: {raw, 0, 8},
}

// base24 is the field table of ACI's BASE24 external message: 1987's, with sixteen characters of a terminal.
var base24 = func() (t [129]field) {
	t = iso1987
	t[41].size = 16
	return t
}()

// iso1993 is the field table of ISO 8583:1993, section 4.
var iso1993 = func() (t [129]field) {
	t = iso1987
	for _, f := range [...]struct {
		n int
		field
	}{
		{5, field{digits, 0, 12}}, {12, field{digits, 0, 12}}, {15, field{digits, 0, 6}},
		{22, field{chars8, 0, 12}}, {25, field{digits, 0, 4}}, {26, field{digits, 0, 4}},
		{28, field{digits, 0, 6}}, {29, field{digits, 0, 3}}, {30, field{digits, 0, 24}},
		{31, field{chars8, 2, 99}}, {39, field{digits, 0, 3}}, {40, field{digits, 0, 3}},
		{43, field{chars8, 2, 99}}, {44, field{chars8, 2, 99}}, {46, field{chars8, 3, 204}},
		{53, field{raw, 2, 48}}, {55, field{raw, 3, 255}}, {56, field{digits, 2, 35}},
		{57, field{digits, 0, 3}}, {58, field{digits, 2, 11}}, {65, field{raw, 0, 8}},
		{66, field{chars8, 3, 204}}, {71, field{digits, 0, 8}}, {72, field{chars8, 3, 999}},
		{82, field{digits, 0, 10}}, {83, field{digits, 0, 10}}, {84, field{digits, 0, 10}},
		{85, field{digits, 0, 10}}, {90, field{digits, 0, 10}}, {91, field{digits, 0, 3}},
		{92, field{digits, 0, 3}}, {93, field{digits, 2, 11}}, {94, field{digits, 2, 11}},
		{95, field{chars8, 2, 99}}, {96, field{raw, 3, 999}}, {99, field{chars8, 2, 11}},
		{105, field{digits, 0, 16}}, {106, field{digits, 0, 16}}, {107, field{digits, 0, 10}},
		{108, field{digits, 0, 10}}, {109, field{chars8, 2, 84}}, {110, field{chars8, 2, 84}},
	} {
		t[f.n] = f.field
	}
	return t
}()

// unionpay is the field table of the direct-link POS specification, chapter on message fields.
var unionpay = [129]field{
	2: {digits, 2, 19}, 3: {digits, 0, 6}, 4: {digits, 0, 12}, 11: {digits, 0, 6}, 12: {digits, 0, 6},
	13: {digits, 0, 4}, 14: {digits, 0, 4}, 15: {digits, 0, 4}, 22: {digits, 0, 3}, 23: {digits, 0, 3},
	24: {digits, 0, 3}, 25: {digits, 0, 2}, 26: {digits, 0, 2}, 32: {digits, 2, 11}, 33: {digits, 2, 11},
	35: {track, 2, 37}, 36: {track, 3, 104}, 37: {chars8, 0, 12}, 38: {chars8, 0, 6}, 39: {chars8, 0, 2},
	41: {chars8, 0, 8}, 42: {chars8, 0, 15}, 43: {chars8, 0, 40}, 44: {chars8, 2, 25}, 46: {raw, 3, 999},
	47: {raw, 3, 999}, 48: {digits, 3, 322}, 49: {chars8, 0, 3}, 52: {raw, 0, 8}, 53: {digits, 0, 16},
	54: {chars8, 3, 20}, 55: {raw, 3, 999}, 56: {raw, 3, 999}, 57: {raw, 3, 999}, 58: {raw, 3, 999},
	59: {raw, 3, 999}, 60: {digits, 3, 19}, 61: {digits, 3, 39}, 62: {raw, 3, 999}, 63: {raw, 3, 999},
	64: {raw, 0, 8},
}
