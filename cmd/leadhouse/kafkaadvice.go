package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"

	"github.com/segmentio/kafka-go"
)

// bare takes the name of kafka-go's function off an error.
func bare(err error) error {
	if inner := errors.Unwrap(err); inner != nil && strings.HasPrefix(err.Error(), "kafka.(*Client).") {
		return inner
	}
	return err
}

// kafkaAdvice says what to do about an error. Each case was seen on Kafka 4.2.
func kafkaAdvice(err error) string {
	certificate := certificateAdvice(err, "broker", "kafka")
	_, record := errors.AsType[tls.RecordHeaderError](err)
	_, resolve := errors.AsType[*net.DNSError](err)
	_, answered := errors.AsType[kafka.Error](err)
	switch {
	case err == nil:
		return ""
	case certificate != "":
		return certificate
	case errors.Is(err, kafka.SASLAuthenticationFailed):
		return "The broker refuses the user or the password: --kafka-username, --kafka-password-file, and whether --kafka-sasl is the mechanism the user was made for."
	case errors.Is(err, kafka.UnsupportedSASLMechanism):
		return "The broker offers other mechanisms: --kafka-sasl."
	case errors.Is(err, kafka.IllegalSASLState):
		return "This listener has no login: --kafka-sasl none, or another port."
	case record:
		return "This listener has no TLS: leave --kafka-tls out, or use another port."
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "The broker closed the connection, as it does on a listener of another kind, and some do over a wrong password: compare --kafka-tls and --kafka-sasl with the listener of this port, and look at the password."
	case errors.Is(err, kafka.TopicAuthorizationFailed):
		return "The user may not: see the rights in leadhouse sink -h, --kafka-username."
	case errors.Is(err, kafka.GroupAuthorizationFailed):
		return "The user may not read as this group: grant Read on it, or choose another with --kafka-group."
	case answered:
		return ""
	case resolve:
		return "The name is not known here: --kafka-brokers."
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "Nothing answers there in time: --kafka-brokers, a firewall, or a broker that is overloaded. A listener of another kind (TLS, SASL) may also be silent."
	}
	return "Is Kafka running there, and is it the right port? --kafka-brokers"
}
