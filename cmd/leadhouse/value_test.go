package main

import (
	"testing"
	"time"
)

// TestValues reads texts into values of every form. want is how -h would show the result; "" means that it is refused, and
// then what was there before must stay.
func TestValues(t *testing.T) {
	t.Parallel()
	forms := map[string]func() value{
		"number":   func() value { n := 7; return number(&n) },
		"size":     func() value { n := 7; return size(&n) },
		"duration": func() value { d := 7 * time.Second; return duration(&d) },
		"delay":    func() value { d := 7 * time.Second; return delay(&d) },
		"toggle":   func() value { on := false; return toggle(&on) },
		"text":     func() value { w := "a"; return text(&w, "NAME") },
		"oneOf":    func() value { w := "a"; return oneOf(&w, "a", "b") },
		"someOf":   func() value { w := []string{"a"}; return someOf(&w, "a", "b") },
		"listen":   func() value { a := ":1"; return listen(&a) },
		"hosts":    func() value { a := []string{"h:1"}; return addresses(&a, "h:1") },
		"url":      func() value { a := "https://h"; return address(&a) },
	}
	for _, test := range []struct{ form, text, want string }{
		{"number", "1", "1"},
		{"number", "50000", "50000"},
		{"number", "0", ""},
		{"number", "-1", ""},
		{"number", "1.5", ""},
		{"number", "", ""},
		{"number", "9223372036854775808", ""},
		{"number", "0x10", ""},
		{"size", "1", "1B"},
		{"size", "1024", "1KiB"},
		{"size", "32MiB", "32MiB"},
		{"size", "32 MiB", "32MiB"},
		{"size", "1536KiB", "1536KiB"},
		{"size", "1GiB", "1GiB"},
		{"size", "100B", "100B"},
		{"size", "2GiB", ""},
		{"size", "2147483648", ""},
		{"size", "0", ""},
		{"size", "-1MiB", ""},
		{"size", "1MB", ""},
		{"size", "1.5MiB", ""},
		{"size", "MiB", ""},
		{"duration", "200ms", "200ms"},
		{"duration", "90s", "1m30s"},
		{"duration", "60m", "1h"},
		{"duration", "1h30m", "1h30m"},
		{"duration", "14d", "14d"},
		{"duration", "48h", "2d"},
		{"duration", "1h0m5s", "1h0m5s"},
		{"duration", "10m", "10m"},
		{"duration", "0", ""},
		{"duration", "0s", ""},
		{"duration", "-1s", ""},
		{"duration", "5", ""},
		{"duration", "-1d", ""},
		{"duration", "1.5d", ""},
		{"duration", "d", ""},
		{"duration", "99999d", ""},
		{"delay", "0", "1ns"},
		{"delay", "0s", "1ns"},
		{"delay", "5s", "5s"},
		{"delay", "-5s", ""},
		{"toggle", "true", "true"},
		{"toggle", "1", "true"},
		{"toggle", "yes", ""},
		{"toggle", "TRUE", ""},
		{"text", "x", "x"},
		{"text", "", ""},
		{"oneOf", "b", "b"},
		{"oneOf", "c", ""},
		{"oneOf", "A", ""},
		{"oneOf", "", ""},
		{"someOf", "b,a", "b,a"},
		{"someOf", " b , a ", "b,a"},
		{"someOf", "b,c", ""},
		{"someOf", ",", ""},
		{"listen", ":8080", ":8080"},
		{"listen", "127.0.0.1:0", "127.0.0.1:0"},
		{"listen", "[::1]:80", "[::1]:80"},
		{"listen", "8080", ""},
		{"listen", "localhost", ""},
		{"listen", ":http", ""},
		{"listen", ":65536", ""},
		{"hosts", "a:1,b:2", "a:1,b:2"},
		{"hosts", "a:1, b:2,", "a:1,b:2"},
		{"hosts", "[::1]:9092", "[::1]:9092"},
		{"hosts", "a", ""},
		{"hosts", "a:1,b", ""},
		{"hosts", ":9092", ""},
		{"hosts", "", ""},
		{"hosts", "kafka://a:1", ""},
		{"hosts", "u:p@a:1", ""},
		{"url", "http://127.0.0.1:1/v1", "http://127.0.0.1:1/v1"},
		{"url", "api.leadron.io", ""},
		{"url", "ftp://h", ""},
		{"url", "https://", ""},
		{"url", "https://user:secret@h", ""},
	} {
		v := forms[test.form]()
		before := v.show()
		err := v.parse(test.text)
		switch got := v.show(); {
		case test.want == "" && err == nil:
			t.Errorf("%s %q: got %q, want an error", test.form, test.text, got)
		case test.want == "" && got != before:
			t.Errorf("%s %q: refused, and yet %q became %q", test.form, test.text, before, got)
		case test.want != "" && (err != nil || got != test.want):
			t.Errorf("%s %q: got %q, %v, want %q", test.form, test.text, got, err, test.want)
		}
	}
}
