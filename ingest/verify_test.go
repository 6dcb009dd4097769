package ingest_test

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/leadhouse/leadhouse/ingest"
)

// vector is one line of testdata/vectors.txt, which openssl made (testdata/vectors.sh).
type vector struct {
	name, algorithm, secret string
	body, digest            []byte
}

func vectors(t *testing.T) (all []vector) {
	t.Helper()
	text, err := os.ReadFile("testdata/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSpace(line), " ")
		var raw [3][]byte
		for i := range raw {
			if raw[i], err = base64.StdEncoding.DecodeString(f[2+i]); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, vector{f[0], f[1], string(raw[0]), raw[1], raw[2]})
	}
	return all
}

func signature(values ...string) http.Header { return http.Header{"X-Leadron-Signature": values} }

func one(value string) []ingest.Secret { return []ingest.Secret{ingest.NewSecret(secretID, value)} }

func TestVectorsOfOpenSSLVerify(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t) {
		hexed, based := hex.EncodeToString(v.digest), base64.StdEncoding.EncodeToString(v.digest)
		for _, c := range []struct {
			form   string
			scheme ingest.Scheme
			value  string
		}{
			{"bare hex", ingest.Scheme{Algorithm: v.algorithm}, hexed},
			{"prefixed hex", ingest.Scheme{Algorithm: v.algorithm}, v.algorithm + "=" + hexed},
			{"bare base64", ingest.Scheme{Algorithm: v.algorithm, Encoding: "base64"}, based},
			{"prefixed base64", ingest.Scheme{Algorithm: v.algorithm, Encoding: "base64"}, v.algorithm + "=" + based},
			{"own prefix", ingest.Scheme{Algorithm: v.algorithm, Prefix: "v1,"}, "v1," + hexed},
		} {
			if id, reason := ingest.Verify(c.scheme, one(v.secret), signature(c.value), v.body); id != secretID {
				t.Errorf("%s %s, %s: got %q, want verified", v.algorithm, v.name, c.form, reason)
			}
			altered := append([]byte("x"), v.body...)
			if _, reason := ingest.Verify(c.scheme, one(v.secret), signature(c.value), altered); reason != "wrong_signature" {
				t.Errorf("%s %s, %s, another body: got %q, want wrong_signature", v.algorithm, v.name, c.form, reason)
			}
			if _, reason := ingest.Verify(c.scheme, one(v.secret+"x"), signature(c.value), v.body); reason != "wrong_signature" {
				t.Errorf("%s %s, %s, another secret: got %q, want wrong_signature", v.algorithm, v.name, c.form, reason)
			}
		}
	}
}

// CVE-2024-21491: a verifier that compares as far as the sender went accepts the empty prefix.
func TestEveryTruncationAndExtensionIsRefused(t *testing.T) {
	t.Parallel()
	const body = "body"
	full := sign(body)
	for _, prefix := range []string{"", "sha256="} {
		for n := range len(full) {
			value := prefix + full[:n]
			if _, reason := ingest.Verify(ingest.Scheme{}, one(secret), signature(value), []byte(body)); reason != "malformed_signature" && value != "" {
				t.Errorf("%q: got %q, want malformed_signature", value, reason)
			}
		}
		for _, more := range []string{"0", "00", full, " ", ",", "\x00", "=", "\n"} {
			value := prefix + full + more
			if _, reason := ingest.Verify(ingest.Scheme{}, one(secret), signature(value), []byte(body)); reason != "malformed_signature" {
				t.Errorf("%q: got %q, want malformed_signature", value, reason)
			}
		}
	}
}

func TestHeaderValuesAreRefused(t *testing.T) {
	t.Parallel()
	const body = "body"
	good := sign(body)
	for _, c := range []struct {
		name   string
		values []string
		want   string
	}{
		{"absent", nil, "no_signature"},
		{"blank", []string{""}, "no_signature"},
		{"spaces", []string{"   "}, "malformed_signature"},
		{"twice the same", []string{good, good}, "duplicate_signature_header"},
		{"good first", []string{good, "x"}, "duplicate_signature_header"},
		{"good last", []string{"", good}, "duplicate_signature_header"},
		{"over 1 KiB", []string{strings.Repeat("a", 1025)}, "oversized_signature"},
		{"1 KiB", []string{strings.Repeat("a", 1024)}, "malformed_signature"},
		{"upper case", []string{strings.ToUpper(good)}, "malformed_signature"},
		{"one letter upper case", []string{upperFirstLetter(good)}, "malformed_signature"},
		{"upper-case prefix", []string{"SHA256=" + good}, "malformed_signature"},
		{"prefix twice", []string{"sha256=sha256=" + good}, "malformed_signature"},
		{"prefix alone", []string{"sha256="}, "malformed_signature"},
		{"another algorithm: sha1", []string{"sha1=" + good[:40]}, "malformed_signature"},
		{"another algorithm: md5", []string{"md5=" + good[:32]}, "malformed_signature"},
		{"another algorithm: none", []string{"none="}, "malformed_signature"},
		{"another algorithm: sha512", []string{"sha512=" + good + good}, "malformed_signature"},
		{"another algorithm over a right digest", []string{"sha1=" + good}, "malformed_signature"},
		{"a list, good one first", []string{good + "," + good}, "malformed_signature"},
		{"a list, empty tokens", []string{",," + good + ","}, "malformed_signature"},
		{"space before", []string{" " + good}, "malformed_signature"},
		{"quotes", []string{`"` + good + `"`}, "malformed_signature"},
		{"not hex", []string{strings.Repeat("g", 64)}, "malformed_signature"},
		{"full-width digits", []string{strings.Repeat("\uff11", 64)}, "malformed_signature"},
		{"of the empty body", []string{sign("")}, "wrong_signature"},
		{"of the empty key", []string{signWith("", body)}, "wrong_signature"},
		{"zeros", []string{strings.Repeat("0", 64)}, "wrong_signature"},
	} {
		if id, reason := ingest.Verify(ingest.Scheme{}, one(secret), signature(c.values...), []byte(body)); id != "" || reason != c.want {
			t.Errorf("%s: got %q, %q, want %q", c.name, id, reason, c.want)
		}
	}
}

func upperFirstLetter(s string) string {
	i := strings.IndexAny(s, "abcdef")
	return s[:i] + strings.ToUpper(s[i:i+1]) + s[i+1:]
}

func TestBase64IsStrict(t *testing.T) {
	t.Parallel()
	const body = "body"
	scheme := ingest.Scheme{Encoding: "base64"}
	raw, _ := hex.DecodeString(sign(body))
	good := base64.StdEncoding.EncodeToString(raw)
	last := len(good) - 2 // the digit before the padding carries two unused bits
	other := good[:last] + string(nextDigit(good[last])) + good[last+1:]
	for name, value := range map[string]string{
		"unpadded": good[:len(good)-1], "url alphabet": base64.URLEncoding.EncodeToString([]byte(strings.Repeat("\xff", 32))),
		"unused bits set": other, "new line inside": good[:4] + "\n" + good[5:], "hex": sign(body),
	} {
		if _, reason := ingest.Verify(scheme, one(secret), signature(value), []byte(body)); reason != "malformed_signature" {
			t.Errorf("%s: got %q, want malformed_signature", name, reason)
		}
	}
	if id, reason := ingest.Verify(scheme, one(secret), signature(good), []byte(body)); id != secretID {
		t.Errorf("good: got %q", reason)
	}
}

func nextDigit(c byte) byte {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	return digits[(strings.IndexByte(digits, c)+1)%64]
}

func TestSeveralSecretsFirstMiddleLastOrNone(t *testing.T) {
	t.Parallel()
	secrets := []ingest.Secret{
		ingest.NewSecret("a", "first-8vM2qXz7Lr4TnWc1"), ingest.NewSecret("b", "middle-Wq81mPz0LdYx7"), ingest.NewSecret("c", "last-p0OiU7yT5rE3w"),
	}
	const body = `{"id":"evt_1"}`
	for _, s := range secrets {
		if id, reason := ingest.Verify(ingest.Scheme{}, secrets, signature(signWith(s.Value(), body)), []byte(body)); id != s.ID {
			t.Errorf("signed with %s: got %q, %q", s.ID, id, reason)
		}
	}
	if id, reason := ingest.Verify(ingest.Scheme{}, secrets, signature(signWith("none-of-them-9x8y7z", body)), []byte(body)); reason != "wrong_signature" {
		t.Errorf("signed with none: got %q, %q", id, reason)
	}
	if id, reason := ingest.Verify(ingest.Scheme{}, nil, signature(sign(body)), []byte(body)); reason != "wrong_signature" {
		t.Errorf("no secret in force: got %q, %q", id, reason)
	}
}
