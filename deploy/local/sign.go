package local

import (
	"crypto/hmac"
	"crypto/sha1" // forges what must be refused
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"time"
)

// SignatureHeader carries a delivery's signature (Events page).
const SignatureHeader = "X-Leadron-Signature"

// Sign is what the header carries: HMAC-SHA256 of the raw body under the secret's UTF-8 bytes, in lower-case hex (all four SDKs, e.g. SDK auth.go).
func Sign(secret string, body []byte) string {
	return hex.EncodeToString(mac(secret, body))
}

func mac(secret string, body []byte) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write(body)
	return h.Sum(nil)
}

func (s *Sender) sign(body []byte) string {
	if s.cfg.Prefix {
		return "sha256=" + Sign(s.cfg.Secret, body)
	}
	return Sign(s.cfg.Secret, body)
}

// forgeries are signatures that must not verify, by somebody who does not know the secret, or does not know how to sign.
var forgeries = []func(secret string, body []byte) []string{
	func(string, []byte) []string { return nil },
	func(string, []byte) []string { return []string{""} },
	func(secret string, body []byte) []string { return []string{Sign(secret+"x", body)} },
	func(secret string, body []byte) []string { return []string{Sign(secret, body[:len(body)-1])} },
	func(secret string, body []byte) []string { return []string{Sign(secret, nil)} },
	func(secret string, body []byte) []string { return []string{Sign(secret, body)[:62]} },
	func(secret string, body []byte) []string { return []string{Sign(secret, body) + "00"} },
	func(secret string, body []byte) []string { return []string{"sha256="} },
	func(secret string, body []byte) []string { return []string{"sha512=" + Sign(secret, body)} },
	func(secret string, body []byte) []string {
		h := hmac.New(sha1.New, []byte(secret))
		h.Write(body)
		return []string{"sha1=" + hex.EncodeToString(h.Sum(nil))}
	},
	func(secret string, body []byte) []string {
		return []string{base64.StdEncoding.EncodeToString(mac(secret, body))}
	},
	func(secret string, body []byte) []string {
		return []string{Sign(secret, body), Sign(secret, body)} // which of the two was checked?
	},
}

// ForgedIDPrefix begins the event IDs of all forged deliveries: none may ever be in Kafka or in a table.
const ForgedIDPrefix = "evt_FORGED"

// forge makes a delivery whose body is a perfect event and whose signature is bad.
func (s *Sender) forge() parcel {
	id := fmt.Sprintf("%s%016x", ForgedIDPrefix, s.rng.Uint64())
	at := time.Now().UTC()
	body := fmt.Appendf(nil, `{"id":"%s","type":"commission.paid","createdAt":"%s","data":{"commissionId":"com_forged","amount":1000000}}`,
		id, appendTimestamp(nil, at.UnixMilli()))
	forgery := forgeries[s.rng.IntN(len(forgeries))]
	return parcel{
		Delivery:  Delivery{ID: id, Type: "commission.paid", Key: "com_forged", Time: at, Body: body},
		signature: forgery(s.cfg.Secret, body),
		forged:    true,
	}
}
