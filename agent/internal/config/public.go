package config

import (
	"net/url"
	"reflect"
	"time"
)

// Public is the configuration by the keys of its file, without secrets, the paths of secrets, and what is about the
// merchant.
func (c Config) Public() map[string]any {
	m := byKeys(reflect.ValueOf(c)).(map[string]any)
	hide := func(table, key string) {
		if t := m[table].(map[string]any); t[key] != "" {
			t[key] = "(set)"
		}
	}
	hide("broker", "key")
	hide("broker", "cert")
	hide("broker", "user_file")
	hide("network", "ssid")
	hide("hook", "token_file")
	hide("console", "pin")
	m["console"].(map[string]any)["keys"] = len(c.Console.Keys) // with the names of people
	for _, who := range [...]string{"acquirer", "carrier", "service"} {
		hide("contacts", who) // who serves this merchant
	}
	urls := make([]string, len(c.Broker.URL))
	for i, s := range c.Broker.URL {
		urls[i] = placeOf(s)
	}
	m["broker"].(map[string]any)["url"] = urls
	m["broker"].(map[string]any)["renew"] = placeOf(c.Broker.Renew)
	return m
}

// placeOf is where an address leads, without what it carries: a user, a password, a query.
func placeOf(s string) string {
	if s == "" {
		return ""
	}
	u, err := url.Parse(s)
	if err != nil {
		return "(unreadable)"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host}).String()
}

// byKeys turns a value of the configuration into what encoding/json writes with the keys of the file.
func byKeys(v reflect.Value) any {
	switch {
	case v.Type() == durationType:
		return time.Duration(v.Int()).String()
	case v.Kind() == reflect.Struct:
		m := map[string]any{}
		for i := range v.NumField() {
			if tag := v.Type().Field(i).Tag.Get("toml"); tag != "" {
				m[tag] = byKeys(v.Field(i))
			}
		}
		return m
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = byKeys(v.Index(i))
		}
		return list
	case v.Kind() == reflect.Slice && v.IsNil():
		return []string{}
	}
	return v.Interface()
}
