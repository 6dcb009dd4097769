package sink

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"

	"github.com/segmentio/kafka-go"
)

// hint says what to do about an error of either engine's where the error alone does not, "" otherwise. It begins with a
// space, to stand after the error.
func hint(err error) string {
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	_, hostname := errors.AsType[x509.HostnameError](err)
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case authority:
		return " (the server's certificate is not signed by a known authority: set the CA file)"
	case hostname:
		return " (the server's certificate is for another name than the configured address)"
	case isInvalid && invalid.Reason == x509.Expired:
		return " (the server needs a new certificate, or this machine's clock is wrong)"
	case refusesCertificate(err):
		return " (the server asks for a client certificate, and got none or one that it does not trust)"
	case errors.Is(err, kafka.SASLAuthenticationFailed):
		return " (the broker does not accept the SASL user and password, or not with this mechanism)"
	}
	return ""
}

// misconfigured: an error of TLS or of the login that no waiting mends.
func misconfigured(err error) bool {
	_, unverified := errors.AsType[*tls.CertificateVerificationError](err)
	return unverified || refusesCertificate(err) || errors.Is(err, kafka.SASLAuthenticationFailed)
}

// refusesCertificate knows the server's alerts about our client certificate by their texts: crypto/tls does not export
// their type. With TLS 1.3 they come after the handshake, with the first answer.
func refusesCertificate(err error) bool {
	if err == nil {
		return false
	}
	_, alert, told := strings.Cut(err.Error(), "remote error: tls: ")
	return told && strings.Contains(alert, "certificate")
}
