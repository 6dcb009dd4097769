package ingest

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/segmentio/kafka-go"
)

// explain adds to a Kafka error what to do about it, where the error alone points elsewhere. Each case was seen on Kafka
// 4.2; nil stays nil.
func explain(err error) error {
	hint := hintFor(err)
	if hint == "" {
		return err
	}
	return fmt.Errorf("%w (%s)", err, hint)
}

func hintFor(err error) string {
	var (
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
	)
	switch {
	case err == nil:
		return ""
	case errors.Is(err, kafka.SASLAuthenticationFailed):
		return "the broker does not accept the SASL user and password, or not with this mechanism"
	case errors.Is(err, kafka.UnsupportedSASLMechanism):
		return "the broker offers other SASL mechanisms than the configured one"
	case errors.Is(err, kafka.IllegalSASLState):
		return "this listener of the broker does not speak SASL: turn it off, or use another port"
	case errors.As(err, &authority):
		return "the broker's certificate is not signed by a known authority: set the CA file"
	case errors.As(err, &hostname):
		return "the broker's certificate is for another name than the configured address"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the broker needs a new certificate, or this machine's clock is wrong"
	case refusesCertificate(err):
		return "the broker asks for a client certificate, and got none or one that it does not trust"
	case errors.As(err, &record):
		return "the broker answers without TLS: turn TLS off, or use another port"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), strings.Contains(err.Error(), "appears to be expecting TLS"):
		// What a broker does on a listener of another kind: it closes. Plaintext to TLS, TLS to plaintext, no SASL to SASL.
		return "the broker closed the connection: if it does so from the start, check the TLS and SASL settings against its listener"
	case errors.Is(err, kafka.TopicAuthorizationFailed):
		return "the user lacks an ACL on the topic: it needs Describe, DescribeConfigs and Write, and Create where the topic is to be created"
	case errors.Is(err, kafka.ClusterAuthorizationFailed):
		return "the user may not create topics: create it, or grant Create"
	}
	return ""
}

// misconfigured: an error that no waiting mends.
func misconfigured(err error) bool {
	var verification *tls.CertificateVerificationError
	return errors.As(err, &verification) || refusesCertificate(err) ||
		errors.Is(err, kafka.SASLAuthenticationFailed) || errors.Is(err, kafka.UnsupportedSASLMechanism) ||
		errors.Is(err, kafka.IllegalSASLState) || errors.Is(err, kafka.TopicAuthorizationFailed) ||
		errors.Is(err, kafka.ClusterAuthorizationFailed)
}

// refusesCertificate knows the broker's alerts about our client certificate by their texts: crypto/tls does not export
// their type. With TLS 1.3 they come after the handshake, with the first answer.
func refusesCertificate(err error) bool {
	if err == nil {
		return false
	}
	_, alert, told := strings.Cut(err.Error(), "remote error: tls: ")
	return told && strings.Contains(alert, "certificate")
}
