// Package say holds the messages that a person gets when something is wrong: each text once, in both languages, under
// an id. An error that reaches a person is a Message, an id with the values that go into the text; the language is
// chosen where it is shown.
package say

import (
	"fmt"
	"strconv"
	"strings"

	"posdx/agent/translate"
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
	at, values := translate.Find(text, forms())
	if at < 0 {
		return New("heard", text)
	}
	args := make([]any, len(values))
	for i, v := range values {
		n, err := strconv.Atoi(v.Text)
		plain, wrong := strconv.Unquote(v.Text)
		switch {
		case v.Verb == 'd' && err == nil:
			args[i] = n
		case v.Verb == 'q' && wrong == nil:
			args[i] = plain
		case v.Verb == 'v':
			args[i] = Heard(v.Text)
		default:
			args[i] = v.Text
		}
	}
	return Message{texts[at].id, args}
}

// forms are the texts by which what was written in English is found again.
func forms() []translate.Text {
	list := make([]translate.Text, len(texts))
	for i, t := range texts {
		list[i] = translate.Text{ZH: t.zh, EN: t.en}
	}
	return list
}

// Error is any error in a language. Texts that only the system or a library has are given in their own words, in
// quotes.
func Error(err error, lang string) string {
	if lang != "en" {
		return translate.Error(err, forms())
	}
	if t, ok := err.(Teller); ok {
		return t.In(lang)
	}
	return err.Error()
}
