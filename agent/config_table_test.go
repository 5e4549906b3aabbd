package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	conf "posdx/agent/internal/config"
	"posdx/agent/internal/source/hook"
	"posdx/agent/internal/source/paylog"
	"posdx/codes"
	"posdx/drivers/ecr"
	"posdx/drivers/reader"
	"posdx/firmware-build/housetest"
)

// A trial is one configuration with one thing in it.
type trial struct {
	name  string
	top   string // before the first table
	more  string // after [hook]
	whole string // instead of all that
	level conf.Level
	says  string // in the problem's text; DIR stands for a folder of the test's own
	line  int    // where; 0 is not looked at
}

// good is a level that is none.
const good conf.Level = ""

// topLines is where top begins, and moreLines where more does without one.
const topLines, moreLines = 4, 6

func target(name string) string {
	return "[[target]]\nname = \"" + name + "\"\nhost = \"203.0.113.10\"\nport = 80\n"
}

var trials = []trial{
	// Good ones.
	{name: "least", level: good},
	{name: "log in GBK", more: "[[log]]\npath = \"DIR/pay.log\"\nencoding = \"gb18030\"\npatterns = ['RC=(?P<code>\\w+)']\n", level: good},
	{name: "time spans", more: "[broker]\nkeepalive = \"15m\"\n[outbox]\nmax_age = \"24h\"\n", level: good},
	{name: "carriage returns", top: "language = \"en\"\r\n", level: good},
	{name: "numbers as TOML writes them", more: "[outbox]\nmax_bytes = 0x80_0000\n", level: good},
	{name: "dotted key", top: "profile.scheme = \"unionpay\"\n", level: good},
	{name: "inline table", top: "profile = { scheme = \"unionpay\" }\n", level: good},
	{name: "tables in a list", top: "target = [{name = \"internet\", host = \"h\", port = 1}]\n", level: good},
	{name: "two ways to one place", more: target("host-primary") + target("host-primary") + "via = \"lo\"\n", level: good},
	{name: "group by number", more: "", top: "hook.group = \"0\"\n", whole: "estate = \"shop\"\nterminal = \"t1\"\nstate_dir = \"DIR/state\"\n[hook]\nsocket = \"DIR/s\"\ngroup = \"0\"\n", level: good},
	{name: "hook over HTTP", more: "http = \"127.0.0.1:7379\"\ntoken_file = \"DIR/token\"\n", level: conf.Fault, says: "hook.token_file"},
	{name: "hook over HTTP without a token", more: "http = \"127.0.0.1:7379\"\n", level: conf.Error, says: "hook.token_file"},
	{name: "hook over HTTP for everybody", more: "http = \"0.0.0.0:7379\"\ntoken_file = \"DIR/token\"\n", level: conf.Error, says: "outside this terminal"},
	{name: "hook over HTTP by a name", more: "http = \"localhost:7379\"\ntoken_file = \"DIR/token\"\n", level: conf.Error, says: "hook.http"},
	{name: "relayed link", more: "[[ecr]]\nname = \"e\"\nframing = \"abecs\"\nway = \"relay\"\n", level: good},
	{name: "labels", more: "[labels]\ncarrier = \"cmcc\"\n", level: good},
	{name: "resolver with a port", more: "[network]\nresolvers = [\"192.0.2.1:5353\", \"2001:db8::1\", \"[2001:db8::1]:53\"]\n", level: good},
	{name: "USB port", more: "[[modem]]\nname = \"m\"\nport = \"usb:2c7c:0125\"\n", level: good},

	// The file.
	{name: "nothing in it", whole: "\n", level: conf.Error, says: "estate: is not there"},
	{name: "byte order mark", whole: "\xef\xbb\xbfestate = \"shop\"\n", level: conf.Error, says: "byte order mark", line: 1},
	{name: "UTF-16", whole: "\xff\xfee\x00s\x00", level: conf.Error, says: "iconv -f utf-16", line: 1},
	{name: "GBK", top: "# \xd6\xd0\xce\xc4\n", level: conf.Error, says: "iconv -f gbk", line: topLines},
	{name: "zero bytes", top: "# \x00\x00\n", level: conf.Error, says: "zero byte", line: topLines},
	{name: "too large", top: "# " + strings.Repeat("x", 300<<10) + "\n", level: conf.Error, says: "no configuration of posdx"},
	{name: "no quotes", top: "language = zh\n", level: conf.Error, says: "text in quotes", line: topLines},
	{name: "no end of quotes", top: "language = \"zh\n", level: conf.Error, says: "not TOML", line: topLines},
	{name: "typographic quotes", top: "language = “zh”\n", level: conf.Error, says: "not TOML", line: topLines},
	{name: "colon for equals", top: "language: \"zh\"\n", level: conf.Error, says: "not TOML", line: topLines},
	{name: "no end of brackets", more: "[network\nmetered = []\n", level: conf.Error, says: "not TOML", line: moreLines},
	{name: "key twice", top: "language = \"zh\"\nlanguage = \"en\"\n", level: conf.Error, says: "not TOML"},
	{name: "table twice", more: "[outbox]\nmax_bytes = 9000000\n[outbox]\n", level: conf.Error, says: "not TOML"},
	{name: "key misspelt", more: "[broker]\nulr = \"tcp://b\"\n", level: conf.Error, says: "broker.ulr: unknown key; did you mean url?", line: moreLines + 1},
	{name: "key of nothing", more: "[broker]\nsunshine = 1\n", level: conf.Error, says: "broker.sunshine: unknown key; here there are", line: moreLines + 1},
	{name: "table misspelt", more: "[brokr]\nurl = []\n", level: conf.Error, says: "did you mean broker?", line: moreLines},
	{name: "key in the wrong table", more: "baud = 9600\n", level: conf.Error, says: "hook.baud: unknown key", line: moreLines},
	{name: "one bracket for a list", more: "[target]\nname = \"internet\"\n", level: conf.Error, says: "write [[target]] in double brackets", line: moreLines},
	{name: "two brackets for a table", more: "[[broker]]\nurl = []\n", level: conf.Error, says: "write [broker] in single brackets", line: moreLines},
	{name: "step without a log", more: "[[log.step]]\npattern = 'x'\nphase = \"start\"\n", level: conf.Error, says: "belongs to a [[log]]", line: moreLines},
	{name: "value as a table", more: "[language]\n", level: conf.Error, says: "is a single value", line: moreLines},
	{name: "below a value", top: "language.of = \"zh\"\n", level: conf.Error, says: "language is a single value", line: topLines},

	// Types, in plain words.
	{name: "text for a number", more: "[[target]]\nname = \"internet\"\nhost = \"h\"\nport = \"eighty\"\n", level: conf.Error, says: `target[0].port: found the text "eighty"; want a whole number`, line: moreLines + 3},
	{name: "number for text", top: "language = 1\n", level: conf.Error, says: "language: found the number 1; want text in quotes", line: topLines},
	{name: "text for yes or no", more: "[capture]\non = \"true\"\n", level: conf.Error, says: "want true or false, without quotes", line: moreLines + 1},
	{name: "number for yes or no", more: "[capture]\non = 1\n", level: conf.Error, says: "found the number 1; want true or false", line: moreLines + 1},
	{name: "fraction for a number", more: "[network]\ndaily_bytes = 1.5\n", level: conf.Error, says: "want a whole number", line: moreLines + 1},
	{name: "text for a list", more: "[broker]\nurl = \"tcp://b\"\n", level: conf.Error, says: `want a list, such as ["one", "two"]`, line: moreLines + 1},
	{name: "number in a list of texts", more: "[network]\nresolvers = [1]\n", level: conf.Error, says: "network.resolvers[0]: found the number 1", line: moreLines + 1},
	{name: "list for text", top: "language = [\"zh\"]\n", level: conf.Error, says: "language: found a list; want text", line: topLines},
	{name: "date for text", top: "language = 2026-11-01\n", level: conf.Error, says: "language: found the date", line: topLines},
	{name: "time span without a unit", more: "[broker]\nkeepalive = 60\n", level: conf.Error, says: `which has no unit; write "60s" if seconds are meant`, line: moreLines + 1},
	{name: "time span in quotes without a unit", more: "[broker]\nkeepalive = \"60\"\n", level: conf.Error, says: "no time span", line: moreLines + 1},
	{name: "time span in words", more: "[broker]\nkeepalive = \"soon\"\n", level: conf.Error, says: "no time span", line: moreLines + 1},
	{name: "age in days", more: "[outbox]\nmax_age = \"30d\"\n", level: conf.Error, says: "no time span", line: moreLines + 1},
	{name: "number beyond all", more: "[outbox]\nmax_bytes = 99999999999999999999\n", level: conf.Error, says: "too large", line: moreLines + 1},

	// Who this is.
	{name: "no estate", whole: "terminal = \"t1\"\n", level: conf.Error, says: `estate: is not there; write a line estate = "…"`},
	{name: "estate with a slash", whole: "estate = \"a/b\"\nterminal = \"t1\"\n", level: conf.Error, says: "'/' is not allowed", line: 1},
	{name: "terminal with a wildcard", whole: "estate = \"a\"\nterminal = \"+\"\n", level: conf.Error, says: "'+' is not allowed", line: 2},
	{name: "terminal of dots", whole: "estate = \"a\"\nterminal = \"..\"\n", level: conf.Error, says: "dots alone", line: 2},
	{name: "terminal too long", whole: "estate = \"a\"\nterminal = \"" + strings.Repeat("t", 65) + "\"\n", level: conf.Error, says: "want 1 to 64", line: 2},
	{name: "estate as shipped", whole: "estate = \"change-me\"\nterminal = \"t1\"\n", level: conf.Error, says: "sed -i 's/^estate = .*/estate = \"NAME\"/'", line: 1},
	{name: "terminal as shipped", whole: "estate = \"a\"\nterminal = \"Change-Me\"\n", level: conf.Error, says: "is the same one to the fleet", line: 2},
	{name: "language", top: "language = \"fr\"\n", level: conf.Error, says: `language: "fr" is not one of zh, en`, line: topLines},
	{name: "no state folder", whole: "estate = \"a\"\nterminal = \"t\"\nstate_dir = \"\"\n", level: conf.Error, says: "state_dir: is empty", line: 3},
	{name: "state folder from here", whole: "estate = \"a\"\nterminal = \"t\"\nstate_dir = \"state\"\n", level: conf.Error, says: "begins with /", line: 3},
	{name: "state folder is a file", whole: "estate = \"a\"\nterminal = \"t\"\nstate_dir = \"DIR/file\"\n", level: conf.Error, says: "is a file; want a folder", line: 3},

	// The hook.
	{name: "socket from here", whole: "estate = \"a\"\nterminal = \"t\"\nstate_dir = \"DIR/state\"\n[hook]\nsocket = \"s\"\n", level: conf.Error, says: "hook.socket", line: 5},
	{name: "socket too long", whole: "estate = \"a\"\nterminal = \"t\"\n[hook]\nsocket = \"/" + strings.Repeat("s", 120) + "\"\n", level: conf.Error, says: "at most 103", line: 4},
	{name: "socket is a file", whole: "estate = \"a\"\nterminal = \"t\"\n[hook]\nsocket = \"DIR/file\"\n", level: conf.Error, says: "something that is no socket", line: 4},
	{name: "no such group", more: "group = \"no-such-group-here\"\n", level: conf.Fault, says: "groupadd no-such-group-here", line: moreLines},

	// Logs.
	{name: "log without a name", more: "[[log]]\npatterns = ['(?P<code>x)']\n", level: conf.Error, says: "log[0].path: is empty"},
	{name: "log from here", more: "[[log]]\npath = \"pay.log\"\npatterns = ['(?P<code>x)']\n", level: conf.Error, says: "begins with /", line: moreLines + 1},
	{name: "log is a folder", more: "[[log]]\npath = \"DIR\"\npatterns = ['(?P<code>x)']\n", level: conf.Error, says: "is a folder", line: moreLines + 1},
	{name: "link on a network without an address", more: "[[ecr]]\nname = \"e\"\nframing = \"zvt-lan\"\nway = \"lan\"\n", level: conf.Error, says: "192.168.1.50:20007", line: moreLines},
	{name: "part of a date", more: "[[log]]\npath = \"DIR/pay_%Q.log\"\npatterns = ['(?P<code>x)']\n", level: conf.Error, says: "there are %Y", line: moreLines + 1},
	{name: "log not there", more: "[[log]]\npath = \"DIR/none.log\"\npatterns = ['(?P<code>x)']\n", level: conf.Warning, says: "is not there", line: moreLines + 1},
	{name: "log encoding", more: "[[log]]\npath = \"DIR/pay.log\"\nencoding = \"ebcdic\"\npatterns = ['(?P<code>x)']\n", level: conf.Error, says: `no encoding is called "ebcdic"`, line: moreLines + 2},
	{name: "log origin", more: "[[log]]\npath = \"DIR/pay.log\"\norigin = \"bank\"\npatterns = ['(?P<code>x)']\n", level: conf.Error, says: `"bank" is not one of host`, line: moreLines + 2},
	{name: "log scheme", more: "[[log]]\npath = \"DIR/pay.log\"\nscheme = \"unionpai\"\npatterns = ['(?P<code>x)']\n", level: conf.Error, says: `no code table "unionpai"`, line: moreLines + 2},
	{name: "pattern twice of one file", more: "[[log]]\npath = \"DIR/pay.log\"\npatterns = ['(?P<code>x)']\n[[log]]\npath = \"DIR/pay.log\"\npatterns = ['(?P<code>y)', '(?P<code>x)']\n", level: conf.Error, says: "is in log[0].patterns[0] already", line: moreLines + 5},
	{name: "log without patterns", more: "[[log]]\npath = \"DIR/pay.log\"\n", level: conf.Error, says: "log[0].patterns: is empty", line: moreLines},
	{name: "broken pattern", more: "[[log]]\npath = \"DIR/pay.log\"\npatterns = ['RC=(?P<code>\\w+)', 'RC=(\\w+']\n", level: conf.Error, says: "log[0].patterns[1]", line: moreLines + 2},
	{name: "pattern without a code", more: "[[log]]\npath = \"DIR/pay.log\"\npatterns = ['RC=(\\w+)']\n", level: conf.Error, says: "no group is called code", line: moreLines + 2},
	{name: "pattern with an unknown group", more: "[[log]]\npath = \"DIR/pay.log\"\npatterns = ['(?P<code>x)(?P<pan>y)']\n", level: conf.Error, says: `no group is called "pan"`, line: moreLines + 2},
	{name: "broken begin", more: "[[log]]\npath = \"DIR/pay.log\"\nbegin = '['\npatterns = ['(?P<code>x)']\n", level: conf.Error, says: "log[0].begin", line: moreLines + 2},
	{name: "broken step", more: "[[log]]\npath = \"DIR/pay.log\"\npatterns = ['(?P<code>x)']\n[[log.step]]\npattern = '('\nphase = \"end\"\n", level: conf.Error, says: "log[0].step[0].pattern", line: moreLines + 4},
	{name: "empty step", more: "[[log]]\npath = \"DIR/pay.log\"\npatterns = ['(?P<code>x)']\n[[log.step]]\nphase = \"end\"\n", level: conf.Error, says: "would match every line", line: moreLines + 3},
	{name: "broken begin of two", more: "[[log]]\npath = \"DIR/pay.log\"\nbegin = '['\npatterns = ['(?P<code>x)', '(?P<code>y)']\n", level: conf.Error, says: "log[0].begin", line: moreLines + 2},
	{name: "step of no phase", more: "[[log]]\npath = \"DIR/pay.log\"\npatterns = ['(?P<code>x)']\n[[log.step]]\npattern = 'x'\nphase = \"begin\"\n", level: conf.Error, says: "is not one of start", line: moreLines + 5},
	{name: "result of a start", more: "[[log]]\npath = \"DIR/pay.log\"\npatterns = ['(?P<code>x)']\n[[log.step]]\npattern = 'x'\nphase = \"sent\"\nresult = \"approved\"\n", level: conf.Error, says: "has a result", line: moreLines + 6},
	{name: "sales that never end", more: "[[log]]\npath = \"DIR/pay.log\"\npatterns = ['(?P<code>x)']\n[[log.step]]\npattern = 'x'\nphase = \"start\"\n", level: conf.Warning, says: "never end"},

	// Devices.
	{name: "device without a name", more: "[[reader]]\nport = \"/dev/null\"\n", level: conf.Error, says: "such as reader0", line: moreLines},
	{name: "two of a name", more: "[[reader]]\nname = \"r\"\nport = \"/dev/null\"\n[[modem]]\nname = \"r\"\nport = \"/dev/zero\"\n", level: conf.Error, says: "used twice, by reader[0].name too", line: moreLines + 4},
	{name: "name with a slash", more: "[[reader]]\nname = \"a/b\"\nport = \"/dev/null\"\n", level: conf.Error, says: "cannot be a device's name", line: moreLines + 1},
	{name: "device without a port", more: "[[reader]]\nname = \"r\"\n", level: conf.Error, says: "reader[0].port: is empty", line: moreLines},
	{name: "port from here", more: "[[reader]]\nname = \"r\"\nport = \"ttyS1\"\n", level: conf.Error, says: "begins with /", line: moreLines + 2},
	{name: "port is a file", more: "[[reader]]\nname = \"r\"\nport = \"DIR/file\"\n", level: conf.Error, says: "is no device", line: moreLines + 2},
	{name: "device not plugged in", more: "[[reader]]\nname = \"r\"\nport = \"/dev/ttyNONE\"\n", level: conf.Warning, says: "is not there", line: moreLines + 2},
	{name: "USB port without a product", more: "[[modem]]\nname = \"m\"\nport = \"usb:2c7c\"\n", level: conf.Error, says: "names no USB port", line: moreLines + 2},
	{name: "one port for two devices", more: "[[reader]]\nname = \"r\"\nport = \"/dev/ttyNONE\"\n[[pinpad]]\nname = \"p\"\nport = \"/dev/ttyNONE\"\n", level: conf.Error, says: "is that of reader[0].port already", line: moreLines + 5},
	{name: "one port by two names", more: "[[reader]]\nname = \"r\"\nport = \"/dev/null\"\n[[pinpad]]\nname = \"p\"\nport = \"DIR/link\"\n", level: conf.Error, says: "is that of reader[0].port already", line: moreLines + 5},
	{name: "one port for a device and the console", more: "[[reader]]\nname = \"r\"\nport = \"/dev/ttyNONE\"\n[console]\ntty = \"/dev/ttyNONE\"\n", level: conf.Error, says: "console.tty: port", line: moreLines + 4},
	{name: "one port heard by two", more: "[[reader]]\nname = \"r\"\nprotocol = \"msr\"\nrx = [\"/dev/ttyNONE\"]\n[[ecr]]\nname = \"e\"\nframing = \"zvt\"\nrx = [\"/dev/ttyNONE\"]\nbaud = 9600\n", level: conf.Error, says: "is that of reader[0].rx[0] already"},
	{name: "negative baud", more: "[[reader]]\nname = \"r\"\nport = \"/dev/null\"\nbaud = -1\n", level: conf.Error, says: "no baud rate", line: moreLines + 3},
	{name: "baud with a figure missing", more: "[[reader]]\nname = \"r\"\nport = \"/dev/null\"\nbaud = 11520\n", level: conf.Warning, says: "is 115200 meant?", line: moreLines + 3},
	{name: "reader protocol", more: "[[reader]]\nname = \"r\"\nport = \"/dev/null\"\nprotocol = \"ccd\"\n", level: conf.Error, says: `no reader is asked by protocol "ccd"`, line: moreLines + 3},
	{name: "stripes without an ear", more: "[[reader]]\nname = \"r\"\nport = \"/dev/null\"\nprotocol = \"msr\"\n", level: conf.Error, says: "msr with rx", line: moreLines + 3},
	{name: "overheard with a protocol that has none", more: "[[reader]]\nname = \"r\"\nprotocol = \"neo\"\nrx = [\"/dev/null\"]\n", level: conf.Error, says: "cannot be overheard", line: moreLines + 3},
	{name: "overheard on three ports", more: "[[reader]]\nname = \"r\"\nrx = [\"/dev/null\", \"/dev/zero\", \"/dev/full\"]\n", level: conf.Error, says: "3 ports", line: moreLines + 2},
	{name: "printer overheard", more: "[[printer]]\nname = \"q\"\nport = \"/dev/null\"\nrx = [\"/dev/zero\"]\n", level: conf.Error, says: "printer[0].rx", line: moreLines + 3},
	{name: "APN of a reader", more: "[[reader]]\nname = \"r\"\nport = \"/dev/null\"\napn = \"x\"\n", level: conf.Error, says: "belongs to a [[modem]]", line: moreLines + 3},
	{name: "modem protocol", more: "[[modem]]\nname = \"m\"\nport = \"/dev/null\"\nprotocol = \"at\"\n", level: conf.Error, says: "a modem has none", line: moreLines + 3},
	{name: "PIN pad protocol", more: "[[pinpad]]\nname = \"p\"\nport = \"/dev/null\"\nprotocol = \"morse\"\n", level: conf.Error, says: "there is abecs", line: moreLines + 3},
	{name: "PIN pad key", more: "[[pinpad]]\nname = \"p\"\nport = \"/dev/null\"\nkeys = [\"mk-pin:1\", \"pin\"]\n", level: conf.Error, says: "pinpad[0].keys[1]", line: moreLines + 3},
	{name: "printer protocol", more: "[[printer]]\nname = \"q\"\nport = \"/dev/null\"\nprotocol = \"morse\"\n", level: conf.Error, says: "there is escpos", line: moreLines + 3},

	// Register links.
	{name: "framing", more: "[[ecr]]\nname = \"e\"\nframing = \"morse\"\nrx = [\"/dev/null\"]\nbaud = 9600\n", level: conf.Error, says: `no framing is called "morse"`, line: moreLines + 2},
	{name: "parity", more: "[[ecr]]\nname = \"e\"\nframing = \"zvt\"\nrx = [\"/dev/null\"]\nbaud = 9600\nparity = \"mark\"\n", level: conf.Error, says: "ecr[0].parity", line: moreLines + 5},
	{name: "data bits", more: "[[ecr]]\nname = \"e\"\nframing = \"zvt\"\nrx = [\"/dev/null\"]\nbaud = 9600\ndata_bits = 6\n", level: conf.Error, says: "neither 7 nor 8", line: moreLines + 5},
	{name: "link without a port", more: "[[ecr]]\nname = \"e\"\nframing = \"zvt\"\nbaud = 9600\n", level: conf.Error, says: "name one or two"},
	{name: "link with both", more: "[[ecr]]\nname = \"e\"\nframing = \"zvt\"\nrx = [\"/dev/null\"]\nport = \"/dev/zero\"\nbaud = 9600\n", level: conf.Error, says: "name one or two"},
	{name: "link with three", more: "[[ecr]]\nname = \"e\"\nframing = \"zvt\"\nrx = [\"/dev/null\", \"/dev/zero\", \"/dev/full\"]\nbaud = 9600\n", level: conf.Error, says: "name one or two"},
	{name: "link without a rate", more: "[[ecr]]\nname = \"e\"\nframing = \"zvt\"\nrx = [\"/dev/null\"]\n", level: conf.Error, says: "ecr[0].baud", line: moreLines},
	{name: "way", more: "[[ecr]]\nname = \"e\"\nframing = \"zvt\"\nport = \"/dev/null\"\nway = \"write\"\nbaud = 9600\n", level: conf.Error, says: "ecr[0].way", line: moreLines + 4},
	{name: "way that does not fit", more: "[[ecr]]\nname = \"e\"\nframing = \"zvt\"\nport = \"/dev/null\"\nway = \"rx\"\nbaud = 9600\n", level: conf.Error, says: "does not fit the ports", line: moreLines + 4},
	{name: "relay with a port", more: "[[ecr]]\nname = \"e\"\nframing = \"abecs\"\nway = \"relay\"\nport = \"/dev/null\"\nbaud = 9600\n", level: conf.Error, says: "give neither rx nor port", line: moreLines + 3},
	{name: "link named as a reader", more: "[[reader]]\nname = \"e\"\nport = \"/dev/null\"\n[[ecr]]\nname = \"e\"\nframing = \"zvt\"\nrx = [\"/dev/zero\"]\nbaud = 9600\n", level: conf.Error, says: "ecr[0].name", line: moreLines + 4},

	// Network and targets.
	{name: "interface not there", more: "[network]\ninterfaces = [\"nope0\"]\n", level: conf.Warning, says: `no interface "nope0"`, line: moreLines + 1},
	{name: "interface that cannot be", more: "[network]\ninterfaces = [\"an-interface-of-20\"]\n", level: conf.Error, says: "is no interface", line: moreLines + 1},
	{name: "resolver cut short", more: "[network]\nresolvers = [\"192.0.2.1\", \"8.8.8\"]\n", level: conf.Error, says: `network.resolvers[1]: "8.8.8" is no IP address`, line: moreLines + 1},
	{name: "resolver by name", more: "[network]\nresolvers = [\"dns.example\"]\n", level: conf.Error, says: "is no IP address", line: moreLines + 1},
	{name: "no file of resolvers", more: "[network]\nresolv_conf = \"DIR/none.conf\"\n", level: conf.Warning, says: "is not there", line: moreLines + 1},
	{name: "metered by a word", more: "[network]\nmetered = [\"simcard\"]\n", level: conf.Warning, says: "the kinds are ethernet", line: moreLines + 1},
	{name: "negative budget", more: "[network]\ndaily_bytes = -1\n", level: conf.Error, says: "is negative", line: moreLines + 1},
	{name: "name of a Wi-Fi network", more: "[network]\nssid = \"" + strings.Repeat("s", 33) + "\"\n", level: conf.Error, says: "at most 32", line: moreLines + 1},
	{name: "target of another name", more: target("bank"), level: conf.Error, says: "is not one of host-primary", line: moreLines + 1},
	{name: "target twice", more: target("host-primary") + target("host-primary"), level: conf.Error, says: "needs another way to it", line: moreLines + 5},
	{name: "target without a host", more: "[[target]]\nname = \"internet\"\nport = 1\n", level: conf.Error, says: "target[0].host: is empty", line: moreLines},
	{name: "target by URL", more: "[[target]]\nname = \"internet\"\nhost = \"https://x.example\"\nport = 443\n", level: conf.Error, says: "is no host", line: moreLines + 2},
	{name: "port in the host", more: "[[target]]\nname = \"internet\"\nhost = \"x.example:443\"\nport = 443\n", level: conf.Error, says: "that goes into target[0].port", line: moreLines + 2},
	{name: "port too high", more: "[[target]]\nname = \"internet\"\nhost = \"h\"\nport = 70000\n", level: conf.Error, says: "70000 is no TCP port", line: moreLines + 3},
	{name: "no port", more: "[[target]]\nname = \"internet\"\nhost = \"h\"\n", level: conf.Error, says: "0 is no TCP port", line: moreLines},
	{name: "via an interface that is not there", more: target("host-primary") + "via = \"nope0\"\n", level: conf.Warning, says: "target[0].via", line: moreLines + 4},
	{name: "via a subject", more: target("host-primary") + "via = \"host-primary@wwan0\"\n", level: conf.Error, says: "is no interface", line: moreLines + 4},
	{name: "portal of the host", more: target("host-primary") + "portal_path = \"/x\"\n", level: conf.Error, says: "portal_path", line: moreLines + 4},
	{name: "portal from here", more: target("internet") + "portal_path = \"x\"\n", level: conf.Error, says: "portal_path", line: moreLines + 4},
	{name: "portal over TLS", more: target("internet") + "tls = true\nportal_path = \"/x\"\n", level: conf.Error, says: "portal_path", line: moreLines + 5},
	{name: "host's CA not there", more: target("host-primary") + "tls = true\nca = \"DIR/none.pem\"\n", level: conf.Fault, says: "target[0].ca", line: moreLines + 5},
	{name: "host's CA without PEM", more: target("host-primary") + "tls = true\nca = \"DIR/file\"\n", level: conf.Fault, says: "openssl x509 -inform der", line: moreLines + 5},
	{name: "capture of nothing", more: "[capture]\non = true\n", level: conf.Error, says: "nothing to watch", line: moreLines + 1},
	{name: "length header", more: "[capture]\nlength = \"tpdu\"\n", level: conf.Error, says: "capture.length", line: moreLines + 1},
	{name: "dialect", more: "[capture]\ndialect = \"latin\"\n", level: conf.Error, says: "capture.dialect", line: moreLines + 1},
	{name: "capture interface", more: "[capture]\ninterface = \"nope0\"\n", level: conf.Warning, says: "capture.interface", line: moreLines + 1},

	// Files, application.
	{name: "file system not there", more: "[storage]\npaths = [\"DIR\", \"DIR/none\"]\n", level: conf.Warning, says: "storage.paths[1]", line: moreLines + 1},
	{name: "file system from here", more: "[storage]\npaths = [\"data\"]\n", level: conf.Error, says: "begins with /", line: moreLines + 1},
	{name: "process with its folder", more: "[app]\nprocess = \"/opt/pay\"\n", level: conf.Error, says: "without its folder", line: moreLines + 1},
	{name: "process with a long name", more: "[app]\nprocess = \"payment-application\"\n", level: conf.Error, says: "first 15 characters", line: moreLines + 1},
	{name: "parameters not there", more: "[app]\nparameters = [\"DIR/none.ini\"]\n", level: conf.Warning, says: "app.parameters[0]", line: moreLines + 1},

	// The way to the fleet.
	{name: "broker without a scheme", more: "[broker]\nurl = [\"fleet.example:8883\"]\n", level: conf.Error, says: "want tcp://host:1883 or ssl://host:8883", line: moreLines + 1},
	{name: "broker by https", more: "[broker]\nurl = [\"https://fleet.example\"]\n", level: conf.Error, says: "broker.url[0]", line: moreLines + 1},
	{name: "broker with a password", more: "[broker]\nurl = [\"ssl://u:p@fleet.example\"]\n", level: conf.Error, says: "put user and password into a file", line: moreLines + 1},
	{name: "broker twice", more: "[broker]\nurl = [\"ssl://127.0.0.1:1\", \"ssl://127.0.0.1:1\"]\n", level: conf.Error, says: "is there twice", line: moreLines + 1},
	{name: "broker's CA not there", more: "[broker]\nca = \"DIR/none.pem\"\n", level: conf.Fault, says: "broker.ca", line: moreLines + 1},
	{name: "broker's CA without PEM", more: "[broker]\nca = \"DIR/file\"\n", level: conf.Fault, says: "no certificate in PEM", line: moreLines + 1},
	{name: "half a certificate", more: "[broker]\ncert = \"DIR/t1.pem\"\n", level: conf.Error, says: "needs both", line: moreLines + 1},
	{name: "certificate not there", more: "[broker]\ncert = \"DIR/none.pem\"\nkey = \"DIR/t1.key\"\n", level: conf.Fault, says: "broker.cert", line: moreLines + 1},
	{name: "key of another certificate", more: "[broker]\ncert = \"DIR/t1.pem\"\nkey = \"DIR/other.key\"\n", level: conf.Fault, says: "are no pair", line: moreLines + 1},
	{name: "key is no key", more: "[broker]\ncert = \"DIR/t1.pem\"\nkey = \"DIR/file\"\n", level: conf.Fault, says: "holds no key in PEM", line: moreLines + 2},
	{name: "certificate of another terminal", more: "[broker]\ncert = \"DIR/t2.pem\"\nkey = \"DIR/t2.key\"\n", level: conf.Warning, says: `made out to "t2"`, line: moreLines + 1},
	{name: "user file not there", more: "[broker]\nuser_file = \"DIR/none\"\n", level: conf.Fault, says: "broker.user_file", line: moreLines + 1},
	{name: "user file with one line", more: "[broker]\nuser_file = \"DIR/file\"\n", level: conf.Fault, says: "password on its second", line: moreLines + 1},
	{name: "keep-alive too short", more: "[broker]\nkeepalive = \"1s\"\n", level: conf.Error, says: "not between", line: moreLines + 1},
	{name: "delivery", more: "[broker]\ndelivery = \"pigeon\"\n", level: conf.Error, says: "broker.delivery", line: moreLines + 1},
	{name: "negative budget of the broker", more: "[broker]\ndaily_bytes = -5\n", level: conf.Error, says: "is negative", line: moreLines + 1},
	{name: "outbox too small", more: "[outbox]\nmax_bytes = 262143\n", level: conf.Error, says: "256 KiB", line: moreLines + 1},
	{name: "outbox that keeps nothing", more: "[outbox]\nmax_age = \"0s\"\n", level: conf.Error, says: "keeps nothing", line: moreLines + 1},

	// Codes, labels, console.
	{name: "code table", more: "[profile]\nscheme = \"unionpai\"\n", level: conf.Error, says: `no code table "unionpai"; there are`, line: moreLines + 1},
	{name: "profile", more: "[profile]\nname = \"nobody\"\n", level: conf.Error, says: `no profile "nobody"`, line: moreLines + 1},
	{name: "key of the knowledge", more: "[knowledge]\nkeys = [\"abc\"]\n", level: conf.Error, says: "knowledge.keys[0]", line: moreLines + 1},
	{name: "label", more: "[labels]\ncolour = \"red\"\n", level: conf.Error, says: "is not one of acquirer", line: moreLines + 1},
	{name: "label with a control character", more: "[labels]\nsite = \"a\\u0007\"\n", level: conf.Error, says: "is no label", line: moreLines + 1},
	{name: "key of advisories", more: "[broker]\nadvisory_keys = [\"abc\"]\n", level: conf.Error, says: "posdx-fleet advisory-key", line: moreLines + 1},
	{name: "console that shows something else", more: "[console]\nlocked = \"some\"\n", level: conf.Error, says: "console.locked", line: moreLines + 1},
	{name: "console not there", more: "[console]\ntty = \"/dev/ttyNONE\"\n", level: conf.Warning, says: "console.tty", line: moreLines + 1},
	{name: "console from here", more: "[console]\ntty = \"ttyS0\"\n", level: conf.Error, says: "begins with /", line: moreLines + 1},
	{name: "console charset", more: "[console]\ncharset = \"latin1\"\n", level: conf.Error, says: "console.charset", line: moreLines + 1},
	{name: "console language", more: "[console]\nlanguage = \"fr\"\n", level: conf.Error, says: "console.language", line: moreLines + 1},
	{name: "console PIN short", more: "[console]\npin = \"123\"\n", level: conf.Error, says: "console.pin", line: moreLines + 1},
	{name: "console key", more: "[console]\nkeys = [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA wang\"]\n", level: good},
	{name: "console key of RSA", more: "[console]\nkeys = [\"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ wang\"]\n", level: conf.Error, says: "console.keys[0]", line: moreLines + 1},
	{name: "console PIN letters", more: "[console]\npin = \"12ab\"\n", level: conf.Error, says: "console.pin", line: moreLines + 1},
	{name: "console idle", more: "[console]\nidle = \"5s\"\n", level: conf.Error, says: "console.idle", line: moreLines + 1},
	{name: "contact", more: "[contacts]\ncarrier = \"1\\u00072\"\n", level: conf.Error, says: "contacts.carrier", line: moreLines + 1},
	{name: "console rate", more: "[console]\ntty = \"/dev/ttyNONE\"\nbaud = 0\n", level: conf.Error, says: "console.baud", line: moreLines + 2},
}

// What `config check` calls good the daemon starts with; what keeps the daemon from starting, check refuses in the same
// words. Every trial is named after what is wrong and says where.
func TestWhatCheckSaysRunDoes(t *testing.T) {
	dir := t.TempDir()
	trialFiles(t, dir)
	wrong := 0
	for _, c := range trials {
		if c.level != good {
			wrong++
		}
		t.Run(c.name, func(t *testing.T) {
			file := writeTrial(t, c, dir)
			code, out, said := cli(t, "config", "check", "--json", file)
			var doc struct {
				OK       bool
				Problems conf.Problems
			}
			if err := json.Unmarshal([]byte(out), &doc); err != nil {
				t.Fatal(err)
			}
			exits := map[conf.Level][2]int{good: {exitOK, exitOK}, conf.Warning: {exitOK, exitBad},
				conf.Fault: {exitBad, exitBad}, conf.Error: {exitFailed, exitFailed}}[c.level]
			if code != exits[0] || doc.OK != (code == exitOK) {
				t.Errorf("check: exit %d, want %d: %s", code, exits[0], said)
			}
			if strict, _, _ := cli(t, "config", "check", "--strict", file); strict != exits[1] {
				t.Errorf("check --strict: exit %d, want %d: %s", strict, exits[1], said)
			}
			if c.level == good {
				if len(doc.Problems) > 0 {
					t.Errorf("a good one: %v", doc.Problems)
				}
			} else {
				found := false
				for _, p := range doc.Problems {
					if strings.Contains(p.Error(), c.says) {
						found = true
						if p.Level != c.level || c.line != 0 && (p.Line != c.line || p.Column < 1) {
							t.Errorf("got %s at line %d, column %d; want %s at line %d: %v", p.Level, p.Line, p.Column, c.level, c.line, p)
						}
					}
					for _, goes := range []string{"struct", "unmarshal", "main.", "cannot decode", "reflect", "<nil>", "%!"} {
						if strings.Contains(p.Error(), goes) {
							t.Errorf("speaks Go: %v", p)
						}
					}
				}
				if !found {
					t.Errorf("got %v, want %q in it", doc.Problems, c.says)
				}
			}
			if c.level == conf.Error {
				code, _, ran := cli(t, "run", "--config", file)
				if code != exitConfig {
					t.Errorf("run: exit %d, want %d", code, exitConfig)
				}
				for _, line := range strings.Split(strings.TrimSpace(ran), "\n") {
					if !strings.Contains(said, line) {
						t.Errorf("run says %q, which check does not:\n%s", line, said)
					}
				}
				return
			}
			starts(t, file)
		})
	}
	if wrong < 80 {
		t.Errorf("only %d wrong files", wrong)
	}
}

// writeTrial writes the configuration of a trial; dir holds what it names.
func writeTrial(t *testing.T, c trial, dir string) (file string) {
	t.Helper()
	place := t.TempDir()
	text := c.whole
	if text == "" {
		text = "estate = \"shop\"\nterminal = \"t1\"\nstate_dir = \"STATE/state\"\n" + c.top + "[hook]\nsocket = \"STATE/s\"\n" + c.more
	}
	text = strings.ReplaceAll(strings.ReplaceAll(text, "STATE", place), "DIR", dir)
	file = filepath.Join(place, "posdx.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// starts runs the daemon until its socket answers, and stops it.
func starts(t *testing.T, file string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	socket, _, err := conf.SocketOf(file)
	if err != nil {
		t.Fatal(err)
	}
	var said housetest.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, stdio{in: strings.NewReader(""), out: &said, err: &said, speak: "en"}, []string{"run", "--config", file})
	}()
	deadline := time.After(30 * time.Second)
	for answered := false; !answered; {
		select {
		case code := <-ended:
			t.Fatalf("the daemon ended with %d: %s", code, said.String())
		case <-deadline:
			t.Fatalf("the daemon does not answer: %s", said.String())
		case <-time.After(5 * time.Millisecond):
			_, err := hook.Client{Path: socket}.State(ctx)
			// A hook whose group is not there stays closed, and says so.
			answered = err == nil || strings.Contains(said.String(), "hook is closed")
		}
	}
	stop()
	if code := <-ended; code != exitOK {
		t.Errorf("the daemon ended with %d: %s", code, said.String())
	}
}

// trialFiles makes what the trials name.
func trialFiles(t *testing.T, dir string) {
	t.Helper()
	write := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("file", []byte("no PEM and no user\n"))
	write("pay.log", nil)
	if err := os.Symlink("/dev/null", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"t1", "t2", "other"} {
		housetest.Authority{}.Issue(t, name, time.Now().Add(-time.Hour), time.Now().Add(time.Hour)).Write(t, dir, name)
	}
}

// Fragments are read after the file, in the order of their names; what is wrong in one is said of that one.
func TestFragments(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "posdx.toml")
	fragments := filepath.Join(dir, "conf.d")
	if err := os.Mkdir(fragments, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("posdx.toml", least+"[broker]\ncompress = true\nkeepalive = \"60s\"\n"+target("host-primary"))
	write("conf.d/20-b.toml", "language = \"en\"\n"+target("internet"))
	write("conf.d/10-a.toml", "language = \"zh\"\n[broker]\nkeepalive = \"90s\"\n")
	write("conf.d/30-not-this.toml.bak", "nonsense")
	c, problems, err := readConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	if c.Language != "en" || !c.Broker.Compress || time.Duration(c.Broker.KeepAlive) != 90*time.Second ||
		len(c.Target) != 2 || c.Target[1].Name != "internet" {
		t.Errorf("merged %+v, %v", c.Config, problems)
	}
	write("conf.d/20-b.toml", "# a\nlanguge = \"en\"\n")
	write("conf.d/40-c.toml", "[[target]]\nname = \"internet\"\nhost = \"h\"\nport = 0\n")
	_, _, err = readConfig(file)
	for _, want := range []string{"20-b.toml, line 2, column 1: languge: unknown key; did you mean language?"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	write("conf.d/20-b.toml", "")
	if _, _, err = readConfig(file); err == nil || !strings.Contains(err.Error(), "40-c.toml, line 4, column 8: target[1].port: 0 is no TCP port") {
		t.Errorf("got %v", err)
	}
	write("conf.d/40-c.toml", "[[log.step]]\npattern = 'x'\nphase = \"end\"\n")
	write("posdx.toml", least+"[[log]]\npath = \"/tmp/x.log\"\npatterns = ['(?P<code>x)']\n")
	if _, _, err = readConfig(file); err == nil || !strings.Contains(err.Error(), "none stands before it in this file") {
		t.Errorf("a step for a log of another file: %v", err)
	}
}

// The example that is shipped is refused until somebody says who the terminal is, with the remedy; then it is good.
func TestShippedExample(t *testing.T) {
	b, err := os.ReadFile("../firmware-build/posdx.toml")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "posdx.toml")
	write := func(b []byte) {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(b)
	code, _, said := cli(t, "config", "check", file)
	for _, want := range []string{`sed -i 's/^estate = .*/estate = "NAME"/' ` + file, `sed -i 's/^terminal = .*/terminal = "NAME"/' ` + file} {
		if code != exitFailed || !strings.Contains(said, want) {
			t.Errorf("exit %d, %s; want %q", code, said, want)
		}
	}
	write(bytes.ReplaceAll(b, []byte(`"change-me"`), []byte(`"shop-1"`)))
	if code, _, said := cli(t, "config", "check", file); code != exitOK {
		t.Errorf("exit %d, %s", code, said)
	}
	// Every key that the example shows in a comment is one.
	lines := strings.Split(string(b), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "#") && !strings.HasPrefix(l, "# ") {
			lines[i] = l[1:]
		}
	}
	write([]byte(strings.Join(lines, "\n")))
	if _, _, said := cli(t, "config", "check", file); strings.Contains(said, "unknown key") || strings.Contains(said, "not TOML") {
		t.Errorf("the example shows what is not there: %s", said)
	}
}

// A client finds the socket in a configuration with mistakes elsewhere, and says when it cannot know.
func TestSocketOfAConfiguration(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ text, socket, says string }{
		"its own":         {"[hook]\nsocket = \"/x/y\"\n", "/x/y", ""},
		"default":         {"", conf.Socket, ""},
		"wrong elsewhere": {"languge = 1\n[hook]\nsocket = \"/x/y\"\n[broker]\nkeepalive = 60\n", "/x/y", ""},
		"no TOML":         {"[hook\n", "", "not TOML"},
		"no text":         {"[hook]\nsocket = 1\n", "", "hook.socket"},
	} {
		file := filepath.Join(dir, "c.toml")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		socket, _, err := conf.SocketOf(file)
		if socket != c.socket || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %q, %v", name, socket, err)
		}
	}
	if _, _, err := conf.SocketOf(filepath.Join(dir, "none.toml")); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a file that was named and is not there: %v", err)
	}
}

// foreignWord finds what reads as an English word in a Chinese text, once its values are taken out: what stands in
// quotes, keys, paths, addresses, commands and the names of things that have no other.
var (
	valueInText = regexp.MustCompile("\"(?:[^\"\\\\]|\\\\.)*\"|'[^']*'|“[^”]*”|\\[+[^\\]]*\\]+|[\\w.-]+\\[\\d+\\][\\w.\\[\\]]*|[a-z]+://\\S+|~?/[\\w./*-]+|" +
		"[\\w-]+ = …|\\w+=\\w+|--[\\w-]+|\\$\\w+|%\\w")
	wordInText = regexp.MustCompile(`[A-Za-z][\w.-]{2,}`)
)

// sameInChinese are words that Chinese readers of a configuration know as they are: names of formats, programs and
// protocols.
var sameInChinese = strings.Fields(`MQTT TOML JSON UTF-8 UTF-16 UTF GBK BOM PEM DER base64 ed25519 HTTP TCP USB Wi-Fi IPv6 KiB posdx posdx-fleet
	Windows ASCII sed iconv openssl groupadd chmod head lsusb zip`)

func foreignWords(text string, keys []string) (list []string) {
	for _, command := range []string{"sed -i", "iconv ", "openssl ", "groupadd ", "head -c", "chmod ", "posdx-fleet ", "lsusb", "ip link"} {
		for {
			i := strings.Index(text, command)
			if i < 0 {
				break
			}
			end := strings.IndexFunc(text[i:], func(r rune) bool {
				return unicode.Is(unicode.Han, r) ||
					strings.ContainsRune("，；。）", r)
			})
			if end < 0 {
				end = len(text) - i
			}
			text = text[:i] + text[i+end:]
		}
	}
	for _, w := range wordInText.FindAllString(valueInText.ReplaceAllString(text, " "), -1) {
		w = strings.Trim(w, ".-")
		if !slices.Contains(sameInChinese, w) && !slices.Contains(keys, w) && !strings.ContainsAny(w, "0123456789_") {
			list = append(list, w)
		}
	}
	return list
}

// TestConfigurationIsRefusedInBothLanguages: what is wrong with each of the files is said in Chinese without an English
// word but for keys and values, and in English without a Chinese one; its id is the same in both.
func TestConfigurationIsRefusedInBothLanguages(t *testing.T) {
	dir := t.TempDir()
	trialFiles(t, dir)
	keys := configKeys(reflect.TypeFor[conf.Config]())
	for _, scheme := range codes.Builtin().Schemes {
		keys = append(keys, strings.Split(scheme.Name, "-")...)
		keys = append(keys, scheme.Name)
	}
	for _, p := range codes.Builtin().Profiles {
		keys = append(keys, p.Name)
	}
	values := `error zh en verdict nothing host terminal cashier unknown start sent answered end approved declined failed cancelled none odd even rx own relay lan
		port host-primary host-backup internet ethernet wifi cellular ppp acquirer carrier bearer site region model firmware application fleet broker
		utf gbk key value code icmp mk-pin mk-data dukpt-pin dukpt-data abecs escpos reader modem pinpad printer tls false true via ca server_name
		ssl tcp stan mti tid entry message time scheme origin tty read A-Z a-z usb ssh-keygen VVVV PPPP hook.http broker.key pos.acquirer.example`
	keys = append(keys, strings.Fields(values)...)
	keys = append(keys, append(reader.Protocols(), "gempc-twin", "gemcore", "simpro", "sec", "msr", "ccid")...)
	keys = slices.Concat(keys, paylog.Encodings(), ecr.DialectNames(), ecr.LengthHeaderNames(), ecr.Framings)
	for _, c := range trials {
		if c.level == good {
			continue
		}
		file := writeTrial(t, c, dir)
		_, problems, _ := readConfig(file)
		for i, p := range problems {
			zh, en := p.In("zh"), p.In("en")
			if i > 0 && en == problems[i-1].In("en") {
				t.Errorf("%s: said twice: %s", c.name, en)
			}
			if words := foreignWords(strings.ReplaceAll(strings.ReplaceAll(zh, file, ""), p.Key, ""), keys); len(words) > 0 {
				t.Errorf("%s: %q in %s", c.name, words, zh)
			}
			if strings.ContainsFunc(en, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
				t.Errorf("%s: Chinese in %s", c.name, en)
			}
			if p.ID == "" && !strings.Contains(p.Key, "begin") {
				t.Errorf("%s: no id: %s", c.name, en)
			}
		}
		for _, lang := range []string{"zh", "en"} {
			var out, talk housetest.Buffer
			run(t.Context(), stdio{in: strings.NewReader(""), out: &out, err: &talk}, []string{"config", "check", "--lang", lang, file})
			if !strings.Contains(talk.String(), strings.ReplaceAll(problems[0].In(lang), "\n", " ")) {
				t.Errorf("%s: check --lang %s says %s", c.name, lang, talk.String())
			}
		}
	}
}

// configKeys are all keys of the configuration.
func configKeys(of reflect.Type) (list []string) {
	for of.Kind() == reflect.Slice {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct {
		return nil
	}
	for i := range of.NumField() {
		if tag := of.Field(i).Tag.Get("toml"); tag != "" {
			list = append(append(list, tag), configKeys(of.Field(i).Type)...)
		}
	}
	return list
}

// TestLanguageOfCommands: --lang goes before the environment's language, and that before the configuration's.
func TestLanguageOfCommands(t *testing.T) {
	dir := t.TempDir()
	file := func(name, language string) string {
		path := filepath.Join(dir, name)
		text := "estate = \"shop\"\n"
		if language != "" {
			text = "language = \"" + language + "\"\n" + text
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	none, en, zh := file("none.toml", ""), file("en.toml", "en"), file("zh.toml", "zh")
	for _, c := range []struct {
		environment string
		args        []string
		english     bool
	}{
		{"", []string{"config", "check", none}, false},
		{"en_US.UTF-8", []string{"config", "check", none}, true},
		{"zh_CN.UTF-8", []string{"config", "check", none}, false},
		{"C.UTF-8", []string{"config", "check", none}, false},
		{"zh_CN.UTF-8", []string{"config", "check", en}, false},
		{"C.UTF-8", []string{"config", "check", en}, true},
		{"de_DE.UTF-8", []string{"config", "check", en}, true},
		{"enx", []string{"config", "check", none}, false},
		{"en_US.UTF-8", []string{"config", "check", zh}, true},
		{"en_US.UTF-8", []string{"config", "check", "--lang=zh", en}, false},
		{"", []string{"config", "check", "--lang", "en", zh}, true},
		{"", []string{"run", "--config", en}, true},
		{"en_US.UTF-8", []string{"run", "--config", zh}, true},
		{"", []string{"run", "--config", zh}, false},
		{"", []string{"run", "--config", zh, "--lang=en"}, true},
		{"", []string{"history", "--config", en}, true},
		{"", []string{"decode", "--lang", "en", "ABCD"}, true},
		{"", []string{"decode", "ABCD"}, false},
		{"en_US.UTF-8", []string{"status", "--nothing"}, true},
		{"", []string{"status", "--nothing"}, false},
		{"", []string{"nothing"}, false},
		{"en_US.UTF-8", []string{"nothing"}, true},
	} {
		for _, name := range []string{"LC_ALL", "LC_MESSAGES"} {
			t.Setenv(name, "")
		}
		t.Setenv("LANG", c.environment)
		var out, talk housetest.Buffer
		run(t.Context(), stdio{in: strings.NewReader(""), out: &out, err: &talk}, c.args)
		first, _, _ := strings.Cut(talk.String(), "\n")
		if chinese := strings.ContainsFunc(first, func(r rune) bool { return unicode.Is(unicode.Han, r) }); first == "" ||
			chinese == c.english {
			t.Errorf("LANG=%s %q: %s", c.environment, c.args, first)
		}
	}
}
