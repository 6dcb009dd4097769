package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
)

// tlsSettings are TLS towards one engine, whose settings all begin with its name: --kafka-tls, --kafka-tls-ca, …
type tlsSettings struct {
	prefix     string
	on         bool
	ca         string
	cert, key  string
	serverName string
}

func (t *tlsSettings) settings(group, who string) settings {
	return settings{
		{
			name: t.prefix + "-tls", group: group, value: toggle(&t.on),
			usage: "Speak TLS to " + who + ", and check its certificate against the system's authorities or those of --" + t.prefix + "-tls-ca.",
		},
		{
			name: t.prefix + "-tls-ca", group: group, value: file(&t.ca), isFile: true,
			usage: "PEM file with the authorities to trust instead of the system's.",
		},
		{
			name: t.prefix + "-tls-cert", group: group, value: file(&t.cert), isFile: true,
			usage: "PEM file with a client certificate, where " + who + " asks for one.",
		},
		{
			name: t.prefix + "-tls-key", group: group, value: file(&t.key), isFile: true,
			usage: "PEM file with the client certificate's key.",
		},
		{
			name: t.prefix + "-tls-server-name", group: group, value: text(&t.serverName, "NAME"),
			usage: "The name that the certificate must have, where it is not the host's that is dialled.",
		},
	}
}

// allLoopback: what is sent there stays on this machine.
func allLoopback(addrs []string) bool {
	for _, a := range addrs {
		host, _, _ := net.SplitHostPort(a)
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}

// config is nil when TLS is off. Its errors name the settings.
func (t *tlsSettings) config() (*tls.Config, error) {
	if !t.on {
		if t.ca+t.cert+t.key+t.serverName != "" {
			return nil, fmt.Errorf("--%s-tls is off, but there are settings for it: turn it on, or take them out", t.prefix)
		}
		return nil, nil //nolint:nilnil // how every client here says "no TLS"
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.serverName}
	return config, errors.Join(t.trust(config), t.identify(config))
}

func (t *tlsSettings) trust(config *tls.Config) error {
	if t.ca == "" {
		return nil
	}
	pem, err := os.ReadFile(t.ca)
	if err != nil {
		return nil //nolint:nilerr // checkFile has said so
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return fmt.Errorf("--%s-tls-ca: there is no certificate in PEM in %s", t.prefix, t.ca)
	}
	return nil
}

func (t *tlsSettings) identify(config *tls.Config) error {
	if (t.cert == "") != (t.key == "") {
		return fmt.Errorf("--%s-tls-cert and --%s-tls-key go together, and one is missing", t.prefix, t.prefix)
	}
	if t.cert == "" {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(t.cert, t.key)
	if err != nil {
		return fmt.Errorf("--%s-tls-cert, --%s-tls-key: %w", t.prefix, t.prefix, err)
	}
	config.Certificates = []tls.Certificate{pair}
	return nil
}

// certificateAdvice says what to do about a certificate that one side does not accept, "" where the error is another.
func certificateAdvice(err error, who, prefix string) string {
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	_, hostname := errors.AsType[x509.HostnameError](err)
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case err == nil:
		return ""
	case authority:
		return fmt.Sprintf("The %s's certificate is of an authority that this machine does not know: --%s-tls-ca.", who, prefix)
	case hostname:
		return fmt.Sprintf("The %s's certificate is for another name: dial it by that name, or give it as --%s-tls-server-name.", who, prefix)
	case isInvalid && invalid.Reason == x509.Expired:
		return fmt.Sprintf("The %s needs a new certificate, or this machine's clock is wrong.", who)
	}
	// The other side's alerts: crypto/tls does not export their type.
	if _, alert, told := strings.Cut(err.Error(), "remote error: tls: "); told && strings.Contains(alert, "certificate") {
		return fmt.Sprintf("The %s asks for a client certificate, and got none or one that it does not trust: --%s-tls-cert, --%s-tls-key.", who, prefix, prefix)
	}
	return ""
}
