package config

import (
	"net/url"
	"reflect"
	"time"
)

// Public is the configuration by the keys of its file, without secrets, the paths of secrets, and what is about the
// merchant. As in the file, a key that is not there has its default.
func (c Config) Public() map[string]any {
	m := byKeys(reflect.ValueOf(c), reflect.ValueOf(Defaults()))
	change := func(table, key string, to func(was any) any) {
		if t, _ := m[table].(map[string]any); t[key] != nil {
			t[key] = to(t[key])
		}
	}
	hidden := func(any) any { return "(set)" }
	for _, k := range [...][2]string{{"broker", "key"}, {"broker", "cert"}, {"broker", "user_file"}, {"network", "ssid"},
		{"hook", "token_file"}, {"console", "pin"},
		{"contacts", "acquirer"}, {"contacts", "carrier"}, {"contacts", "service"}} { // who serves this merchant
		change(k[0], k[1], hidden)
	}
	change("console", "keys", func(any) any { return len(c.Console.Keys) }) // with the names of people
	change("broker", "url", func(any) any {
		urls := make([]string, len(c.Broker.URL))
		for i, s := range c.Broker.URL {
			urls[i] = placeOf(s)
		}
		return urls
	})
	change("broker", "renew", func(any) any { return placeOf(c.Broker.Renew) })
	return m
}

// placeOf is where an address leads, without what it carries: a user, a password, a query.
func placeOf(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "(unreadable)"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host}).String()
}

// byKeys turns a part of the configuration into what encoding/json writes with the keys of the file. What is empty, and
// is so by default, is left out.
func byKeys(v, byDefault reflect.Value) map[string]any {
	m := map[string]any{}
	for i := range v.NumField() {
		key, f, usual := v.Type().Field(i).Tag.Get("toml"), v.Field(i), byDefault.Field(i)
		switch {
		case key == "":
		case f.Kind() == reflect.Struct:
			if table := byKeys(f, usual); len(table) > 0 {
				m[key] = table
			}
		case f.IsZero() && usual.IsZero():
		case f.Type() == durationType:
			m[key] = time.Duration(f.Int()).String()
		case f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct:
			list, none := make([]any, f.Len()), reflect.Zero(f.Type().Elem())
			for j := range list {
				list[j] = byKeys(f.Index(j), none)
			}
			m[key] = list
		default:
			m[key] = f.Interface()
		}
	}
	return m
}
