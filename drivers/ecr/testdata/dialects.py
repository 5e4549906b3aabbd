"""Writes dialects.hex: one request and one answer in each way of writing ISO 8583, with a card that never was in every
field that may hold one. It shares nothing with the decoders. Run: python3 dialects.py >dialects.hex"""
import functools
import operator
import struct

PAN, TRACK, PIN = "6222020000000003", "6222020000000003=30122011758928889", bytes.fromhex("8f9ab1c2d3e4f506")
CHIP = bytes.fromhex("9f2608a1b2c3d4e5f60718" + "5a08" + PAN + "9f3602001c")
MAC = bytes.fromhex("0011223344556677")


class Way:
    """digits: bcd, ascii, ebcdic. bitmap: bin, hex. lengths: as digits, or bin. hexed: False, "size" or "digits"."""

    def __init__(self, digits, bitmap="bin", chars="ascii", lengths="digits", hexed=False, year=1987, terminal=8):
        self.d, self.b, self.c, self.l, self.h, self.y, self.t = digits, bitmap, chars, lengths, hexed, year, terminal

    def text(self, s):
        return s.encode("cp037" if self.c == "ebcdic" else "ascii")

    def n(self, s):
        if self.d == "bcd":
            return bytes.fromhex("0" * (len(s) % 2) + s)
        return s.encode("cp037" if self.d == "ebcdic" else "ascii")

    def ll(self, width, count):
        return bytes([count]) if self.l == "bin" else self.n("%0*d" % (width, count))

    def raw(self, v, width=0):
        if not self.h:
            return (self.ll(width, len(v)) if width else b"") + v
        t = v.hex().upper().encode()
        return (self.ll(width, len(v) if self.h == "size" else len(t)) if width else b"") + t

    def track(self, v):
        if self.d == "bcd":
            v2 = v.replace("=", "D")
            return self.ll(2, len(v)) + bytes.fromhex(v2 + "0" * (len(v2) % 2))
        return self.ll(2, len(v)) + self.text(v)

    def message(self, mti, answer):
        if self.y == 1993:
            mti = "1" + mti[1:]
        f = {2: self.ll(2, len(PAN)) + self.n(PAN), 3: self.n("000000"), 4: self.n("000000012345"), 11: self.n("000123"),
             41: self.text("10077120".ljust(self.t)), 42: self.text("898330154110012"), 49: self.text("978") if self.y == 1987 or self.d != "bcd" else self.text("978"),
             35: self.track(TRACK), 55: self.raw(CHIP, 3), 64: self.raw(MAC)}
        if self.y == 1993:
            f[12], f[22], f[24] = self.n("251121131411"), self.text("510101513344"), self.n("200")
        else:
            f[12], f[13] = self.n("131411"), self.n("1121")
        if answer:
            del f[35]
            f[37] = self.text("112113000123")
            f[39] = self.n("909") if self.y == 1993 else self.text("96")
        else:
            f[52] = self.raw(PIN)
        bits = 0
        for k in f:
            bits |= 1 << (64 - k)
        bitmap = bits.to_bytes(8, "big")
        if self.b == "hex":
            bitmap = self.text(bitmap.hex().upper())
        return self.n(mti) + bitmap + b"".join(f[k] for k in sorted(f))


TPDU = bytes.fromhex("6000100000")


def checked(b):
    return b"\x02" + b + bytes([functools.reduce(operator.xor, b)])


LENGTHS = {
    "binary2": lambda m: struct.pack(">H", len(m)) + m,
    "bcd2": lambda m: bytes.fromhex("%04d" % len(m)) + m,
    "ascii4": lambda m: b"%04d" % len(m) + m,
    "binary2-self": lambda m: struct.pack(">H", len(m) + 2) + m,
    "bcd2-self": lambda m: bytes.fromhex("%04d" % (len(m) + 2)) + m,
    "ascii4-self": lambda m: b"%04d" % (len(m) + 4) + m,
    "binary4": lambda m: struct.pack(">I", len(m)) + m,
    "binary4-self": lambda m: struct.pack(">I", len(m) + 4) + m,
    "binary2-pad": lambda m: struct.pack(">HH", len(m), 0) + m,
    "hex4": lambda m: b"%04X" % len(m) + m,
    "little2": lambda m: struct.pack("<H", len(m)) + m,
    "little4": lambda m: struct.pack("<I", len(m)) + m,
    "stx-bcd2": lambda m: checked(bytes.fromhex("%04d" % len(m)) + m + b"\x03"),
}
WAYS = {
    "nac": (TPDU, Way("bcd"), b""),
    "text": (b"", Way("ascii"), b""),
    "text-hex": (b"", Way("ascii", "hex"), b""),
    "version-header": (TPDU + bytes.fromhex("0100"), Way("bcd"), b""),
    "text-tpdu": (b"6000100000", Way("ascii", "hex"), b""),
    "base24": (b"ISO025000077", Way("ascii", "hex"), b""),
    "base24-terminal": (b"ISO025000077", Way("ascii", "hex", hexed="size", terminal=16), b""),
    "base24-etx": (b"ISO025000077", Way("ascii", "hex"), b"\x03"),
    "visa-header": (bytes.fromhex("16010200c8") + bytes(17), Way("bcd", chars="ebcdic", lengths="bin"), b""),
    "ebcdic-bcd": (b"", Way("bcd", chars="ebcdic"), b""),
    "ebcdic": (b"", Way("ebcdic", chars="ebcdic"), b""),
    "bcd-1993": (TPDU, Way("bcd", year=1993), b""),
    "text-1993": (b"", Way("ascii", year=1993), b""),
    "text-hex-1993": (b"", Way("ascii", "hex", year=1993), b""),
    "ebcdic-1993": (b"", Way("ebcdic", chars="ebcdic", year=1993), b""),
    "nac-hex": (TPDU, Way("bcd", hexed="size"), b""),
    "nac-hex-digits": (TPDU, Way("bcd", hexed="digits"), b""),
    "text-hex-fields": (b"", Way("ascii", hexed="size"), b""),
    "text-hex-field-digits": (b"", Way("ascii", hexed="digits"), b""),
    "text-hex-all": (b"", Way("ascii", "hex", hexed="size"), b""),
    "text-hex-all-digits": (b"", Way("ascii", "hex", hexed="digits"), b""),
    "text-hex-all-1993": (b"", Way("ascii", "hex", hexed="size", year=1993), b""),
    "text-hex-all-digits-1993": (b"", Way("ascii", "hex", hexed="digits", year=1993), b""),
    "text-hex-fields-1993": (b"", Way("ascii", hexed="size", year=1993), b""),
}
for name, (head, way, tail) in WAYS.items():
    for length, wrap in LENGTHS.items():
        if length != "binary2" and name not in ("nac", "text", "text-hex"):
            continue
        for mti, answer in (("0200", False), ("0210", True)):
            print(name, length, mti, wrap(head + way.message(mti, answer) + tail).hex())
