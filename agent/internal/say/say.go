// Package say holds the messages that a person gets when something is wrong, each once and in both languages, under an
// id. An error that reaches a person is a Message: the id of a text and the values that go into it. Which language it
// is told in is decided where it is shown.
package say

import (
	"fmt"
	"strings"

	"posdx/agent/translate"
)

// A Message is one text with its values. As an error it is in English, the language of logs.
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

// Is tells whether an error is the same message, with whatever values (see errors.Is).
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
	for _, t := range told().texts {
		if t.id == id {
			return t.zh, t.en
		}
	}
	return id + "%[1]v", id + "%[1]v" // a test finds ids without a text
}

// A Teller is an error that can be told in a language, "zh" or "en".
type Teller interface{ In(lang string) string }

// Heard makes a Message of an English text that another program or a driver wrote. Where the text has the form of one
// of the messages, or of an error that is made in English, it is told in the reader's language; else in its own words.
func Heard(text string) Message { return New("heard", foreign(text)) }

// foreign is a text that was made elsewhere.
type foreign string

func (f foreign) Error() string { return string(f) }

// Is tells whether it was made of a message, whatever its values.
func (f foreign) Is(err error) bool {
	m, ok := err.(Message)
	t := told()
	at := translate.Find(string(f), t.forms)
	return ok && at >= t.heard && t.texts[at-t.heard].id == m.ID
}

func (f foreign) In(lang string) string {
	if lang == "en" {
		return string(f)
	}
	return translate.Words(string(f), told().forms)
}

// Error tells any error in a language. What only the system or a library says stands in its own words, in quotes.
func Error(err error, lang string) string {
	if lang != "en" {
		return translate.Error(err, told().forms)
	}
	if t, ok := err.(Teller); ok {
		return t.In(lang)
	}
	return err.Error()
}
