// Package say holds the messages that a person gets when something is wrong: each text once, in both languages, under
// an id. An error that reaches a person is a Message, an id with the values that go into the text; the language is
// chosen where it is shown.
package say

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"regexp/syntax"
	"strconv"
	"strings"
)

// A Message is one text with its values. As an error it is in English, which is the language of logs.
type Message struct {
	ID   string // of its text
	Args []any  // what goes into the text: values, lists of words, or errors, which are said in the same language
}

// New makes a message.
func New(id string, args ...any) Message { return Message{id, args} }

func (m Message) Error() string { return m.In("en") }

// Unwrap returns the errors among the arguments.
func (m Message) Unwrap() (list []error) {
	for _, a := range m.Args {
		if err, ok := a.(error); ok {
			list = append(list, err)
		}
	}
	return list
}

// Is tells whether an error is the same message, whatever its values.
func (m Message) Is(err error) bool {
	o, ok := err.(Message)
	return ok && o.ID == m.ID
}

// In is the message in a language, "zh" or "en".
func (m Message) In(lang string) string {
	zh, en := find(m.ID)
	format, between := zh, "、"
	if lang == "en" {
		format, between = en, ", "
	}
	format = bounded.Replace(format)
	if !strings.Contains(format, "%") {
		return format // one language may need less than the other
	}
	args := make([]any, len(m.Args))
	for i, a := range m.Args {
		switch a := a.(type) {
		case error:
			args[i] = Error(a, lang)
		case []string:
			args[i] = strings.Join(a, between)
		default:
			args[i] = a
		}
	}
	return fmt.Sprintf(format, args...)
}

// bounded cuts what is quoted: words from elsewhere can be as long as a line.
var bounded = strings.NewReplacer("%q", "%.200q", "%[1]q", "%.200[1]q", "%[2]q", "%.200[2]q", "%[3]q", "%.200[3]q")

func find(id string) (zh, en string) {
	for i := range texts {
		if t := &texts[i]; t.id == id {
			return t.zh, t.en
		}
	}
	return id + "%[1]v", id + "%[1]v" // a test finds ids without a text
}

// A Teller is an error that can be written in a language, "zh" or "en".
type Teller interface{ In(lang string) string }

// Heard finds the message behind an English text that another program, or a driver, has written, if there is one, so
// that it can be shown in the language of the reader.
func Heard(text string) Message {
	for i := range texts {
		args, ok := match(texts[i].en, text)
		if ok {
			return Message{texts[i].id, args}
		}
	}
	return New("heard", text)
}

// match compares a text with the English form of a message and finds the values in it: words, numbers and quoted words
// only.
func match(format, text string) (args []any, ok bool) {
	for {
		fixed, rest, more := strings.Cut(format, "%")
		if !more {
			return args, text == fixed && (fixed != "" || len(args) > 0)
		}
		if text, ok = strings.CutPrefix(text, fixed); !ok || rest == "" || fixed == "" && len(args) == 0 {
			return nil, false
		}
		kind, after := rest[0], rest[1:]
		next, _, _ := strings.Cut(after, "%")
		end := len(text)
		if next != "" {
			if end = strings.Index(text, next); end < 0 {
				return nil, false
			}
		}
		value := text[:end]
		switch kind {
		case 's':
			args = append(args, value)
		case 'd':
			n, err := strconv.Atoi(value)
			if err != nil {
				return nil, false
			}
			args = append(args, n)
		case 'q':
			plain, err := strconv.Unquote(value)
			if err != nil {
				return nil, false
			}
			args = append(args, plain)
		default:
			return nil, false
		}
		format, text = after, text[end:]
	}
}

// Error is any error in a language. Texts that only the system or a library has are given in their own words, in
// quotes.
func Error(err error, lang string) string {
	if t, ok := err.(Teller); ok {
		return t.In(lang)
	}
	if lang == "en" {
		return err.Error()
	}
	var path *fs.PathError
	var link *os.LinkError
	var op *net.OpError
	var name *net.DNSError
	var pattern *syntax.Error
	var t Teller
	switch {
	case errors.As(err, &t):
		return t.In(lang)
	case errors.As(err, &path):
		return path.Path + "：" + system(path.Err)
	case errors.As(err, &link):
		return link.New + "：" + system(link.Err)
	case errors.As(err, &name):
		return name.Name + "：找不到这个主机名"
	case errors.As(err, &op) && op.Addr != nil:
		return op.Addr.String() + "：" + system(op.Err)
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return "证书不是由信任的 CA 签发的"
	case errors.As(err, new(x509.HostnameError)):
		return "证书不是给这个主机名的"
	case errors.As(err, &pattern):
		_, what, _ := strings.Cut(patterns, "\n"+string(pattern.Code)+"=")
		what, _, _ = strings.Cut(what, "\n")
		return fmt.Sprintf("%q %s", pattern.Expr, what)
	}
	if m := Heard(err.Error()); m.ID != "heard" {
		return m.In(lang)
	}
	return system(err)
}

// patterns says in Chinese what is wrong with a regular expression, by the library's own words.
const patterns = `
invalid character class=不是字符类
invalid character class range=字符范围不对
invalid escape sequence=不是转义
invalid named capture=组的名字不对
invalid or unsupported Perl syntax=不支持这种 Perl 写法
invalid repeat count=重复次数不对
trailing backslash at end of expression=末尾多了反斜杠
missing argument to repetition operator=重复符前面没有内容
missing closing ]=缺少 ]
missing closing )=缺少 )
unexpected )=多了一个 )
invalid UTF-8=不是 UTF-8
invalid nested repetition operator=重复符连用
expression nests too deeply=嵌套太深
expression too large=表达式太大
`
