package translate

import "testing"

// TestLanguage: --lang goes before the environment, and without both it is Chinese.
func TestLanguage(t *testing.T) {
	for _, c := range []struct {
		locale string
		args   []string
		want   string
	}{
		{"", nil, "zh"}, {"C", nil, "zh"}, {"en_GB.UTF-8", nil, "en"}, {"zh_CN", []string{"--lang=en"}, "en"},
		{"en_GB", []string{"list", "--lang", "zh"}, "zh"}, {"en", []string{"--lang"}, "en"}, {"", []string{"--lang", "fr"}, "zh"},
	} {
		t.Setenv("LC_ALL", "")
		t.Setenv("LC_MESSAGES", "")
		t.Setenv("LANG", c.locale)
		if got := Language(c.args); got != c.want {
			t.Errorf("%q %q: %s, want %s", c.locale, c.args, got, c.want)
		}
	}
}
